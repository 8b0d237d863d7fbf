/* SPDX-License-Identifier: BSD-3-Clause */
#include <headgate/tls_pin.h>
#include <headgate/tls.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "sha256/"
#define PREFIX_LEN (sizeof PREFIX - 1)
#define BASE64_LEN 44u /* of 32 bytes (RFC 4648 4): 43 characters and one '=' */

struct entry {
    char name[HG_TLS_NAME_MAX];
    struct hg_pin pin;
    unsigned line; /* for sentences */
};

struct hg_pins {
    struct entry *list; /* ordered by name, then pin */
    unsigned n, cap;
};

/* ---- one pin ---- */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int hg_pin_parse(const char *text, size_t len, struct hg_pin *out)
{
    uint32_t bits = 0, have = 0, n = 0;

    if (len != PREFIX_LEN + BASE64_LEN || memcmp(text, PREFIX, PREFIX_LEN) != 0 ||
        text[len - 1] != '=')
        return -EINVAL;
    for (size_t i = PREFIX_LEN; i < len - 1; i++) {
        int v = base64_value(text[i]);

        if (v < 0)
            return -EINVAL;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out->sha256[n++] = (uint8_t)(bits >> have);
        }
    }
    return (bits & 3u) == 0 ? 0 : -EINVAL; /* RFC 4648 3.5: unused bits are zero */
}

void hg_pin_text(const struct hg_pin *pin, char text[HG_PIN_TEXT])
{
    memcpy(text, PREFIX, PREFIX_LEN);
    EVP_EncodeBlock((unsigned char *)text + PREFIX_LEN, pin->sha256, HG_PIN_LEN);
}

int hg_pin_of_spki(const uint8_t *der, size_t len, struct hg_pin *out)
{
    return EVP_Q_digest(NULL, "SHA256", NULL, der, len, out->sha256, NULL) == 1 ? 0 : -EIO;
}

/* ---- the allow-list ---- */

static int compare(const void *ap, const void *bp)
{
    const struct entry *a = ap, *b = bp;
    int d = strcmp(a->name, b->name);

    return d != 0 ? d : memcmp(&a->pin, &b->pin, sizeof a->pin);
}

static bool name_ok(const char *p, size_t len)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    if (len == 0 || len >= HG_TLS_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (p[i] == '\0' || strchr(allowed, p[i]) == NULL)
            return false;
    return true;
}

static struct entry *new_entry(struct hg_pins *pins)
{
    if (pins->n == pins->cap) {
        unsigned cap = pins->cap == 0 ? 64 : 2 * pins->cap;
        struct entry *list = realloc(pins->list, cap * sizeof *list);

        if (list == NULL)
            return NULL;
        pins->list = list;
        pins->cap = cap;
    }
    return &pins->list[pins->n++];
}

static size_t span_blanks(const char *p, size_t len)
{
    size_t n = 0;

    while (n < len && (p[n] == ' ' || p[n] == '\t'))
        n++;
    return n;
}

/* One line without its end: NAME, blanks, pin; blanks around are allowed. */
static int parse_line(struct hg_pins *pins, const char *p, size_t len, unsigned line,
                      struct hg_err *err)
{
    struct entry *e;
    size_t n = span_blanks(p, len), name_len = 0;

    p += n;
    len -= n;
    while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t' || p[len - 1] == '\r'))
        len--;
    if (len == 0 || p[0] == '#')
        return 0;
    while (name_len < len && p[name_len] != ' ' && p[name_len] != '\t')
        name_len++;
    n = name_len + span_blanks(p + name_len, len - name_len);
    if (!name_ok(p, name_len))
        return hg_fail(err, -EINVAL,
                       "line %u: a source's name has 1 to %u characters A-Z a-z 0-9 . _ -", line,
                       HG_TLS_NAME_MAX - 1);
    if (pins->n == HG_PINS_MAX)
        return hg_fail(err, -E2BIG, "line %u: more than %u pins", line, HG_PINS_MAX);
    e = new_entry(pins);
    if (e == NULL)
        return hg_fail(err, -ENOMEM, "line %u: out of memory", line);
    *e = (struct entry){.line = line};
    memcpy(e->name, p, name_len);
    if (hg_pin_parse(p + n, len - n, &e->pin) != 0)
        return hg_fail(err, -EINVAL,
                       "line %u: after the name %s comes one pin, " PREFIX
                       " and 44 characters of Base64 (headgate-pki pin prints it)",
                       line, e->name);
    return 0;
}

/* A line that is there twice is a mistake of whoever wrote it: perhaps one was meant for another. */
static int check_twice(const struct hg_pins *pins, struct hg_err *err)
{
    for (unsigned i = 1; i < pins->n; i++) {
        const struct entry *a = &pins->list[i - 1], *b = &pins->list[i];

        if (compare(a, b) == 0)
            return hg_fail(err, -EINVAL, "line %u: the same as line %u",
                           a->line > b->line ? a->line : b->line,
                           a->line > b->line ? b->line : a->line);
    }
    return 0;
}

int hg_pins_parse(const char *text, size_t len, struct hg_pins **out, struct hg_err *err)
{
    struct hg_pins *pins = calloc(1, sizeof *pins);
    unsigned line = 1;
    int rc = 0;

    *out = NULL;
    if (pins == NULL)
        return hg_fail(err, -ENOMEM, "out of memory");
    while (rc == 0 && len > 0) {
        const char *end = memchr(text, '\n', len);
        size_t n = end == NULL ? len : (size_t)(end - text);

        rc = parse_line(pins, text, n, line++, err);
        n += end != NULL;
        text += n;
        len -= n;
    }
    if (rc == 0 && pins->n > 1)
        qsort(pins->list, pins->n, sizeof *pins->list, compare);
    if (rc == 0)
        rc = check_twice(pins, err);
    if (rc != 0)
        hg_pins_free(pins);
    else
        *out = pins;
    return rc;
}

/* The whole file, not more than a list may be long. */
static int read_whole(const char *file, char **text, size_t *len, struct hg_err *err)
{
    FILE *f = fopen(file, "re");
    int e = errno;

    if (f == NULL)
        return hg_fail(err, -e, "pins file %s: %s", file, strerror(e));
    *text = malloc(HG_PINS_FILE_MAX + 1);
    *len = *text == NULL ? 0 : fread(*text, 1, HG_PINS_FILE_MAX + 1, f);
    e = *text == NULL ? ENOMEM : ferror(f) ? EIO : *len > HG_PINS_FILE_MAX ? EFBIG : 0;
    fclose(f);
    if (e == 0)
        return 0;
    free(*text);
    return hg_fail(err, -e, "pins file %s: %s", file, strerror(e));
}

int hg_pins_load(const char *file, struct hg_pins **out, struct hg_err *err)
{
    struct hg_err inner = {""};
    char *text = NULL;
    size_t len = 0;
    int rc = read_whole(file, &text, &len, err);

    *out = NULL;
    if (rc != 0)
        return rc;
    rc = hg_pins_parse(text, len, out, &inner);
    free(text);
    return rc == 0 ? 0 : hg_fail(err, rc, "pins file %s, %.300s", file, inner.text);
}

void hg_pins_free(struct hg_pins *pins)
{
    if (pins == NULL)
        return;
    free(pins->list);
    free(pins);
}

unsigned hg_pins_count(const struct hg_pins *pins)
{
    return pins->n;
}

enum hg_pins_verdict hg_pins_check(const struct hg_pins *pins, const char *name,
                                   const struct hg_pin *pin)
{
    unsigned lo = 0, hi = pins->n;

    while (lo < hi) { /* the first of this name */
        unsigned mid = (lo + hi) / 2;

        if (strcmp(pins->list[mid].name, name) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == pins->n || strcmp(pins->list[lo].name, name) != 0)
        return HG_PINS_UNLISTED;
    for (; lo < pins->n && strcmp(pins->list[lo].name, name) == 0; lo++)
        if (memcmp(&pins->list[lo].pin, pin, sizeof *pin) == 0)
            return HG_PINS_MATCH;
    return HG_PINS_MISMATCH;
}
