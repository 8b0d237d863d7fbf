/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_alert.h"
#include <stddef.h>

struct words {
    unsigned alert;
    const char *name;
    const char *advice;
};

#define OWN_CERT "look at the certificate configured on this side"

static const struct words table[] = {
    {0, "close_notify", ""},
    {10, "unexpected_message", ""},
    {20, "bad_record_mac", "data was damaged or keys differ; if it repeats, look for a middlebox"},
    {22, "record_overflow", ""},
    {40, "handshake_failure", "compare the suites, groups and signature types of both sides"},
    {42, "bad_certificate", OWN_CERT " and its name"},
    {43, "unsupported_certificate", OWN_CERT ": key type and extended key usage"},
    {44, "certificate_revoked", OWN_CERT},
    {45, "certificate_expired", OWN_CERT ": it expired, or the peer's clock is wrong"},
    {46, "certificate_unknown", OWN_CERT},
    {47, "illegal_parameter", ""},
    {48, "unknown_ca", "the peer does not trust the CA that signed the certificate of this side"},
    {49, "access_denied", "the peer does not let this name in"},
    {50, "decode_error", ""},
    {51, "decrypt_error", ""},
    {70, "protocol_version", "the two sides share no TLS version; 1.2 and 1.3 are supported"},
    {71, "insufficient_security", "the peer wants stronger suites or keys"},
    {80, "internal_error", "look at the peer's log"},
    {86, "inappropriate_fallback", ""},
    {90, "user_canceled", ""},
    {100, "no_renegotiation", ""},
    {109, "missing_extension", ""},
    {110, "unsupported_extension", ""},
    {112, "unrecognized_name", "the peer does not know the server name that was asked for"},
    {113, "bad_certificate_status_response", ""},
    {116, "certificate_required", "configure a certificate and key on this side"},
    {120, "no_application_protocol", "the two sides are for different services: check the port"},
};

static const struct words *find(unsigned alert)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].alert == alert)
            return &table[i];
    return NULL;
}

const char *hg_tls_alert_name(unsigned alert)
{
    const struct words *w = find(alert);

    return w == NULL ? "unknown" : w->name;
}

const char *hg_tls_alert_advice(unsigned alert)
{
    const struct words *w = find(alert);

    return w == NULL ? "" : w->advice;
}
