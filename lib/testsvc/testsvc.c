/* SPDX-License-Identifier: BSD-3-Clause */
/* What all services have in common: the pool of connections, patterns, time, counters. */
#include "testsvc_priv.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const struct hg_counter_desc counter_desc[] = {HG_TESTSVC_COUNTERS(HG_COUNTER_DESC)};

static const struct kind {
    const char *name;
    const struct kind_ops *ops;
} kinds[HG_TESTSVC_KINDS] = {
    [HG_TESTSVC_ECHO] = {"echo", &testsvc_echo},
    [HG_TESTSVC_DISCARD] = {"discard", &testsvc_discard},
    [HG_TESTSVC_CHARGEN] = {"chargen", &testsvc_chargen},
    [HG_TESTSVC_HTTP] = {"http", &testsvc_http},
};

const char *hg_testsvc_name(enum hg_testsvc_kind kind)
{
    return kinds[kind].name;
}

int hg_testsvc_create(const struct hg_testsvc_cfg *cfg, struct hg_testsvc **out, struct hg_err *err)
{
    struct hg_testsvc *t = calloc(1, sizeof *t);
    int rc;

    if (t == NULL)
        return hg_fail(err, -ENOMEM, "test services: out of memory");
    t->cfg = *cfg;
    if (t->cfg.conns_max == 0)
        t->cfg.conns_max = 256;
    if (t->cfg.idle == 0)
        t->cfg.idle = HG_SEC(60);
    if (t->cfg.request_time == 0)
        t->cfg.request_time = HG_SEC(10);
    SLIST_INIT(&t->free);
    t->conns = calloc(t->cfg.conns_max, sizeof *t->conns);
    rc = t->conns == NULL ? -ENOMEM
                          : pattern_create(&t->chargen, PATTERN_CHARGEN_PERIOD,
                                           pattern_chargen_byte, cfg->socket);
    if (rc == 0)
        rc = pattern_create(&t->body, PATTERN_BODY_PERIOD, pattern_body_byte, cfg->socket);
    if (rc != 0) {
        hg_testsvc_destroy(t);
        return hg_fail(err, rc, "test services: not enough memory for %u connections",
                       cfg->conns_max);
    }
    for (uint32_t i = t->cfg.conns_max; i-- > 0;)
        SLIST_INSERT_HEAD(&t->free, &t->conns[i], free_link);
    *out = t;
    return 0;
}

void hg_testsvc_destroy(struct hg_testsvc *t)
{
    if (t == NULL)
        return;
    pattern_destroy(&t->body);
    pattern_destroy(&t->chargen);
    free(t->conns);
    free(t);
}

static void count_open(struct hg_testsvc_counters *count, enum hg_testsvc_kind kind)
{
    switch (kind) {
    case HG_TESTSVC_ECHO:
        count->echo_conns++;
        break;
    case HG_TESTSVC_DISCARD:
        count->discard_conns++;
        break;
    case HG_TESTSVC_CHARGEN:
        count->chargen_conns++;
        break;
    default:
        count->http_conns++;
        break;
    }
}

struct hg_testsvc_conn *hg_testsvc_open(struct hg_testsvc *t, enum hg_testsvc_kind kind, hg_ns now)
{
    struct hg_testsvc_conn *c = SLIST_FIRST(&t->free);

    if (c == NULL) {
        t->count.refused++;
        return NULL;
    }
    SLIST_REMOVE_HEAD(&t->free, free_link);
    c->t = t;
    c->kind = kind;
    c->ops = kinds[kind].ops;
    c->eof = false;
    c->begun = c->moved_at = now;
    c->at = c->end = 0;
    c->http = (struct http){.state = HTTP_LINE};
    c->buf_off = c->buf_len = 0;
    count_open(&t->count, kind);
    return c;
}

void hg_testsvc_close(struct hg_testsvc_conn *c)
{
    SLIST_INSERT_HEAD(&c->t->free, c, free_link);
}

uint32_t hg_testsvc_input(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len, hg_ns now)
{
    uint32_t taken = c->ops->input(c, data, len);

    assert(taken <= len);
    if (taken != 0)
        c->moved_at = now;
    c->t->count.bytes_in += taken;
    return taken;
}

void hg_testsvc_eof(struct hg_testsvc_conn *c)
{
    c->eof = true;
}

bool hg_testsvc_has_output(const struct hg_testsvc_conn *c)
{
    return c->ops->has_output(c);
}

int hg_testsvc_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out, hg_ns now)
{
    int len;

    assert(out->cap >= HG_TESTSVC_ROOM_MIN && out->max != 0);
    out->data = out->room;
    out->shared = NULL;
    len = c->ops->output(c, out);
    if (len <= 0)
        return len;
    c->moved_at = now;
    c->t->count.bytes_out += (uint64_t)len;
    return len;
}

bool hg_testsvc_tick(struct hg_testsvc_conn *c, hg_ns now)
{
    if (c->kind == HG_TESTSVC_HTTP && c->http.state < HTTP_HEAD &&
        now - c->begun >= c->t->cfg.request_time) {
        c->t->count.late++;
        return false;
    }
    if (now - c->moved_at >= c->t->cfg.idle) {
        c->t->count.idle++;
        return false;
    }
    return true;
}

struct hg_counter_set hg_testsvc_counter_set(const struct hg_testsvc *t)
{
    return (struct hg_counter_set){"test", counter_desc, (const uint64_t *)&t->count,
                                   HG_ARRAY_LEN(counter_desc)};
}
