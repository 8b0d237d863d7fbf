/* SPDX-License-Identifier: BSD-3-Clause */
/* Receiving after the handshake: records, alerts (RFC 8446 6) and key updates (RFC 8446 4.6.3). */
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_mem.h"
#include "tls_shard.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

static bool is_13(const struct hg_tls *tls)
{
    return tls->rx.suite->version == HG_TLS_1_3;
}

/* ---- key update, RFC 8446 4.6.3 ---- */

/* Queues our KeyUpdate and changes to the keys it announces. One that still waits serves for any
 * number of requests. */
static int update_tx(struct hg_tls *tls, bool ask)
{
    uint8_t msg[5] = {24, 0, 0, 1, ask};
    struct hg_tls_keyset keys;
    int rc;

    if (tls->update_pending || tls->close_sent)
        return 0;
    hg_tls_put_control(tls, HG_TLS_TYPE_HANDSHAKE, msg, sizeof msg);
    tls->update_pending = true;
    tls->shard->counters.key_updates++;
    rc = hg_tls_next_secret(tls->tx.suite, tls->tx_secret);
    if (rc == 0)
        rc = hg_tls_traffic_keys(tls->tx.suite, tls->tx_secret, &keys);
    if (rc == 0)
        rc = hg_tls_rec_rekey(&tls->tx, &keys);
    OPENSSL_cleanse(&keys, sizeof keys);
    return rc;
}

static int update_rx(struct hg_tls *tls)
{
    struct hg_tls_keyset keys;
    int rc = hg_tls_next_secret(tls->rx.suite, tls->rx_secret);

    tls->updates_in++;
    tls->update_asked = false;
    tls->shard->counters.key_updates++;
    if (rc == 0)
        rc = hg_tls_traffic_keys(tls->rx.suite, tls->rx_secret, &keys);
    if (rc == 0)
        rc = hg_tls_rec_rekey(&tls->rx, &keys);
    OPENSSL_cleanse(&keys, sizeof keys);
    return rc;
}

/* RFC 8446 5.5: new keys well before the limit; also for what the peer sends, since not every TLS
 * library counts. */
int hg_tls_update_in_time(struct hg_tls *tls)
{
    bool tx_due = tls->tx.seq >= tls->rekey_after;
    bool rx_due = tls->rx.seq >= tls->rekey_after && !tls->update_asked;
    int rc;

    if ((!tx_due && !rx_due) || !is_13(tls))
        return 0;
    tls->update_asked |= rx_due && !tls->update_pending && !tls->close_sent;
    rc = update_tx(tls, rx_due);
    hg_tls_scrub();
    return rc;
}

/* ---- records after the handshake ---- */

/* RFC 5246 7.2.2: whoever asked for renegotiation decides whether to go on without. One answer that
 * still waits serves for any number. */
static int decline(struct hg_tls *tls)
{
    if (tls->decline_pending || tls->close_sent)
        return 0;
    hg_tls_put_alert(tls, HG_TLS_ALERT_WARNING, HG_TLS_AL_NO_RENEGOTIATION);
    tls->decline_pending = true;
    tls->shard->counters.alerts_out++;
    return 0;
}

static int open_post_handshake(struct hg_tls *tls, const uint8_t *p, uint32_t len)
{
    bool client = tls->ctx->role == HG_TLS_CLIENT;
    int event = is_13(tls) ? hg_tls_post_input(&tls->post, client, p, len)
                           : hg_tls_post_input_12(&tls->post, client, p, len);
    int rc;

    if (event < 0)
        return hg_tls_refuse(
            tls, (enum hg_tls_alert)(-event),
            "the peer sent a handshake message that may not follow a handshake (type %u)",
            tls->post.hdr[0]);
    if (event == HG_TLS_POST_NONE)
        return 0;
    if (event == HG_TLS_POST_RENEGOTIATION)
        return decline(tls);
    if (tls->updates_in >= HG_TLS_FREE_UPDATES + tls->data_records / 64)
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "the peer changes its keys too often: %llu times in %llu records",
                             (unsigned long long)tls->updates_in,
                             (unsigned long long)tls->data_records);
    rc = update_rx(tls);
    if (rc == 0 && event == HG_TLS_POST_KEY_UPDATE_REQUESTED)
        rc = update_tx(tls, false);
    hg_tls_scrub();
    if (rc != 0)
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR, "key update failed: %s", strerror(-rc));
    return 0;
}

/* RFC 8446 6: in TLS 1.3 every alert but two is fatal, whatever its level says. */
static int open_alert(struct hg_tls *tls, const uint8_t *p, uint32_t len)
{
    const char *advice;

    if (len != 2) {
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_DECODE_ERROR, "the peer sent an alert of %u bytes",
                             len);
    }
    if (p[1] == HG_TLS_AL_CLOSE_NOTIFY) {
        tls->state = HG_TLS_PEER_CLOSED;
        return 0;
    }
    tls->shard->counters.alerts_in++;
    if (p[1] == HG_TLS_AL_USER_CANCELED || (!is_13(tls) && p[0] == HG_TLS_ALERT_WARNING))
        return 0;
    advice = hg_tls_alert_advice(p[1]);
    hg_fail(&tls->error, 0, "the peer ended the connection with alert %s (%u)%s%s",
            hg_tls_alert_name(p[1]), p[1], advice[0] == '\0' ? "" : ": ", advice);
    return hg_tls_enter_failed(tls);
}

/* A record that hg_tls_rec_open() refused. */
static int refuse_record(struct hg_tls *tls, int rc, uint32_t len)
{
    struct hg_tls_counters *c = &tls->shard->counters;

    switch (rc) {
    case -EBADMSG:
        c->bad_tag++;
        return hg_tls_refuse(
            tls, HG_TLS_AL_BAD_RECORD_MAC,
            "a record of %u bytes is not authentic: it was damaged on the way, or forged", len);
    case -EMSGSIZE:
        c->bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_RECORD_OVERFLOW, "a record of %u bytes is too long",
                             len);
    case -EPROTO:
        c->bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "a record of %u bytes is all padding", len);
    default:
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR, "no record sequence number is left");
    }
}

static int open_data(struct hg_tls *tls, uint32_t len, struct hg_tls_opened *res)
{
    struct hg_tls_counters *c = &tls->shard->counters;

    res->len = len;
    tls->data_records++;
    c->records_in++;
    c->bytes_in += len;
    if (len != 0)
        tls->idle_records = 0;
    return 0;
}

static int dispatch(struct hg_tls *tls, const struct hg_tls_plain *plain, const uint8_t *dst,
                    struct hg_tls_opened *res)
{
    /* RFC 8446 5.1: a message that has begun is not interrupted by other types. */
    if (hg_tls_post_partial(&tls->post) && plain->type != HG_TLS_TYPE_HANDSHAKE)
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "a record of type %u interrupts a handshake message", plain->type);
    if (++tls->idle_records > HG_TLS_IDLE_RECORDS &&
        (plain->type != HG_TLS_TYPE_DATA || plain->len == 0))
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "the peer sent more than %u records in a row without data",
                             HG_TLS_IDLE_RECORDS);
    switch (plain->type) {
    case HG_TLS_TYPE_DATA:
        return open_data(tls, plain->len, res);
    case HG_TLS_TYPE_HANDSHAKE:
        return open_post_handshake(tls, dst, plain->len);
    case HG_TLS_TYPE_ALERT:
        return open_alert(tls, dst, plain->len);
    default:
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "a record of type %u may not come here", plain->type);
    }
}

/* Refuses on the header alone what cannot become a good record. In TLS 1.3 all records are
 * outwardly application data now; a change_cipher_spec is no longer tolerated (RFC 8446 5). */
static bool bad_header(const struct hg_tls *tls, const struct hg_tls_cut *cut)
{
    if (cut->have == 0)
        return false;
    if (is_13(tls))
        return cut->hdr[0] != HG_TLS_TYPE_DATA;
    return cut->hdr[0] < HG_TLS_TYPE_ALERT || cut->hdr[0] > HG_TLS_TYPE_DATA;
}

static int open_record(struct hg_tls *tls, const struct hg_tls_cut *cut, uint8_t *dst,
                       struct hg_tls_opened *res)
{
    struct hg_tls_plain plain;
    int rc = hg_tls_rec_open(&tls->rx, cut, dst, &plain);

    if (rc != 0)
        return refuse_record(tls, rc, cut->len);
    res->consumed = HG_TLS_RECORD_HEADER + cut->len;
    rc = dispatch(tls, &plain, dst, res);
    if (rc != 0)
        return rc;
    rc = hg_tls_update_in_time(tls);
    if (rc != 0)
        return hg_tls_refuse(tls, HG_TLS_AL_INTERNAL_ERROR, "key update failed: %s", strerror(-rc));
    return 0;
}

int hg_tls_open_protected(struct hg_tls *tls, const struct hg_iov *in, unsigned n,
                          const struct hg_iov *dst, struct hg_tls_opened *res)
{
    struct hg_tls_cut cut;
    int rc = hg_tls_rec_cut(in, n, &cut);

    if (bad_header(tls, &cut)) {
        tls->shard->counters.bad_record++;
        return hg_tls_refuse(tls, HG_TLS_AL_UNEXPECTED_MESSAGE,
                             "a record of type %u may not come here", cut.hdr[0]);
    }
    if (rc == 0 && cut.have == HG_TLS_RECORD_HEADER && hg_tls_rec_too_long(&tls->rx, cut.len))
        rc = -EMSGSIZE; /* not worth waiting for */
    if (rc < 0)
        return refuse_record(tls, rc, cut.len);
    if (rc == 0)
        return 0;
    if (dst->len < hg_tls_rec_room(&tls->rx, cut.len))
        return -EINVAL;
    return open_record(tls, &cut, dst->base, res);
}
