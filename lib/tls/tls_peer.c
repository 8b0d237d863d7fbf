/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_peer.h"
#include "tls_pem.h"
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define URI_PREFIX "headgate:source/"

/* ---- the name ---- */

static bool name_byte(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static int copy_name(const unsigned char *p, size_t len, char name[HG_TLS_NAME_MAX])
{
    if (len == 0 || len >= HG_TLS_NAME_MAX)
        return -EINVAL;
    for (size_t i = 0; i < len; i++)
        if (!name_byte(p[i]))
            return -EINVAL;
    if (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.')))
        return -EINVAL;
    memcpy(name, p, len);
    name[len] = '\0';
    return 0;
}

/* The rest of a URI of ours, or NULL. */
static const unsigned char *our_uri(const GENERAL_NAME *gn, size_t *len)
{
    size_t prefix = strlen(URI_PREFIX), n;

    if (gn->type != GEN_URI)
        return NULL;
    n = (size_t)ASN1_STRING_length(gn->d.uniformResourceIdentifier);
    if (n < prefix ||
        memcmp(ASN1_STRING_get0_data(gn->d.uniformResourceIdentifier), URI_PREFIX, prefix) != 0)
        return NULL;
    *len = n - prefix;
    return ASN1_STRING_get0_data(gn->d.uniformResourceIdentifier) + prefix;
}

/* Two names in one certificate would leave it to chance which counts, so that is refused. */
static int name_from_san(const X509 *cert, char name[HG_TLS_NAME_MAX])
{
    int critical, found = 0, rc = -ENOENT;
    GENERAL_NAMES *san = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);

    if (san == NULL && critical != -1)
        return -EINVAL; /* there twice, or not readable: the CN would be another's name */

    for (int i = 0; i < sk_GENERAL_NAME_num(san); i++) {
        size_t len;
        const unsigned char *p = our_uri(sk_GENERAL_NAME_value(san, i), &len);

        if (p != NULL)
            rc = found++ == 0 ? copy_name(p, len, name) : -EINVAL;
    }
    GENERAL_NAMES_free(san);
    return rc;
}

static int name_from_cn(const X509 *cert, char name[HG_TLS_NAME_MAX])
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len, rc;
    unsigned char *utf8 = NULL;

    if (i < 0)
        return -ENOENT;
    if (X509_NAME_get_index_by_NID(subject, NID_commonName, i) >= 0)
        return -EINVAL;
    len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
    if (len < 0)
        return -EINVAL;
    rc = copy_name(utf8, (size_t)len, name);
    OPENSSL_free(utf8);
    return rc;
}

int hg_tls_peer_cert_name(const X509 *cert, char name[HG_TLS_NAME_MAX])
{
    int rc = name_from_san(cert, name);

    if (rc == -ENOENT)
        rc = name_from_cn(cert, name);
    if (rc != 0)
        name[0] = '\0';
    return rc;
}

/* ---- sentences ---- */

/* A gap of this many seconds or less between a validity date and our clock hints at the clock. */
#define SKEW_LIKELY (24 * 3600)

/* "3 h 5 min", "40 s". */
static void span_text(int64_t s, char *text, size_t size)
{
    if (s >= 3600)
        snprintf(text, size, "%d h %d min", (int)(s / 3600), (int)(s % 3600 / 60));
    else if (s >= 60)
        snprintf(text, size, "%d min %d s", (int)(s / 60), (int)(s % 60));
    else
        snprintf(text, size, "%d s", (int)s);
}

static void explain_dates(struct hg_tls_peer *peer, const X509 *cert, const char *subject,
                          bool expired)
{
    char limit[32], now_text[32], gap_text[32];
    char advice[192] = "issue a new certificate, or set the clock if it is wrong";
    int64_t now = (int64_t)time(NULL);
    int64_t at = cert == NULL ? -1
                              : hg_tls_seconds(expired ? X509_get0_notAfter(cert)
                                                       : X509_get0_notBefore(cert));
    int64_t gap = expired ? now - at : at - now;

    hg_tls_date_text(at, limit);
    hg_tls_date_text(now, now_text);
    if (gap <= SKEW_LIKELY) {
        span_text(gap, gap_text, sizeof gap_text);
        snprintf(advice, sizeof advice,
                 "a clock is probably wrong, by at least %s: compare those of this host, the peer "
                 "and the CA, else issue a new certificate",
                 gap_text);
    }
    hg_fail(&peer->why, 0,
            "%s certificate \"%s\" is %s: its %s is %s, and the clock of this host says %s: %s",
            peer->is_client ? "client" : "server", subject, expired ? "expired" : "not valid yet",
            expired ? "notAfter" : "notBefore", limit, now_text, advice);
}

/* The newest list of an issuer; OpenSSL does not tell which one it looked at. */
static const X509_CRL *newest_crl(const struct hg_tls_trust *trust, const X509_NAME *issuer)
{
    const X509_CRL *best = NULL;

    for (int i = 0; trust->crls != NULL && i < sk_X509_CRL_num(trust->crls); i++) {
        const X509_CRL *crl = sk_X509_CRL_value(trust->crls, i);

        if (X509_NAME_cmp(X509_CRL_get_issuer(crl), issuer) == 0 &&
            (best == NULL || hg_tls_seconds(X509_CRL_get0_lastUpdate(crl)) >
                                 hg_tls_seconds(X509_CRL_get0_lastUpdate(best))))
            best = crl;
    }
    return best;
}

/* A revocation list is at fault, not the peer. */
static void explain_crl(struct hg_tls_peer *peer, X509_STORE_CTX *x, const char *subject, int code)
{
    const X509 *cert = X509_STORE_CTX_get_current_cert(x);
    const X509_NAME *name = cert == NULL ? NULL : X509_get_issuer_name(cert);
    const X509_CRL *crl = name == NULL ? NULL : newest_crl(peer->trust, name);
    char issuer[HG_TLS_SUBJECT_MAX], limit[32], now_text[32];

    hg_tls_name_text(name, issuer);
    if (crl == NULL || code == X509_V_ERR_UNABLE_TO_GET_CRL) {
        hg_fail(&peer->why, 0,
                "certificate \"%s\" is refused: CRL file %s has no revocation list of its CA "
                "\"%s\": get one and load it (headgatectl reload)",
                subject, peer->trust->crl_file, issuer);
        return;
    }
    if (code != X509_V_ERR_CRL_HAS_EXPIRED && code != X509_V_ERR_CRL_NOT_YET_VALID) {
        hg_fail(&peer->why, 0,
                "certificate \"%s\" is refused: in CRL file %s the revocation list of CA \"%s\" "
                "cannot be used: %s: get a right one and load it (headgatectl reload)",
                subject, peer->trust->crl_file, issuer, X509_verify_cert_error_string(code));
        return;
    }
    hg_tls_date_text(hg_tls_seconds(code == X509_V_ERR_CRL_NOT_YET_VALID
                                        ? X509_CRL_get0_lastUpdate(crl)
                                        : X509_CRL_get0_nextUpdate(crl)),
                     limit);
    hg_tls_date_text((int64_t)time(NULL), now_text);
    hg_fail(&peer->why, 0,
            "certificate \"%s\" is refused: in CRL file %s the revocation list of CA \"%s\" %s %s, "
            "and the clock of this host says %s: get a new list and load it (headgatectl reload)",
            subject, peer->trust->crl_file, issuer,
            code == X509_V_ERR_CRL_NOT_YET_VALID ? "is valid from" : "was to be replaced by", limit,
            now_text);
}

struct advice {
    int code;
    const char *text;
};

static const struct advice advice[] = {
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "its issuer is not"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "its issuer is not"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "its issuer is not"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "its root is not"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "it is self-signed and not"},
};

/* Why the chain does not end in our CA; NULL when that is not the reason. */
static const char *issuer_problem(int code)
{
    for (size_t i = 0; i < HG_ARRAY_LEN(advice); i++)
        if (advice[i].code == code)
            return advice[i].text;
    return NULL;
}

/* Kinds of refusal: what is counted, and which alert RFC 8446 6.2 has for it. */
enum reason {
    DATES,   /* certificate_expired: "has expired or is not currently valid" */
    UNKNOWN, /* unknown_ca */
    USAGE,   /* unsupported_certificate */
    WEAK,    /* bad_certificate */
    REVOKED, /* certificate_revoked */
    NO_CRL,  /* certificate_unknown: it may well be good, but our list is not */
    WRONG_NAME,
    OTHER,
};

static enum reason reason_of(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return DATES;
    case X509_V_ERR_INVALID_PURPOSE:
        return USAGE;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return WEAK;
    case X509_V_ERR_CERT_REVOKED:
        return REVOKED;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
        return NO_CRL;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return WRONG_NAME;
    default:
        return issuer_problem(code) != NULL ? UNKNOWN : OTHER;
    }
}

/* What is said of a leaf, or of a CA above it, that is at fault by itself. */
static void explain_cert(struct hg_tls_peer *peer, const char *subject, enum reason reason,
                         int code)
{
    const char *who = peer->is_client ? "client" : "server", *ca_file = peer->trust->ca_file;

    if (reason == UNKNOWN)
        hg_fail(&peer->why, 0,
                "%s certificate \"%s\" is refused: %s in CA file %s: have it signed by a CA of "
                "that file, or add its CA there",
                who, subject, issuer_problem(code), ca_file);
    else if (reason == USAGE)
        hg_fail(&peer->why, 0,
                "%s certificate \"%s\" is refused: its extended key usage does not allow %s: issue "
                "one that does",
                who, subject, peer->is_client ? "clientAuth" : "serverAuth");
    else if (reason == WEAK)
        hg_fail(&peer->why, 0,
                "certificate \"%s\" of the %s's chain is refused: %s: RSA keys need 2048 bits and "
                "signatures SHA-256; issue a new one",
                subject, who, X509_verify_cert_error_string(code));
    else if (reason == REVOKED)
        hg_fail(&peer->why, 0,
                "certificate \"%s\" of the %s's chain is refused: it is revoked by CRL file %s: "
                "issue a new one if it shall come again",
                subject, who, peer->trust->crl_file);
    else if (reason == WRONG_NAME)
        hg_fail(&peer->why, 0,
                "server certificate \"%s\" is not for \"%s\": check the address in use, or add it "
                "to the certificate's subject alternative names",
                subject, peer->server_name == NULL ? "" : peer->server_name);
    else
        hg_fail(&peer->why, 0, "%s certificate \"%s\" is refused: %s: check it and CA file %s", who,
                subject, X509_verify_cert_error_string(code), ca_file);
}

static void explain(struct hg_tls_peer *peer, X509_STORE_CTX *x, enum reason reason)
{
    int code = X509_STORE_CTX_get_error(x);
    /* These are about one certificate of the chain; for the rest an operator looks for the leaf. */
    bool one = reason == DATES || reason == WEAK || reason == REVOKED;
    const X509 *cert = one ? X509_STORE_CTX_get_current_cert(x) : X509_STORE_CTX_get0_cert(x);
    char subject[HG_TLS_SUBJECT_MAX];

    hg_tls_name_text(cert == NULL ? NULL : X509_get_subject_name(cert), subject);
    if (reason == DATES)
        explain_dates(peer, cert, subject, code == X509_V_ERR_CERT_HAS_EXPIRED);
    else if (reason == NO_CRL)
        explain_crl(peer, x, subject, code);
    else
        explain_cert(peer, subject, reason, code);
}

/* ---- verification ---- */

static void count_refused(struct hg_tls_peer *peer, enum reason reason)
{
    struct hg_tls_counters *c = peer->counters;

    c->bad_client_cert += peer->is_client;
    c->bad_server_cert += !peer->is_client;
    c->cert_expired += reason == DATES;
    c->unknown_ca += reason == UNKNOWN;
    c->cert_usage += reason == USAGE;
    c->cert_weak += reason == WEAK;
    c->cert_revoked += reason == REVOKED;
    c->no_crl += reason == NO_CRL;
}

/* OpenSSL has no alert for this code of its own, so it sends certificate_unknown. */
#define CODE_FOR_CERTIFICATE_UNKNOWN X509_V_ERR_NO_VALID_SCTS

/* OpenSSL makes the alert from the code; where that is not the RFC's, another code is. */
static void set_alert(X509_STORE_CTX *x, enum reason reason)
{
    int code = X509_STORE_CTX_get_error(x);

    if (reason == DATES)
        code = X509_V_ERR_CERT_HAS_EXPIRED;
    else if (reason == NO_CRL)
        code = CODE_FOR_CERTIFICATE_UNKNOWN;
    else if (code == X509_V_ERR_CERT_SIGNATURE_FAILURE)
        code = X509_V_ERR_CERT_REJECTED; /* bad_certificate: "signatures that did not verify" */
    else if (code == X509_V_OK)
        code = X509_V_ERR_UNSPECIFIED;
    X509_STORE_CTX_set_error(x, code);
}

static int refuse(struct hg_tls_peer *peer, X509_STORE_CTX *x)
{
    enum reason reason = reason_of(X509_STORE_CTX_get_error(x));

    explain(peer, x, reason);
    count_refused(peer, reason);
    set_alert(x, reason);
    return 0;
}

static void refuse_name(struct hg_tls_peer *peer, X509_STORE_CTX *x, int rc)
{
    char subject[HG_TLS_SUBJECT_MAX];

    peer->counters->bad_name++;
    X509_STORE_CTX_set_error(x, X509_V_ERR_CERT_REJECTED); /* alert bad_certificate */
    hg_tls_name_text(X509_get_subject_name(X509_STORE_CTX_get0_cert(x)), subject);
    hg_fail(&peer->why, 0,
            "client certificate \"%s\" %s: give it one URI " URI_PREFIX
            "NAME or one CN, of 1 to 127 characters A-Z a-z 0-9 . _ -",
            subject, rc == -ENOENT ? "names no source" : "has an unusable source name");
}

/* What is in the CA file is trusted because it is there: no list of whoever signed it is asked for.
 * The signature is OpenSSL's. */
static int anchor_cb(int ok, X509_STORE_CTX *x)
{
    int last = sk_X509_num(X509_STORE_CTX_get0_chain(x)) - 1;

    if (ok || X509_STORE_CTX_get_error(x) != X509_V_ERR_UNABLE_TO_GET_CRL ||
        X509_STORE_CTX_get_error_depth(x) != last)
        return ok;
    X509_STORE_CTX_set_error(x, X509_V_OK);
    return 1;
}

/* Of a client: whether the server's key is one that it knows. */
static bool server_pinned(struct hg_tls_peer *peer, X509_STORE_CTX *x)
{
    const struct hg_tls_trust *trust = peer->trust;
    char subject[HG_TLS_SUBJECT_MAX], text[HG_PIN_TEXT] = "?";
    X509 *cert = X509_STORE_CTX_get0_cert(x);
    struct hg_pin pin;
    bool have = hg_tls_cert_pin(cert, &pin) == 0;

    for (unsigned i = 0; have && i < trust->n_server_pins; i++)
        if (memcmp(&trust->server_pin[i], &pin, sizeof pin) == 0)
            return true;
    if (have)
        hg_pin_text(&pin, text);
    hg_tls_name_text(X509_get_subject_name(cert), subject);
    peer->counters->pin_refused++;
    X509_STORE_CTX_set_error(x, CODE_FOR_CERTIFICATE_UNKNOWN);
    hg_fail(&peer->why, 0,
            "server certificate \"%s\" has key %s, which is not the pinned one: if its key was "
            "changed on purpose pin the new one, else somebody stands in between",
            subject, text);
    return false;
}

int hg_tls_peer_verify(X509_STORE_CTX *x, struct hg_tls_peer *peer)
{
    int rc;

    X509_STORE_CTX_set_verify_cb(x, anchor_cb);
    rc = X509_verify_cert(x);
    if (rc <= 0)
        return refuse(peer, x);
    if (!peer->is_client && peer->trust->n_server_pins != 0 && !server_pinned(peer, x))
        return 0;
    rc = hg_tls_peer_cert_name(X509_STORE_CTX_get0_cert(x), peer->name);
    if (rc != 0 && peer->is_client) {
        refuse_name(peer, x, rc);
        return 0;
    }
    return 1;
}

int hg_tls_verify_server(X509_STORE_CTX *x, const struct hg_tls_server_check *check,
                         struct hg_err *why)
{
    struct hg_tls_trust trust = {.ca_file = (char *)check->ca_file}; /* is only read */
    struct hg_tls_counters counters = {0};
    struct hg_tls_peer peer = {.trust = &trust, .counters = &counters};

    if (hg_tls_trust_server_pins(&trust, check->pins, why) != 0) {
        X509_STORE_CTX_set_error(x, X509_V_ERR_UNSPECIFIED);
        return 0;
    }
    if (hg_tls_peer_verify(x, &peer) == 1)
        return 1;
    *why = peer.why;
    return 0;
}

int hg_tls_peer_pinned(struct hg_tls_peer *peer, X509 *cert)
{
    const struct hg_tls_trust *trust = peer->trust;
    char name[HG_TLS_NAME_MAX], text[HG_PIN_TEXT];
    enum hg_pins_verdict verdict;
    struct hg_pin pin;

    if (!peer->is_client || trust->pins == NULL || cert == NULL)
        return 0;
    if (hg_tls_peer_cert_name(cert, name) != 0 || hg_tls_cert_pin(cert, &pin) != 0)
        return hg_fail(&peer->why, -EACCES, "the client's certificate has no name or no key");
    verdict = hg_pins_check(trust->pins, name, &pin);
    if (verdict == HG_PINS_MATCH || (verdict == HG_PINS_UNLISTED && !trust->pins_only))
        return 0;
    hg_pin_text(&pin, text);
    peer->counters->pin_refused++;
    return hg_fail(
        &peer->why, -EACCES,
        verdict == HG_PINS_UNLISTED
            ? "source %s is refused: pins file %s has no line for it, and only sources "
              "with one may come: if it shall, add: %s %s"
            : "source %s is refused: its key is none of those in pins file %s: if it was "
              "changed on purpose, add: %s %s",
        name, trust->pins_file, name, text);
}
