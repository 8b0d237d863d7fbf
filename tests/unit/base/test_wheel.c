/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timer wheel: the promises of headgate/wheel.h, by hand-made cases and against a model that knows
 * every deadline. Usage: test_wheel [seed]
 */
#include <headgate/wheel.h>
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMERS 500

static uint64_t seed;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void test_not_early_and_one_tick_late(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct hg_timer t = {0}, *out[4];
    hg_ns deadline = HG_WHEEL_TICK * 10 + 1;

    hg_wheel_init(w, 0);
    CU_ASSERT_EQUAL(hg_wheel_next(w), 0);
    hg_wheel_arm(w, &t, deadline);
    CU_ASSERT_TRUE(hg_timer_armed(&t));
    CU_ASSERT_EQUAL(hg_wheel_next(w), HG_WHEEL_TICK * 11);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, deadline, out, 4), 0);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 11 - 1, out, 4), 0);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 11, out, 4), 1);
    CU_ASSERT_PTR_EQUAL(out[0], &t);
    CU_ASSERT_FALSE(hg_timer_armed(&t));
    CU_ASSERT_EQUAL(w->armed, 0);
    free(w);
}

static void test_past_deadline_fires_at_next_tick(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct hg_timer t = {0}, *out[4];

    hg_wheel_init(w, HG_SEC(100));
    hg_wheel_arm(w, &t, HG_SEC(1));
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_SEC(100), out, 4), 0);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_SEC(100) + HG_WHEEL_TICK, out, 4), 1);
    free(w);
}

static void test_rearm_moves(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct hg_timer t = {0}, *out[4];

    hg_wheel_init(w, 0);
    hg_wheel_arm(w, &t, HG_MS(10));
    hg_wheel_arm(w, &t, HG_MS(5000));
    CU_ASSERT_EQUAL(w->armed, 1);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_MS(4999), out, 4), 0);
    hg_wheel_arm(w, &t, HG_MS(5010));
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_MS(5009), out, 4), 0);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_MS(5012), out, 4), 1);
    hg_wheel_stop(w, &t); /* harmless when not armed */
    CU_ASSERT_EQUAL(w->armed, 0);
    free(w);
}

/* A full output array loses nothing, and what is stopped between two calls does not come. What is
 * re-armed for the past between two calls comes one tick later, so the caller's loop ends. */
static void test_stop_and_rearm_during_batch(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct hg_timer t[10] = {0}, *out[4];

    hg_wheel_init(w, 0);
    for (int i = 0; i < 10; i++)
        hg_wheel_arm(w, &t[i], HG_WHEEL_TICK * 300);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 300, out, 4), 4);
    hg_wheel_arm(w, out[0], 1);
    hg_wheel_stop(w, &t[9]);
    CU_ASSERT_EQUAL(hg_wheel_next(w), HG_WHEEL_TICK * 300);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 300, out, 4), 4);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 300, out, 4), 1);
    CU_ASSERT_EQUAL(w->armed, 1);
    CU_ASSERT_EQUAL(hg_wheel_advance(w, HG_WHEEL_TICK * 301, out, 4), 1);
    CU_ASSERT_PTR_EQUAL(out[0], &t[0]);
    free(w);
}

static void test_horizon_clamp(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct hg_timer t = {0}, *out[1];
    hg_ns now = HG_WHEEL_TICK * 1000;
    hg_ns horizon = now + HG_WHEEL_TICK * (((uint64_t)1 << 32) - 1);

    hg_wheel_init(w, now);
    hg_wheel_arm(w, &t, UINT64_MAX);
    CU_ASSERT_EQUAL(t.tick, horizon >> HG_WHEEL_SHIFT);
    /* By lower bounds, as a loop on virtual time goes. */
    for (int hops = 0;; hops++) {
        hg_ns next = hg_wheel_next(w);

        CU_ASSERT_FATAL(next > now && next <= horizon && hops < HG_WHEEL_LEVELS);
        now = next;
        w->tick = (now >> HG_WHEEL_SHIFT) - 1; /* nothing stands before it: skip the walk */
        if (hg_wheel_advance(w, now, out, 1) == 1)
            break;
    }
    CU_ASSERT_EQUAL(now, horizon);
    free(w);
}

/* Start ticks around the byte boundaries where cascades happen, up to the wrap of level 3. */
static void test_boundaries(void)
{
    static const uint64_t starts[] = {0, 254, 255, 256, 65535, 0xffffff, 0xfffffffe, 0xffffffff};
    static const uint64_t deltas[] = {1, 2, 255, 256, 257, 511, 65535, 65536, 65537, 70000};
    struct hg_wheel *w = malloc(sizeof *w);

    for (unsigned s = 0; s < HG_ARRAY_LEN(starts); s++) {
        for (unsigned d = 0; d < HG_ARRAY_LEN(deltas); d++) {
            struct hg_timer t = {0}, *out[1];
            hg_ns at = (starts[s] + deltas[d]) << HG_WHEEL_SHIFT;

            hg_wheel_init(w, starts[s] << HG_WHEEL_SHIFT);
            hg_wheel_arm(w, &t, at);
            CU_ASSERT_TRUE(hg_wheel_next(w) > 0 && hg_wheel_next(w) <= at);
            CU_ASSERT_EQUAL(hg_wheel_advance(w, at - 1, out, 1), 0);
            CU_ASSERT_EQUAL(hg_wheel_advance(w, at, out, 1), 1);
        }
    }
    free(w);
}

struct model {
    struct hg_timer timer;
    hg_ns deadline; /* 0: not armed */
    hg_ns armed_at;
};

static hg_ns random_delay(void)
{
    unsigned bits = rnd() % 45; /* up to 2^44 ns = 4.9 h: levels 0 to 2, 3 at a boundary */

    return rnd() & (((uint64_t)1 << bits) - 1);
}

static void model_arm(struct hg_wheel *w, struct model *m, hg_ns now)
{
    m->deadline = now + random_delay();
    m->armed_at = now;
    hg_wheel_arm(w, &m->timer, m->deadline);
}

/* Every timer must have come if its deadline is a tick old, and none whose deadline is ahead. */
static unsigned model_check(const struct model *m, hg_ns now)
{
    unsigned armed = 0;

    for (unsigned i = 0; i < TIMERS; i++) {
        hg_ns latest = m[i].deadline > m[i].armed_at ? m[i].deadline : m[i].armed_at;

        if (m[i].deadline == 0)
            continue;
        armed++;
        if (!hg_timer_armed(&m[i].timer) || latest + HG_WHEEL_TICK <= now) {
            printf("timer %u: deadline %lu missed at %lu\n", i, m[i].deadline, now);
            CU_FAIL("late or lost");
        }
    }
    return armed;
}

static void model_expire(struct hg_wheel *w, struct model *m, hg_ns now)
{
    struct hg_timer *out[7];
    unsigned n;

    do {
        n = hg_wheel_advance(w, now, out, 7);
        for (unsigned i = 0; i < n; i++) {
            struct model *e = HG_CONTAINER_OF(out[i], struct model, timer);
            unsigned other = rnd() % TIMERS;

            CU_ASSERT(e->deadline != 0 && e->deadline <= now);
            e->deadline = 0;
            if (rnd() % 3 == 0)
                model_arm(w, e, now);
            if (rnd() % 8 == 0 && hg_timer_armed(&m[other].timer)) {
                hg_wheel_stop(w, &m[other].timer);
                m[other].deadline = 0;
            }
        }
    } while (n == 7);
}

static void model_next(const struct hg_wheel *w, const struct model *m)
{
    hg_ns first = UINT64_MAX;

    for (unsigned i = 0; i < TIMERS; i++) {
        hg_ns at = m[i].timer.tick << HG_WHEEL_SHIFT;

        if (m[i].deadline != 0 && at < first)
            first = at;
    }
    CU_ASSERT_EQUAL(hg_wheel_next(w) == 0, first == UINT64_MAX);
    CU_ASSERT(hg_wheel_next(w) <= first);
}

static void test_random_against_model(void)
{
    struct hg_wheel *w = malloc(sizeof *w);
    struct model *m = calloc(TIMERS, sizeof *m);

    for (unsigned round = 0; round < 8; round++) {
        /* Starts near a boundary of a random level. */
        hg_ns now = HG_SEC(1) + ((rnd() % 3 + 1) << (HG_WHEEL_SHIFT + 8 * (rnd() % 5)));

        now -= rnd() % HG_SEC(4) % now;
        memset(m, 0, TIMERS * sizeof *m);
        hg_wheel_init(w, now);
        for (unsigned i = 0; i < 3000; i++) {
            struct model *e = &m[rnd() % TIMERS];

            if (rnd() % 4 != 0) {
                model_arm(w, e, now);
            } else {
                hg_wheel_stop(w, &e->timer);
                e->deadline = 0;
            }
            if (i % 4 == 0) {
                now += rnd() % (rnd() % 64 == 0 ? HG_SEC(30) : HG_MS(20));
                model_expire(w, m, now);
                CU_ASSERT_EQUAL(model_check(m, now), w->armed);
                model_next(w, m);
            }
        }
    }
    free(m);
    free(w);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 20261121;
    if (seed == 0)
        seed = 1; /* the generator's fixed point */
    printf("seed %lu\n", seed);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("wheel", NULL, NULL);
    if (suite == NULL ||
        !CU_add_test(suite, "never early, one tick late", test_not_early_and_one_tick_late) ||
        !CU_add_test(suite, "past deadline", test_past_deadline_fires_at_next_tick) ||
        !CU_add_test(suite, "re-arm moves", test_rearm_moves) ||
        !CU_add_test(suite, "stop and re-arm in a batch", test_stop_and_rearm_during_batch) ||
        !CU_add_test(suite, "horizon", test_horizon_clamp) ||
        !CU_add_test(suite, "boundaries", test_boundaries) ||
        !CU_add_test(suite, "random against model", test_random_against_model))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
