/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a controller: every step of its start, the deadline of every state, refusals, reset,
 * shutdown. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct nvme_emu_cfg config(void)
{
    return nvme_emu_cfg_default(RIG_SIZE, 4096);
}

static void test_start_and_stop(void)
{
    for (unsigned block = 512; block <= 4096; block *= 8) {
        struct nvme_emu_stats stats;
        struct hg_bdev_info info;
        struct rig r;

        rig_open(&r, block);
        CU_ASSERT(r.dev->block == block && r.dev->size == RIG_SIZE && r.dev->volatile_cache);
        hg_bdev_info(r.dev, &info);
        CU_ASSERT(strcmp(info.kind, "nvme") == 0 && info.state == HG_BDEV_OK);
        CU_ASSERT(info.model[0] != '\0' && info.serial[0] != '\0' && info.has_health);
        CU_ASSERT(info.queues_max == 8);
        hg_bdev_chan_close(r.chans[0]);
        hg_bdev_close(r.dev);
        nvme_emu_stats(r.emu, &stats);
        CU_ASSERT(stats.shutdowns == 1);
        /* and again, as the next owner */
        r.n_chans = 0;
        CU_ASSERT(rig_start(&r) == 0);
        CU_ASSERT(rig_chan(&r, 8) == 0);
        rig_close(&r);
    }
}

/* Every admin command of the start, refused or never answered. Those the driver can do without do not
 * stop it. */
static void test_each_step_fails(void)
{
    static const struct {
        const char *fault;
        int error;
        const char *says;
    } rows[] = {
        {"fail=identify:1:0/6", -EIO, "identify itself"},
        {"lose=identify:1", -ETIMEDOUT, "did not identify itself within"},
        {"fail=identify:2:0/2", 0, ""}, /* limits */
        {"lose=identify:2", -ETIMEDOUT, "limits"},
        {"fail=set-features:1:0/6", -EIO, "queues"},
        {"lose=set-features:1", -ETIMEDOUT, "number of queues"},
        {"fail=dbbuf:1:0/6", 0, ""},
        {"lose=dbbuf:1", -ETIMEDOUT, "shadow doorbells"},
        {"fail=identify:3:0/6", -EIO, "list its namespaces"},
        {"lose=identify:3", -ETIMEDOUT, "list its namespaces"},
        {"fail=identify:4:0/b", -EIO, "identify the namespace"},
        {"lose=identify:4", -ETIMEDOUT, "identify the namespace"},
        {"fail=get-features:1:0/2", 0, ""},
        {"lose=get-features:1", -ETIMEDOUT, "write cache"},
        {"fail=set-features:2:0/2", 0, ""},
        {"lose=set-features:2", -ETIMEDOUT, "events"},
        {"fail=get-log:1:1/9", 0, ""},
        {"lose=get-log:1", -ETIMEDOUT, "health"},
        {"fatal=identify:1", -ETIMEDOUT, "identify itself"},
        {"remove=identify:4", -ENODEV, "gone from the bus"},
        {"remove=admin:1", -ENODEV, "gone from the bus"},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct nvme_emu_cfg cfg = config();
        struct rig r;
        int fault;
        int rc;

        cfg.dbbuf = true;
        rig_init(&r, &cfg);
        fault = rig_fault(&r, rows[i].fault);
        rc = rig_start(&r);
        CU_ASSERT(nvme_emu_fault_fired(r.emu, fault) == 1);
        CU_ASSERT(rc == rows[i].error);
        CU_ASSERT(strstr(r.err.text, rows[i].says) != NULL);
        if (rc != rows[i].error || strstr(r.err.text, rows[i].says) == NULL)
            printf("  %s: %d, %s\n", rows[i].fault, rc, r.err.text);
        nvme_emu_fault_clear(r.emu);
        if (rc != 0) { /* all was undone: after power off and on it starts */
            nvme_emu_power_cut(r.emu, 1);
            CU_ASSERT_FATAL(rig_start(&r) == 0);
        }
        CU_ASSERT(rig_chan(&r, 8) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
        rig_close(&r);
    }
}

static void test_registers_never_change(void)
{
    static const struct {
        struct nvme_emu_mood mood;
        const char *says;
    } rows[] = {
        {{.never_ready = true}, "did not become ready within"},
        {{.stalled = true}, "did not identify itself within"},
    };
    struct nvme_emu_cfg cfg = config();

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct rig r;
        hg_ns start;

        rig_init(&r, &cfg);
        nvme_emu_mood(r.emu, &rows[i].mood);
        start = r.now;
        CU_ASSERT(rig_start(&r) == -ETIMEDOUT);
        CU_ASSERT(strstr(r.err.text, rows[i].says) != NULL);
        CU_ASSERT(r.now - start < HG_SEC(40));
        nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_ready = false});
        CU_ASSERT_FATAL(rig_start(&r) == 0);
        rig_close(&r);
    }
}

/* A former owner was killed: the controller is enabled, with queues in memory of that one. */
static void test_former_owner(void)
{
    struct nvme_emu_cfg cfg = config();
    struct nvme_emu_stats stats;
    struct nvme_dev *dev;
    struct rig r;
    uint64_t iova;
    void *queues;

    rig_init(&r, &cfg);
    dev = nvme_emu_dev(r.emu);
    queues = dev->ops->dma_alloc(dev, 2 * (size_t)NVME_PAGE, &iova);
    CU_ASSERT_FATAL(queues != NULL);
    nvme_reg_write32(dev, NVME_REG_AQA, 1u << 16 | 1u);
    nvme_reg_write64(dev, NVME_REG_ASQ, iova);
    nvme_reg_write64(dev, NVME_REG_ACQ, iova + NVME_PAGE);
    nvme_reg_write32(dev, NVME_REG_CC, NVME_CC_IOCQES | NVME_CC_IOSQES | NVME_CC_EN);
    for (unsigned i = 0; i < 1000; i++)
        (void)nvme_emu_poll(r.emu, r.now += HG_US(10));
    CU_ASSERT_FATAL((nvme_reg_read32(dev, NVME_REG_CSTS) & NVME_CSTS_RDY) != 0);
    CU_ASSERT_FATAL(rig_start(&r) == 0);
    nvme_emu_stats(r.emu, &stats);
    CU_ASSERT(stats.resets == 1);
    dev->ops->dma_free(dev, queues, 2 * (size_t)NVME_PAGE); /* nothing uses it any more */
    CU_ASSERT(rig_chan(&r, 8) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 65536) == 0);
    rig_close(&r);
}

static void test_refusals(void)
{
    static const char *const says[] = {
        "8 bytes of metadata", "pages of 8192 bytes", "no NVM command set",    "several namespaces",
        "no active namespace", "virt-mgmt",           "identify the namespace"};
    static const int errors[] = {-ENOTSUP, -ENOTSUP, -ENOTSUP, -EINVAL, -ENXIO, -EIO, -EIO};
    struct nvme_emu_cfg cfg[HG_ARRAY_LEN(errors)];

    for (unsigned i = 0; i < HG_ARRAY_LEN(cfg); i++)
        cfg[i] = config();
    cfg[0].ns[0].metadata = 8;
    cfg[1].mpsmin = 1;
    cfg[1].mpsmax = 1;
    cfg[2].css = 0x40;
    cfg[3].n_ns = 2;
    cfg[3].ns[1] = cfg[3].ns[0];
    cfg[4].ns[0].inactive = true;
    cfg[5].secondary_offline = true;
    for (unsigned i = 0; i < HG_ARRAY_LEN(cfg); i++) {
        struct rig r;
        int rc;

        rig_init(&r, &cfg[i]);
        r.opts.nsid = i == 6 ? 9 : 0; /* there is no such one */
        rc = rig_start(&r);
        CU_ASSERT(rc == errors[i]);
        CU_ASSERT(strstr(r.err.text, says[i]) != NULL);
        if (rc != errors[i] || strstr(r.err.text, says[i]) == NULL)
            printf("  row %u: %d %s\n", i, rc, r.err.text);
        /* To ask for a namespace that is not there is the operator's mistake, and seen as one. */
        CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == (i == 6));
        nvme_emu_close(r.emu);
        free(r.mem);
    }
}

static void test_second_namespace_by_number(void)
{
    struct nvme_emu_cfg cfg = config();
    struct rig r;

    cfg.n_ns = 2;
    cfg.ns[1] = (struct nvme_emu_ns){.size = 4u << 20, .block = 512};
    rig_init(&r, &cfg);
    r.opts.nsid = 2;
    CU_ASSERT_FATAL(rig_start(&r) == 0);
    CU_ASSERT(r.dev->size == 4u << 20 && r.dev->block == 512);
    rig_close(&r);
}

static void test_more_channels_than_queues(void)
{
    struct nvme_emu_cfg cfg = config();
    struct rig r;

    cfg.queues = 2;
    rig_init(&r, &cfg);
    CU_ASSERT_FATAL(rig_start(&r) == 0);
    CU_ASSERT(rig_chan(&r, 8) == 0 && rig_chan(&r, 8) == 0);
    CU_ASSERT(rig_chan(&r, 8) == -EBUSY);
    CU_ASSERT(strstr(r.err.text, "has 2 I/O queues and all are in use") != NULL);
    hg_bdev_chan_close(r.chans[--r.n_chans]);
    CU_ASSERT(rig_chan(&r, 8) == 0);
    rig_close(&r);
}

/* Creation of either queue fails: what was made before is undone and the next one works. */
static void test_queue_creation_fails(void)
{
    static const char *const faults[] = {"fail=create-cq:1:1/1", "fail=create-sq:1:1/1"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(faults); i++) {
        struct nvme_emu_cfg cfg = config();
        struct rig r;

        rig_init(&r, &cfg);
        CU_ASSERT_FATAL(rig_start(&r) == 0);
        rig_fault(&r, faults[i]);
        CU_ASSERT(rig_chan(&r, 8) == -EIO);
        CU_ASSERT(strstr(r.err.text, "refuses to create queue 1") != NULL);
        CU_ASSERT(rig_chan(&r, 8) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
        rig_close(&r);
    }
}

/* Not answered: the controller is reset, and the channel comes all the same. */
static void test_queue_commands_lost(void)
{
    static const char *const faults[] = {"lose=create-cq:1",     "lose=create-sq:1",
                                         "lose=delete-sq:1",     "lose=delete-cq:1",
                                         "fail=delete-sq:1:1/1", "fail=delete-cq:1:1/c"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(faults); i++) {
        struct nvme_emu_cfg cfg = config();
        struct rig r;
        int fault;

        rig_init(&r, &cfg);
        CU_ASSERT_FATAL(rig_start(&r) == 0);
        fault = rig_fault(&r, faults[i]);
        CU_ASSERT(rig_chan(&r, 8) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
        hg_bdev_chan_close(r.chans[--r.n_chans]);
        CU_ASSERT(nvme_emu_fault_fired(r.emu, fault) == 1);
        CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 1);
        CU_ASSERT(rig_chan(&r, 8) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 4096) == 0);
        rig_close(&r);
    }
}

/* A reset that does not get on: every state of it has its time, and after three the device is given
 * up. Requests wait for that and fail then. */
static void test_resets_that_hang(void)
{
    static const struct {
        struct nvme_emu_mood mood;
        const char *says;
        hg_ns each; /* of the state it hangs in */
    } rows[] = {
        {{.never_disabled = true}, "did not disable itself within", HG_SEC(2)},
        {{.never_ready = true}, "did not become ready within", HG_SEC(2)},
        {{.stalled = true}, "did not identify itself within", HG_MS(50)},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct hg_bdev_info info;
        struct rig r;
        hg_ns start;

        rig_open(&r, 4096);
        nvme_emu_mood(r.emu, &rows[i].mood);
        nvme_emu_fatal(r.emu, false);
        start = r.now;
        while (rig_state(&r) != HG_BDEV_DEAD && r.now - start < HG_SEC(60))
            rig_turn(&r);
        hg_bdev_info(r.dev, &info);
        CU_ASSERT(info.state == HG_BDEV_DEAD && info.errors[HG_BDEV_ERR_RESET] == 3);
        CU_ASSERT(strstr(info.state_text, rows[i].says) != NULL);
        CU_ASSERT(strstr(info.state_text, "3 resets in two minutes did not help") != NULL);
        CU_ASSERT(r.now - start >= rows[i].each && r.now - start < 6 * rows[i].each + HG_SEC(1));
        if (strstr(info.state_text, rows[i].says) == NULL ||
            r.now - start >= 6 * rows[i].each + HG_SEC(1))
            printf("  row %u: %s, %llu ms\n", i, info.state_text,
                   (unsigned long long)((r.now - start) / HG_MS(1)));
        CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 4096) == -EIO);
        rig_close(&r);
    }
}

static void test_shutdown_that_hangs(void)
{
    struct rig r;

    rig_open(&r, 4096);
    hg_bdev_chan_close(r.chans[--r.n_chans]);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_shut = true});
    hg_bdev_close(r.dev);
    CU_ASSERT(nvme_emu_errors(r.emu, NULL, 0) == 0);
    nvme_emu_close(r.emu);
    free(r.mem);
}

static void test_events(void)
{
    struct hg_bdev_info info;
    struct rig r;

    rig_open(&r, 4096);
    rig_sleep(&r, HG_SEC(1)); /* health is asked for once a second at most */
    nvme_emu_smart(r.emu, 0x2, 81);
    rig_sleep(&r, HG_MS(20));
    hg_bdev_info(r.dev, &info);
    CU_ASSERT(info.critical_warning == 0x2 && info.temperature == 81);
    CU_ASSERT(nvme_emu_ns_resize(r.emu, 1, 2 * RIG_SIZE) == 0);
    rig_sleep(&r, HG_MS(20));
    CU_ASSERT(r.dev->size == 2 * RIG_SIZE);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 2 * RIG_SIZE - 4096, r.mem, 4096) == 0);
    CU_ASSERT(nvme_emu_ns_resize(r.emu, 1, 3 * RIG_SIZE) == 0);
    CU_ASSERT(hg_bdev_resize(r.dev) == 0 && r.dev->size == 3 * RIG_SIZE);
    /* One that cannot be asked keeps the size it had. */
    rig_fault(&r, "fail=identify:1:0/6");
    CU_ASSERT(hg_bdev_resize(r.dev) == -EIO && r.dev->size == 3 * RIG_SIZE);
    CU_ASSERT(hg_bdev_resize(r.dev) == 0);
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 0);
    rig_close(&r);
}

/* Shadow doorbells of a queue that is deleted are not touched before it is: a controller that polls them
 * would take what is in its ring for new commands. */
static void test_shadow_of_deleted_queue(void)
{
    struct nvme_emu_cfg cfg = config();
    const volatile uint32_t *shadow;
    uint32_t tail;
    struct rig r;

    cfg.dbbuf = true;
    rig_init(&r, &cfg);
    CU_ASSERT_FATAL(rig_start(&r) == 0 && rig_chan(&r, 8) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
    shadow = nvme_chan_of(r.chans[0])->qp.sq.bell.shadow;
    tail = *shadow;
    CU_ASSERT(tail == 1);
    hg_bdev_chan_close(r.chans[--r.n_chans]);
    CU_ASSERT(*shadow == tail);
    rig_close(&r);
}

/* Quirk: registers that lie for a while are left alone for it, whatever CAP.TO says. */
static void test_delay_quirk(void)
{
    struct nvme_emu_cfg cfg = config();
    struct rig r;
    hg_ns start;

    cfg.pci_vendor = 0x144d;
    cfg.pci_device = 0xa821;
    cfg.timeout = 1;
    rig_init(&r, &cfg);
    start = r.now;
    CU_ASSERT_FATAL(rig_start(&r) == 0);
    CU_ASSERT(r.now - start >= HG_MS(2300));
    rig_close(&r);
}

int main(void)
{
    CU_pSuite suite;
    unsigned failed;

    CU_initialize_registry();
    suite = CU_add_suite("nvme controller", NULL, NULL);
    CU_add_test(suite, "it starts, shuts down, and starts again", test_start_and_stop);
    CU_add_test(suite, "a start that fails at any step is undone and says where",
                test_each_step_fails);
    CU_add_test(suite, "every wait for a register ends", test_registers_never_change);
    CU_add_test(suite, "what a former owner left is no obstacle", test_former_owner);
    CU_add_test(suite, "what cannot be driven is refused with its reason", test_refusals);
    CU_add_test(suite, "a namespace is named by its number", test_second_namespace_by_number);
    CU_add_test(suite, "channels end where queues end", test_more_channels_than_queues);
    CU_add_test(suite, "a queue that is refused is undone", test_queue_creation_fails);
    CU_add_test(suite, "queue commands without an answer lead to one reset",
                test_queue_commands_lost);
    CU_add_test(suite, "resets that hang end, and so does the device", test_resets_that_hang);
    CU_add_test(suite, "a shutdown that hangs ends", test_shutdown_that_hangs);
    CU_add_test(suite, "events bring health and size up to date", test_events);
    CU_add_test(suite, "the shadow doorbells of a queue stand until it is deleted",
                test_shadow_of_deleted_queue);
    CU_add_test(suite, "a controller whose registers lie is given time", test_delay_quirk);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
