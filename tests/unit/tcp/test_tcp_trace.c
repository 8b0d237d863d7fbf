/* SPDX-License-Identifier: BSD-3-Clause */
/* The trace of a connection: what is recorded, in what order, what shares an entry, and what is not recorded. */
#include "rig.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static struct rig rig;
static struct hg_tcp_trace row[HG_TCP_TRACE_MAX];

static unsigned trace(void)
{
    return hg_tcp_conn_trace(rig.conn, row, HG_TCP_TRACE_MAX);
}

/* The newest entry is this. */
static void newest(const char *what, const char *detail, uint32_t times)
{
    unsigned n = trace();

    CU_ASSERT_FATAL(n > 0);
    CU_ASSERT_STRING_EQUAL(row[n - 1].what, what);
    CU_ASSERT_STRING_EQUAL(row[n - 1].detail, detail);
    CU_ASSERT_EQUAL(row[n - 1].times, times);
    CU_ASSERT_EQUAL(row[n - 1].time / HG_US(1), rig.now / HG_US(1));
}

static bool has(const char *what)
{
    unsigned n = trace();

    for (unsigned i = 0; i < n; i++)
        if (strcmp(row[i].what, what) == 0)
            return true;
    return false;
}

static void data(uint32_t seq, uint32_t len)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = seq, .ack = 1, .wnd = 60000, .len = len});
}

static void test_handshake_oldest_first(void)
{
    static const char *const what[] = {"state", "SYN received", "SYN sent", "state"};

    rig_init(&rig, NULL);
    rig_accept(&rig);
    CU_ASSERT_EQUAL_FATAL(trace(), 4);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_STRING_EQUAL(row[i].what, what[i]);
    CU_ASSERT_STRING_EQUAL(row[0].detail, "CLOSED -> SYN-RECEIVED");
    CU_ASSERT_STRING_EQUAL(row[3].detail, "SYN-RECEIVED -> ESTABLISHED");
    CU_ASSERT_EQUAL(hg_tcp_conn_trace(rig.conn, row, 1), 1);
    CU_ASSERT_STRING_EQUAL(row[0].detail, "SYN-RECEIVED -> ESTABLISHED");
    rig_fini(&rig);
}

static void test_in_order_leaves_nothing(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 100; i++)
        data(1 + 500 * i, 500);
    CU_ASSERT_EQUAL(trace(), 4);
    rig_fini(&rig);
}

static void test_rows_share_an_entry(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    data(1001, 500);
    newest("out of order", "seq:1001 bytes:500", 1);
    data(1501, 500);
    data(2001, 500);
    newest("out of order", "seq:1001 bytes:1500", 3);
    CU_ASSERT_EQUAL(trace(), 5);
    for (unsigned i = 0; i < 300; i++)
        data(3001, 1);
    CU_ASSERT_EQUAL(trace(), 5);
    CU_ASSERT_EQUAL(row[4].times, 256); /* a lower bound from here on */
    rig_fini(&rig);
}

static void test_oldest_is_overwritten(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    for (uint32_t i = 0; i < 40; i++) { /* two entries a round */
        data(1 + 10 * i, 10);
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 1, .wnd = 60000, .len = 5});
        rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 5000, .wnd = 60000});
        rig_advance(&rig, HG_SEC(1));
    }
    CU_ASSERT_EQUAL(trace(), HG_TCP_TRACE_MAX);
    CU_ASSERT_FALSE(has("SYN received"));
    for (unsigned i = 1; i < HG_TCP_TRACE_MAX; i++)
        CU_ASSERT_TRUE(row[i - 1].time <= row[i].time);
    rig_fini(&rig);
}

static void test_drops_and_attacks(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = 101, .wnd = 60000});
    CU_ASSERT_TRUE(has("RST received"));
    newest("challenge ACK sent", "", 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 500000, .wnd = 60000});
    CU_ASSERT_TRUE(has("acknowledges what was never sent"));
    data(1, 100);
    data(1, 100);
    newest("duplicate", "seq:1 bytes:100", 1);
    rig_in(&rig, (struct rig_in){
                     .flags = TCP_ACK, .seq = 101, .ack = 1, .wnd = 60000, .len = 9, .ts_val = 1});
    CU_ASSERT_TRUE(has("dropped by PAWS"));
    rig_fini(&rig);
}

static void test_loss_and_closed_windows(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_send(&rig, 0, 3000);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(3));
    CU_ASSERT_TRUE(has("retransmission time-out"));
    CU_ASSERT_TRUE(has("congestion window reduced"));
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 3001, .wnd = 0});
    CU_ASSERT_TRUE(has("peer's window closed"));
    CU_ASSERT_TRUE(has("loss recovery done"));
    rig_send(&rig, 3000, 100);
    rig_poll(&rig);
    rig_advance(&rig, HG_SEC(5));
    CU_ASSERT_TRUE(has("window probe sent"));
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = 1, .ack = 3001, .wnd = 5000});
    CU_ASSERT_TRUE(has("peer's window opened"));
    rig_fini(&rig);
}

static void test_close_and_a_new_connection(void)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN, .seq = 1, .ack = 1, .wnd = 60000});
    CU_ASSERT_TRUE(has("FIN received"));
    newest("state", "ESTABLISHED -> CLOSE-WAIT", 1);
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
    CU_ASSERT_TRUE(has("FIN sent"));
    newest("state", "CLOSE-WAIT -> LAST-ACK", 1);
    rig_in(&rig, (struct rig_in){.flags = TCP_RST | TCP_ACK, .seq = 2, .ack = 2, .wnd = 60000});
    newest("ended", "errno:104", 1);
    rig_skip(&rig);
    rig_fini(&rig);

    rig_init(&rig, NULL);
    rig_connect(&rig);
    hg_tcp_abort(rig.conn);
    newest("ended", "errno:103", 1);
    hg_tcp_release(rig.conn);
    rig_skip(&rig);
    rig_accept(&rig); /* at the same place of the pool */
    CU_ASSERT_EQUAL(trace(), 4);
    rig_fini(&rig);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"the handshake, oldest first", test_handshake_oldest_first},
        {"data in order leaves nothing", test_in_order_leaves_nothing},
        {"events in a row share an entry", test_rows_share_an_entry},
        {"the oldest is overwritten", test_oldest_is_overwritten},
        {"drops and attacks", test_drops_and_attacks},
        {"loss and closed windows", test_loss_and_closed_windows},
        {"the end, and a new connection", test_close_and_a_new_connection},
    };

    rig_eal();
    return suite_run("tcp_trace", tests, sizeof tests / sizeof tests[0]);
}
