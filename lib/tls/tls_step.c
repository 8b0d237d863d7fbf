/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One step of a handshake: a record in, public-key work, bytes to send out. It is an object that moves,
 * so that a thread other than the connection's can carry it out.
 *
 *     connection --take--> step --run, on any one thread--> step --put--> connection
 *                                                              \--free, the connection is gone
 *
 * Invariants
 *  1. What a step works on is reachable from the step alone: the handshake (with OpenSSL's objects), a
 *     copy of the record, the counters it raises. While it is out the connection has no handshake, so
 *     the two need no lock; input stays with TCP, since nothing more is taken in before the step is back.
 *  2. What is shared with other threads is OpenSSL's SSL_CTX and what hangs on it (certificates, keys,
 *     trust store), which are read-only here and whose counts and caches OpenSSL guards itself; our
 *     context, of which a step holds a reference; and the key log, which stdio locks. OpenSSL's error
 *     queue is per thread: it is emptied before and after, and read only within run().
 *  3. One step of a connection exists at a time, so the order of records is the order of steps.
 *  4. The OpenSSL object is made when the first record is there, never before: a peer that says nothing
 *     costs none. It is freed with the step that completes the handshake.
 *  5. Key material in a step is erased when it is put back or freed, and what the work left in registers
 *     and on the stack after each step.
 */
#include "tls_step.h"
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_mem.h"
#include "tls_shard.h"
#include <errno.h>
#include <openssl/crypto.h>

struct hg_tls_step *hg_tls_step_new(struct hg_tls_ctx *ctx, struct hg_tls_hs *hs,
                                    struct hg_tls_cur cur, uint32_t len)
{
    struct hg_tls_step *step = OPENSSL_zalloc(sizeof *step + len);

    if (step == NULL)
        return NULL;
    step->ctx = hg_tls_ctx_ref(ctx);
    step->hs = hs;
    step->len = hg_tls_cur_copy(&cur, step->record, len);
    return step;
}

/* Nobody else looks at the handshake any more: its result is taken out, and OpenSSL's part freed. */
static void finish(struct hg_tls_step *step)
{
    if (hg_tls_hs_traffic(step->hs, &step->traffic) != 0) {
        step->rc = -EIO;
        return;
    }
    step->suite = hg_tls_hs_suite(step->hs);
    step->version = hg_tls_hs_version(step->hs);
    step->resumed = hg_tls_hs_resumed(step->hs);
    step->alert = hg_tls_hs_refusal(step->hs);
    hg_tls_hs_shed(step->hs);
}

void hg_tls_step_run(struct hg_tls_step *step)
{
    if (step->hs == NULL)
        step->rc = hg_tls_hs_create(step->ctx, &step->count, &step->hs);
    if (step->rc != 0)
        return;
    hg_tls_hs_count_in(step->hs, &step->count);
    step->rc = hg_tls_hs_feed(step->hs, step->record, step->len);
    if (step->rc > 0)
        finish(step);
    hg_tls_scrub();
}

void hg_tls_step_free(struct hg_tls_step *step)
{
    if (step == NULL)
        return;
    hg_tls_hs_destroy(step->hs);
    hg_tls_ctx_unref(step->ctx);
    OPENSSL_clear_free(step, sizeof *step + step->len);
}

static void add_counters(struct hg_tls_counters *to, const struct hg_tls_counters *from)
{
    uint64_t *sum = (uint64_t *)to;
    const uint64_t *more = (const uint64_t *)from;

    for (unsigned i = 0; i < sizeof *to / sizeof *sum; i++)
        sum[i] += more[i];
}

int hg_tls_step_put(struct hg_tls *tls, struct hg_tls_step *step)
{
    int rc = -EPROTO;

    tls->step_out = false;
    add_counters(&tls->shard->counters, &step->count);
    if (tls->state == HG_TLS_HANDSHAKE) {
        tls->hs = step->hs;
        step->hs = NULL;
        if (tls->hs != NULL)
            hg_tls_hs_count_in(tls->hs, &tls->shard->counters);
        rc = hg_tls_stepped(tls, step);
    }
    hg_tls_step_free(step);
    hg_tls_scrub();
    return rc;
}

void hg_tls_defer(struct hg_tls *tls)
{
    tls->defer = true;
}

struct hg_tls_step *hg_tls_step_take(struct hg_tls *tls)
{
    struct hg_tls_step *step = tls->step;

    tls->step_out = step != NULL || tls->step_out;
    tls->step = NULL;
    return step;
}
