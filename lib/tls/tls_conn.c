/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection: the only place that knows both the handshake and record protection.
 *
 *     HANDSHAKE --complete--> OPEN --close_notify--> PEER_CLOSED
 *         |                    |                         |
 *         +------ any failure -+-----> FAILED <----------+ (sealing fails)
 *
 * Invariants
 *  1. In HANDSHAKE every record goes whole to OpenSSL, one at a time, and nothing else does. So
 *     when it reports completion its input is empty, and the next record in the stream is ours. Each
 *     is a step (tls_step.c), which may be carried out elsewhere: until it is back nothing is opened.
 *  2. `keyed` is set at one point, together with leaving HANDSHAKE; before it there are no traffic
 *     keys here, after it OpenSSL is gone (only its last output may wait in `hs`).
 *  3. The wire order of what we send is the order of the calls: nothing is sealed while something
 *     is pending, and what is pending was sealed under the sequence numbers it has. New sending
 *     keys come into use directly after the KeyUpdate that announces them was put into ctl.
 *  4. Bytes in dst count only when hg_tls_rec_open() succeeded; before that nothing looks at them.
 *  5. ctl holds at most one KeyUpdate or no_renegotiation, one close_notify and one fatal alert, so it cannot overflow.
 *  6. FAILED is final: the keys are erased on entering it, and open and seal do nothing.
 *
 * What may be trusted: in HANDSHAKE nothing; in OPEN the record's sender, not its contents.
 */
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_mem.h"
#include "tls_shard.h"
#include <errno.h>
#include <stdio.h>
#include <rte_prefetch.h>
#include <string.h>

/* ---- handshake ---- */

/* RFC 8446 5.5: ChaCha20-Poly1305 needs no new keys before its sequence number ends. */
static uint64_t rekey_after(const struct hg_tls_ctx *ctx, const struct hg_tls_suite *suite)
{
    uint64_t most = suite->alg == HG_TLS_CHACHA20_POLY1305 ? UINT64_MAX : HG_TLS_REKEY_AFTER;

    if (suite->version != HG_TLS_1_3)
        return UINT64_MAX;
    return ctx->update_after != 0 && ctx->update_after < most ? ctx->update_after : most;
}

static int install(struct hg_tls *tls, const struct hg_tls_traffic *t)
{
    struct hg_tls_rec_cfg cfg = {
        .provider = tls->ctx->provider,
        .engine = &tls->shard->engine,
        .suite = t->suite,
    };
    int rc = hg_tls_rec_init(&tls->rx, &cfg, &t->rx);

    cfg.seal = true;
    if (rc == 0)
        rc = hg_tls_rec_init(&tls->tx, &cfg, &t->tx);
    if (rc != 0)
        return rc;
    tls->rx.seq = t->rx_seq;
    tls->tx.seq = t->tx_seq;
    tls->tx.nonce_base = t->nonce_base;
    tls->rx.max_inner = t->sizes.rx_inner;
    tls->rx.max_text = t->sizes.rx_text;
    tls->max_fragment = t->sizes.tx_text;
    tls->rekey_after = rekey_after(tls->ctx, t->suite);
    memcpy(tls->tx_secret, t->tx_secret, sizeof tls->tx_secret);
    memcpy(tls->rx_secret, t->rx_secret, sizeof tls->rx_secret);
    tls->keyed = true;
    return 0;
}

/* Frees what is left of the handshake as soon as all its output was taken. */
static void drop_handshake(struct hg_tls *tls)
{
    if (tls->hs == NULL || hg_tls_hs_pending(tls->hs) != 0)
        return;
    hg_tls_hs_destroy(tls->hs);
    tls->hs = NULL;
}

/* The hand-over from OpenSSL to our records. */
static int complete(struct hg_tls *tls, const struct hg_tls_step *step)
{
    int rc = install(tls, &step->traffic);

    if (rc != 0)
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR,
                             "no traffic keys after the TLS handshake: %s; memory may be short",
                             strerror(-rc));
    if (step->alert != 0)
        return hg_tls_refuse(tls, (enum hg_tls_alert)step->alert, "%s", hg_tls_hs_why(tls->hs));
    tls->suite = step->suite;
    tls->version = step->version;
    snprintf(tls->peer_name, sizeof tls->peer_name, "%s", hg_tls_hs_peer_name(tls->hs));
    tls->resumed = step->resumed;
    tls->shard->counters.resumed += tls->resumed;
    drop_handshake(tls);
    tls->state = HG_TLS_OPEN;
    tls->shard->counters.handshakes++;
    return 0;
}

int hg_tls_stepped(struct hg_tls *tls, struct hg_tls_step *step)
{
    if (step->rc == 0)
        return 0;
    if (step->rc > 0)
        return complete(tls, step);
    if (step->rc != -EPROTO)
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR,
                             "a step of the TLS handshake failed: %s; memory may be short",
                             strerror(-step->rc));
    snprintf(tls->error.text, sizeof tls->error.text, "%s", hg_tls_hs_why(tls->hs));
    return hg_tls_enter_failed(tls);
}

/* A peer that speaks something else is told apart by its first bytes, before it has sent what would
 * pass for a whole record. A server may refuse a client with a plain alert as its first record. */
static bool is_not_tls(const struct hg_tls *tls, const struct hg_tls_cut *cut)
{
    bool client = tls->ctx->role == HG_TLS_CLIENT;

    if (cut->have == 0 || tls->hs_records != 0)
        return false;
    if (cut->hdr[0] != HG_TLS_TYPE_HANDSHAKE && !(client && cut->hdr[0] == HG_TLS_TYPE_ALERT))
        return true;
    return cut->have >= 2 && cut->hdr[1] != 3;
}

static int refuse_not_tls(struct hg_tls *tls, const struct hg_tls_cut *cut)
{
    bool version = cut->hdr[0] == HG_TLS_TYPE_HANDSHAKE;

    tls->shard->counters.not_tls++;
    return hg_tls_refuse(
        tls, version ? HG_TLS_AL_PROTOCOL_VERSION : HG_TLS_AL_UNEXPECTED_MESSAGE,
        "the peer does not speak TLS 1.2 or 1.3: its first bytes are %02x %02x; this port "
        "takes TLS from the first byte",
        cut->hdr[0], cut->have >= 2 ? cut->hdr[1] : 0u);
}

/* What OpenSSL 3.0 answers with another alert than is asked for. RFC 8446 5: in TLS 1.3 a
 * change_cipher_spec is one byte of value 1, and passed over. RFC 5246 6.2.3.3: after TLS 1.2's a
 * record has a tag. 0: nothing is wrong. */
static int refuse_form(struct hg_tls *tls, const struct hg_tls_cut *cut)
{
    bool is_13 = hg_tls_hs_is_13(tls->hs), ccs = cut->hdr[0] == HG_TLS_TYPE_CCS;
    struct hg_tls_cur body = cut->body;
    const uint8_t *p;

    if (is_13 && ccs && (cut->len != 1 || hg_tls_cur_run(&body, 1, &p) != 1 || *p != 1)) {
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "a change_cipher_spec record has other content than one byte 1");
    }
    if (!is_13 && tls->ccs_in && cut->len < HG_TLS_TAG) {
        tls->shard->counters.bad_tag++;
        return hg_tls_refuse(tls, HG_TLS_AL_BAD_RECORD_MAC,
                             "a protected record of %u bytes is too short to be authentic",
                             cut->len);
    }
    tls->ccs_in |= ccs;
    return 0;
}

/* The record becomes a step, which is carried out now or waits to be taken. There is no public-key work
 * in a ChangeCipherSpec: that is not worth the way. */
static int step(struct hg_tls *tls, struct hg_tls_cur record, uint32_t len)
{
    tls->step = hg_tls_step_new(tls->ctx, tls->hs, record, len);
    if (tls->step == NULL)
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR, "no memory for a TLS handshake");
    tls->hs = NULL;
    if (tls->defer && tls->step->record[0] != HG_TLS_TYPE_CCS)
        return 0;
    hg_tls_step_run(tls->step);
    return hg_tls_step_put(tls, hg_tls_step_take(tls));
}

static uint32_t bytes_max(const struct hg_tls *tls)
{
    return tls->answered ? HG_TLS_HS_BYTES : HG_TLS_HELLO_BYTES;
}

static int open_handshake(struct hg_tls *tls, const struct hg_iov *in, unsigned n,
                          struct hg_tls_opened *res)
{
    struct hg_tls_cut cut;
    struct hg_tls_cur whole = {.v = in, .n = n};
    int rc = hg_tls_rec_cut(in, n, &cut);
    uint32_t len;

    if (tls->step != NULL || tls->step_out)
        return 0;
    if (is_not_tls(tls, &cut))
        return refuse_not_tls(tls, &cut);
    if (rc < 0) {
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_RECORD_OVERFLOW,
                             "a handshake record of %u bytes is too long", cut.len);
    }
    if (cut.have < HG_TLS_RECORD_HEADER)
        return 0;
    if (cut.len > hg_tls_hs_body_max(tls->hs, cut.hdr[0])) {
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_RECORD_OVERFLOW,
                             "a handshake record of %u bytes is longer than was agreed", cut.len);
    }
    len = HG_TLS_RECORD_HEADER + cut.len;
    if (tls->hs_bytes + len > bytes_max(tls) || tls->hs_records >= HG_TLS_HS_RECORDS)
        return hg_tls_refuse(
            tls, HG_TLS_AL_ILLEGAL_PARAMETER,
            "the peer's %s exceeds %u bytes or %u records: is its certificate chain overlong?",
            tls->answered ? "handshake" : "first message", bytes_max(tls), HG_TLS_HS_RECORDS);
    if (rc == 0)
        return 0;
    rc = refuse_form(tls, &cut);
    if (rc != 0)
        return rc;
    res->consumed = len;
    tls->hs_bytes += len;
    tls->hs_records++;
    return step(tls, whole, len);
}

/* RFC 8446 6.1: what comes after close_notify is ignored. */
static void discard(const struct hg_iov *in, unsigned n, struct hg_tls_opened *res)
{
    struct hg_tls_cur cur = {.v = in, .n = n};
    const uint8_t *p;
    uint32_t run;

    while ((run = hg_tls_cur_run(&cur, UINT32_MAX - res->consumed, &p)) != 0)
        res->consumed += run;
}

/* ---- the interface ---- */

int hg_tls_create(struct hg_tls_ctx *ctx, struct hg_tls_shard *shard, struct hg_tls **out)
{
    struct hg_tls *tls = hg_tls_alloc(sizeof *tls);
    int rc = 0;

    *out = NULL;
    if (tls == NULL)
        return -ENOMEM;
    tls->state = HG_TLS_HANDSHAKE;
    tls->max_fragment = ctx->max_fragment;
    tls->suite = tls->version = "";
    tls->shard = shard;
    tls->ctx = hg_tls_ctx_ref(ctx);
    if (ctx->role == HG_TLS_CLIENT)
        rc = hg_tls_hs_create(ctx, &shard->counters, &tls->hs);
    if (rc != 0) {
        hg_tls_ctx_unref(ctx);
        hg_tls_free(tls, sizeof *tls);
        return rc;
    }
    *out = tls;
    return 0;
}

void hg_tls_destroy(struct hg_tls *tls)
{
    if (tls == NULL)
        return;
    if (tls->state == HG_TLS_HANDSHAKE && tls->hs_bytes != 0)
        tls->shard->counters.handshake_failures++; /* cut off or timed out */
    hg_tls_wipe(tls);
    hg_tls_step_free(tls->step);
    hg_tls_hs_destroy(tls->hs);
    hg_tls_ctx_unref(tls->ctx);
    hg_tls_free(tls, sizeof *tls);
}

enum hg_tls_state hg_tls_state(const struct hg_tls *tls)
{
    return tls->state;
}

void hg_tls_prefetch(const struct hg_tls *tls)
{
    const uint8_t *from = (const uint8_t *)tls;
    const uint8_t *to = (const uint8_t *)(&tls->rx + 1);

    for (; from < to; from += RTE_CACHE_LINE_SIZE)
        rte_prefetch0(from);
}

uint32_t hg_tls_record_size(const struct hg_iov *in, unsigned n)
{
    struct hg_tls_cut cut;

    if (!hg_tls_rec_head(in, n, &cut) || cut.len > HG_TLS_MAX_CIPHERTEXT)
        return 0;
    return HG_TLS_RECORD_HEADER + cut.len;
}

uint32_t hg_tls_peek(const struct hg_tls *tls, const struct hg_iov *in, unsigned n)
{
    struct hg_tls_cut cut;

    if (tls->state != HG_TLS_OPEN || hg_tls_rec_cut(in, n, &cut) != 1 ||
        cut.hdr[0] != HG_TLS_TYPE_DATA)
        return 0;
    return hg_tls_rec_room(&tls->rx, cut.len);
}

int hg_tls_open(struct hg_tls *tls, const struct hg_iov *in, unsigned n, const struct hg_iov *dst,
                struct hg_tls_opened *res)
{
    *res = (struct hg_tls_opened){0};
    switch (tls->state) {
    case HG_TLS_OPEN:
        return hg_tls_open_protected(tls, in, n, dst, res);
    case HG_TLS_HANDSHAKE:
        return open_handshake(tls, in, n, res);
    case HG_TLS_PEER_CLOSED:
        discard(in, n, res);
        return 0;
    default:
        return -EPROTO;
    }
}

/* The sending keys may seal no more data (TLS 1.2 cannot change them): an orderly end, and the peer
 * may still finish what it is sending. */
static int used_up(struct hg_tls *tls)
{
    hg_fail(&tls->error, 0,
            "the keys of this connection sealed %llu records, which is their limit: reconnect, and "
            "use TLS 1.3, which renews them",
            (unsigned long long)tls->tx.seq);
    hg_tls_close(tls);
    return -EPIPE;
}

/* Text that lies in dst moves to its end, so that the records of its first pieces do not overwrite
 * those that follow: seal_room() leaves one piece's room between the two. */
static struct hg_iov make_way(struct hg_iov in, uint8_t *dst, uint32_t cap)
{
    if (in.base < dst || in.base >= dst + cap)
        return in;
    memmove(dst + cap - in.len, in.base, in.len);
    return (struct hg_iov){dst + cap - in.len, in.len};
}

/* Seals records of at most max_fragment bytes, one after the other. Returns the bytes or -EIO. */
static int seal_pieces(struct hg_tls *tls, const struct hg_iov *in, unsigned n, uint64_t len,
                       uint8_t *dst)
{
    struct hg_tls_cur cur = {.v = in, .n = n};
    int done = 0;

    do {
        uint32_t piece = len < tls->max_fragment ? (uint32_t)len : tls->max_fragment, run = piece;
        struct hg_tls_text text = {
            .type = HG_TLS_TYPE_DATA, .in = cur.v, .n = cur.n, .off = cur.off, .len = piece};
        int rc = hg_tls_rec_seal(&tls->tx, &text, dst + done);
        const uint8_t *p;

        if (rc < 0)
            return rc;
        done += rc;
        len -= piece;
        tls->shard->counters.records_out++;
        while (run != 0)
            run -= hg_tls_cur_run(&cur, run, &p);
    } while (len != 0);
    return done;
}

int hg_tls_seal(struct hg_tls *tls, const struct hg_iov *in, unsigned n, uint8_t *dst, uint32_t cap)
{
    struct hg_iov moved;
    uint64_t len = 0;
    int rc;

    if (!tls->keyed || tls->close_sent)
        return -EPIPE;
    if (hg_tls_pending(tls) != 0)
        return -EAGAIN;
    for (unsigned i = 0; i < n; i++)
        len += in[i].len;
    if (cap < HG_TLS_OVERHEAD || len > hg_tls_seal_room(tls, cap))
        return -EINVAL;
    if (tls->tx.seq + HG_TLS_CTL_RESERVE + len / tls->max_fragment >= tls->tx.limit)
        return used_up(tls);
    if (len > tls->max_fragment && n == 1) {
        moved = make_way(in[0], dst, cap);
        in = &moved;
    }
    rc = seal_pieces(tls, in, n, len, dst);
    if (rc < 0) {
        hg_fail(&tls->error, 0, "the %s AEAD provider failed to seal", tls->tx.aead.ops->name);
        hg_tls_enter_failed(tls);
        return -EPIPE;
    }
    tls->shard->counters.bytes_out += len;
    if (tls->tx.seq >= tls->rekey_after && hg_tls_update_in_time(tls) != 0)
        return used_up(tls);
    return rc;
}

uint32_t hg_tls_seal_room(const struct hg_tls *tls, uint32_t cap)
{
    uint32_t text = tls->max_fragment, n;

    if (cap <= text + HG_TLS_OVERHEAD)
        return cap - HG_TLS_OVERHEAD;
    n = (cap - text) / (text + HG_TLS_OVERHEAD);
    n = n == 0 ? text : n * text;
    return n < HG_TLS_MAX_PLAINTEXT ? n : HG_TLS_MAX_PLAINTEXT;
}

uint32_t hg_tls_seal_offset(const struct hg_tls *tls)
{
    return tls->keyed ? tls->tx.head : HG_TLS_RECORD_HEADER;
}

uint32_t hg_tls_max_fragment(const struct hg_tls *tls)
{
    return tls->max_fragment;
}

uint32_t hg_tls_pending(const struct hg_tls *tls)
{
    uint32_t hs = tls->hs == NULL ? 0 : hg_tls_hs_pending(tls->hs);

    return hs + tls->ctl_len - tls->ctl_off;
}

uint32_t hg_tls_take(struct hg_tls *tls, uint8_t *dst, uint32_t cap)
{
    uint32_t done = 0, n;

    if (tls->hs != NULL) {
        done = hg_tls_hs_take(tls->hs, dst, cap);
        tls->answered |= done != 0;
        if (hg_tls_hs_pending(tls->hs) != 0)
            return done;
        if (tls->state != HG_TLS_HANDSHAKE)
            drop_handshake(tls);
    }
    n = (uint32_t)tls->ctl_len - tls->ctl_off;
    n = n < cap - done ? n : cap - done;
    memcpy(dst + done, tls->ctl + tls->ctl_off, n);
    tls->ctl_off += (uint8_t)n;
    if (tls->ctl_off == tls->ctl_len) {
        tls->ctl_off = tls->ctl_len = 0;
        tls->update_pending = tls->decline_pending = false;
    }
    return done + n;
}

void hg_tls_close(struct hg_tls *tls)
{
    if (tls->state == HG_TLS_HANDSHAKE) {
        hg_fail(&tls->error, 0, "closed by this side before the TLS handshake was complete");
        hg_tls_enter_failed(tls);
    } else if (tls->keyed && !tls->close_sent) {
        hg_tls_put_alert(tls, HG_TLS_ALERT_WARNING, HG_TLS_AL_CLOSE_NOTIFY);
    }
    tls->close_sent = true;
}

const char *hg_tls_peer_name(const struct hg_tls *tls)
{
    return tls->peer_name;
}

const char *hg_tls_suite(const struct hg_tls *tls)
{
    return tls->suite;
}

const char *hg_tls_version(const struct hg_tls *tls)
{
    return tls->version;
}

bool hg_tls_resumed(const struct hg_tls *tls)
{
    return tls->resumed;
}

const char *hg_tls_error(const struct hg_tls *tls)
{
    return tls->error.text;
}
