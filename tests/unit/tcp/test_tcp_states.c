/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every synchronized state against every unusual segment: RST, SYN, no ACK, ACK of the unsent, FIN,
 * old and far segments. What must happen is the same in all of them (RFC 9293 3.10.7.4, RFC 5961).
 */
#include "rig.h"
#include "suite.h"

#include <errno.h>
#include <string.h>

static struct rig rig;

/* How to get into each state, and where the peer's and our numbers then stand. */
struct place {
    const char *name;
    void (*go)(void);
    uint32_t seq, ack; /* next from the peer, and what it has to acknowledge */
};

static void ack(uint32_t seq, uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = seq, .ack = n, .wnd = 60000});
}

static void fin(uint32_t seq, uint32_t n)
{
    rig_in(&rig, (struct rig_in){.flags = TCP_FIN | TCP_ACK, .seq = seq, .ack = n, .wnd = 60000});
}

static void shut(void)
{
    hg_tcp_shutdown(rig.conn);
    rig_poll(&rig);
}

static void go_established(void)
{
}

static void go_fin_wait_1(void)
{
    shut();
}

static void go_fin_wait_2(void)
{
    shut();
    ack(1, 2);
}

static void go_close_wait(void)
{
    fin(1, 1);
}

static void go_closing(void)
{
    shut();
    fin(1, 1);
}

static void go_last_ack(void)
{
    fin(1, 1);
    shut();
}

static void go_time_wait(void)
{
    shut();
    fin(1, 2);
}

/* TIME-WAIT is last: some rows leave it out. */
static const struct place places[] = {
    {"ESTABLISHED", go_established, 1, 1}, {"FIN-WAIT-1", go_fin_wait_1, 1, 1},
    {"FIN-WAIT-2", go_fin_wait_2, 1, 2},   {"CLOSE-WAIT", go_close_wait, 2, 1},
    {"CLOSING", go_closing, 2, 1},         {"LAST-ACK", go_last_ack, 2, 1},
    {"TIME-WAIT", go_time_wait, 2, 2},
};
#define N_PLACES HG_ARRAY_LEN(places)

static void enter(const struct place *p)
{
    rig_init(&rig, NULL);
    rig_accept(&rig);
    p->go();
    CU_ASSERT_STRING_EQUAL(rig_state(&rig), p->name);
    rig_skip(&rig);
}

static void test_exact_reset_ends(void)
{
    for (unsigned i = 0; i < N_PLACES - 1; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = places[i].seq});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), "CLOSED");
        CU_ASSERT_EQUAL(hg_tcp_conn_error(rig.conn), -ECONNRESET);
        CU_ASSERT_EQUAL(rig_count(&rig, "rx_rst"), 1);
        rig_expect_none(&rig);
        rig_fini(&rig);
    }
}

static void test_reset_in_window_is_challenged(void)
{
    for (unsigned i = 0; i < N_PLACES - 1; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = places[i].seq + 100});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
        const struct rig_out *o = rig_take(&rig);
        CU_ASSERT_PTR_NOT_NULL_FATAL(o);
        CU_ASSERT_EQUAL(o->h.flags, TCP_ACK);
        CU_ASSERT_EQUAL(o->h.ack - RIG_IRS, places[i].seq);
        CU_ASSERT_EQUAL(rig_count(&rig, "challenge_acks"), 1);
        rig_fini(&rig);
    }
}

static void test_reset_out_of_window_is_dropped(void)
{
    for (unsigned i = 0; i < N_PLACES; i++) {
        for (int side = 0; side < 2; side++) {
            enter(&places[i]);
            uint32_t seq = places[i].seq + (side ? 70000 : (uint32_t)-5);
            rig_in(&rig, (struct rig_in){.flags = TCP_RST, .seq = seq});
            CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
            rig_expect_none(&rig);
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_rst_ignored"), 1);
            rig_fini(&rig);
        }
    }
}

static void test_syn_is_challenged(void)
{
    static const uint32_t at[] = {0, 50, 70000, (uint32_t)-1000};

    for (unsigned i = 0; i < N_PLACES - 1; i++) {
        for (unsigned k = 0; k < HG_ARRAY_LEN(at); k++) {
            enter(&places[i]);
            rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = places[i].seq + at[k]});
            CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
            CU_ASSERT_EQUAL(rig_take(&rig)->h.flags, TCP_ACK);
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_syn_in_conn"), 1);
            rig_fini(&rig);
        }
    }
}

static void test_challenges_are_bounded(void)
{
    enter(&places[0]);
    for (unsigned i = 0; i < 1000; i++)
        rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 5000});
    CU_ASSERT_EQUAL(rig.n_out, 10);
    rig_skip(&rig);
    rig_advance(&rig, HG_SEC(2));
    rig_in(&rig, (struct rig_in){.flags = TCP_SYN, .seq = 5000});
    CU_ASSERT_EQUAL(rig.n_out, 1);
    rig_fini(&rig);
}

static void test_no_ack_bit_is_dropped(void)
{
    for (unsigned i = 0; i < N_PLACES; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){.seq = places[i].seq, .len = 10});
        rig_in(&rig, (struct rig_in){.flags = TCP_FIN, .seq = places[i].seq});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
        CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
        if (i < N_PLACES - 1)
            CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_flags"), 2);
        rig_fini(&rig);
    }
}

static void test_ack_of_the_unsent_is_answered_and_dropped(void)
{
    for (unsigned i = 0; i < N_PLACES - 1; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK, .seq = places[i].seq, .ack = 50, .len = 10});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
        CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), 0);
        CU_ASSERT_EQUAL(rig_take(&rig)->h.flags, TCP_ACK);
        CU_ASSERT_EQUAL(rig_count(&rig, "rx_bad_ack"), 1);
        rig_fini(&rig);
    }
}

static void test_far_segments_are_answered_and_dropped(void)
{
    for (unsigned i = 0; i < N_PLACES; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){
                         .flags = TCP_ACK, .seq = places[i].seq + 70000, .ack = 1, .len = 10});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), places[i].name);
        CU_ASSERT_EQUAL(rig_take(&rig)->h.flags, TCP_ACK);
        CU_ASSERT_EQUAL(rig_count(&rig, "rx_out_of_window"), 1);
        rig_fini(&rig);
    }
}

/* Text and FIN: where they are taken and where they are not. */
static void test_text_and_fin(void)
{
    static const struct {
        const char *after; /* state after text with FIN that acknowledges nothing new */
        uint32_t taken;
    } want[N_PLACES] = {{"CLOSE-WAIT", 10}, {"CLOSING", 10}, {"TIME-WAIT", 10}, {"CLOSE-WAIT", 0},
                        {"CLOSING", 0},     {"LAST-ACK", 0}, {"TIME-WAIT", 0}};

    for (unsigned i = 0; i < N_PLACES; i++) {
        enter(&places[i]);
        rig_in(&rig, (struct rig_in){.flags = TCP_ACK | TCP_FIN,
                                     .seq = places[i].seq,
                                     .ack = places[i].ack,
                                     .wnd = 60000,
                                     .len = 10});
        CU_ASSERT_STRING_EQUAL(rig_state(&rig), want[i].after);
        CU_ASSERT_EQUAL(hg_tcp_readable(rig.conn), want[i].taken);
        rig_fini(&rig);
    }
}

/* Every combination of flags and a few numbers in every state: no state but the RFC's, no leak. */
static void test_all_flags_everywhere(void)
{
    static const uint32_t seqs[] = {0, 1, 2, 3, 600, 70000, (uint32_t)-70000};

    for (unsigned i = 0; i < N_PLACES; i++) {
        for (unsigned flags = 0; flags < 64; flags++) {
            enter(&places[i]);
            for (unsigned k = 0; k < HG_ARRAY_LEN(seqs); k++) {
                rig_in(&rig, (struct rig_in){.flags = (uint8_t)flags,
                                             .seq = seqs[k],
                                             .ack = seqs[(k + flags) % HG_ARRAY_LEN(seqs)],
                                             .wnd = (uint16_t)(flags * 1000),
                                             .len = (flags * 7 + k) % 5});
                CU_ASSERT(rig.n_out <= 64);
            }
            rig_skip(&rig);
            rig_advance(&rig, HG_SEC(600));
            rig_skip(&rig);
            rig_fini(&rig);
        }
    }
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"exact reset ends", test_exact_reset_ends},
        {"reset in the window is challenged", test_reset_in_window_is_challenged},
        {"reset out of the window is dropped", test_reset_out_of_window_is_dropped},
        {"SYN is challenged", test_syn_is_challenged},
        {"challenges are bounded", test_challenges_are_bounded},
        {"no ACK bit", test_no_ack_bit_is_dropped},
        {"ACK of the unsent", test_ack_of_the_unsent_is_answered_and_dropped},
        {"far segments", test_far_segments_are_answered_and_dropped},
        {"text and FIN", test_text_and_fin},
        {"all flags everywhere", test_all_flags_everywhere},
    };

    rig_eal();
    return suite_run("tcp_states", tests, HG_ARRAY_LEN(tests));
}
