/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What happens to a device, as sentences: found by comparing what it tells of itself (struct hg_bdev_info) with
 * what it told before. Pure but for the caller's clock, which is an argument. One thread.
 *
 * What the NVMe driver logs itself, with more to say, is kept as an event all the same, and only not logged.
 */
#ifndef HG_APP_DEVWATCH_H
#define HG_APP_DEVWATCH_H

#include <headgate/bdev.h>
#include <headgate/log.h>

#define DEVWATCH_EVENTS 16 /* kept; the oldest goes */

struct devwatch_event {
    hg_ns at;
    enum hg_log_level level; /* ERR, WARN or INFO */
    bool log;                /* nobody else has logged it */
    char text[256];          /* without the device's name */
};

struct devwatch {
    bool seen; /* `last` holds something */
    struct hg_bdev_info last;
    struct devwatch_event events[DEVWATCH_EVENTS];
    unsigned total; /* ever; event i is in events[i % DEVWATCH_EVENTS] */
};

/* Compares and remembers; returns how many events are new (the last ones). The first look takes an error counter
 * for what it is, but tells of states and warnings that hold already. */
unsigned devwatch_look(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock);

/* Event `back` steps before the newest, 0 is the newest; NULL: not kept or never was. */
const struct devwatch_event *devwatch_event(const struct devwatch *w, unsigned back);

/* The meaning of bit `bit` of a critical warning (NVMe base spec, SMART / Health log page), NULL: none. */
const char *devwatch_warning(unsigned bit);

/* (enum hg_bdev_error without its prefix, name, a sentence) */
#define DEVWATCH_ERRORS(X)                                                                         \
    X(MEDIA, "media", "requests that found the medium's data lost")                                \
    X(TIMEOUT, "timeout", "requests that passed their deadline")                                   \
    X(ABORTED, "aborted", "requests that the device gave up when asked to")                        \
    X(RETRIED, "retried", "requests that were sent again")                                         \
    X(RESET, "reset", "resets of the controller")                                                  \
    X(PROTOCOL, "protocol", "answers of the device that fit no request")                           \
    X(OTHER, "other", "requests that failed for another reason")

struct devwatch_error {
    const char *name, *help;
};
extern const struct devwatch_error devwatch_errors[HG_BDEV_ERRORS];
/* "ok", "starting", "resetting", "dead". */
const char *devwatch_state(enum hg_bdev_state state);

#endif /* HG_APP_DEVWATCH_H */
