/* SPDX-License-Identifier: BSD-3-Clause */
/* Wire format: docs/protocol.md sections 2, 3, 6 and 7, at their limits. */
#include <headgate/codec.h>
#include <headgate/proto.h>
#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct hg_frame_limits limits = {65536, 3, 4096};

static struct hg_frame data_frame(void)
{
    return (struct hg_frame){
        .type = HG_FRAME_DATA, .volume = 1, .seq = 1, .payload_len = 4096, .raw_len = 4096};
}

static void test_crc_check_value(void)
{
    CU_ASSERT_EQUAL(hg_crc32c("123456789", 9), 0xe3069283);
}

/* Section 2: any flipped bit is seen, as magic or as CRC. */
static void test_every_bit_is_covered(void)
{
    const struct hg_frame f = {.type = HG_FRAME_ACK,
                               .volume = 0x01020304,
                               .level = 2,
                               .seq = 0x1122334455667788,
                               .epoch = 5};
    uint8_t wire[HG_FRAME_HEADER];
    struct hg_frame got;

    hg_frame_put(wire, &f);
    for (unsigned bit = 0; bit < 8 * HG_FRAME_HEADER; bit++) {
        int rc;

        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(&got, 0x5a, sizeof got);
        rc = hg_frame_get(wire, &got);
        CU_ASSERT_EQUAL(rc, bit < 32 ? HG_PROTO_BAD_MAGIC : HG_PROTO_HEADER_CRC);
        CU_ASSERT_EQUAL(got.type, 0x5a); /* not touched */
        wire[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(hg_frame_get(wire, &got), 0);
    CU_ASSERT_EQUAL(got.seq, f.seq);
}

static void test_offsets_on_the_wire(void)
{
    const struct hg_frame f = {.minor = 0,
                               .type = HG_FRAME_DATA,
                               .codec = 1,
                               .flags = HG_FRAME_RETRANSMIT,
                               .payload_len = 0x01020304,
                               .raw_len = 0x05060708,
                               .payload_crc = 0x090a0b0c,
                               .volume = 0x0d0e0f10,
                               .seq = 0x1112131415161718,
                               .epoch = 0x191a1b1c1d1e1f20,
                               .offset = 0x2122232425262728,
                               .arg = 0x292a2b2c2d2e2f30};
    uint8_t w[HG_FRAME_HEADER];

    hg_frame_put(w, &f);
    CU_ASSERT_EQUAL(memcmp(w, "HGR1", 4), 0);
    CU_ASSERT_EQUAL(w[5], 5);
    CU_ASSERT_EQUAL(w[6], 2);
    CU_ASSERT_EQUAL(w[12], 0x04); /* little-endian */
    CU_ASSERT_EQUAL(w[16], 0x08);
    CU_ASSERT_EQUAL(w[20], 0x0c);
    CU_ASSERT_EQUAL(w[24], 0x10);
    CU_ASSERT_EQUAL(w[28], 1);
    CU_ASSERT_EQUAL(w[32], 0x18);
    CU_ASSERT_EQUAL(w[40], 0x20);
    CU_ASSERT_EQUAL(w[48], 0x28);
    CU_ASSERT_EQUAL(w[56], 0x30);
    CU_ASSERT_EQUAL(w[63], 0x29);
}

/* Each row changes one thing in a good DATA frame. */
static void test_data_limits(void)
{
    struct hg_frame f = data_frame();

    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0);
    f.raw_len = f.payload_len = 65536;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0);
    f.raw_len = f.payload_len = 65537;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_LIMIT);
    f = data_frame();
    f.payload_len = 4097;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_LIMIT);
    f = data_frame();
    f.payload_len = 4095;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_BAD_FIELD);
    f = data_frame();
    f.codec = HG_CODEC_DEFLATE;
    f.payload_len = 4; /* 4 * 1032 >= 4096 */
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0);
    f.payload_len = 3;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_LIMIT);
    f = data_frame();
    f.codec = HG_CODEC_DEFLATE;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &(struct hg_frame_limits){65536, 1, 4096}), HG_PROTO_CODEC);
    f.codec = 32;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &(struct hg_frame_limits){65536, ~0u, 4096}),
                    HG_PROTO_CODEC);
    f = data_frame();
    f.offset = UINT64_MAX - 4095;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0); /* bounds are the session's to check */
    f.offset = 4095;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_BAD_FIELD);
}

static void test_control_limits(void)
{
    struct hg_frame f = {.type = HG_FRAME_OPEN, .volume = 1};

    f.raw_len = f.payload_len = HG_FRAME_CONTROL_MAX;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0);
    f.raw_len = f.payload_len = HG_FRAME_CONTROL_MAX + 1;
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_LIMIT);
    f = (struct hg_frame){.type = HG_FRAME_PING, .codec = 1};
    CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_BAD_FIELD);
}

/* Without IGNORABLE the types outside the table end the session; with it they are skipped. */
static void test_unknown_types(void)
{
    for (unsigned type = 0; type < 256; type++) {
        struct hg_frame f = {.type = (uint8_t)type};
        bool known = type >= HG_FRAME_HELLO && type <= HG_FRAME_BYE;

        if (known)
            continue;
        CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_UNKNOWN_TYPE);
        CU_ASSERT_STRING_EQUAL(hg_frame_type_name(f.type), "unknown");
        f.flags = HG_FRAME_IGNORABLE;
        f.payload_len = HG_FRAME_CONTROL_MAX;
        CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), 0);
        f.payload_len++;
        CU_ASSERT_EQUAL(hg_frame_check(&f, &limits), HG_PROTO_LIMIT);
    }
}

/* Section 7. */
static void test_cost(void)
{
    static const struct {
        uint32_t raw_len, cost;
    } row[] = {{1, 4096},      {4096, 4096},    {4097, 8192},       {12288, 16384},
               {65536, 65536}, {65537, 131072}, {1048576, 1048576}, {524289, 1048576}};
    struct hg_frame f = data_frame();

    for (unsigned i = 0; i < HG_ARRAY_LEN(row); i++) {
        f.raw_len = row[i].raw_len;
        CU_ASSERT_EQUAL(hg_frame_cost(&f), row[i].cost);
    }
    f = (struct hg_frame){.type = HG_FRAME_ZERO, .arg = UINT64_C(1) << 40};
    CU_ASSERT_EQUAL(hg_frame_cost(&f), 4096);
    f.type = HG_FRAME_TRIM;
    CU_ASSERT_EQUAL(hg_frame_cost(&f), 4096);
    f.type = HG_FRAME_BARRIER;
    CU_ASSERT_EQUAL(hg_frame_cost(&f), 4096);
    f.type = HG_FRAME_OPEN;
    CU_ASSERT_EQUAL(hg_frame_cost(&f), 0);
}

/* Section 6: the table as it stands on the page. */
static void test_error_table(void)
{
    static const struct {
        const char *name;
        enum hg_proto_scope scope;
        enum hg_proto_retry retry;
    } page[HG_PROTO_ERRORS] = {
        [1] = {"bad_magic", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [2] = {"header_crc", HG_SCOPE_SESSION, HG_RETRY_NOW},
        [3] = {"version", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [4] = {"unknown_type", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [5] = {"bad_state", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [6] = {"limit", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [7] = {"bad_field", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [8] = {"codec", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [9] = {"decompress", HG_SCOPE_FRAME, HG_RETRY_NOW},
        [10] = {"payload_crc", HG_SCOPE_FRAME, HG_RETRY_NOW},
        [11] = {"bounds", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
        [12] = {"seq_gap", HG_SCOPE_SESSION, HG_RETRY_NOW},
        [13] = {"seq_replay", HG_SCOPE_SESSION, HG_RETRY_NOW},
        [14] = {"no_space", HG_SCOPE_VOLUME, HG_RETRY_AFTER},
        [15] = {"busy", HG_SCOPE_VOLUME, HG_RETRY_AFTER},
        [16] = {"size_mismatch", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
        [17] = {"not_found", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
        [18] = {"bad_name", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
        [19] = {"credit", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [20] = {"too_slow", HG_SCOPE_SESSION, HG_RETRY_NOW},
        [21] = {"idle", HG_SCOPE_SESSION, HG_RETRY_NOW},
        [22] = {"shutdown", HG_SCOPE_SESSION, HG_RETRY_AFTER},
        [23] = {"io_error", HG_SCOPE_SESSION, HG_RETRY_AFTER},
        [24] = {"barrier_mismatch", HG_SCOPE_VOLUME, HG_RETRY_NEVER},
        [25] = {"internal", HG_SCOPE_SESSION, HG_RETRY_AFTER},
        [26] = {"too_many_volumes", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [27] = {"superseded", HG_SCOPE_SESSION, HG_RETRY_NEVER},
        [28] = {"not_reading", HG_SCOPE_SESSION, HG_RETRY_NOW},
    };

    for (unsigned code = 1; code < HG_PROTO_ERRORS; code++) {
        CU_ASSERT_STRING_EQUAL(hg_proto_error_name(code), page[code].name);
        CU_ASSERT_EQUAL(hg_proto_error_scope(code), page[code].scope);
        CU_ASSERT_EQUAL(hg_proto_error_retry(code), page[code].retry);
    }
    CU_ASSERT_STRING_EQUAL(hg_proto_error_name(0), "unknown");
    CU_ASSERT_STRING_EQUAL(hg_proto_error_name(HG_PROTO_ERRORS), "unknown");
    CU_ASSERT_EQUAL(hg_proto_error_scope(65535), HG_SCOPE_SESSION);
    CU_ASSERT_EQUAL(hg_proto_error_retry(65535), HG_RETRY_NEVER);
}

int main(void)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("wire format", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "CRC32C check value", test_crc_check_value) ||
        !CU_add_test(suite, "every header bit is covered", test_every_bit_is_covered) ||
        !CU_add_test(suite, "offsets and byte order", test_offsets_on_the_wire) ||
        !CU_add_test(suite, "limits of DATA", test_data_limits) ||
        !CU_add_test(suite, "limits of control frames", test_control_limits) ||
        !CU_add_test(suite, "unknown types", test_unknown_types) ||
        !CU_add_test(suite, "credit cost", test_cost) ||
        !CU_add_test(suite, "error table", test_error_table))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
