/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pins: the SHA-256 of a public key (of its SubjectPublicKeyInfo, as RFC 7469 2.4), written
 * "sha256/" and the 44 characters of its Base64. They outlive certificates: a new certificate for
 * the same key has the same pin.
 *
 * An allow-list of pins is a text file of lines
 *     NAME sha256/BASE64
 * where NAME is a source's; several lines of a name mean any of these keys. Blank lines and lines
 * that begin with # are passed over. Anything else is an error with its line's number.
 */
#ifndef HEADGATE_TLS_PIN_H
#define HEADGATE_TLS_PIN_H

#include <headgate/base.h>
#include <stddef.h>

#define HG_PIN_LEN 32u  /* bytes of a SHA-256 */
#define HG_PIN_TEXT 52u /* "sha256/", 44 characters, NUL */

struct hg_pin {
    uint8_t sha256[HG_PIN_LEN];
};

/* Exactly one pin of len characters: 0 or -EINVAL. Only the one Base64 that hg_pin_text() writes
 * is taken. */
int hg_pin_parse(const char *text, size_t len, struct hg_pin *out);
void hg_pin_text(const struct hg_pin *pin, char text[HG_PIN_TEXT]);

/* Of a public key in DER (SubjectPublicKeyInfo, RFC 5280 4.1.2.7). 0 or -EIO. */
int hg_pin_of_spki(const uint8_t *der, size_t len, struct hg_pin *out);

#define HG_PINS_MAX 65536u           /* lines with a pin in an allow-list */
#define HG_PINS_FILE_MAX (16u << 20) /* bytes of its file */

struct hg_pins; /* read-only once made: any thread */

/* From len bytes of text. 0, or a negative errno and a sentence with the line's number. */
int hg_pins_parse(const char *text, size_t len, struct hg_pins **out, struct hg_err *err);
/* From a file; the sentence names it too. */
int hg_pins_load(const char *file, struct hg_pins **out, struct hg_err *err);
/* NULL is allowed. */
void hg_pins_free(struct hg_pins *pins);
/* How many pins it has. */
unsigned hg_pins_count(const struct hg_pins *pins);

enum hg_pins_verdict {
    HG_PINS_UNLISTED, /* no line has this name */
    HG_PINS_MATCH,
    HG_PINS_MISMATCH, /* there are lines of this name, with other keys */
};
enum hg_pins_verdict hg_pins_check(const struct hg_pins *pins, const char *name,
                                   const struct hg_pin *pin);

#endif /* HEADGATE_TLS_PIN_H */
