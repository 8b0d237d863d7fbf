/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small files of /sys and /proc below a root folder: "" is this machine, anything else a tree that
 * looks like one (tests make such trees). Paths are printf formats and start with a slash. Nothing
 * here prints; what cannot be read is empty.
 */
#ifndef HG_APP_CTL_SYSFS_H
#define HG_APP_CTL_SYSFS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_NAME 64 /* characters of a folder's entry, NUL included; longer ones are left out */

bool sys_exists(const char *root, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Whether this process may read and write it. */
bool sys_usable(const char *root, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first line, cut at size; blanks at its end are taken off. False and "": not readable. */
bool sys_line(const char *root, char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The number that the file begins with, decimal or 0x; `other` when there is none. */
long long sys_number(const char *root, long long other, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The whole file, to be freed; NULL when it cannot be read or is larger than 4 MiB. */
char *sys_text(const char *root, const char *path);

/* What a symbolic link names, cut at size. False and "": no link. */
bool sys_target(const char *root, char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The last part of what a symbolic link names: a driver, an IOMMU group. False and "": no link. */
bool sys_link(const char *root, char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Up to max names of a folder, sorted, without those that begin with a dot; how many. */
unsigned sys_list(const char *root, char (*names)[SYS_NAME], unsigned max, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* "0-3,8" as the kernel writes CPUs. Those beyond CPU_SETSIZE are left out. */
void sys_cpus(const char *list, cpu_set_t *out);
/* The same back. Returns buf. */
const char *sys_cpus_text(const cpu_set_t *cpus, char *buf, size_t size);

#endif /* HG_APP_CTL_SYSFS_H */
