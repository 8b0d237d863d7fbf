/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes of block devices: see sysfs.h and the kernel's Documentation/ABI/stable/sysfs-block. */
#include "sysfs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define TEXT_MAX 128u

/* Reads DIR/name without the spaces around it; false and "" when it cannot. */
static bool attribute(const char *dir, const char *name, char text[TEXT_MAX])
{
    char path[512];
    size_t n, skip;
    FILE *f;

    text[0] = '\0';
    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    n = fread(text, 1, TEXT_MAX - 1, f);
    fclose(f);
    while (n > 0 && strchr(" \n", text[n - 1]) != NULL)
        n--;
    text[n] = '\0';
    skip = strspn(text, " ");
    memmove(text, text + skip, n + 1 - skip);
    return true;
}

static long number(const char *dir, const char *name, long unknown)
{
    char text[TEXT_MAX];

    return attribute(dir, name, text) && text[0] != '\0' ? strtol(text, NULL, 10) : unknown;
}

/* The first of the names that says something, cut to size. */
static void words(const char *dir, const char *const *names, char *out, size_t size)
{
    char text[TEXT_MAX] = "";

    for (; *names != NULL && text[0] == '\0'; names++)
        (void)attribute(dir, *names, text);
    snprintf(out, size, "%.*s", (int)size - 1, text);
}

/* "none [mq-deadline] kyber": the one in brackets. */
static void scheduler(const char *dir, char *out, size_t size)
{
    char text[TEXT_MAX];
    const char *from;

    out[0] = '\0';
    if (!attribute(dir, "queue/scheduler", text) || (from = strchr(text, '[')) == NULL)
        return;
    snprintf(out, size, "%.*s", (int)strcspn(from + 1, "]"), from + 1);
}

void sysfs_disk(const char *root, dev_t dev, struct sysfs_disk *disk)
{
    static const char *const model[] = {"device/model", NULL};
    static const char *const serial[] = {"device/serial", "serial", NULL};
    static const char *const firmware[] = {"device/firmware_rev", "device/rev", NULL};
    static const char *const node[] = {"device/numa_node", "device/device/numa_node", NULL};
    char dir[256], text[TEXT_MAX];
    const char *at;

    memset(disk, 0, sizeof *disk);
    disk->numa_node = -1;
    snprintf(dir, sizeof dir, "%s/dev/block/%u:%u", root, major(dev), minor(dev));
    if (attribute(dir, "uevent", text) && (at = strstr(text, "DEVNAME=")) != NULL)
        snprintf(disk->name, sizeof disk->name, "%.*s", (int)strcspn(at + 8, "\n"), at + 8);
    if (attribute(dir, "partition", text))
        strncat(dir, "/..", sizeof dir - strlen(dir) - 1);
    disk->found = attribute(dir, "size", text);
    words(dir, model, disk->model, sizeof disk->model);
    words(dir, serial, disk->serial, sizeof disk->serial);
    words(dir, firmware, disk->firmware, sizeof disk->firmware);
    words(dir, node, text, sizeof text);
    if (text[0] != '\0')
        disk->numa_node = (int)strtol(text, NULL, 10);
    scheduler(dir, disk->scheduler, sizeof disk->scheduler);
    disk->polls = number(dir, "queue/io_poll", 0) == 1;
    disk->rotational = number(dir, "queue/rotational", 0) == 1;
    disk->boundaries = number(dir, "queue/chunk_sectors", 0) != 0;
    disk->max_kib = (unsigned)number(dir, "queue/max_sectors_kb", 0);
    disk->max_segments = (unsigned)number(dir, "queue/max_segments", 0);
}

dev_t sysfs_disk_of_nvme(const char *root, dev_t chr)
{
    unsigned ctrl, ns, a, b;
    char dir[256], text[TEXT_MAX];
    const char *at;

    snprintf(dir, sizeof dir, "%s/dev/char/%u:%u", root, major(chr), minor(chr));
    if (!attribute(dir, "uevent", text) || (at = strstr(text, "DEVNAME=ng")) == NULL ||
        sscanf(at, "DEVNAME=ng%un%u", &ctrl, &ns) != 2)
        return 0;
    snprintf(dir, sizeof dir, "%s/class/block/nvme%un%u", root, ctrl, ns);
    if (!attribute(dir, "dev", text) || sscanf(text, "%u:%u", &a, &b) != 2)
        return 0;
    return makedev(a, b);
}
