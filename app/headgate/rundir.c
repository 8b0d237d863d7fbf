/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * EAL keeps its files in a directory of this process's own below /run, in memory on most machines, and leaves
 * it there when it ends: megabytes for each start. So ours goes at the end, and what killed nodes have
 * left goes at a start: directories named as ours are, whose owner does not hold EAL's lock any more
 * (also one that this process cannot see), and that are not just being made.
 */
#include "rundir.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <rte_eal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_MAX 4096u /* directories removed by one start, a tenth of a millisecond each */
#define SETTLED 60      /* seconds after which a directory without a lock has no owner */

/* EAL's files, and no directories. */
static void remove_below(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)unlinkat(fd, e->d_name, 0);
    closedir(dir);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* "hg" and a number: what a node without [eal] file-prefix has. */
static bool is_ours(const char *name)
{
    size_t digits = strncmp(name, "hg", 2) == 0 ? strspn(name + 2, "0123456789") : 0;

    return digits > 0 && name[2 + digits] == '\0';
}

static bool is_abandoned(int parent, const char *name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char config[NAME_MAX + 8];
    struct stat st;
    bool held;
    int fd;

    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
        st.st_uid != geteuid() || time(NULL) - st.st_mtime < SETTLED)
        return false;
    snprintf(config, sizeof config, "%s/config", name);
    fd = openat(parent, config, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return true;
    held = fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
    close(fd);
    return !held;
}

static DIR *open_parent(const char *path, char *name, size_t size)
{
    const char *slash = strrchr(path, '/');
    char parent[RUNDIR_MAX];

    if (slash == NULL || slash[1] == '\0' || (size_t)(slash - path) >= sizeof parent)
        return NULL;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    snprintf(name, size, "%s", slash + 1);
    return opendir(parent);
}

void rundir_note(char path[RUNDIR_MAX])
{
    snprintf(path, RUNDIR_MAX, "%s", rte_eal_get_runtime_dir());
}

void rundir_sweep(const char *path)
{
    char own[64];
    DIR *dir = open_parent(path, own, sizeof own);
    const struct dirent *e;
    unsigned n = 0;

    if (dir == NULL)
        return;
    while (n < SWEEP_MAX && (e = readdir(dir)) != NULL) {
        if (!is_ours(e->d_name) || strcmp(e->d_name, own) == 0 ||
            !is_abandoned(dirfd(dir), e->d_name))
            continue;
        remove_below(dirfd(dir), e->d_name);
        n++;
    }
    closedir(dir);
}

void rundir_remove(const char *path)
{
    char own[64];
    DIR *dir = open_parent(path, own, sizeof own);

    if (dir == NULL)
        return;
    remove_below(dirfd(dir), own);
    closedir(dir);
}
