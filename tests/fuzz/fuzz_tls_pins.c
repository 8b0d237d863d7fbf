/* SPDX-License-Identifier: BSD-3-Clause */
/* The allow-list of pins: any bytes are read within their bounds; what was accepted is found again. */
#include <headgate/tls_pin.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size ? size : 1), text[HG_PIN_TEXT]; /* of exactly that size */
    struct hg_pin pin, again;
    struct hg_pins *pins;
    struct hg_err err = {""};

    check(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    if (hg_pin_parse(copy, size, &pin) == 0) {
        hg_pin_text(&pin, text);
        check(strlen(text) == size && memcmp(text, copy, size) == 0);
        check(hg_pin_parse(text, strlen(text), &again) == 0);
        check(memcmp(&pin, &again, sizeof pin) == 0);
    }
    memset(&pin, 0, sizeof pin);
    if (hg_pins_parse(copy, size, &pins, &err) == 0) {
        check(hg_pins_count(pins) <= size / (HG_PIN_TEXT + 1) + 1);
        check(hg_pins_check(pins, "", &pin) == HG_PINS_UNLISTED);
        hg_pins_check(pins, "a", &pin);
        hg_pins_free(pins);
    } else {
        check(pins == NULL && strncmp(err.text, "line ", 5) == 0);
    }
    free(copy);
    return 0;
}
