/* SPDX-License-Identifier: BSD-3-Clause */
/* The services of the test profile as a service of connections. */
#include "shard_priv.h"
#include <rte_prefetch.h>

static void *test_begin(struct hg_conn *c, hg_ns now)
{
    return hg_testsvc_open(c->shard->test, c->listener->kind, now);
}

/* Nothing of what comes in is kept as a whole. */
static uint8_t *test_sink(void *s, uint32_t room)
{
    (void)s;
    (void)room;
    return NULL;
}

static struct service_took test_input(void *s, const uint8_t *data, uint32_t len, hg_ns now)
{
    struct service_took took = {.n = 0};

    if (len != 0)
        took.n = hg_testsvc_input(s, data, len, now);
    took.blocked = took.n < len;
    took.reply = hg_testsvc_has_output(s);
    return took;
}

static bool test_eof(void *s)
{
    hg_testsvc_eof(s);
    return false;
}

static int test_output(void *s, struct service_out *out, hg_ns now)
{
    struct hg_testsvc_out o = {.room = out->room, .cap = out->cap, .max = out->max};
    int len = hg_testsvc_output(s, &o, now);

    out->data = o.data;
    out->shared = o.shared;
    out->iova = o.iova;
    return len;
}

static bool test_tick(void *s, bool stalled, hg_ns now)
{
    return hg_testsvc_tick(s, now) && !stalled;
}

static void test_prefetch(const void *s)
{
    rte_prefetch0(s);
}

static void test_close(void *s, hg_ns now)
{
    (void)now;
    hg_testsvc_close(s);
}

const struct service_ops service_test = {
    test_begin, test_sink, test_input, test_eof, test_output, test_tick, test_prefetch, test_close,
};
