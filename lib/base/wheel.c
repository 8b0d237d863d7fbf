/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hierarchical timer wheel.
 *
 * A tick number is read as bytes: byte L selects the slot on level L. Invariants, with T the
 * wheel's tick:
 *
 *  1. A timer with expiry E > T stands on level L = the highest byte in which E and T differ
 *     (differences above byte 3 count as level 3), in slot "byte L of E".
 *  2. So everything on level L expires before anything on level L + 1, and a slot of level L needs
 *     to be looked at only when T enters it: when bytes 0..L-1 of T become zero. Then its timers
 *     are placed anew and land on lower levels (cascade).
 *  3. E - T < 2^32, so a timer of level 3 whose slot number is not above T's is one turn ahead.
 *  4. slot[0][T & 255] holds only timers with expiry T that are due and were not handed out yet
 *     because the caller's array was full; by 1 no timer can be armed into it.
 */
#include <headgate/wheel.h>
#include <assert.h>

#define SLOT_BITS 8
#define HORIZON ((uint64_t)1 << (SLOT_BITS * HG_WHEEL_LEVELS)) /* ticks */

_Static_assert(HG_WHEEL_SLOTS == 1 << SLOT_BITS, "a slot number is one byte of the tick");

static unsigned slot_of(uint64_t tick, unsigned level)
{
    return (tick >> (SLOT_BITS * level)) & (HG_WHEEL_SLOTS - 1);
}

static bool is_empty(const struct hg_timer *head)
{
    return head->next == head;
}

static void unlink_timer(struct hg_timer *timer)
{
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->next = NULL;
    timer->prev = NULL;
}

/* Invariant 1. Also used for E == T by a cascade: the timer is due at once (invariant 4). */
static void place(struct hg_wheel *wheel, struct hg_timer *timer)
{
    uint64_t differ = timer->tick ^ wheel->tick;
    unsigned level = differ == 0 ? 0 : (63u - (unsigned)__builtin_clzll(differ)) / SLOT_BITS;
    struct hg_timer *head;

    if (level >= HG_WHEEL_LEVELS)
        level = HG_WHEEL_LEVELS - 1;
    head = &wheel->slot[level][slot_of(timer->tick, level)];
    timer->next = head;
    timer->prev = head->prev;
    head->prev->next = timer;
    head->prev = timer;
}

/* Empties one slot into the levels below it. The list is cut off first: on level 3 a timer one
 * turn ahead goes back into the slot it came from. */
static void cascade(struct hg_wheel *wheel, unsigned level)
{
    struct hg_timer *head = &wheel->slot[level][slot_of(wheel->tick, level)];
    struct hg_timer *timer = head->next;

    head->prev->next = NULL;
    head->next = head;
    head->prev = head;
    while (timer != NULL && timer != head) {
        struct hg_timer *next = timer->next;

        place(wheel, timer);
        timer = next;
    }
}

/* Enters the next tick; the highest level first, since its timers may land on the level below. */
static void step(struct hg_wheel *wheel)
{
    unsigned level = 0;

    wheel->tick++;
    while (level + 1 < HG_WHEEL_LEVELS && slot_of(wheel->tick, level) == 0)
        level++;
    for (; level > 0; level--)
        cascade(wheel, level);
}

static unsigned take_due(struct hg_wheel *wheel, struct hg_timer **out, unsigned max)
{
    struct hg_timer *head = &wheel->slot[0][slot_of(wheel->tick, 0)];
    unsigned n = 0;

    while (n < max && !is_empty(head)) {
        struct hg_timer *timer = head->next;

        assert(timer->tick == wheel->tick);
        unlink_timer(timer);
        out[n++] = timer;
    }
    wheel->armed -= n;
    return n;
}

void hg_wheel_init(struct hg_wheel *wheel, hg_ns now)
{
    wheel->tick = now >> HG_WHEEL_SHIFT;
    wheel->armed = 0;
    for (unsigned level = 0; level < HG_WHEEL_LEVELS; level++) {
        for (unsigned i = 0; i < HG_WHEEL_SLOTS; i++) {
            struct hg_timer *head = &wheel->slot[level][i];

            *head = (struct hg_timer){.next = head, .prev = head};
        }
    }
}

void hg_wheel_arm(struct hg_wheel *wheel, struct hg_timer *timer, hg_ns deadline)
{
    /* Rounded up, so that it never fires early; written so that it cannot overflow. */
    uint64_t tick = (deadline >> HG_WHEEL_SHIFT) + ((deadline & (HG_WHEEL_TICK - 1)) != 0 ? 1 : 0);

    hg_wheel_stop(wheel, timer);
    if (tick <= wheel->tick)
        tick = wheel->tick + 1;
    if (tick - wheel->tick >= HORIZON)
        tick = wheel->tick + HORIZON - 1;
    timer->tick = tick;
    place(wheel, timer);
    wheel->armed++;
}

void hg_wheel_stop(struct hg_wheel *wheel, struct hg_timer *timer)
{
    if (!hg_timer_armed(timer))
        return;
    assert(wheel->armed > 0);
    unlink_timer(timer);
    wheel->armed--;
}

unsigned hg_wheel_advance(struct hg_wheel *wheel, hg_ns now, struct hg_timer **out, unsigned max)
{
    uint64_t target = now >> HG_WHEEL_SHIFT;
    unsigned n = take_due(wheel, out, max);

    while (n < max && wheel->tick < target) {
        if (wheel->armed == 0) {
            wheel->tick = target;
            break;
        }
        step(wheel);
        n += take_due(wheel, out + n, max - n);
    }
    return n;
}

/* The tick at which T enters slot `i` of `level` next (invariants 1 and 3). */
static uint64_t entry_tick(const struct hg_wheel *wheel, unsigned level, unsigned i)
{
    unsigned shift = SLOT_BITS * level;
    uint64_t turn = (uint64_t)HG_WHEEL_SLOTS << shift;
    uint64_t tick = (wheel->tick & ~(turn - 1)) + ((uint64_t)i << shift);

    return tick > wheel->tick || level == 0 ? tick : tick + turn;
}

hg_ns hg_wheel_next(const struct hg_wheel *wheel)
{
    if (wheel->armed == 0)
        return 0;
    for (unsigned level = 0; level < HG_WHEEL_LEVELS; level++) {
        unsigned first = slot_of(wheel->tick, level) + (level == 0 ? 0 : 1);

        for (unsigned k = 0; k < HG_WHEEL_SLOTS; k++) {
            unsigned i = (first + k) & (HG_WHEEL_SLOTS - 1);

            if (!is_empty(&wheel->slot[level][i])) {
                hg_ns at = entry_tick(wheel, level, i) << HG_WHEEL_SHIFT;

                return at != 0 ? at : 1;
            }
        }
    }
    assert(!"armed timers are linked");
    return 0;
}
