/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hierarchical timer wheel, one per shard.
 *
 * rte_timer reads the clock itself and so cannot run on virtual time; hence our own. Four levels of
 * 256 slots of HG_WHEEL_TICK each (2^20 ns, about 1 ms): the horizon is 2^32 ticks (52 days); later
 * deadlines are clamped to it. Start, stop and expiry of a timer are O(1). A timer never fires
 * early; it fires at most one tick plus one call interval late.
 *
 * Memory: a timer is embedded in its owner's struct; the wheel only links it. The owner must stop
 * it before freeing the struct. One thread.
 */
#ifndef HEADGATE_WHEEL_H
#define HEADGATE_WHEEL_H

#include <headgate/base.h>
#include <stdbool.h>

#define HG_WHEEL_SHIFT 20
#define HG_WHEEL_TICK ((hg_ns)1 << HG_WHEEL_SHIFT)
#define HG_WHEEL_LEVELS 4
#define HG_WHEEL_SLOTS 256

struct hg_timer {
    struct hg_timer *next; /* NULL when not armed */
    struct hg_timer *prev;
    uint64_t tick; /* absolute expiry in ticks */
    uint32_t kind; /* the owner's; tells which of its timers this is */
};

struct hg_wheel {
    uint64_t tick; /* timers with expiry <= tick are handed out, save what a full out[] left over */
    uint32_t armed;                                        /* timers linked */
    struct hg_timer slot[HG_WHEEL_LEVELS][HG_WHEEL_SLOTS]; /* list heads */
};

/* Empties the wheel and sets its time. */
void hg_wheel_init(struct hg_wheel *wheel, hg_ns now);

/* Arms, or re-arms, the timer for `deadline`; a deadline in the past fires at the next tick. */
void hg_wheel_arm(struct hg_wheel *wheel, struct hg_timer *timer, hg_ns deadline);

/* Disarms; harmless when not armed. */
void hg_wheel_stop(struct hg_wheel *wheel, struct hg_timer *timer);

static inline bool hg_timer_armed(const struct hg_timer *timer)
{
    return timer->next != NULL;
}

/* Moves time forward and unlinks up to `max` expired timers into out[]; returns how many. When it
 * returns max, call again: nothing is lost. Expiry only marks: the caller handles what it got. */
unsigned hg_wheel_advance(struct hg_wheel *wheel, hg_ns now, struct hg_timer **out, unsigned max);

/* A lower bound of the next expiry (exact for the lowest level), or 0 when nothing is armed. For
 * virtual time and for sleeping. */
hg_ns hg_wheel_next(const struct hg_wheel *wheel);

#endif /* HEADGATE_WHEEL_H */
