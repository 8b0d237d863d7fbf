/* SPDX-License-Identifier: BSD-3-Clause */
/* Alert descriptions, RFC 8446 6, with words for the log. */
#ifndef HEADGATE_TLS_ALERT_H
#define HEADGATE_TLS_ALERT_H

enum hg_tls_alert {
    HG_TLS_AL_CLOSE_NOTIFY = 0,
    HG_TLS_AL_UNEXPECTED_MESSAGE = 10,
    HG_TLS_AL_BAD_RECORD_MAC = 20,
    HG_TLS_AL_RECORD_OVERFLOW = 22,
    HG_TLS_AL_HANDSHAKE_FAILURE = 40,
    HG_TLS_AL_ILLEGAL_PARAMETER = 47,
    HG_TLS_AL_ACCESS_DENIED = 49,
    HG_TLS_AL_DECODE_ERROR = 50,
    HG_TLS_AL_PROTOCOL_VERSION = 70,
    HG_TLS_AL_INTERNAL_ERROR = 80,
    HG_TLS_AL_USER_CANCELED = 90,
    HG_TLS_AL_NO_RENEGOTIATION = 100,
    HG_TLS_AL_NO_APPLICATION_PROTOCOL = 120,
};

#define HG_TLS_ALERT_WARNING 1
#define HG_TLS_ALERT_FATAL 2

/* The RFC's name, or "unknown". */
const char *hg_tls_alert_name(unsigned alert);
/* What the receiver of this alert should look at; "" when there is nothing general to say. */
const char *hg_tls_alert_advice(unsigned alert);

#endif /* HEADGATE_TLS_ALERT_H */
