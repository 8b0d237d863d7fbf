/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices of the kernel's over a file, for tests that may make them. */
#ifndef TESTS_UNIT_BDEV_LOOP_H
#define TESTS_UNIT_BDEV_LOOP_H

#include <stdint.h>

#define LOOP_NAME 32

/* A free loop device on the file, of sectors of `block` bytes, which goes away with its last user. Returns
 * a descriptor of it and its path, or -1 with errno. */
int loop_attach(const char *path, uint32_t block, char name[LOOP_NAME]);

/* Lets it follow the size of its file; 0 or -1. */
int loop_grow(int fd);

/* Flushes that it has carried out, by its statistics; -1: they are not told. */
long loop_flushes(const char *name);

#endif /* TESTS_UNIT_BDEV_LOOP_H */
