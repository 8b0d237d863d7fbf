/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every area uses: time, byte ranges, the error convention.
 *
 * Errors: a function that can fail returns 0 or a negative errno value; counts are separate
 * outputs. Where a person has to act on the failure the function also fills a struct hg_err with
 * one sentence that names what, where and what to do.
 */
#ifndef HEADGATE_BASE_H
#define HEADGATE_BASE_H

#include <stddef.h>
#include <stdint.h>

/* Monotonic time in nanoseconds. Only the shard loop reads the clock; below it time is an
 * argument, so that a whole node runs on virtual time in tests/sim. 0 means "never" for deadlines.
 */
typedef uint64_t hg_ns;

#define HG_US(n) ((hg_ns)(n)*1000u)
#define HG_MS(n) ((hg_ns)(n)*1000000u)
#define HG_SEC(n) ((hg_ns)(n)*1000000000u)

/* A range of bytes owned by somebody else; valid as the function that hands it out says. */
struct hg_iov {
    uint8_t *base;
    uint32_t len; /* bytes */
};

static inline struct hg_iov hg_iov_of(void *base, uint32_t len)
{
    return (struct hg_iov){(uint8_t *)base, len};
}

/* A sentence for a person; always NUL-terminated. Empty when nothing failed. */
struct hg_err {
    char text[512];
};

/* Formats a sentence into err (NULL is allowed and ignored) and returns code, so that a failing
 * function can end with: return hg_fail(err, -EINVAL, "device %s: ...", path); Any thread. */
int hg_fail(struct hg_err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define HG_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define HG_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif /* HEADGATE_BASE_H */
