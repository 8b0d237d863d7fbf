/* SPDX-License-Identifier: BSD-3-Clause */
#include "image.h"
#include <errno.h>
#include <fcntl.h>
#include <headgate/arena.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

/* One ZERO frame covers at most this, so that progress is seen. */
#define ZERO_MAX (UINT64_C(256) << 20)

struct image {
    int fd;
    char path[PATH_MAX];
    uint64_t file_size;          /* bytes */
    uint64_t size;               /* of the volume */
    uint64_t cursor;             /* everything before it was handed out */
    uint64_t data_from, data_to; /* the extent with data at or after the cursor */
    bool has_ranges;             /* the file system tells holes */
};

static int file_size(int fd, uint64_t *size)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -errno;
    if (S_ISBLK(st.st_mode))
        return ioctl(fd, BLKGETSIZE64, size) != 0 ? -errno : 0;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    *size = (uint64_t)st.st_size;
    return 0;
}

int image_open(const char *path, struct image **out, struct hg_err *err)
{
    struct image *image = calloc(1, sizeof *image);
    int rc;

    if (image == NULL)
        return hg_fail(err, -ENOMEM, "image %s: out of memory", path);
    if (strlen(path) >= sizeof image->path) {
        free(image);
        return hg_fail(err, -ENAMETOOLONG, "image: a path is longer than %d bytes", PATH_MAX - 1);
    }
    strcpy(image->path, path);
    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (image->fd < 0) {
        rc = hg_fail(err, -errno, "image %s: cannot be opened: %s", path, strerror(errno));
        free(image);
        return rc;
    }
    rc = file_size(image->fd, &image->file_size);
    if (rc != 0 || image->file_size == 0) {
        image_close(image);
        return hg_fail(err, rc != 0 ? rc : -EINVAL,
                       "image %s: is not a file or block device with data in it", path);
    }
    image->size = (image->file_size + 511) / 512 * 512;
    if (image->size < HG_BLOCK)
        image->size = HG_BLOCK;
    image->has_ranges = lseek(image->fd, 0, SEEK_DATA) >= 0 || errno == ENXIO;
    posix_fadvise(image->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *out = image;
    return 0;
}

void image_close(struct image *image)
{
    if (image == NULL)
        return;
    close(image->fd);
    free(image);
}

uint64_t image_size(const struct image *image)
{
    return image->size;
}

int image_read(struct image *image, uint8_t *dst, uint32_t len, uint64_t offset, struct hg_err *err)
{
    uint32_t done = 0;

    while (done < len) {
        ssize_t n = pread(image->fd, dst + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return hg_fail(err, -errno, "image %s: reading at byte %llu failed: %s", image->path,
                           (unsigned long long)(offset + done), strerror(errno));
        if (n == 0) {
            if (offset + done < image->file_size)
                return hg_fail(err, -EIO, "image %s: became shorter while it was being sent",
                               image->path);
            memset(dst + done, 0, len - done);
            break;
        }
        done += (uint32_t)n;
    }
    return 0;
}

/* Finds the first extent with data at or after the cursor, widened to whole blocks. */
static void find_data(struct image *image)
{
    off_t from, to;

    image->data_from = image->cursor;
    image->data_to = image->size;
    if (!image->has_ranges)
        return;
    from = lseek(image->fd, (off_t)image->cursor, SEEK_DATA);
    if (from < 0) {
        /* ENXIO: a hole to the end. Anything else: read on as if all were data. */
        if (errno == ENXIO)
            image->data_from = image->size;
        return;
    }
    to = lseek(image->fd, from, SEEK_HOLE);
    image->data_from = (uint64_t)from / HG_BLOCK * HG_BLOCK;
    if (image->data_from < image->cursor)
        image->data_from = image->cursor;
    if (to > from)
        image->data_to = ((uint64_t)to + HG_BLOCK - 1) / HG_BLOCK * HG_BLOCK;
    if (image->data_to > image->size)
        image->data_to = image->size;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

int image_next(struct image *image, uint8_t *scratch, uint32_t block, struct hg_source_op *op,
               struct hg_err *err)
{
    uint64_t len;
    int rc;

    if (image->cursor >= image->size)
        return 0;
    if (image->cursor >= image->data_to || image->data_to == 0)
        find_data(image);
    *op = (struct hg_source_op){.type = HG_FRAME_ZERO, .offset = image->cursor};
    if (image->cursor < image->data_from) {
        len = image->data_from - image->cursor;
        op->len = len > ZERO_MAX ? ZERO_MAX : len;
        image->cursor += op->len;
        return 1;
    }
    len = image->data_to - image->cursor;
    if (len > block)
        len = block;
    rc = image_read(image, scratch, (uint32_t)len, image->cursor, err);
    if (rc != 0)
        return rc;
    if (!all_zero(scratch, len))
        op->type = HG_FRAME_DATA;
    op->len = len;
    image->cursor += len;
    return 1;
}
