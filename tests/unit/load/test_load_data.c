/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Data of headgate-load: content that can be made twice, images with holes, the latency histogram,
 * the manifest and its check. Writes into the directory given. Usage: test_load_data DIR
 */
#include "check.h"
#include "feed.h"
#include "hist.h"
#include "manifest.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIX(s)                                                                                     \
    {                                                                                              \
        .n = 1, .size = {s}, .weight = {1}, .weight_sum = 1                                        \
    }

static const char *directory;

static void path_of(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", directory, name);
}

static double deflate_ratio(double wanted, uint32_t len)
{
    static uint8_t raw[65536], comp[65536], scratch[HG_DEFLATE_SCRATCH];
    struct gen gen;
    uint64_t in = 0, out = 0;

    CU_ASSERT_EQUAL_FATAL(gen_init(&gen, 7, wanted, len), 0);
    for (uint64_t i = 100; i < 120; i++) {
        const struct gen_place place = {3, i * len, i};
        uint32_t n;

        gen_fill(&gen, &place, raw, len);
        n = hg_deflate(comp, len, raw, len, scratch);
        in += len;
        out += n == 0 ? len : n;
    }
    return (double)in / (double)out;
}

static void test_compress_ratio(void)
{
    static const double ratio[] = {1, 1.5, 2, 3, 4};

    for (unsigned i = 0; i < HG_ARRAY_LEN(ratio); i++) {
        double big = deflate_ratio(ratio[i], 65536), small = deflate_ratio(ratio[i], 4096);

        CU_ASSERT(big > ratio[i] * 0.95 && big < ratio[i] * 1.05);
        CU_ASSERT(ratio[i] > 3 || (small > ratio[i] * 0.9 && small < ratio[i] * 1.1));
    }
}

/* A block depends on its own place only, not on the extent that it was made with. */
static void test_content_is_reproducible(void)
{
    static uint8_t a[65536], b[4096];
    struct gen gen;
    struct gen_place place = {1, 65536, 5};

    CU_ASSERT_EQUAL_FATAL(gen_init(&gen, 7, 2, 65536), 0);
    gen_fill(&gen, &place, a, sizeof a);
    for (unsigned i = 0; i < 16; i++) {
        place.offset = 65536 + i * 4096u;
        gen_fill(&gen, &place, b, i == 15 ? 512 : sizeof b);
        CU_ASSERT_EQUAL(memcmp(a + i * 4096, b, i == 15 ? 512 : sizeof b), 0);
    }
    place = (struct gen_place){1, 65536, 6};
    gen_fill(&gen, &place, b, sizeof b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof b), 0);
    place = (struct gen_place){2, 65536, 5};
    gen_fill(&gen, &place, b, sizeof b);
    CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof b), 0);
}

/* Shares and bounds of a synthetic feed; every byte of the volume is written once in order. */
static void test_synthetic_feed(void)
{
    static struct load_options opt = {.mix = MIX(65536), .zero_pct = 30};
    struct feed feed = {
        .opt = &opt, .size = (64u << 20) + 512, .left = (64u << 20) + 512, .rng = 5};
    struct hg_source_op op;
    uint64_t at = 0, zeros = 0, n = 0;

    while (feed_next(&feed, NULL, 1, &op, NULL) == 1) {
        CU_ASSERT_EQUAL(op.offset, at);
        CU_ASSERT_EQUAL(op.tag, ++n);
        at += op.len;
        zeros += op.type == HG_FRAME_ZERO;
    }
    CU_ASSERT_EQUAL(at, feed.size);
    CU_ASSERT_EQUAL(n, 1025);
    CU_ASSERT(zeros > 230 && zeros < 380);
}

static void test_feed_with_barriers(void)
{
    static struct load_options opt = {.mix = MIX(4096), .barrier_frames = 3};
    struct feed feed = {.opt = &opt, .size = 1u << 20, .left = 7 * 4096, .rng = 5};
    static const uint8_t want[] = {5, 5, 5, 8, 5, 5, 5, 8, 5, 8};
    struct hg_source_op op;

    for (unsigned i = 0; i < HG_ARRAY_LEN(want); i++) {
        CU_ASSERT_EQUAL(feed_next(&feed, NULL, 1, &op, NULL), 1);
        CU_ASSERT_EQUAL(op.type, want[i]);
    }
    CU_ASSERT_EQUAL(feed_next(&feed, NULL, 1, &op, NULL), 0);
}

static void test_random_feed_stays_inside(void)
{
    static struct load_options opt = {
        .mix = {.n = 2, .size = {4096, 65536}, .weight = {1, 3}, .weight_sum = 4},
        .pattern = LOAD_RANDOM};
    struct feed feed = {.opt = &opt, .size = 100 * 4096, .left = UINT64_MAX, .rng = 9};
    unsigned small = 0;
    struct hg_source_op op;

    for (unsigned i = 0; i < 4000; i++) {
        CU_ASSERT_EQUAL(feed_next(&feed, NULL, 1, &op, NULL), 1);
        CU_ASSERT(op.offset + op.len <= feed.size && op.offset % op.len == 0);
        small += op.len == 4096;
    }
    CU_ASSERT(small > 850 && small < 1150);
    feed_stop(&feed);
    CU_ASSERT_EQUAL(feed_next(&feed, NULL, 1, &op, NULL), 0);
}

/* Data, a hole, a written zero block, data, and an end that is no multiple of anything. */
static void make_image(const char *path)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
    char zeros[65536] = {0};

    CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (4 << 20) + 100), 0);
    CU_ASSERT_EQUAL(pwrite(fd, "first", 5, 0), 5);
    CU_ASSERT_EQUAL(pwrite(fd, zeros, sizeof zeros, 2 << 20), sizeof zeros);
    CU_ASSERT_EQUAL(pwrite(fd, "third", 5, (3 << 20) + 12345), 5);
    CU_ASSERT_EQUAL(pwrite(fd, "end", 3, (4 << 20) + 97), 3);
    close(fd);
}

static void test_image(void)
{
    static uint8_t scratch[65536], copy[(4 << 20) + 512];
    uint64_t at = 0, data = 0;
    struct image *image;
    struct hg_source_op op;
    struct hg_err err;
    char path[512];

    path_of(path, "image");
    make_image(path);
    CU_ASSERT_EQUAL_FATAL(image_open(path, &image, &err), 0);
    CU_ASSERT_EQUAL(image_size(image), (4 << 20) + 512);
    memset(copy, 0xee, sizeof copy);
    while (image_next(image, scratch, sizeof scratch, &op, &err) == 1) {
        CU_ASSERT_EQUAL(op.offset, at);
        CU_ASSERT(op.len % 4096 == 0 || op.offset + op.len == image_size(image));
        if (op.type == HG_FRAME_ZERO) {
            memset(copy + at, 0, op.len);
        } else {
            CU_ASSERT(op.len <= sizeof scratch);
            CU_ASSERT_EQUAL(image_read(image, copy + at, (uint32_t)op.len, at, &err), 0);
            data += op.len;
        }
        at += op.len;
    }
    CU_ASSERT_EQUAL(at, image_size(image));
    CU_ASSERT(data <= 3 * 65536); /* the rest went as ZERO */
    CU_ASSERT_EQUAL(memcmp(copy, "first", 5), 0);
    CU_ASSERT_EQUAL(memcmp(copy + (3 << 20) + 12345, "third", 5), 0);
    CU_ASSERT_EQUAL(memcmp(copy + (4 << 20) + 97, "end", 3), 0);
    CU_ASSERT_EQUAL(copy[sizeof copy - 1], 0);
    image_close(image);
    CU_ASSERT_EQUAL(image_open("/nowhere/at/all", &image, &err), -ENOENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nowhere/at/all"));
}

static void test_histogram(void)
{
    static struct hist h, sum, since;

    CU_ASSERT_EQUAL(hist_quantile(&h, 50, 100), 0);
    for (unsigned i = 1; i <= 1000; i++)
        hist_add(&h, HG_US(i));
    hist_merge(&sum, &h);
    for (unsigned q = 1; q <= 999; q += 49) {
        double v = (double)hist_quantile(&sum, q, 1000), want = (double)HG_US(q);

        CU_ASSERT(v >= want && v <= want * 1.04);
    }
    hist_add(&h, 0);
    hist_add(&h, UINT64_MAX);
    hist_since(&since, &h, &sum);
    CU_ASSERT_EQUAL(hist_quantile(&since, 1, 2), 0);
    CU_ASSERT(hist_quantile(&since, 1, 1) > HG_SEC(86400));
}

/* A manifest with durable bytes, a block in doubt and one rewritten in doubt. */
static void make_manifest(const char *path, const uint8_t *raw)
{
    struct manifest_volume *mv;
    FILE *file = fopen(path, "w");
    struct hg_err err;

    CU_ASSERT_EQUAL_FATAL(manifest_volume_create("disk", 64 * 4096 + 512, &mv, &err), 0);
    manifest_data(mv, 0, 8 * 4096, raw);
    manifest_zero(mv, 8 * 4096, 4 * 4096);
    manifest_data(mv, 64 * 4096, 512, raw);
    manifest_begin(mv, file);
    manifest_doubt(mv, 20 * 4096, 4096, raw, file);    /* never durable */
    manifest_doubt(mv, 0, 4096, raw + 5 * 4096, file); /* rewritten */
    manifest_doubt(mv, 0, 4096, NULL, file);           /* and zeroed after that */
    manifest_end(mv, file);
    manifest_volume_destroy(mv);
    fclose(file);
}

static void test_manifest(void)
{
    static uint8_t raw[8 * 4096];
    static struct load_options opt;
    char manifest[512], image[512];
    uint8_t spoilt;
    int fd;

    for (unsigned i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)(i * 31 + i / 4096 + 1);
    path_of(manifest, "manifest");
    path_of(image, "export");
    make_manifest(manifest, raw);
    fd = open(image, O_CREAT | O_TRUNC | O_RDWR, 0600);
    CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 64 * 4096 + 512), 0);
    CU_ASSERT_EQUAL(pwrite(fd, raw, sizeof raw, 0), sizeof raw);
    CU_ASSERT_EQUAL(pwrite(fd, raw, 512, 64 * 4096), 512);
    opt = (struct load_options){.check_manifest = manifest, .n_images = 1};
    opt.image[0] = (struct load_image){.path = image, .name = "disk"};
    CU_ASSERT_EQUAL(check_run(&opt), 0); /* the durable bytes */
    CU_ASSERT_EQUAL(pwrite(fd, raw + 5 * 4096, 4096, 0), 4096);
    CU_ASSERT_EQUAL(check_run(&opt), 0); /* those sent after them */
    CU_ASSERT_EQUAL(pwrite(fd, raw + 6 * 4096, 4096, 0), 4096);
    CU_ASSERT_EQUAL(check_run(&opt), 1); /* neither */
    CU_ASSERT_EQUAL(pwrite(fd, raw, 4096, 0), 4096);
    CU_ASSERT_EQUAL(check_run(&opt), 0);
    spoilt = (uint8_t)(raw[3 * 4096 + 7] ^ 1);
    CU_ASSERT_EQUAL(pwrite(fd, &spoilt, 1, 3 * 4096 + 7), 1);
    CU_ASSERT_EQUAL(check_run(&opt), 1); /* one bit of what is durable */
    opt.n_images = 0;
    CU_ASSERT_EQUAL(check_run(&opt), 1); /* nothing to compare with */
    close(fd);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    if (argc != 2) {
        fprintf(stderr, "usage: test_load_data DIR\n");
        return 2;
    }
    directory = argv[1];
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("headgate-load data", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "compress ratio", test_compress_ratio) ||
        !CU_add_test(suite, "content is reproducible", test_content_is_reproducible) ||
        !CU_add_test(suite, "synthetic feed", test_synthetic_feed) ||
        !CU_add_test(suite, "feed with barriers", test_feed_with_barriers) ||
        !CU_add_test(suite, "random feed", test_random_feed_stays_inside) ||
        !CU_add_test(suite, "image", test_image) ||
        !CU_add_test(suite, "histogram", test_histogram) ||
        !CU_add_test(suite, "manifest and check", test_manifest))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
