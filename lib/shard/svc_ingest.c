/* SPDX-License-Identifier: BSD-3-Clause */
/* The native protocol as a service of connections. */
#include "shard_priv.h"
#include <errno.h>

static void *ingest_begin(struct hg_conn *c, hg_ns now)
{
    const char *source = hg_tls_peer_name(c->tls);
    struct hg_session *s;

    /* Whatever the TLS context let in: a volume belongs to a name. */
    if (source[0] == '\0') {
        c->shard->count.no_source++;
        conn_log(c, HG_LOG_WARN, "session refused", "the client showed no certificate");
        return NULL;
    }
    s = hg_session_create(c->shard->ingest, source, c->peer, c, now);
    if (s == NULL)
        conn_log(c, HG_LOG_WARN, "no room for another session", source);
    else
        hg_log_limited(&c->shard->log_limit, now, HG_LOG_INFO, "conn", "%s: source %s, %s %s",
                       c->peer, source, hg_tls_version(c->tls), hg_tls_suite(c->tls));
    return s;
}

static uint8_t *ingest_sink(void *s, uint32_t room)
{
    return hg_session_sink(s, room);
}

/* Replies come through hg_ingest_ready(): what a session has to say does not hang on this input. */
static struct service_took ingest_input(void *s, const uint8_t *data, uint32_t len, hg_ns now)
{
    uint32_t n = hg_session_input(s, data, len, now);

    return (struct service_took){.n = n, .blocked = hg_session_blocked(s)};
}

/* Nothing is said to a source that has ended its stream. */
static bool ingest_eof(void *s)
{
    (void)s;
    return true;
}

static int ingest_output(void *s, struct service_out *out, hg_ns now)
{
    uint32_t len = hg_session_output(s, out->room, out->cap, now);

    out->data = out->room;
    return len == 0 && hg_session_finished(s) ? -EPIPE : (int)len;
}

static bool ingest_tick(void *s, bool stalled, hg_ns now)
{
    if (stalled)
        hg_session_not_reading(s, now);
    return !stalled;
}

static void ingest_prefetch(const void *s)
{
    hg_session_prefetch(s);
}

static void ingest_close(void *s, hg_ns now)
{
    hg_session_close(s, now);
}

const struct service_ops service_ingest = {
    ingest_begin,  ingest_sink, ingest_input,    ingest_eof,
    ingest_output, ingest_tick, ingest_prefetch, ingest_close,
};
