/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every file of tests/vectors/protocol through hg_frame_get(), hg_frame_check(), hg_inflate() and
 * the CRC: the first error found must be the one that the file names.
 * Usage: test_vectors DIR
 */
#include <headgate/codec.h>
#include <headgate/proto.h>
#include <CUnit/Basic.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_MIN 40u /* fewer means that the directory is not the right one */
#define BYTES_MAX 8192u

struct vector {
    char expect[32];
    uint8_t bytes[BYTES_MAX];
    size_t len;
    struct {
        char name[16];
        uint64_t value;
    } field[16];
    unsigned n_fields;
    bool has_raw;
    uint32_t raw;
};

static const char *directory;

static bool parse_hex(struct vector *v, const char *line)
{
    for (; line[0] != '\n' && line[0] != '\0'; line += 2) {
        unsigned byte;

        if (v->len == BYTES_MAX || sscanf(line, "%2x", &byte) != 1)
            return false;
        v->bytes[v->len++] = (uint8_t)byte;
    }
    return true;
}

static bool parse_line(struct vector *v, const char *line)
{
    if (line[0] == '#')
        return true;
    if (sscanf(line, "expect: %31s", v->expect) == 1)
        return true;
    if (strncmp(line, "field: ", 7) == 0)
        return v->n_fields < HG_ARRAY_LEN(v->field) &&
               sscanf(line, "field: %15s %lu", v->field[v->n_fields].name,
                      &v->field[v->n_fields].value) == 2 &&
               ++v->n_fields != 0;
    if (sscanf(line, "raw: %x", &v->raw) == 1) {
        v->has_raw = true;
        return true;
    }
    return parse_hex(v, line);
}

static bool load(const char *name, struct vector *v)
{
    char path[512], line[512];
    bool good = true;
    FILE *file;

    memset(v, 0, sizeof *v);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    while (good && fgets(line, sizeof line, file) != NULL)
        good = parse_line(v, line);
    fclose(file);
    return good && v->len >= HG_FRAME_HEADER && v->expect[0] != '\0';
}

/* The checks of section 2 in their order: the name of what fails first, or "ok". */
static const char *verdict(const struct vector *v, struct hg_frame *f, uint32_t *raw_crc)
{
    static const struct hg_frame_limits limits = {HG_FRAME_RAW_MAX, 3, 4096};
    static uint8_t raw[HG_FRAME_RAW_MAX];
    const uint8_t *payload = v->bytes + HG_FRAME_HEADER;
    struct hg_inflate *inf = NULL;
    int rc = hg_frame_get(v->bytes, f);

    if (rc == 0)
        rc = hg_frame_check(f, &limits);
    if (rc != 0)
        return hg_proto_error_name((unsigned)rc);
    if (v->len != HG_FRAME_HEADER + f->payload_len)
        return "the vector itself is wrong";
    if (f->codec == HG_CODEC_DEFLATE) {
        CU_ASSERT_EQUAL_FATAL(hg_inflate_create(&inf), 0);
        rc = hg_inflate(inf, raw, f->raw_len, payload, f->payload_len);
        hg_inflate_destroy(inf);
        if (rc != 0)
            return "decompress";
        payload = raw;
    }
    *raw_crc = hg_crc32c(payload, f->raw_len);
    if (f->type >= HG_FRAME_HELLO && f->type <= HG_FRAME_BYE && f->raw_len != 0 &&
        *raw_crc != f->payload_crc)
        return "payload_crc";
    return "ok";
}

static uint64_t field_of(const struct hg_frame *f, const char *name)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"minor", f->minor},     {"type", f->type},
        {"flags", f->flags},     {"payload_len", f->payload_len},
        {"raw_len", f->raw_len}, {"payload_crc", f->payload_crc},
        {"volume", f->volume},   {"codec", f->codec},
        {"level", f->level},     {"seq", f->seq},
        {"epoch", f->epoch},     {"offset", f->offset},
        {"arg", f->arg},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(all); i++)
        if (strcmp(all[i].name, name) == 0)
            return all[i].value;
    return ~UINT64_C(0) - 1; /* no vector has it */
}

static void judge(const char *name, const struct vector *v)
{
    struct hg_frame f = {0};
    uint8_t again[HG_FRAME_HEADER];
    uint32_t raw_crc = 0;
    const char *found = verdict(v, &f, &raw_crc);

    if (strcmp(found, v->expect) != 0)
        printf("%s: found %s, expected %s\n", name, found, v->expect);
    CU_ASSERT_STRING_EQUAL(found, v->expect);
    if (strcmp(v->expect, "ok") != 0)
        return;
    CU_ASSERT(v->n_fields == 13);
    for (unsigned i = 0; i < v->n_fields; i++)
        CU_ASSERT_EQUAL(field_of(&f, v->field[i].name), v->field[i].value);
    if (v->has_raw)
        CU_ASSERT_EQUAL(raw_crc, v->raw);
    hg_frame_put(again, &f);
    CU_ASSERT_EQUAL(memcmp(again, v->bytes, sizeof again), 0);
}

static void test_all_vectors(void)
{
    static struct vector v;
    DIR *dir = opendir(directory);
    const struct dirent *entry;
    unsigned n = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        if (len < 5 || strcmp(entry->d_name + len - 4, ".hex") != 0)
            continue;
        if (!load(entry->d_name, &v)) {
            printf("%s cannot be read\n", entry->d_name);
            CU_FAIL("a vector cannot be read");
            continue;
        }
        judge(entry->d_name, &v);
        n++;
    }
    closedir(dir);
    CU_ASSERT(n >= VECTORS_MIN);
}

int main(int argc, char **argv)
{
    CU_pSuite suite;

    if (argc != 2) {
        fprintf(stderr, "usage: test_vectors DIR\n");
        return 2;
    }
    directory = argv[1];
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("protocol vectors", NULL, NULL);
    if (suite == NULL || !CU_add_test(suite, "all files", test_all_vectors))
        return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    return CU_get_error() != CUE_SUCCESS || CU_get_number_of_failures() != 0;
}
