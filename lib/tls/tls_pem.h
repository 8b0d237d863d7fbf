/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading PEM files with sentences, and what is said of their contents. */
#ifndef HEADGATE_TLS_PEM_H
#define HEADGATE_TLS_PEM_H

#include <headgate/base.h>
#include <openssl/types.h>
#include <stdbool.h>

/* Bytes of a PEM file: 20,000 revoked certificates. OpenSSL hashes a revocation list in each handshake
 * that it concerns, before it knows that the peer has the key, so its size is a cost of strangers. */
#define HG_TLS_FILE_MAX (1 << 20)
#define HG_TLS_SUBJECT_MAX 160u /* bytes of a subject in a sentence, NUL included */

/* OpenSSL's reason for the newest error on this thread; empties the queue. */
const char *hg_tls_reason(void);

/* Opens a file for reading; free with BIO_free(). 0, or negative errno with a sentence that begins
 * with `what`. */
int hg_tls_pem_open(const char *what, const char *file, BIO **out, struct hg_err *err);

/* The private key of a file without pass phrase, or NULL with OpenSSL's error queued. Its bytes are
 * nowhere but in OpenSSL's memory, and erased there. */
EVP_PKEY *hg_tls_pem_key(const char *file);

/* A name in RFC 2253 form, which escapes whatever is not printable ASCII. */
void hg_tls_name_text(const X509_NAME *name, char text[HG_TLS_SUBJECT_MAX]);

/* Seconds since 1970; -1 when it is no date. */
int64_t hg_tls_seconds(const ASN1_TIME *t);
/* "2026-11-21 15:00:00 UTC". */
void hg_tls_date_text(int64_t seconds, char text[32]);

/* Takes the next item of a list separated by commas, without the blanks around it and cut to size;
 * *list goes behind it and is NULL after the last. False when *list is NULL. */
bool hg_tls_next_item(const char **list, char *item, size_t size);

#endif /* HEADGATE_TLS_PEM_H */
