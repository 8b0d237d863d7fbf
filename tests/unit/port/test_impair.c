/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fault layers: each alone against what it promises, all together against the books. Packets are
 * numbers. Counts of chance are exact, since a seed fixes them, and were found by another program
 * that has only the definition of splitmix64; beside them stands what chance allows.
 */
#include <headgate/impair.h>
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7
#define MANY 100000u

struct rig {
    struct hg_impair *path;
    uint64_t dropped[HG_IMPAIR_CLOSED + 1];
    unsigned copies; /* that are left */
};

static void *copy(void *arg, const void *user)
{
    struct rig *rig = arg;

    return rig->copies != 0 ? (rig->copies--, (void *)(uintptr_t)user) : NULL;
}

static void drop(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate)
{
    struct rig *rig = arg;

    (void)pkt;
    rig->dropped[fate]++;
}

static void open_path(struct rig *rig, const struct hg_impair_cfg *cfg, uint32_t max)
{
    struct hg_impair_env env = {
        .seed = SEED, .packets_max = max, .copy = copy, .drop = drop, .arg = rig};
    struct hg_err err = {""};

    *rig = (struct rig){.copies = UINT32_MAX};
    CU_ASSERT_EQUAL_FATAL(hg_impair_create(cfg, &env, &rig->path, &err), 0);
}

static void push(struct rig *rig, uintptr_t number, uint32_t len, hg_ns now)
{
    struct hg_impair_pkt pkt = {.user = (void *)number, .len = len};

    hg_impair_push(rig->path, &pkt, 1, now);
}

/* The number of the packet that has arrived by now; 0: none has. */
static uintptr_t pop(struct rig *rig, hg_ns now)
{
    struct hg_impair_pkt pkt;

    return hg_impair_pop(rig->path, &pkt, 1, now) == 1 ? (uintptr_t)pkt.user : 0;
}

/* Sends packets 1 to n, one every `gap`, and notes which arrive, in their order. Returns how many. */
static uint32_t stream(struct rig *rig, uint32_t n, hg_ns gap, uint32_t *arrived)
{
    struct hg_impair_pkt out[64];
    uint32_t got = 0;
    unsigned k;

    for (uint32_t i = 1; i <= n + 1; i++) {
        hg_ns now = i <= n ? i * gap : UINT64_MAX / 2;

        if (i <= n)
            push(rig, i, 1000, now);
        while ((k = hg_impair_pop(rig->path, out, HG_ARRAY_LEN(out), now)) != 0)
            for (unsigned j = 0; j < k; j++)
                arrived[got++] = (uint32_t)(uintptr_t)out[j].user;
    }
    return got;
}

static uint32_t *room(void)
{
    uint32_t *list = calloc(2 * MANY, sizeof *list);

    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    return list;
}

static bool ascends(const uint32_t *list, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (list[i] <= list[i - 1])
            return false;
    return true;
}

static void test_perfect(void)
{
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){0}, 8);
    CU_ASSERT_EQUAL(hg_impair_next(rig.path), 0);
    push(&rig, 1, 0, 5);
    push(&rig, 2, 70000, 5);
    CU_ASSERT_EQUAL(hg_impair_next(rig.path), 5);
    CU_ASSERT_EQUAL(pop(&rig, 4), 0);
    CU_ASSERT_EQUAL(pop(&rig, 5), 1);
    CU_ASSERT_EQUAL(pop(&rig, 5), 2);
    CU_ASSERT_EQUAL(pop(&rig, 5), 0);
    hg_impair_destroy(rig.path);
}

static void test_delay(void)
{
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.delay = HG_MS(10)}, 8);
    push(&rig, 1, 100, HG_MS(1));
    push(&rig, 2, 100, HG_MS(3));
    CU_ASSERT_EQUAL(hg_impair_next(rig.path), HG_MS(11));
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(11) - 1), 0);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(11)), 1);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(13) - 1), 0);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(13)), 2);
    hg_impair_destroy(rig.path);
}

static void test_jitter(void)
{
    struct hg_impair_cfg cfg = {.delay = HG_MS(10), .jitter = HG_MS(5)};
    struct rig rig;

    for (unsigned in_order = 0; in_order < 2; in_order++) {
        uint32_t *arrived = room();
        hg_ns low = UINT64_MAX, high = 0;

        cfg.in_order = in_order;
        open_path(&rig, &cfg, MANY);
        CU_ASSERT_EQUAL(stream(&rig, MANY, HG_US(1), arrived), MANY);
        CU_ASSERT_EQUAL(ascends(arrived, MANY), in_order);
        for (uint32_t i = 0; i < 10000; i++) {
            push(&rig, 1, 100, UINT64_MAX / 2 + i * HG_SEC(1));
            hg_ns took = hg_impair_next(rig.path) - UINT64_MAX / 2 - i * HG_SEC(1);
            low = took < low ? took : low;
            high = took > high ? took : high;
            CU_ASSERT_EQUAL(pop(&rig, UINT64_MAX - 1), 1);
        }
        CU_ASSERT_TRUE(low >= HG_MS(10) && low < HG_MS(10) + HG_US(5));
        CU_ASSERT_TRUE(high <= HG_MS(15) && high > HG_MS(15) - HG_US(5));
        hg_impair_destroy(rig.path);
        free(arrived);
    }
}

/* 4 standard deviations to each side. */
static bool is_about(uint64_t n, double p)
{
    double mean = MANY * p, dev = (double)n - mean;

    return dev * dev <= 16 * mean * (1 - p);
}

static void test_loss(void)
{
    static const struct {
        uint32_t ppm;
        uint64_t lost;
    } rows[] = {{0, 0}, {1000, 99}, {10000, 990}, {50000, 4976}, {1000000, MANY}};
    uint32_t *arrived = room();
    struct rig rig;

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        open_path(&rig, &(struct hg_impair_cfg){.loss_ppm = rows[i].ppm}, 4);
        uint32_t got = stream(&rig, MANY, 1, arrived);
        CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->lost, rows[i].lost);
        CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_LOST], rows[i].lost);
        CU_ASSERT_EQUAL(got, MANY - rows[i].lost);
        CU_ASSERT_TRUE(is_about(rows[i].lost, rows[i].ppm / 1e6));
        CU_ASSERT_TRUE(ascends(arrived, got));
        hg_impair_destroy(rig.path);
    }
    free(arrived);
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void test_layers_are_independent(void)
{
    uint32_t *plain = room(), *mixed = room();
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.loss_ppm = 20000}, 8);
    uint32_t n = stream(&rig, MANY, HG_US(10), plain);
    hg_impair_destroy(rig.path);
    open_path(&rig,
              &(struct hg_impair_cfg){.loss_ppm = 20000,
                                      .corrupt_ppm = 100000,
                                      .jitter = HG_US(50),
                                      .reorder_ppm = 100000,
                                      .late = HG_US(90)},
              64);
    CU_ASSERT_EQUAL(stream(&rig, MANY, HG_US(10), mixed), n);
    CU_ASSERT_FALSE(ascends(mixed, n));
    qsort(mixed, n, sizeof *mixed, compare);
    CU_ASSERT_EQUAL(memcmp(plain, mixed, n * sizeof *plain), 0);
    hg_impair_destroy(rig.path);
    free(plain);
    free(mixed);
}

/* Gilbert: everything is lost in the bad state, so every gap is one burst. */
static void test_bursts(void)
{
    struct hg_impair_cfg cfg = {
        .burst_enter_ppm = 2000, .burst_leave_ppm = 200000, .burst_loss_ppm = HG_PPM};
    uint32_t *arrived = room();
    uint32_t bursts = 0;
    struct rig rig;

    open_path(&rig, &cfg, 4);
    uint32_t got = stream(&rig, MANY, 1, arrived);
    for (uint32_t i = 1; i < got; i++)
        bursts += arrived[i] != arrived[i - 1] + 1;
    uint64_t lost = hg_impair_counters(rig.path)->burst_lost;
    CU_ASSERT_EQUAL(lost, MANY - got);
    CU_ASSERT_EQUAL(lost, 994);
    CU_ASSERT_EQUAL(bursts, 192);
    /* enter / (enter + leave) of all packets, 1 / leave in a row. */
    CU_ASSERT_TRUE(lost > 990 * 7 / 10 && lost < 990 * 13 / 10);
    CU_ASSERT_TRUE(lost > 4 * bursts && lost < 6 * bursts);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->lost, 0);
    /* Without bursts the path is good again at once. */
    CU_ASSERT_EQUAL(hg_impair_set(rig.path, &(struct hg_impair_cfg){0}, NULL), 0);
    CU_ASSERT_EQUAL(stream(&rig, 1000, 1, arrived), 1000);
    hg_impair_destroy(rig.path);
    free(arrived);
}

/* Few packets come, and the burst is over with the time all the same. */
static void test_burst_ends(void)
{
    struct hg_impair_cfg cfg = {.burst_enter_ppm = HG_PPM,
                                .burst_leave_ppm = 1,
                                .burst_loss_ppm = HG_PPM,
                                .burst_max = HG_MS(5)};
    struct rig rig;

    open_path(&rig, &cfg, 4);
    push(&rig, 1, 100, HG_MS(10));
    cfg.burst_enter_ppm = 1;
    CU_ASSERT_EQUAL_FATAL(hg_impair_set(rig.path, &cfg, NULL), 0);
    push(&rig, 2, 100, HG_MS(15) - 1);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_LOST], 2);
    push(&rig, 3, 100, HG_MS(15));
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(15)), 3);
    hg_impair_destroy(rig.path);
}

static void test_duplicate(void)
{
    uint32_t *arrived = room();
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.dup_ppm = 10000}, 4);
    uint32_t got = stream(&rig, MANY, 1, arrived), twice = 0;
    for (uint32_t i = 1; i < got; i++)
        twice += arrived[i] == arrived[i - 1];
    CU_ASSERT_EQUAL(twice, got - MANY);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->duplicated, twice);
    CU_ASSERT_EQUAL(twice, 1015);
    CU_ASSERT_TRUE(is_about(twice, 0.01));
    rig.copies = 0;
    CU_ASSERT_EQUAL(stream(&rig, 1000, 1, arrived), 1000);
    CU_ASSERT_TRUE(hg_impair_counters(rig.path)->copy_failed > 0);
    hg_impair_destroy(rig.path);
    free(arrived);
}

static void test_corrupt(void)
{
    struct hg_impair_pkt in = {.user = (void *)1, .len = 3}, out;
    unsigned seen[24] = {0}, damaged = 0;
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.corrupt_ppm = 50000}, 4);
    for (uint32_t i = 0; i < MANY; i++) {
        hg_impair_push(rig.path, &in, 1, i);
        CU_ASSERT_EQUAL_FATAL(hg_impair_pop(rig.path, &out, 1, UINT64_MAX), 1);
        CU_ASSERT_TRUE_FATAL(out.flip_bit < 24 && (out.corrupt || out.flip_bit == 0));
        damaged += out.corrupt;
        seen[out.flip_bit] += out.corrupt;
    }
    CU_ASSERT_EQUAL(damaged, hg_impair_counters(rig.path)->corrupted);
    CU_ASSERT_TRUE(is_about(damaged, 0.05));
    for (unsigned i = 0; i < 24; i++)
        CU_ASSERT_TRUE(seen[i] > damaged / 48 && seen[i] < damaged / 12);
    in.len = 0; /* nothing in it to damage */
    for (uint32_t i = 0; i < 1000; i++)
        hg_impair_push(rig.path, &in, 1, i);
    CU_ASSERT_EQUAL(damaged, hg_impair_counters(rig.path)->corrupted);
    hg_impair_destroy(rig.path);
}

/* 1 MB/s is one microsecond a byte. */
static void test_rate(void)
{
    struct rig rig;

    open_path(&rig,
              &(struct hg_impair_cfg){
                  .rate = 1000000, .overhead = 38, .queue_bytes = 3 * 1038, .delay = HG_MS(5)},
              8);
    for (uintptr_t i = 1; i <= 4; i++)
        push(&rig, i, 1000, HG_SEC(1)); /* the fourth finds the queue full */
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_QUEUE_FULL], 1);
    for (uintptr_t i = 1; i <= 3; i++) {
        CU_ASSERT_EQUAL(hg_impair_next(rig.path), HG_SEC(1) + HG_MS(5) + i * HG_US(1038));
        CU_ASSERT_EQUAL(pop(&rig, hg_impair_next(rig.path)), i);
    }
    /* 37 bytes short of room, and then there is. */
    push(&rig, 5, 1000, HG_SEC(1) + HG_US(3 * 1038));
    push(&rig, 6, 1000, HG_SEC(1) + HG_US(3 * 1038));
    push(&rig, 7, 1000, HG_SEC(1) + HG_US(3 * 1038));
    push(&rig, 8, 1000, HG_SEC(1) + HG_US(4 * 1038) - HG_US(37));
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_QUEUE_FULL], 2);
    push(&rig, 8, 1000, HG_SEC(1) + HG_US(4 * 1038));
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_QUEUE_FULL], 2);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->queue_full, 2);
    hg_impair_destroy(rig.path);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_CLOSED], 4);
}

static void test_mark(void)
{
    struct hg_impair_cfg cfg = {.rate = 1000000, .queue_bytes = 5000, .mark_bytes = 2000};
    struct hg_impair_pkt ect = {.user = (void *)1, .len = 1000, .ect = true, .ce = true}, out[8];
    struct rig rig;

    open_path(&rig, &cfg, 8);
    for (unsigned i = 0; i < 6; i++)
        hg_impair_push(rig.path, &ect, 1, 1);
    push(&rig, 2, 10, 1); /* full for everybody */
    CU_ASSERT_EQUAL(hg_impair_pop(rig.path, out, 8, HG_SEC(1)), 5);
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(out[i].ce, i >= 2);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->marked, 3);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->queue_full, 2);
    for (unsigned i = 0; i < 3; i++)
        push(&rig, 1, 1000, HG_SEC(2)); /* dropped where others are marked */
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->queue_active, 1);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_QUEUE_FULL], 3);
    hg_impair_destroy(rig.path);
}

static void test_mtu(void)
{
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.mtu = 1500}, 8);
    push(&rig, 1, 1501, 1);
    push(&rig, 2, 1500, 1);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_TOO_BIG], 1);
    CU_ASSERT_EQUAL(pop(&rig, 1), 2);
    hg_impair_destroy(rig.path);
}

static void test_late_by_time(void)
{
    uint32_t *arrived = room();
    uint32_t overtaken = 0;
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.reorder_ppm = 10000, .late = HG_US(10)}, 16);
    CU_ASSERT_EQUAL(stream(&rig, MANY, HG_US(1), arrived), MANY);
    for (uint32_t i = 1; i < MANY; i++) {
        overtaken += arrived[i] < arrived[i - 1];
        CU_ASSERT_TRUE_FATAL(arrived[i] + 10 >= i + 1); /* none is later than it may be */
    }
    CU_ASSERT_TRUE(is_about(hg_impair_counters(rig.path)->late, 0.01));
    CU_ASSERT_TRUE(overtaken > 0 && overtaken <= hg_impair_counters(rig.path)->late);
    hg_impair_destroy(rig.path);
    free(arrived);
}

static void test_late_by_packets(void)
{
    struct hg_impair_cfg cfg = {
        .reorder_ppm = HG_PPM, .late = HG_MS(1), .late_packets = 2, .delay = HG_US(10)};
    static const uintptr_t order[] = {2, 3, 1, 4};
    struct rig rig;

    open_path(&rig, &cfg, 64);
    push(&rig, 1, 100, 1);
    cfg.reorder_ppm = 0;
    CU_ASSERT_EQUAL_FATAL(hg_impair_set(rig.path, &cfg, NULL), 0);
    for (uintptr_t i = 2; i <= 4; i++)
        push(&rig, i, 100, 1);
    for (unsigned i = 0; i < HG_ARRAY_LEN(order); i++)
        CU_ASSERT_EQUAL(pop(&rig, HG_US(20)), order[i]);
    /* Nothing comes to overtake it: the limit. */
    cfg.reorder_ppm = HG_PPM;
    CU_ASSERT_EQUAL_FATAL(hg_impair_set(rig.path, &cfg, NULL), 0);
    push(&rig, 5, 100, HG_MS(2));
    CU_ASSERT_EQUAL(hg_impair_next(rig.path), HG_MS(3) + HG_US(10));
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(3)), 0);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(3) + HG_US(10)), 5);
    /* As many as can be held; the others keep the order. */
    for (uintptr_t i = 1; i <= HG_IMPAIR_HELD + 1; i++)
        push(&rig, i, 100, HG_MS(9));
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->held_full, 1);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(9) + HG_US(10)), HG_IMPAIR_HELD + 1);
    CU_ASSERT_EQUAL(pop(&rig, HG_MS(9) + HG_US(10)), 0);
    hg_impair_destroy(rig.path);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_CLOSED], HG_IMPAIR_HELD);
}

static void test_path_full(void)
{
    struct rig rig;

    open_path(&rig, &(struct hg_impair_cfg){.delay = 10}, 3);
    for (uintptr_t i = 1; i <= 4; i++)
        push(&rig, i, 100, 1);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_PATH_FULL], 1);
    CU_ASSERT_EQUAL(hg_impair_counters(rig.path)->path_full, 1);
    CU_ASSERT_EQUAL(pop(&rig, 11), 1);
    push(&rig, 5, 100, 11);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_PATH_FULL], 1);
    hg_impair_destroy(rig.path);
    /* What is held is on its way too. */
    open_path(&rig,
              &(struct hg_impair_cfg){.reorder_ppm = HG_PPM, .late = HG_SEC(1), .late_packets = 9},
              3);
    for (uintptr_t i = 1; i <= 4; i++)
        push(&rig, i, 100, 1);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_PATH_FULL], 1);
    hg_impair_destroy(rig.path);
    CU_ASSERT_EQUAL(rig.dropped[HG_IMPAIR_CLOSED], 3);
    hg_impair_destroy(NULL);
}

static const struct hg_impair_cfg everything = {.mtu = 1000,
                                                .loss_ppm = 10000,
                                                .burst_enter_ppm = 1000,
                                                .burst_leave_ppm = 300000,
                                                .burst_loss_ppm = 800000,
                                                .rate = 950000000,
                                                .queue_bytes = 40000,
                                                .mark_bytes = 30000,
                                                .dup_ppm = 10000,
                                                .corrupt_ppm = 10000,
                                                .delay = HG_US(100),
                                                .jitter = HG_US(20),
                                                .reorder_ppm = 20000,
                                                .late = HG_US(50),
                                                .late_packets = 3};

static void test_replay(void)
{
    uint32_t *first = room(), *second = room();
    struct hg_impair_counters kept = {0};
    struct rig rig;

    for (unsigned run = 0; run < 2; run++) {
        uint32_t *arrived = run == 0 ? first : second;
        open_path(&rig, &everything, 130);
        uint32_t n = stream(&rig, MANY, HG_US(1), arrived);
        const struct hg_impair_counters *c = hg_impair_counters(rig.path);
        CU_ASSERT_EQUAL(n, c->packets_out);
        CU_ASSERT_EQUAL(c->packets_in, MANY);
        CU_ASSERT_EQUAL(c->packets_in + c->duplicated, c->packets_out + c->lost + c->burst_lost +
                                                           c->queue_full + c->queue_active +
                                                           c->path_full + c->too_big);
        CU_ASSERT_TRUE(c->lost && c->burst_lost && c->queue_active && c->path_full && c->late &&
                       c->corrupted && c->duplicated);
        if (run == 1)
            CU_ASSERT_EQUAL(memcmp(&kept, c, sizeof kept), 0);
        kept = *c;
        hg_impair_destroy(rig.path);
    }
    CU_ASSERT_EQUAL(memcmp(first, second, kept.packets_out * sizeof *first), 0);
    free(first);
    free(second);
}

static void test_refused(void)
{
    static const struct hg_impair_cfg rows[] = {
        {.loss_ppm = HG_PPM + 1},
        {.burst_enter_ppm = 1, .burst_loss_ppm = 1},
        {.burst_enter_ppm = 1, .burst_leave_ppm = 1},
        {.rate = 1},
        {.mark_bytes = 1},
        {.reorder_ppm = 1},
        {.reorder_ppm = 1, .late_packets = 1},
    };
    struct rig rig;

    open_path(&rig, &everything, 8);
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct hg_err err = {""};
        CU_ASSERT_EQUAL(hg_impair_set(rig.path, &rows[i], &err), -EINVAL);
        CU_ASSERT_NOT_EQUAL(err.text[0], '\0');
    }
    hg_impair_destroy(rig.path);
}

/* Field by field: padding holds anything. */
static bool same(const struct hg_impair_cfg *a, const struct hg_impair_cfg *b)
{
    return a->mtu == b->mtu && a->loss_ppm == b->loss_ppm &&
           a->burst_enter_ppm == b->burst_enter_ppm && a->burst_leave_ppm == b->burst_leave_ppm &&
           a->burst_loss_ppm == b->burst_loss_ppm && a->burst_max == b->burst_max &&
           a->rate == b->rate && a->overhead == b->overhead && a->queue_bytes == b->queue_bytes &&
           a->mark_bytes == b->mark_bytes && a->dup_ppm == b->dup_ppm &&
           a->corrupt_ppm == b->corrupt_ppm && a->delay == b->delay && a->jitter == b->jitter &&
           a->in_order == b->in_order && a->reorder_ppm == b->reorder_ppm && a->late == b->late &&
           a->late_packets == b->late_packets;
}

static void test_parse(void)
{
    struct hg_impair_cfg cfg = {0}, want = {.mtu = 576,
                                            .loss_ppm = 1001,
                                            .burst_enter_ppm = 1,
                                            .burst_leave_ppm = HG_PPM,
                                            .burst_loss_ppm = 505000,
                                            .burst_max = HG_SEC(9),
                                            .rate = 25000000,
                                            .overhead = 38,
                                            .queue_bytes = 1 << 20,
                                            .mark_bytes = 1 << 10,
                                            .dup_ppm = 20000,
                                            .corrupt_ppm = 30000,
                                            .delay = HG_MS(50),
                                            .jitter = HG_US(7),
                                            .in_order = true,
                                            .reorder_ppm = 10000,
                                            .late = HG_MS(2),
                                            .late_packets = 3};
    static const char *const bad[] = {
        "loss",      "loss=1",      "loss=%",      "loss=100.1%", "loss=0.00001%", "loss=-1%",
        "loss=1%x",  "colour=blue", "delay=5",     "rate=1M",     "rate=7bit",     "queue=4G",
        "mtu=1500B", "in-order=1",  "delay=50ms;", "=1%",         "loss=1000%"};

    CU_ASSERT_EQUAL(
        hg_impair_parse("mtu=576,loss=0.1001%,burst-enter=0.0001%,burst-leave=100%,"
                        "burst-loss=50.5%,burst-max=9s,rate=200Mbit,queue=1M,mark=1K,overhead=38,"
                        "dup=2%,corrupt=3.0%,delay=50ms",
                        &cfg, NULL),
        0);
    CU_ASSERT_EQUAL(
        hg_impair_parse("jitter=7us,in-order=yes,reorder=1%,late=2ms,late-packets=3", &cfg, NULL),
        0);
    CU_ASSERT_TRUE(same(&cfg, &want));
    CU_ASSERT_EQUAL(hg_impair_parse("", &cfg, NULL), 0);
    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        struct hg_err err = {""};
        CU_ASSERT_EQUAL(hg_impair_parse(bad[i], &cfg, &err), -EINVAL);
        CU_ASSERT_NOT_EQUAL(err.text[0], '\0');
    }
    CU_ASSERT_TRUE(same(&cfg, &want));
}

int main(void)
{
    static CU_TestInfo tests[] = {
        {"a path without layers hands on at once and in order", test_perfect},
        {"delay is exact", test_delay},
        {"jitter keeps to its bounds, and to the order if told to", test_jitter},
        {"loss has the share that was asked, and never touches the order", test_loss},
        {"which packets are lost does not depend on the other layers", test_layers_are_independent},
        {"bursts have the length and the share of the model", test_bursts},
        {"a burst is over after its longest time", test_burst_ends},
        {"doubled packets arrive twice; without memory once", test_duplicate},
        {"damage is one bit, anywhere in the packet", test_corrupt},
        {"a bottleneck sends at its rate and drops what its queue cannot hold", test_rate},
        {"over the mark ECN-capable packets are marked and others dropped", test_mark},
        {"the MTU passes its own length and no more", test_mtu},
        {"packets late by time are overtaken, and not later than allowed", test_late_by_time},
        {"packets late by others wait for just as many, or for their limit", test_late_by_packets},
        {"a full path drops and counts", test_path_full},
        {"same seed, same calls: same run; and the books balance", test_replay},
        {"contradictions are refused with a sentence", test_refused},
        {"a text says it all, and mistakes in it are refused", test_parse},
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = {{"impair", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0;
    CU_cleanup_registry();
    return failed;
}
