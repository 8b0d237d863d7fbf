/* SPDX-License-Identifier: BSD-3-Clause */
/* See sysfs.h. */
#include "sysfs.h"
#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (4u << 20) /* bytes */

/* root and the formatted path, into out[PATH_MAX]; false when it is too long. */
static bool path_of(const char *root, char *out, const char *fmt, va_list ap)
{
    int len = snprintf(out, PATH_MAX, "%s", root), more;

    if (len < 0 || len >= PATH_MAX)
        return false;
    more = vsnprintf(out + len, PATH_MAX - (size_t)len, fmt, ap);
    return more >= 0 && more < PATH_MAX - len;
}

#define PATH(out, root, fmt)                                                                       \
    va_list ap;                                                                                    \
    bool fits;                                                                                     \
    va_start(ap, fmt);                                                                             \
    fits = path_of(root, out, fmt, ap);                                                            \
    va_end(ap)

bool sys_exists(const char *root, const char *fmt, ...)
{
    char path[PATH_MAX];

    PATH(path, root, fmt);
    return fits && access(path, F_OK) == 0;
}

bool sys_usable(const char *root, const char *fmt, ...)
{
    char path[PATH_MAX];

    PATH(path, root, fmt);
    return fits && access(path, R_OK | W_OK) == 0;
}

static bool first_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    size_t len;

    out[0] = '\0';
    if (f == NULL)
        return false;
    if (fgets(out, (int)size, f) == NULL) {
        bool empty = feof(f) != 0; /* else reading it failed: a file of a device that is gone */

        fclose(f);
        out[0] = '\0';
        return empty;
    }
    fclose(f);
    len = strlen(out);
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == ' '))
        out[--len] = '\0';
    return true;
}

bool sys_line(const char *root, char *out, size_t size, const char *fmt, ...)
{
    char path[PATH_MAX];

    PATH(path, root, fmt);
    out[0] = '\0';
    return fits && first_line(path, out, size);
}

long long sys_number(const char *root, long long other, const char *fmt, ...)
{
    char path[PATH_MAX], line[64], *end;
    long long n;

    PATH(path, root, fmt);
    if (!fits || !first_line(path, line, sizeof line))
        return other;
    n = strtoll(line, &end, 0);
    return end == line ? other : n;
}

char *sys_text(const char *root, const char *path)
{
    char whole[PATH_MAX], *text = NULL;
    size_t len = 0;
    FILE *f;

    if (snprintf(whole, sizeof whole, "%s%s", root, path) >= PATH_MAX)
        return NULL;
    f = fopen(whole, "re");
    if (f == NULL)
        return NULL;
    text = malloc(TEXT_MAX + 1);
    if (text != NULL)
        len = fread(text, 1, TEXT_MAX + 1, f);
    if (text != NULL && (ferror(f) != 0 || len > TEXT_MAX)) {
        free(text);
        text = NULL;
    }
    fclose(f);
    if (text != NULL)
        text[len] = '\0';
    return text;
}

bool sys_target(const char *root, char *out, size_t size, const char *fmt, ...)
{
    char path[PATH_MAX];
    ssize_t n;

    PATH(path, root, fmt);
    n = fits ? readlink(path, out, size - 1) : -1;
    out[n < 0 ? 0 : n] = '\0';
    return n > 0;
}

bool sys_link(const char *root, char *out, size_t size, const char *fmt, ...)
{
    char path[PATH_MAX], target[PATH_MAX];
    const char *last;
    ssize_t n;

    PATH(path, root, fmt);
    n = fits ? readlink(path, target, sizeof target - 1) : -1;
    target[n < 0 ? 0 : n] = '\0';
    last = strrchr(target, '/');
    snprintf(out, size, "%s", last == NULL ? target : last + 1);
    return n > 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

unsigned sys_list(const char *root, char (*names)[SYS_NAME], unsigned max, const char *fmt, ...)
{
    char path[PATH_MAX];
    struct dirent *e;
    unsigned n = 0;
    DIR *dir;

    PATH(path, root, fmt);
    dir = fits ? opendir(path) : NULL;
    if (dir == NULL)
        return 0;
    while (n < max && (e = readdir(dir)) != NULL)
        if (e->d_name[0] != '.' && strlen(e->d_name) < SYS_NAME)
            strcpy(names[n++], e->d_name);
    closedir(dir);
    qsort(names, n, SYS_NAME, by_name);
    return n;
}

void sys_cpus(const char *list, cpu_set_t *out)
{
    CPU_ZERO(out);
    for (const char *p = list; *p != '\0';) {
        char *end;
        unsigned long from = strtoul(p, &end, 10), to = from;

        if (end == p)
            return; /* "(null)", as nohz_full says when there are none */
        if (*end == '-')
            to = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = from; cpu <= to && cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, out);
        p = end + strspn(end, ",");
        if (p == end)
            return;
    }
}

const char *sys_cpus_text(const cpu_set_t *cpus, char *buf, size_t size)
{
    size_t len = 0;

    buf[0] = '\0';
    for (unsigned from = 0; from < CPU_SETSIZE && len < size; from++) {
        unsigned to = from;

        if (!CPU_ISSET(from, cpus))
            continue;
        while (to + 1 < CPU_SETSIZE && CPU_ISSET(to + 1, cpus))
            to++;
        len += (size_t)snprintf(buf + len, size - len, to == from ? "%s%u" : "%s%u-%u",
                                len == 0 ? "" : ",", from, to);
        from = to;
    }
    return buf;
}
