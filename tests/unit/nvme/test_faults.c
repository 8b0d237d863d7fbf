/* SPDX-License-Identifier: BSD-3-Clause */
/* Recovery: what a controller does wrong, what the request is told, and that nothing is lost or left
 * over. Every test ends with rig_close(), which counts the pools. */
#include "rig.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One request that meets a fault: how it ends and what was counted. */
static const struct {
    const char *fault;
    enum hg_bdev_op op;
    int status;
    enum hg_bdev_error kind; /* counted at least once */
    unsigned resets;
} rows[] = {
    /* errors that another try mends */
    {"fail=read:1:0/6", HG_BDEV_READ, 0, HG_BDEV_ERR_RETRIED, 0},
    {"fail=write:1-2:0/6", HG_BDEV_WRITE, 0, HG_BDEV_ERR_RETRIED, 0},
    {"fail=flush:1:0/82", HG_BDEV_FLUSH, 0, HG_BDEV_ERR_RETRIED, 0},
    {"fail=read:1:2/81", HG_BDEV_READ, 0, HG_BDEV_ERR_MEDIA, 0},
    {"fail=write-zeroes:1:0/6", HG_BDEV_WRITE_ZEROES, 0, HG_BDEV_ERR_RETRIED, 0},
    {"fail=dsm:1:0/6", HG_BDEV_DEALLOCATE, 0, HG_BDEV_ERR_RETRIED, 0},
    /* errors that stay */
    {"fail=read:1-:2/81", HG_BDEV_READ, -ENODATA, HG_BDEV_ERR_MEDIA, 0},
    {"fail=read:1:2/81/dnr", HG_BDEV_READ, -ENODATA, HG_BDEV_ERR_MEDIA, 0},
    {"fail=write:1-:2/80", HG_BDEV_WRITE, -EIO, HG_BDEV_ERR_MEDIA, 0},
    {"fail=write:1:0/81", HG_BDEV_WRITE, -ENOSPC, HG_BDEV_ERR_OTHER, 0},
    {"fail=write:1:0/20", HG_BDEV_WRITE, -EROFS, HG_BDEV_ERR_OTHER, 0},
    {"fail=write:1:0/6/dnr", HG_BDEV_WRITE, -EIO, HG_BDEV_ERR_OTHER, 0},
    {"fail=write-zeroes:1:0/1/dnr", HG_BDEV_WRITE_ZEROES, -EOPNOTSUPP, HG_BDEV_ERR_OTHER, 0},
    {"fail=read:1:0/b", HG_BDEV_READ, -ENODEV, HG_BDEV_ERR_OTHER, 0},
    {"fail=read:1-:7/ff", HG_BDEV_READ, -EIO, HG_BDEV_ERR_OTHER, 0},
    /* slow, and aborted */
    {"late=read:1:30ms", HG_BDEV_READ, 0, HG_BDEV_ERRORS, 0},
    {"late=read:1:never", HG_BDEV_READ, 0, HG_BDEV_ERR_ABORTED, 0},
    {"late=write:1-:never", HG_BDEV_WRITE, -ETIMEDOUT, HG_BDEV_ERR_ABORTED, 0},
    /* answers that never come, or are wrong */
    {"lose=read:1", HG_BDEV_READ, 0, HG_BDEV_ERR_TIMEOUT, 1},
    {"lose=write:1", HG_BDEV_WRITE, 0, HG_BDEV_ERR_TIMEOUT, 1},
    {"lose=flush:1", HG_BDEV_FLUSH, 0, HG_BDEV_ERR_TIMEOUT, 1},
    {"duplicate=read:1", HG_BDEV_READ, 0, HG_BDEV_ERRORS, 0},
    {"cid-free=read:1", HG_BDEV_READ, 0, HG_BDEV_ERR_PROTOCOL, 1},
    {"cid-range=write:1", HG_BDEV_WRITE, 0, HG_BDEV_ERR_PROTOCOL, 1},
    {"sqid=read:1", HG_BDEV_READ, 0, HG_BDEV_ERR_PROTOCOL, 1},
    {"sqhd=read:1", HG_BDEV_READ, 0, HG_BDEV_ERRORS, 0},
    /* the controller itself */
    {"fatal=read:1", HG_BDEV_READ, 0, HG_BDEV_ERR_RESET, 1},
    {"fatal=write:1-2", HG_BDEV_WRITE, 0, HG_BDEV_ERR_RESET, 2},
};

static void test_table(void)
{
    for (unsigned i = 0; i < HG_ARRAY_LEN(rows); i++) {
        struct rig r;
        int fault;
        int status;

        rig_open(&r, 4096);
        memset(r.mem, 0x5a, 16384);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 16384) == 0);
        fault = rig_fault(&r, rows[i].fault);
        if (rows[i].op == HG_BDEV_READ)
            memset(r.mem, 0, 16384);
        status = rig_io(&r, rows[i].op, 0, r.mem, 16384);
        CU_ASSERT(nvme_emu_fault_fired(r.emu, fault) >= 1);
        CU_ASSERT(status == rows[i].status);
        CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == rows[i].resets);
        if (status != rows[i].status || rig_errors(&r, HG_BDEV_ERR_RESET) != rows[i].resets)
            printf("  %s: %d, %u resets\n", rows[i].fault, status,
                   (unsigned)rig_errors(&r, HG_BDEV_ERR_RESET));
        if (rows[i].kind != HG_BDEV_ERRORS)
            CU_ASSERT(rig_errors(&r, rows[i].kind) >= 1);
        if (status == 0 && rows[i].op == HG_BDEV_READ)
            CU_ASSERT(r.mem[0] == 0x5a && r.mem[16383] == 0x5a);
        nvme_emu_fault_clear(r.emu);
        rig_sleep(&r, HG_MS(20)); /* a stray is noticed by the next poll, which needs a request */
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 16384) == 0);
        CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 16384) == 0);
        CU_ASSERT(rig_state(&r) == HG_BDEV_OK);
        rig_close(&r);
    }
}

/* Many requests on the way when it happens: each is carried out exactly as asked, or fails. */
static void many(struct rig *r, int want)
{
    struct hg_iov iov[128];
    struct hg_bdev_io io[128];
    const uint8_t *medium;
    unsigned bad = 0;

    for (unsigned i = 0; i < 128; i++) {
        iov[i] = hg_iov_of(r->mem + i * 16384, 16384);
        memset(iov[i].base, (int)i + 1, 16384);
        io[i] = (struct hg_bdev_io){
            .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov[i], .offset = (uint64_t)i * 16384};
    }
    CU_ASSERT(rig_run(r, 0, io, 128));
    medium = nvme_emu_medium(r->emu, 1);
    for (unsigned i = 0; i < 128; i++) {
        CU_ASSERT(io[i].status == want || io[i].status == 0);
        if (io[i].status == 0)
            bad += memcmp(medium + io[i].offset, iov[i].base, 16384) != 0;
    }
    CU_ASSERT(bad == 0);
}

static void test_in_the_midst(void)
{
    static const char *const faults[] = {"lose=write:17",      "fatal=write:31",
                                         "cid-range=write:9",  "late=write:3-40:never",
                                         "duplicate=write:20", "lose=write:5-30"};

    for (unsigned i = 0; i < HG_ARRAY_LEN(faults); i++) {
        struct rig r;

        rig_open(&r, 4096);
        nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.reorder = i + 1});
        rig_fault(&r, faults[i]);
        many(&r, 0);
        CU_ASSERT(rig_state(&r) == HG_BDEV_OK);
        rig_close(&r);
    }
}

/* Aborts do not find it, so only a reset helps. */
static void test_abort_that_finds_nothing(void)
{
    struct rig r;

    rig_open(&r, 4096);
    nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_aborts = true});
    rig_fault(&r, "late=write:1:never");
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 1);
    rig_close(&r);
}

/* A controller that no reset mends: requests fail, nothing hangs, and it can be closed. */
static void test_dead(void)
{
    for (unsigned how = 0; how < 4; how++) {
        struct hg_bdev_info info;
        struct rig r;
        int want = how == 0 ? -ENODEV : -EIO;

        rig_open(&r, 4096);
        if (how == 0)
            rig_fault(&r, "remove=write:20");
        else if (how == 1)
            rig_fault(&r, "die=write:20");
        else if (how == 2)
            rig_fault(&r, "fatal=write:20-");
        else
            nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.stalled = true});
        many(&r, want);
        hg_bdev_info(r.dev, &info);
        CU_ASSERT(info.state == HG_BDEV_DEAD && info.state_text[0] != '\0');
        CU_ASSERT(info.errors[HG_BDEV_ERR_RESET] <= 3);
        CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == want);
        CU_ASSERT(rig_io(&r, HG_BDEV_FLUSH, 0, NULL, 0) == want);
        CU_ASSERT(rig_chan(&r, 4) == want);
        rig_close(&r);
    }
}

/* Removed while idle: found out by the tick alone. */
static void test_removed_while_idle(void)
{
    struct rig r;

    rig_open(&r, 4096);
    nvme_emu_remove(r.emu);
    rig_sleep(&r, HG_MS(1));
    CU_ASSERT(rig_state(&r) == HG_BDEV_DEAD);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 4096) == -ENODEV);
    rig_close(&r);
}

/* A channel nobody polled during a reset finds its way back. */
static void test_sleeping_channel(void)
{
    struct rig r;

    rig_open(&r, 4096);
    CU_ASSERT_FATAL(rig_chan(&r, 8) == 0);
    for (unsigned i = 0; i < 2; i++) {
        nvme_emu_fatal(r.emu, false);
        rig_sleep(&r, HG_MS(400));
    }
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 2 && rig_state(&r) == HG_BDEV_OK);
    for (unsigned i = 0; i < 2; i++) {
        struct hg_iov iov = hg_iov_of(r.mem, 4096);
        struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov};

        CU_ASSERT(rig_run(&r, i, &io, 1) && io.status == 0);
    }
    rig_close(&r);
}

/* Closed while a reset is under way. */
static void test_close_during_reset(void)
{
    for (unsigned turns = 0; turns < 60; turns++) {
        struct rig r;

        rig_open(&r, 4096);
        nvme_emu_fatal(r.emu, false);
        rig_sleep(&r, turns * HG_US(10) * (turns < 30 ? 1 : 300));
        hg_bdev_chan_close(r.chans[--r.n_chans]);
        rig_close(&r);
    }
}

/* What a command does again and again: it ends before the device does. The options are those of use. */
static void test_one_bad_command(void)
{
    static const struct {
        const char *fault;
        bool never_aborts;
        int status;
    } bad[] = {
        {"late=write:1-:never", true, -ETIMEDOUT},
        {"lose=write:1-", false, -ETIMEDOUT},
        {"fatal=write:1-", false, -EIO},
    };

    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        struct nvme_emu_cfg cfg = nvme_emu_cfg_default(RIG_SIZE, 4096);
        struct hg_iov iov;
        struct hg_bdev_io io = {.op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov};
        struct hg_bdev_io *ptr = &io;
        struct nvme_host host;
        struct rig r;

        if (i == 2) { /* so slow that two minutes never see more than a few resets */
            cfg.timeout = 120;
            cfg.enable_ns = HG_SEC(45);
        }
        rig_init(&r, &cfg);
        host = r.opts.host;
        r.opts = nvme_opts_default();
        r.opts.host = host;
        CU_ASSERT_FATAL(rig_start(&r) == 0 && rig_chan(&r, 8) == 0);
        nvme_emu_mood(r.emu, &(struct nvme_emu_mood){.never_aborts = bad[i].never_aborts});
        rig_fault(&r, bad[i].fault);
        iov = hg_iov_of(r.mem, 4096);
        CU_ASSERT(hg_bdev_submit(r.chans[0], &ptr, 1, r.now) == 1);
        for (hg_ns end = r.now + HG_SEC(900); r.now < end && r.chans[0]->in_flight != 0;) {
            r.now += HG_US(490); /* long times pass here */
            rig_turn(&r);
            (void)hg_bdev_poll(r.chans[0], &ptr, 1, r.now);
        }
        CU_ASSERT_FATAL(r.chans[0]->in_flight == 0);
        CU_ASSERT(io.status == bad[i].status);
        if (io.status != bad[i].status)
            printf("  %s: %d\n", bad[i].fault, io.status);
        nvme_emu_fault_clear(r.emu);
        CU_ASSERT(rig_state(&r) == HG_BDEV_OK || rig_state(&r) == HG_BDEV_RESETTING);
        rig_close(&r);
    }
}

static void test_stopped_process(void)
{
    struct hg_iov iov[64];
    struct hg_bdev_io io[64];
    struct hg_bdev_io *ptr[64];
    unsigned back = 0;
    struct rig r;

    rig_open(&r, 4096);
    for (unsigned i = 0; i < 32; i++) {
        iov[i] = hg_iov_of(r.mem + i * 4096, 4096);
        io[i] = (struct hg_bdev_io){
            .op = HG_BDEV_WRITE, .iovcnt = 1, .iov = &iov[i], .offset = (uint64_t)i * 4096};
        ptr[i] = &io[i];
    }
    CU_ASSERT(hg_bdev_submit(r.chans[0], ptr, 32, r.now) == 32);
    r.now += HG_SEC(3600);
    while (back < 32) {
        rig_turn(&r);
        back += hg_bdev_poll(r.chans[0], ptr, 4, r.now);
    }
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_TIMEOUT) == 0 && rig_errors(&r, HG_BDEV_ERR_RESET) == 0);
    rig_close(&r);
}

/* A refused queue that cannot be undone is undone by a reset. */
static void test_undo_that_fails(void)
{
    struct rig r;

    rig_open(&r, 4096);
    rig_fault(&r, "fail=create-sq:1:1/1");
    rig_fault(&r, "fail=delete-cq:1:1/1");
    CU_ASSERT(rig_chan(&r, 8) == -EIO);
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 1);
    CU_ASSERT(rig_chan(&r, 8) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 0, r.mem, 4096) == 0);
    rig_close(&r);
}

static void test_bad_medium(void)
{
    struct rig r;

    rig_open(&r, 4096);
    nvme_emu_bad_blocks(r.emu, 1, 8, 2);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 32768) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 65536) == -ENODATA);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, 40960, r.mem, 4096) == 0);
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_MEDIA) >= 1);
    CU_ASSERT(rig_io(&r, HG_BDEV_WRITE, 32768, r.mem, 8192) == 0);
    CU_ASSERT(rig_io(&r, HG_BDEV_READ, 0, r.mem, 65536) == 0);
    CU_ASSERT(rig_errors(&r, HG_BDEV_ERR_RESET) == 0);
    rig_close(&r);
}

int main(void)
{
    CU_pSuite suite;
    unsigned failed;

    CU_initialize_registry();
    suite = CU_add_suite("nvme recovery", NULL, NULL);
    CU_add_test(suite, "each fault ends as it should, and the device works on", test_table);
    CU_add_test(suite, "with a queue full of requests nothing is lost", test_in_the_midst);
    CU_add_test(suite, "an abort that finds nothing leads to a reset",
                test_abort_that_finds_nothing);
    CU_add_test(suite, "a controller that cannot be mended fails requests and closes", test_dead);
    CU_add_test(suite, "a removal is noticed without requests", test_removed_while_idle);
    CU_add_test(suite, "channels that slept through resets come back", test_sleeping_channel);
    CU_add_test(suite, "a channel can be closed at any moment of a reset", test_close_during_reset);
    CU_add_test(suite, "one command that always hangs or kills fails alone", test_one_bad_command);
    CU_add_test(suite, "a process that was stopped finds nobody late", test_stopped_process);
    CU_add_test(suite, "a queue that cannot be undone is undone by a reset", test_undo_that_fails);
    CU_add_test(suite, "a bad block fails its readers only, until it is written", test_bad_medium);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
