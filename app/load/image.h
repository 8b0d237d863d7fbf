/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk image as the source of a volume: data, holes and zero blocks, from front to back. */
#ifndef LOAD_IMAGE_H
#define LOAD_IMAGE_H

#include <headgate/source.h>

struct image;

/* Opens it for reading. The volume's size is the file's, rounded up to 512 bytes. 0, or negative
 * errno with a sentence. */
int image_open(const char *path, struct image **out, struct hg_err *err);
void image_close(struct image *image);
uint64_t image_size(const struct image *image);

/* The next change from the front: DATA of at most `block` bytes, or ZERO for holes and for blocks
 * of zeros. 1; 0 at the end; negative errno with a sentence. scratch has room for `block`. */
int image_next(struct image *image, uint8_t *scratch, uint32_t block, struct hg_source_op *op,
               struct hg_err *err);

/* Reads len bytes at offset; what lies past the end of the file reads as zeros. 0 or negative errno
 * with a sentence. */
int image_read(struct image *image, uint8_t *dst, uint32_t len, uint64_t offset,
               struct hg_err *err);

#endif /* LOAD_IMAGE_H */
