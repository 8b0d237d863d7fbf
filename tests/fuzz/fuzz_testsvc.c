/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The services for tests with a hostile peer. First byte: which service; second: how long the
 * pieces are. What must hold: input takes no more than it is given, every connection says
 * something finite per call, an HTTP answer is as long as its head says.
 */
#include <errno.h>
#include <headgate/testsvc.h>
#include <rte_eal.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX 8 /* calls */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hg_testsvc *services;

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char *eal[] = {"fuzz", "--no-huge",      "--no-shconf",   "--no-pci", "-m",
                   "64",   "--no-telemetry", "--log-level=4", NULL};
    struct hg_testsvc_cfg cfg = {.conns_max = 1, .socket = SOCKET_ID_ANY};
    struct hg_err err;

    (void)argc;
    (void)argv;
    check(rte_eal_init(HG_ARRAY_LEN(eal) - 1, eal) >= 0);
    check(hg_testsvc_create(&cfg, &services, &err) == 0);
    return 0;
}

static void take(struct hg_testsvc_conn *c)
{
    uint8_t room[HG_TESTSVC_ROOM_MIN];

    for (unsigned i = 0; i < OUTPUT_MAX; i++) {
        struct hg_testsvc_out out = {.room = room, .cap = sizeof room, .max = 2000};
        int len = hg_testsvc_output(c, &out, HG_SEC(1));
        uint8_t sum = 0;

        check(len >= -EPIPE && len <= (int)(out.shared == NULL ? out.cap : out.max));
        for (int k = 0; k < len; k++)
            sum ^= out.data[k]; /* all of it is readable */
        if (len <= 0 || sum == 0xa5)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hg_testsvc_conn *c;
    uint32_t piece;

    if (size < 2)
        return 0;
    c = hg_testsvc_open(services, (enum hg_testsvc_kind)(data[0] % HG_TESTSVC_KINDS), HG_SEC(1));
    check(c != NULL);
    piece = 1 + data[1];
    data += 2;
    size -= 2;
    while (size > 0) {
        uint32_t len = size < piece ? (uint32_t)size : piece;
        uint32_t taken = hg_testsvc_input(c, data, len, HG_SEC(1));

        check(taken <= len);
        data += taken;
        size -= taken;
        if (hg_testsvc_has_output(c))
            take(c);
        else
            check(taken != 0);
    }
    hg_testsvc_eof(c);
    check(hg_testsvc_has_output(c));
    take(c);
    hg_testsvc_close(c);
    return 0;
}
