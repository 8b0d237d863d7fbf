/* SPDX-License-Identifier: BSD-3-Clause */
/* Loop devices: see loop.h and loop(4). */
#include "loop.h"
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TRIES 20u /* others look for free devices too */

int loop_attach(const char *path, uint32_t block, char name[LOOP_NAME])
{
    struct loop_config cfg = {.block_size = block,
                              .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO};
    int file = open(path, O_RDWR | O_CLOEXEC);
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int fd = -1;

    cfg.fd = (uint32_t)file;
    for (unsigned i = 0; control >= 0 && fd < 0 && i < TRIES; i++) {
        int index = ioctl(control, LOOP_CTL_GET_FREE);

        if (index < 0)
            break;
        snprintf(name, LOOP_NAME, "/dev/loop%d", index);
        fd = open(name, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            break;
        if (ioctl(fd, LOOP_CONFIGURE, &cfg) != 0) {
            close(fd);
            fd = -1;
        }
    }
    if (control >= 0)
        close(control);
    close(file);
    return fd;
}

int loop_grow(int fd)
{
    return ioctl(fd, LOOP_SET_CAPACITY);
}

/* Field 16 of Documentation/ABI/stable/sysfs-block, stat (Linux 5.5). */
long loop_flushes(const char *name)
{
    char path[64];
    long flushes = -1;
    FILE *f;

    snprintf(path, sizeof path, "/sys/block/%s/stat", name + sizeof "/dev/" - 1);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    if (fscanf(f, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld", &flushes) != 1)
        flushes = -1;
    fclose(f);
    return flushes;
}
