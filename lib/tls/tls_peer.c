/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_peer.h"
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#define URI_PREFIX "headgate:source/"
#define SUBJECT_MAX 160u /* bytes of a subject in a sentence */

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
    GENERAL_NAMES *san = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int found = 0, rc = -ENOENT;

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

/* The subject in RFC 2253 form, which escapes whatever is not printable ASCII. */
static void subject_text(const X509 *cert, char text[SUBJECT_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = 0;

    if (cert != NULL && bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(bio, text, SUBJECT_MAX - 1);
    text[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

static void date_text(const struct tm *tm, char *text, size_t size)
{
    if (strftime(text, size, "%Y-%m-%d %H:%M:%S UTC", tm) == 0)
        text[0] = '\0';
}

static void explain_dates(struct hg_tls_peer *peer, const X509 *cert, const char *subject,
                          bool expired)
{
    char limit[32] = "?", now_text[32] = "?";
    struct tm tm;
    time_t now = time(NULL);

    if (cert != NULL &&
        ASN1_TIME_to_tm(expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), &tm) == 1)
        date_text(&tm, limit, sizeof limit);
    if (gmtime_r(&now, &tm) != NULL)
        date_text(&tm, now_text, sizeof now_text);
    hg_fail(&peer->why, 0,
            "certificate \"%s\" is %s: %s %s, and the clock of this host says %s: %s, or set the "
            "clock if it is wrong",
            subject, expired ? "expired" : "not valid yet",
            expired ? "its notAfter is" : "its notBefore is", limit, now_text,
            expired ? "issue a new certificate" : "compare the clocks of both hosts and of the CA");
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

static void explain(struct hg_tls_peer *peer, X509_STORE_CTX *x)
{
    int code = X509_STORE_CTX_get_error(x);
    bool dates = code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID;
    /* Dates are about one certificate of the chain; for the rest an operator looks for the leaf. */
    const X509 *cert = dates ? X509_STORE_CTX_get_current_cert(x) : X509_STORE_CTX_get0_cert(x);
    const char *who = peer->is_client ? "client" : "server", *problem = issuer_problem(code);
    char subject[SUBJECT_MAX];

    subject_text(cert, subject);
    if (dates)
        explain_dates(peer, cert, subject, code == X509_V_ERR_CERT_HAS_EXPIRED);
    else if (problem != NULL)
        hg_fail(&peer->why, 0,
                "%s certificate \"%s\" is refused: %s in CA file %s: have it signed by a CA of "
                "that file, or add its CA there",
                who, subject, problem, peer->ca_file);
    else if (code == X509_V_ERR_INVALID_PURPOSE)
        hg_fail(&peer->why, 0,
                "%s certificate \"%s\" is refused: its extended key usage does not allow %s: issue "
                "one that does",
                who, subject, peer->is_client ? "clientAuth" : "serverAuth");
    else if (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH)
        hg_fail(&peer->why, 0,
                "server certificate \"%s\" is not for \"%s\": check the address in use, or add it "
                "to the certificate's subject alternative names",
                subject, peer->server_name == NULL ? "" : peer->server_name);
    else
        hg_fail(&peer->why, 0, "%s certificate \"%s\" is refused: %s: check it and CA file %s", who,
                subject, X509_verify_cert_error_string(code), peer->ca_file);
}

/* ---- verification ---- */

static void count_refused(struct hg_tls_peer *peer, int code)
{
    if (!peer->is_client)
        return;
    peer->counters->bad_client_cert++;
    if (code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID)
        peer->counters->cert_expired++;
}

static void refuse_name(struct hg_tls_peer *peer, X509_STORE_CTX *x, int rc)
{
    char subject[SUBJECT_MAX];

    peer->counters->bad_name++;
    X509_STORE_CTX_set_error(x, X509_V_ERR_CERT_REJECTED); /* alert bad_certificate */
    subject_text(X509_STORE_CTX_get0_cert(x), subject);
    hg_fail(&peer->why, 0,
            "client certificate \"%s\" %s: give it one URI " URI_PREFIX
            "NAME or one CN, of 1 to 127 characters A-Z a-z 0-9 . _ -",
            subject, rc == -ENOENT ? "names no source" : "has an unusable source name");
}

int hg_tls_peer_verify(X509_STORE_CTX *x, struct hg_tls_peer *peer)
{
    int rc = X509_verify_cert(x);

    if (rc <= 0) {
        if (X509_STORE_CTX_get_error(x) == X509_V_OK)
            X509_STORE_CTX_set_error(x, X509_V_ERR_UNSPECIFIED);
        explain(peer, x);
        count_refused(peer, X509_STORE_CTX_get_error(x));
        return 0;
    }
    rc = hg_tls_peer_cert_name(X509_STORE_CTX_get0_cert(x), peer->name);
    if (rc != 0 && peer->is_client) {
        refuse_name(peer, x, rc);
        return 0;
    }
    return 1;
}
