/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_conn.h"
#include "tls_ctx.h"
#include "tls_shard.h"
#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hg_tls_put_control(struct hg_tls *tls, uint8_t type, uint8_t *msg, uint32_t len)
{
    const struct hg_iov iov = {.base = msg, .len = len};
    struct hg_tls_text text = {.type = type, .in = &iov, .n = 1, .len = len};
    uint8_t *p = tls->ctl + tls->ctl_len;
    int n;

    assert(tls->ctl_len + HG_TLS_OVERHEAD + len <= sizeof tls->ctl);
    if (tls->keyed) {
        n = hg_tls_rec_seal(&tls->tx, &text, p);
        tls->ctl_len += n > 0 ? (uint8_t)n : 0;
        return;
    }
    memcpy(p, (const uint8_t[]){type, 3, 3, 0, (uint8_t)len}, HG_TLS_RECORD_HEADER);
    memcpy(p + HG_TLS_RECORD_HEADER, msg, len);
    tls->ctl_len += (uint8_t)(HG_TLS_RECORD_HEADER + len);
}

void hg_tls_put_alert(struct hg_tls *tls, uint8_t level, enum hg_tls_alert alert)
{
    uint8_t msg[2] = {level, (uint8_t)alert};

    hg_tls_put_control(tls, HG_TLS_TYPE_ALERT, msg, sizeof msg);
}

void hg_tls_wipe(struct hg_tls *tls)
{
    hg_tls_rec_wipe(&tls->rx);
    hg_tls_rec_wipe(&tls->tx);
    OPENSSL_cleanse(tls->tx_secret, sizeof tls->tx_secret);
    OPENSSL_cleanse(tls->rx_secret, sizeof tls->rx_secret);
}

int hg_tls_enter_failed(struct hg_tls *tls)
{
    if (tls->state == HG_TLS_HANDSHAKE)
        tls->shard->counters.handshake_failures++;
    tls->state = HG_TLS_FAILED;
    hg_tls_wipe(tls);
    tls->keyed = false;
    hg_tls_step_free(hg_tls_step_take(tls));
    if (tls->hs != NULL)
        hg_tls_hs_shed(tls->hs);
    return -EPROTO;
}

/* RFC 8446 6: an alert is protected as other records are at its time, so that the peer can read it.
 * Without memory for that it goes in the clear. */
static void key_alert(struct hg_tls *tls)
{
    struct hg_tls_rec_cfg cfg = {
        .provider = tls->ctx->provider, .engine = &tls->shard->engine, .seal = true};
    struct hg_tls_traffic t;

    if (tls->keyed || tls->hs == NULL)
        return;
    if (hg_tls_hs_alert_keys(tls->hs, &t)) {
        cfg.suite = t.suite;
        tls->keyed = hg_tls_rec_init(&tls->tx, &cfg, &t.tx) == 0;
        tls->tx.seq = t.tx_seq;
        tls->tx.nonce_base = t.nonce_base;
    }
    OPENSSL_cleanse(&t, sizeof t);
}

int hg_tls_refuse(struct hg_tls *tls, enum hg_tls_alert alert, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(tls->error.text, sizeof tls->error.text, fmt, ap);
    va_end(ap);
    if (!tls->close_sent) {
        key_alert(tls);
        hg_tls_put_alert(tls, HG_TLS_ALERT_FATAL, alert);
        tls->shard->counters.alerts_out++;
    }
    return hg_tls_enter_failed(tls);
}
