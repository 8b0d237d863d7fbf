/* SPDX-License-Identifier: BSD-3-Clause */
/* Pins and the allow-list: read strictly, with the line of what is wrong. */
#include <headgate/tls_pin.h>
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZERO "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ONES "sha256///////////////////////////////////////////8="
#define ABCD "sha256/KRHVeB9zb8Re4Y2xnyrQ1hNSYaRDlyvqsxWIvwHO2Pw="

static void test_text(void)
{
    static const char *const good[] = {ZERO, ONES, ABCD};
    static const char *const bad[] = {
        "",
        "sha256/",
        "sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "SHA256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",   /* short */
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",  /* 33 bytes */
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", /* long */
        "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",  /* a bit that no byte has */
        "sha256/AAAAAAAAAAAAAAAAAAAAAA-AAAAAAAAAAAAAAAAAAAA=",  /* base64url */
        "sha256/AAAAAAAAAAAAAAAAAAAAAA=AAAAAAAAAAAAAAAAAAAA=",
        "sha256/AAAAAAAAAAAAAAAAAAAAAA AAAAAAAAAAAAAAAAAAAA=",
    };
    char text[HG_PIN_TEXT];
    struct hg_pin pin;

    for (size_t i = 0; i < HG_ARRAY_LEN(good); i++) {
        CU_ASSERT_EQUAL(hg_pin_parse(good[i], strlen(good[i]), &pin), 0);
        hg_pin_text(&pin, text);
        CU_ASSERT_STRING_EQUAL(text, good[i]);
    }
    for (size_t i = 0; i < HG_ARRAY_LEN(bad); i++)
        CU_ASSERT_EQUAL(hg_pin_parse(bad[i], strlen(bad[i]), &pin), -EINVAL);
    /* SHA-256 of nothing, from FIPS 180-4's examples */
    CU_ASSERT_EQUAL(hg_pin_of_spki((const uint8_t *)"", 0, &pin), 0);
    hg_pin_text(&pin, text);
    CU_ASSERT_STRING_EQUAL(text, "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

static enum hg_pins_verdict check(const struct hg_pins *pins, const char *name, const char *text)
{
    struct hg_pin pin;

    CU_ASSERT_EQUAL_FATAL(hg_pin_parse(text, strlen(text), &pin), 0);
    return hg_pins_check(pins, name, &pin);
}

static void test_list(void)
{
    static const char text[] = "# sources\n"
                               "\n"
                               "web-02 " ZERO "\n"
                               " \tdb_1.x\t  " ONES " \r\n"
                               "   # and again\n"
                               "web-02   " ABCD "\n"
                               "a " ABCD; /* no newline at the end */
    struct hg_pins *pins;
    struct hg_err err = {""};

    CU_ASSERT_EQUAL_FATAL(hg_pins_parse(text, strlen(text), &pins, &err), 0);
    CU_ASSERT_EQUAL(hg_pins_count(pins), 4);
    CU_ASSERT_EQUAL(check(pins, "web-02", ZERO), HG_PINS_MATCH);
    CU_ASSERT_EQUAL(check(pins, "web-02", ABCD), HG_PINS_MATCH);
    CU_ASSERT_EQUAL(check(pins, "web-02", ONES), HG_PINS_MISMATCH);
    CU_ASSERT_EQUAL(check(pins, "db_1.x", ONES), HG_PINS_MATCH);
    CU_ASSERT_EQUAL(check(pins, "a", ZERO), HG_PINS_MISMATCH);
    CU_ASSERT_EQUAL(check(pins, "web-0", ZERO), HG_PINS_UNLISTED);
    CU_ASSERT_EQUAL(check(pins, "web-022", ZERO), HG_PINS_UNLISTED);
    CU_ASSERT_EQUAL(check(pins, "", ZERO), HG_PINS_UNLISTED);
    CU_ASSERT_EQUAL(check(pins, "z", ZERO), HG_PINS_UNLISTED);
    hg_pins_free(pins);
    CU_ASSERT_EQUAL_FATAL(hg_pins_parse("", 0, &pins, &err), 0);
    CU_ASSERT_EQUAL(hg_pins_count(pins), 0);
    CU_ASSERT_EQUAL(check(pins, "a", ZERO), HG_PINS_UNLISTED);
    hg_pins_free(pins);
    hg_pins_free(NULL);
}

static void refused(const char *text, size_t len, const char *words)
{
    struct hg_pins *pins;
    struct hg_err err = {""};

    CU_ASSERT(hg_pins_parse(text, len, &pins, &err) < 0);
    CU_ASSERT_PTR_NULL(pins);
    if (strstr(err.text, words) == NULL)
        printf("\n\"%s\" is not in: %s\n", words, err.text);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
}

static void test_refused(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"web-01\n", "line 1: after the name web-01 comes one pin"},
        {"\nweb-01 " ZERO " " ONES "\n", "line 2: after the name web-01 comes one pin"},
        {ZERO "\n", "line 1: a source's name has 1 to 127 characters"},
        {"#\nweb/01 " ZERO "\n", "line 2: a source's name"},
        {"w\xc3\xa9 " ZERO "\n", "line 1: a source's name"},
        {"web-01 " ZERO " # mine\n", "line 1: after the name web-01"},
        {"b " ZERO "\na " ZERO "\n\nb " ZERO "\n", "line 4: the same as line 1"},
        {"a " ZERO "\r\rb " ZERO, "line 1: after the name a"},
    };
    char name[256];

    for (size_t i = 0; i < HG_ARRAY_LEN(cases); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].words);
    refused("a\0b " ZERO, 5 + sizeof ZERO - 2, "line 1: a source's name");
    memset(name, 'n', 128);
    strcpy(name + 128, " " ZERO "\n");
    refused(name, strlen(name), "line 1: a source's name");
    refused(name + 1, strlen(name + 1) - 3, "line 1: after the name nnn");
}

static void test_bound(void)
{
    size_t size = (HG_PINS_MAX + 1) * (size_t)(HG_PIN_TEXT + 8), len = 0;
    char *text = malloc(size);
    struct hg_pins *pins;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (unsigned i = 0; i <= HG_PINS_MAX; i++)
        len += (size_t)snprintf(text + len, size - len, "%06u %s\n", i, ZERO);
    refused(text, len, "line 65537: more than 65536 pins");
    len -= HG_PIN_TEXT + 7;
    CU_ASSERT_EQUAL(hg_pins_parse(text, len, &pins, NULL), 0);
    CU_ASSERT_EQUAL(hg_pins_count(pins), HG_PINS_MAX);
    CU_ASSERT_EQUAL(check(pins, "065535", ZERO), HG_PINS_MATCH);
    hg_pins_free(pins);
    free(text);
}

static void test_file(void)
{
    struct hg_pins *pins;
    struct hg_err err = {""};

    CU_ASSERT_EQUAL(hg_pins_load("/nowhere/pins", &pins, &err), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "pins file /nowhere/pins: No such file"));
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("tls_pin", NULL, NULL);
    CU_add_test(suite, "a pin has one form", test_text);
    CU_add_test(suite, "a name has the keys of its lines", test_list);
    CU_add_test(suite, "what is wrong is told by its line", test_refused);
    CU_add_test(suite, "a list has a bound", test_bound);
    CU_add_test(suite, "a missing file is named", test_file);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
