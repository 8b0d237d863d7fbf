/* SPDX-License-Identifier: BSD-3-Clause */
/* See devwatch.h. */
#include "devwatch.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WARNING_BITS 8

#define ROW(symbol, name, help) [HG_BDEV_ERR_##symbol] = {name, help},

const struct devwatch_error devwatch_errors[HG_BDEV_ERRORS] = {DEVWATCH_ERRORS(ROW)};

const char *devwatch_warning(unsigned bit)
{
    static const char *const text[WARNING_BITS] = {
        "its spare blocks run out: replace it soon",
        "its temperature is out of bounds: look at its cooling",
        "its reliability is degraded by errors: replace it",
        "it has become read-only: replace it",
        "the backup of its volatile memory has failed",
        "its persistent memory region is not reliable",
    };

    return bit < WARNING_BITS ? text[bit] : NULL;
}

const char *devwatch_state(enum hg_bdev_state state)
{
    static const char *const name[] = {"ok", "starting", "resetting", "dead"};

    return name[state];
}

static void tell(struct devwatch *w, hg_ns clock, enum hg_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(struct devwatch *w, hg_ns clock, enum hg_log_level level, const char *fmt, ...)
{
    struct devwatch_event *e = &w->events[w->total++ % DEVWATCH_EVENTS];
    va_list ap;

    *e = (struct devwatch_event){.at = clock, .level = level, .log = true};
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
}

static void look_at_state(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock)
{
    const char *colon = now->state_text[0] != '\0' ? ": " : "";

    if (now->state == w->last.state)
        return;
    if (now->state == HG_BDEV_DEAD)
        tell(w, clock, HG_LOG_ERR,
             "dead%s%s; every request to it fails, and what is on it cannot be read until it is "
             "back and the node was started again",
             colon, now->state_text);
    else if (now->state == HG_BDEV_RESETTING)
        tell(w, clock, HG_LOG_WARN, "being reset%s%s; requests wait", colon, now->state_text);
    else if (now->state == HG_BDEV_OK && w->last.state != HG_BDEV_STARTING)
        tell(w, clock, HG_LOG_INFO, "works again");
}

static void look_at_warnings(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock)
{
    unsigned was = w->last.has_health ? w->last.critical_warning : 0;

    for (unsigned bit = 0; bit < WARNING_BITS && now->has_health; bit++) {
        unsigned mask = 1u << bit;

        if (devwatch_warning(bit) == NULL || ((now->critical_warning ^ was) & mask) == 0)
            continue;
        if ((was & mask) == 0)
            tell(w, clock, HG_LOG_WARN, "warning: %s", devwatch_warning(bit));
        else
            tell(w, clock, HG_LOG_INFO, "no longer: %s", devwatch_warning(bit));
    }
}

/* One sentence for each kind, however many there were. */
static void look_at_errors(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock)
{
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++) {
        uint64_t more = now->errors[i] - w->last.errors[i];

        if (now->errors[i] > w->last.errors[i])
            tell(w, clock, HG_LOG_WARN, "%" PRIu64 " %s; %" PRIu64 " since the start", more,
                 devwatch_errors[i].help, now->errors[i]);
    }
}

static void look_at_media(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock)
{
    if (!now->has_health || !w->last.has_health || now->media_errors <= w->last.media_errors)
        return;
    tell(w, clock, HG_LOG_WARN,
         "%" PRIu64 " more errors of its medium, %" PRIu64
         " in its life: data that it could not mend shows as read errors",
         now->media_errors - w->last.media_errors, now->media_errors);
}

unsigned devwatch_look(struct devwatch *w, const struct hg_bdev_info *now, hg_ns clock)
{
    unsigned before = w->total, own;

    if (!w->seen)
        memcpy(w->last.errors, now->errors, sizeof now->errors);
    look_at_state(w, now, clock);
    look_at_warnings(w, now, clock);
    look_at_errors(w, now, clock);
    own = w->total;
    look_at_media(w, now, clock);
    if (strcmp(now->kind, "nvme") == 0)
        for (unsigned i = before; i < own; i++)
            w->events[i % DEVWATCH_EVENTS].log = false;
    w->last = *now;
    w->seen = true;
    return w->total - before;
}

const struct devwatch_event *devwatch_event(const struct devwatch *w, unsigned back)
{
    if (back >= w->total || back >= DEVWATCH_EVENTS)
        return NULL;
    return &w->events[(w->total - 1 - back) % DEVWATCH_EVENTS];
}
