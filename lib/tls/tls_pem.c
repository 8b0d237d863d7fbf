/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_pem.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_FILE_MAX 65536 /* bytes; what is behind them is not read */

const char *hg_tls_reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return text == NULL ? "unknown reason" : text;
}

/* OpenSSL tells a missing file badly, so we look first. */
int hg_tls_pem_open(const char *what, const char *file, BIO **out, struct hg_err *err)
{
    FILE *f = fopen(file, "re");
    int e = errno;
    struct stat st;

    if (f == NULL)
        return hg_fail(err, -e, "%s file %s: %s", what, file, strerror(e));
    e = fstat(fileno(f), &st) != 0     ? errno
        : S_ISDIR(st.st_mode)          ? EISDIR
        : st.st_size > HG_TLS_FILE_MAX ? EFBIG
                                       : 0;
    *out = e != 0 ? NULL : BIO_new_fp(f, BIO_CLOSE);
    if (*out != NULL)
        return 0;
    fclose(f);
    e = e == 0 ? ENOMEM : e;
    return hg_fail(err, -e, "%s file %s: %s", what, file, strerror(e));
}

/* A daemon must not ask for a pass phrase on a terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)arg;
    return -1;
}

/* Not through stdio, whose buffer would keep the key. */
EVP_PKEY *hg_tls_pem_key(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    uint8_t *text = fd < 0 ? NULL : OPENSSL_malloc(KEY_FILE_MAX);
    EVP_PKEY *key = NULL;
    ssize_t n = 1;
    int len = 0;

    while (text != NULL && n > 0 && len < KEY_FILE_MAX) {
        n = read(fd, text + len, (size_t)(KEY_FILE_MAX - len));
        len += n > 0 ? (int)n : 0;
    }
    if (text != NULL && n >= 0) {
        BIO *bio = BIO_new_mem_buf(text, len);

        key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
    }
    OPENSSL_clear_free(text, KEY_FILE_MAX);
    if (fd >= 0)
        close(fd);
    return key;
}

void hg_tls_name_text(const X509_NAME *name, char text[HG_TLS_SUBJECT_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = 0;

    if (name != NULL && bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_read(bio, text, HG_TLS_SUBJECT_MAX - 1);
    text[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

int64_t hg_tls_seconds(const ASN1_TIME *t)
{
    struct tm tm;

    return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : -1;
}

void hg_tls_date_text(int64_t seconds, char text[32])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        strcpy(text, "?");
}

bool hg_tls_next_item(const char **list, char *item, size_t size)
{
    const char *p;
    size_t len;

    if (*list == NULL)
        return false;
    p = *list + strspn(*list, " \t");
    len = strcspn(p, ",");
    *list = p[len] == ',' ? p + len + 1 : NULL;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
        len--;
    snprintf(item, size, "%.*s", (int)len, p);
    return true;
}
