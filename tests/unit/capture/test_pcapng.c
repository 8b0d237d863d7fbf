/* SPDX-License-Identifier: BSD-3-Clause */
/* The bytes of a capture file; that others' tools read it is shown by tests/e2e/capture.bats. */
#include "pcapng.h"
#include <CUnit/Basic.h>
#include <string.h>

static uint8_t buf[PCAPNG_BEGIN_MAX];

static uint32_t word(size_t at)
{
    uint32_t v;

    memcpy(&v, buf + at, sizeof v);
    return v;
}

/* Both lengths of the block at `at` agree and are whole words; returns where the next begins. */
static size_t next_block(size_t at, uint32_t type)
{
    uint32_t len = word(at + 4);

    CU_ASSERT_EQUAL_FATAL(word(at), type);
    CU_ASSERT_FATAL(len % 4 == 0 && len >= 12);
    CU_ASSERT_EQUAL(word(at + len - 4), len);
    return at + len;
}

/* Finds an option of the block whose options begin at `at`; its length, or -1. */
static int option(size_t at, uint16_t code, const uint8_t **value)
{
    for (;;) {
        uint16_t c, len;

        memcpy(&c, buf + at, 2);
        memcpy(&len, buf + at + 2, 2);
        if (c == 0)
            return -1;
        *value = buf + at + 4;
        if (c == code)
            return len;
        at += 4u + ((len + 3u) & ~3u);
    }
}

static void test_begin(void)
{
    const struct pcapng_interface interface = {.application = "headgate",
                                               .name = "net_tap0",
                                               .description = "",
                                               .filter = "tcp port 1500",
                                               .mac = {2, 0, 0, 0, 0, 1},
                                               .snaplen = 1522};
    size_t len = pcapng_begin(buf, &interface), second = next_block(0, 0x0A0D0D0A);
    const uint8_t *value = NULL;

    CU_ASSERT_EQUAL(word(8), 0x1A2B3C4D);
    CU_ASSERT_EQUAL(next_block(second, 1), len);
    CU_ASSERT_EQUAL(word(second + 8), 1); /* Ethernet */
    CU_ASSERT_EQUAL(word(second + 12), 1522);
    CU_ASSERT_EQUAL(option(second + 16, 2, &value), 8);
    CU_ASSERT_EQUAL(memcmp(value, "net_tap0", 8), 0);
    CU_ASSERT_EQUAL(option(second + 16, 3, &value), -1); /* an empty text is left out */
    CU_ASSERT_EQUAL(option(second + 16, 9, &value), 1);
    CU_ASSERT_EQUAL(*value, 9);
    CU_ASSERT_EQUAL(option(second + 16, 11, &value), 14);
    CU_ASSERT_EQUAL(memcmp(value, "\0tcp port 1500", 14), 0);
}

static void test_texts_are_bounded(void)
{
    char longer[2 * PCAPNG_TEXT_MAX + 1];
    struct pcapng_interface interface = {
        .application = longer, .name = longer, .description = longer, .filter = longer};
    size_t len;

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    len = pcapng_begin(buf, &interface);
    CU_ASSERT_TRUE(len <= PCAPNG_BEGIN_MAX);
    CU_ASSERT_EQUAL(next_block(next_block(0, 0x0A0D0D0A), 1), len);
}

static void test_packet(void)
{
    for (uint32_t n = 1; n <= 5; n++) {
        const struct pcapng_packet packet = {.time = UINT64_C(0x1122334455667788),
                                             .data = "abcde",
                                             .captured = n,
                                             .original = 1500,
                                             .queue = 3,
                                             .out = n % 2};
        size_t len = pcapng_packet(buf, &packet), options = 28 + ((n + 3) & ~3u);
        const uint8_t *value = NULL;

        CU_ASSERT_TRUE(len <= PCAPNG_BLOCK_MAX + n);
        CU_ASSERT_EQUAL(next_block(0, 6), len);
        CU_ASSERT_EQUAL(word(12), 0x11223344);
        CU_ASSERT_EQUAL(word(16), 0x55667788);
        CU_ASSERT_EQUAL(word(20), n);
        CU_ASSERT_EQUAL(word(24), 1500);
        CU_ASSERT_EQUAL(memcmp(buf + 28, "abcde", n), 0);
        CU_ASSERT_EQUAL_FATAL(option(options, 2, &value), 4);
        CU_ASSERT_EQUAL(*value, n % 2 ? 2 : 1); /* outbound, inbound */
        CU_ASSERT_EQUAL_FATAL(option(options, 6, &value), 4);
        CU_ASSERT_EQUAL(*value, 3);
    }
}

static void test_end(void)
{
    const struct pcapng_totals totals = {
        .start = 1, .end = 2, .received = 100, .accepted = 50, .dropped = 7};
    size_t len = pcapng_end(buf, &totals);
    const uint8_t *value = NULL;

    CU_ASSERT_TRUE(len <= PCAPNG_BLOCK_MAX);
    CU_ASSERT_EQUAL(next_block(0, 5), len);
    CU_ASSERT_EQUAL_FATAL(option(20, 4, &value), 8);
    CU_ASSERT_EQUAL(*value, 100);
    CU_ASSERT_EQUAL_FATAL(option(20, 6, &value), 8);
    CU_ASSERT_EQUAL(*value, 50);
    CU_ASSERT_EQUAL_FATAL(option(20, 7, &value), 8);
    CU_ASSERT_EQUAL(*value, 7);
}

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("pcapng", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "section and interface", test_begin) ||
        !CU_add_test(suite, "texts are bounded", test_texts_are_bounded) ||
        !CU_add_test(suite, "packet", test_packet) || !CU_add_test(suite, "totals", test_end))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
