/* SPDX-License-Identifier: BSD-3-Clause */
/* NVMe commands for the kernel's passthrough, by table: what is built, what identify and statuses mean. */
#include "../../../drivers/bdev/nvme/nvme_spec.h"
#include "../../../drivers/bdev/uring_nvme.h"
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define KIB 1024u

static uint8_t memory[512 * KIB];

#define R HG_BDEV_READ
#define W HG_BDEV_WRITE
#define Z HG_BDEV_WRITE_ZEROES
#define D HG_BDEV_DEALLOCATE
#define FUA (1u << 30)

/* One command of a request; the namespace takes 64 KiB at once. */
static const struct {
    const char *what;
    enum hg_bdev_op op;
    unsigned shift; /* of the block size */
    bool fua;
    struct {
        uint64_t offset, len, done;
    } io;            /* bytes */
    uint32_t vec[3]; /* lengths of what is left, KiB; 0 ends it */
    struct {
        uint64_t bytes;
        bool vec;
        uint8_t opcode;
        uint32_t data_len, cdw10, cdw11, cdw12;
    } want;
} commands[] = {
    {"two blocks of 512", R, 9, false, {512, 0, 0}, {1}, {1024, false, 2, 1024, 1, 0, 1}},
    {"a block of 4096", W, 12, false, {8192, 0, 0}, {4}, {4096, false, 1, 4096, 2, 0, 0}},
    {"the largest", R, 9, false, {0, 0, 0}, {64}, {65536, false, 2, 65536, 0, 0, 127}},
    {"a longer one is cut", R, 12, false, {0, 0, 0}, {80}, {65536, false, 2, 65536, 0, 0, 15}},
    {"its rest", R, 12, false, {0, 0, 65536}, {16}, {16384, false, 2, 16384, 16, 0, 3}},
    {"three buffers", W, 9, false, {0, 0, 0}, {1, 4, 1}, {6144, true, 1, 3, 0, 0, 11}},
    {"two of them fit", W, 12, false, {0, 0, 0}, {32, 32, 4}, {65536, true, 1, 2, 0, 0, 15}},
    {"one of them fits", W, 12, false, {0, 0, 0}, {48, 32}, {49152, false, 1, 49152, 0, 0, 11}},
    {"64-bit blocks", R, 9, false, {5ull << 41, 0, 512}, {1}, {1024, false, 2, 1024, 1, 5, 1}},
    {"fua", W, 9, true, {0, 0, 0}, {1}, {1024, false, 1, 1024, 0, 0, 1 | FUA}},
    {"none of a read", R, 9, true, {0, 0, 0}, {1}, {1024, false, 2, 1024, 0, 0, 1}},
    {"flush", HG_BDEV_FLUSH, 12, true, {0, 0, 0}, {0}, {0, false, 0, 0, 0, 0, 0}},
    {"zeroes", Z, 12, true, {4096, 8192, 0}, {0}, {8192, false, 8, 0, 1, 0, 1 | FUA}},
    {"most zeroes", Z, 9, false, {0, 1u << 30, 0}, {0}, {1u << 25, false, 8, 0, 0, 0, 65535}},
    {"their rest", Z, 9, false, {0, 33554944, 1u << 25}, {0}, {512, false, 8, 0, 65536, 0, 0}},
    {"deallocate", D, 12, true, {8192, 16384, 0}, {0}, {16384, false, 9, 16, 0, 4, 0}},
};

static bool as_wanted(unsigned i, const struct nvme_uring_cmd *cmd, uint32_t op)
{
    return op == (commands[i].want.vec ? NVME_URING_CMD_IO_VEC : NVME_URING_CMD_IO) &&
           cmd->opcode == commands[i].want.opcode && cmd->nsid == 7 &&
           cmd->data_len == commands[i].want.data_len && cmd->cdw10 == commands[i].want.cdw10 &&
           cmd->cdw11 == commands[i].want.cdw11 && cmd->cdw12 == commands[i].want.cdw12 &&
           cmd->flags == 0 && cmd->metadata == 0 && cmd->metadata_len == 0 &&
           cmd->timeout_ms == 0 && cmd->cdw2 == 0 && cmd->cdw3 == 0 && cmd->cdw13 == 0 &&
           cmd->cdw14 == 0 && cmd->cdw15 == 0;
}

static void test_commands(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(commands); i++) {
        struct uring_nvme_ns ns = {
            .nsid = 7, .block_shift = commands[i].shift, .max_bytes = 64 * KIB};
        struct hg_bdev_io io = {.op = commands[i].op,
                                .fua = commands[i].fua,
                                .offset = commands[i].io.offset,
                                .len = commands[i].io.len};
        struct nvme_dsm_range range = {0};
        struct iovec vec[3];
        struct uring_nvme_rest rest = {
            .io = &io, .done = commands[i].io.done, .vec = vec, .range = &range};
        struct nvme_uring_cmd cmd;
        uint64_t addr;
        uint32_t op = 0;

        for (unsigned k = 0; k < 3 && commands[i].vec[k] != 0; k++)
            vec[rest.n_vec++] = (struct iovec){memory + k * 128 * KIB, commands[i].vec[k] * KIB};
        memset(&cmd, 0xff, sizeof cmd);
        CU_ASSERT(uring_nvme_build(&ns, &rest, &cmd, &op) == commands[i].want.bytes);
        if (!as_wanted(i, &cmd, op))
            CU_FAIL(commands[i].what);
        addr = commands[i].want.vec ? (uintptr_t)vec : rest.n_vec != 0 ? (uintptr_t)memory : 0;
        CU_ASSERT(cmd.addr == (io.op == HG_BDEV_DEALLOCATE ? (uintptr_t)&range : addr));
        if (io.op == HG_BDEV_DEALLOCATE) {
            CU_ASSERT(hg_le64_get(range.slba) == 2 && hg_le32_get(range.nlb) == 4);
            CU_ASSERT(hg_le32_get(range.attributes) == 0);
        }
    }
}

static void test_status(void)
{
    static const struct {
        int res, status;
    } table[] = {
        {0, 0},
        {-EIO, -EIO},
        {-EAGAIN, -EAGAIN},
        {0x001, -EOPNOTSUPP},
        {0x00b, -ENODEV},
        {0x020, -EROFS},
        {0x080, -EIO},
        {0x081, -ENOSPC},
        {0x182, -EROFS},
        {0x280, -EIO},
        {0x281, -ENODATA},
        {0x282, -ENODATA},
        {0x287, -ENODATA},
        {0x4281, -ENODATA}, /* with "do not retry" */
        {0x006, -EIO},
        {0x371, -EIO},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(table); i++)
        CU_ASSERT(uring_nvme_status(table[i].res) == table[i].status);
}

struct identity {
    struct nvme_id_ctrl ctrl;
    struct nvme_id_ns ns;
};

static struct identity *identity(void)
{
    struct identity *id = calloc(1, sizeof *id);

    CU_ASSERT_FATAL(id != NULL);
    memset(id->ctrl.sn, ' ', sizeof id->ctrl.sn);
    memcpy(id->ctrl.sn, "hg0", 3);
    memset(id->ctrl.mn, 'M', sizeof id->ctrl.mn);
    memcpy(id->ctrl.fr, "1.0     ", 8);
    id->ctrl.mdts = 7;
    id->ctrl.vwc = 7;
    id->ctrl.oncs = hg_le16_put(NVME_ONCS_DSM | NVME_ONCS_WRITE_ZEROES);
    id->ns.nsze = hg_le64_put(1000);
    id->ns.flbas = 1;
    id->ns.lbaf[0].lbads = 9;
    id->ns.lbaf[1].lbads = 12;
    id->ns.lbaf[2] = (struct nvme_lbaf){.lbads = 9, .ms = hg_le16_put(8)};
    id->ns.lbaf[3].lbads = 16;
    return id;
}

static void test_identify(void)
{
    struct identity *id = identity();
    struct uring_nvme_ns ns = {0};

    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "/dev/ng0n1", NULL) == 0);
    CU_ASSERT(ns.block_shift == 12 && ns.blocks == 1000 && ns.max_bytes == 512 * KIB);
    CU_ASSERT(ns.volatile_cache && ns.write_zeroes && ns.deallocate);
    CU_ASSERT(strcmp(ns.serial, "hg0") == 0 && strcmp(ns.firmware, "1.0") == 0);
    CU_ASSERT(strlen(ns.model) == 40);
    ns.max_bytes = 300 * KIB;
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "", NULL) == 0);
    CU_ASSERT(ns.max_bytes == 300 * KIB);
    id->ctrl.mdts = 0; /* no limit: ours */
    ns.max_bytes = 0;
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "", NULL) == 0);
    CU_ASSERT(ns.max_bytes == 1024 * KIB);
    id->ctrl.oncs = hg_le16_put(0);
    id->ctrl.vwc = 0;
    id->ns.flbas = 0;
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "", NULL) == 0);
    CU_ASSERT(!ns.volatile_cache && !ns.write_zeroes && !ns.deallocate && ns.block_shift == 9);
    free(id);
}

static void test_formats_refused(void)
{
    struct identity *id = identity();
    struct uring_nvme_ns ns = {0};
    struct hg_err err = {""};

    id->ns.flbas = 2;
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "/dev/ng0n1", &err) == -EINVAL);
    CU_ASSERT(strstr(err.text, "/dev/ng0n1") != NULL && strstr(err.text, "metadata") != NULL);
    id->ns.flbas = 3;
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "/dev/ng0n1", &err) == -EINVAL);
    CU_ASSERT(strstr(err.text, "2^16") != NULL);
    id->ns.flbas = 0x60 | 0xf; /* format 63, which is not there */
    CU_ASSERT(uring_nvme_parse(&id->ctrl, &id->ns, &ns, "/dev/ng0n1", &err) == -EINVAL);
    free(id);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("uring_nvme", NULL, NULL);
    if (suite == NULL || CU_add_test(suite, "commands", test_commands) == NULL ||
        CU_add_test(suite, "statuses have our names", test_status) == NULL ||
        CU_add_test(suite, "identify", test_identify) == NULL ||
        CU_add_test(suite, "formats that are not used are refused", test_formats_refused) == NULL ||
        CU_basic_run_tests() != CUE_SUCCESS)
        return 1;
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
