/* SPDX-License-Identifier: BSD-3-Clause */
/* See tcp_trace.h. */
#include "tcp_trace.h"
#include "tcp_priv.h"

#include <stdio.h>

#define KIND(key) ((unsigned)((key)&0xff))
#define TIMES_SHIFT 8
#define TIMES_MAX 0xffu
#define TIME_SHIFT 16

_Static_assert(TCP_TRACE_MAX == HG_TCP_TRACE_MAX, "all that is kept can be handed out");
_Static_assert(TCP_TR_COUNT <= 0x100, "a kind is a byte");

static struct tcp_trace *trace_of(const struct hg_tcp_conn *conn)
{
    return &conn->tcp->trace[conn - conn->tcp->conns];
}

/* Such events come in rows; their second value is a sum. */
static bool adds_up(enum tcp_trace_kind kind)
{
    return kind == TCP_TR_OOO || kind == TCP_TR_DUP || kind == TCP_TR_OUT_OF_WINDOW ||
           kind == TCP_TR_OOO_DROP || kind == TCP_TR_MEM_DROP;
}

/* Other rows keep their last values. */
static bool in_rows(enum tcp_trace_kind kind)
{
    return kind == TCP_TR_PAWS || kind == TCP_TR_BAD_ACK || kind == TCP_TR_CHALLENGE ||
           kind == TCP_TR_RST_IN || kind == TCP_TR_PERSIST || kind == TCP_TR_KEEPALIVE ||
           kind == TCP_TR_UNREACHABLE || kind == TCP_TR_TOO_BIG;
}

void tcp_trace(const struct hg_tcp_conn *conn, enum tcp_trace_kind kind, uint32_t a, uint32_t b)
{
    struct tcp_trace *t = trace_of(conn);
    struct tcp_trace_entry *last = &t->entry[(t->n - 1) % TCP_TRACE_MAX];

    if (t->n && KIND(last->key) == kind && (adds_up(kind) || in_rows(kind))) {
        if ((last->key >> TIMES_SHIFT & TIMES_MAX) < TIMES_MAX)
            last->key += 1u << TIMES_SHIFT;
        last->b = adds_up(kind) ? last->b + b : b;
        if (in_rows(kind))
            last->a = a;
        return;
    }
    t->entry[t->n % TCP_TRACE_MAX] = (struct tcp_trace_entry){
        .key = conn->tcp->now / HG_US(1) << TIME_SHIFT | (uint64_t)kind, .a = a, .b = b};
    t->n++;
}

void tcp_trace_reset(const struct hg_tcp_conn *conn)
{
    trace_of(conn)->n = 0;
}

struct kind_text {
    const char *what, *a, *b;
};

static void describe(const struct tcp_trace_entry *e, struct hg_tcp_trace *out)
{
#define DESCRIBE(symbol, what, a, b) {what, a, b},
    static const struct kind_text kinds[TCP_TR_COUNT] = {TCP_TRACE_KINDS(DESCRIBE)};
#undef DESCRIBE
    unsigned kind = KIND(e->key);
    int len = 0;

    out->time = HG_US(e->key >> TIME_SHIFT);
    out->times = (uint32_t)(e->key >> TIMES_SHIFT & TIMES_MAX) + 1;
    out->what = kinds[kind].what;
    out->detail[0] = '\0';
    if (kind == TCP_TR_STATE) {
        snprintf(out->detail, sizeof out->detail, "%s -> %s", tcp_state_name(e->a),
                 tcp_state_name(e->b));
        return;
    }
    if (kinds[kind].a[0] != '\0')
        len = snprintf(out->detail, sizeof out->detail, "%s:%u", kinds[kind].a, e->a);
    if (kinds[kind].b[0] != '\0')
        snprintf(out->detail + len, sizeof out->detail - (size_t)len, " %s:%u", kinds[kind].b,
                 e->b);
}

unsigned hg_tcp_conn_trace(const struct hg_tcp_conn *conn, struct hg_tcp_trace *out, unsigned max)
{
    const struct tcp_trace *t = trace_of(conn);
    uint32_t n = t->n < TCP_TRACE_MAX ? t->n : TCP_TRACE_MAX;

    if (n > max)
        n = max;
    for (uint32_t i = 0; i < n; i++)
        describe(&t->entry[(t->n - n + i) % TCP_TRACE_MAX], &out[i]);
    return n;
}
