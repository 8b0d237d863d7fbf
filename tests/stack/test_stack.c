/* SPDX-License-Identifier: BSD-3-Clause */
/* The edges of the library's calls: nothing to do yet, half closed, reset, refused, full, no handle. */
#include "../unit/tcp/suite.h"
#include <errno.h>
#include <headgate/stack.h>
#include <stdlib.h>
#include <string.h>

#define PORT 4711

/* Two stacks and a cable without delay, time of our own. */
static struct rig {
    struct hg_stack *s[2];
    int handle[2]; /* of the connection */
    int listener;  /* on s[1] */
    hg_ns now;
    unsigned packets;
    size_t longest; /* packet so far, bytes */
    uint8_t first;  /* byte of the last packet */
    bool v6;        /* the next begin() takes IPv6 addresses */
    bool cut;       /* nothing arrives */
} rig;

static struct hg_ip ip_of(unsigned i)
{
    struct hg_ip v6 = {{0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(1 + i)}};

    return rig.v6 ? v6 : hg_ip_from_v4(0xc0000201 + i); /* 192.0.2.1, .2 */
}

static void begin(const struct hg_stack_cfg *base)
{
    struct hg_err err = {""};

    bool v6 = rig.v6;

    memset(&rig, 0, sizeof rig);
    rig.v6 = v6;
    rig.now = HG_SEC(1);
    for (unsigned i = 0; i < 2; i++) {
        struct hg_stack_cfg cfg = *base;

        cfg.bufs = cfg.bufs == 0 ? 511 : cfg.bufs;
        cfg.mac[0] = 0x02;
        cfg.mac[5] = (uint8_t)(1 + i);
        cfg.net.addrs[0] = (struct hg_net_prefix){ip_of(i), rig.v6 ? 64 : 24};
        cfg.net.n_addrs = 1;
        cfg.net.no_dad = true;
        cfg.net.secret[0] = 1 + i;
        cfg.tcp.secret[0] = 1 + i;
        CU_ASSERT_EQUAL_FATAL(hg_stack_create(&cfg, rig.now, &rig.s[i], &err), 0);
    }
}

static void end(void)
{
    hg_stack_destroy(rig.s[0]);
    hg_stack_destroy(rig.s[1]);
}

/* One exchange at the same time; returns how many packets moved. */
static unsigned exchange(void)
{
    uint8_t packet[9300];
    unsigned moved = 0;

    for (unsigned i = 0; i < 2; i++) {
        ssize_t len;

        hg_stack_run(rig.s[i], rig.now);
        while ((len = hg_stack_output(rig.s[i], packet, sizeof packet)) > 0) {
            rig.longest = (size_t)len > rig.longest ? (size_t)len : rig.longest;
            rig.first = packet[0];
            if (!rig.cut)
                CU_ASSERT_EQUAL(hg_stack_input(rig.s[!i], packet, (size_t)len), 0);
            moved++;
        }
    }
    rig.packets += moved;
    return moved;
}

/* Lets `by` pass, as the stacks ask for it. */
static void pass(hg_ns by)
{
    hg_ns stop = rig.now + by;

    for (unsigned i = 0; i < 100000 && rig.now < stop; i++) {
        hg_ns a, b;

        if (exchange() != 0)
            continue;
        a = hg_stack_next(rig.s[0]);
        b = hg_stack_next(rig.s[1]);
        a = a < b ? a : b;
        rig.now = a > rig.now ? a : rig.now + HG_US(10);
        rig.now = rig.now < stop ? rig.now : stop;
    }
    CU_ASSERT_EQUAL(rig.now, stop);
}

static void establish(void)
{
    struct hg_ip any = {{0}}, ip = ip_of(1);

    rig.listener = hg_stack_listen(rig.s[1], &any, PORT, 4);
    CU_ASSERT_FATAL(rig.listener >= 0);
    rig.handle[0] = hg_stack_connect(rig.s[0], &ip, PORT, 0);
    CU_ASSERT_FATAL(rig.handle[0] >= 0);
    pass(HG_MS(50));
    rig.handle[1] = hg_stack_accept(rig.s[1], rig.listener);
    CU_ASSERT_FATAL(rig.handle[1] >= 0);
}

static ssize_t rd(unsigned i, void *buf, size_t len)
{
    return hg_stack_read(rig.s[i], rig.handle[i], buf, len);
}

static ssize_t wr(unsigned i, const char *text)
{
    return hg_stack_write(rig.s[i], rig.handle[i], text, strlen(text));
}

static int ready(unsigned i)
{
    return hg_stack_poll(rig.s[i], rig.handle[i]);
}

static const struct hg_stack_cfg plain;

/* ---- tests ---- */

static void test_would_block(void)
{
    struct hg_ip any = {{0}}, ip = ip_of(1);
    char buf[8];

    begin(&plain);
    rig.listener = hg_stack_listen(rig.s[1], &any, PORT, 1);
    CU_ASSERT_EQUAL(hg_stack_accept(rig.s[1], rig.listener), -EAGAIN);
    CU_ASSERT_EQUAL(hg_stack_poll(rig.s[1], rig.listener), 0);
    rig.handle[0] = hg_stack_connect(rig.s[0], &ip, PORT, 0);
    CU_ASSERT_EQUAL(wr(0, "early"), -EAGAIN);
    CU_ASSERT_EQUAL(rd(0, buf, sizeof buf), -EAGAIN);
    CU_ASSERT_EQUAL(ready(0), 0);
    CU_ASSERT_EQUAL(hg_stack_shutdown(rig.s[0], rig.handle[0]), -ENOTCONN);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(ready(0), HG_STACK_OUT);
    CU_ASSERT_EQUAL(hg_stack_poll(rig.s[1], rig.listener), HG_STACK_IN);
    rig.handle[1] = hg_stack_accept(rig.s[1], rig.listener);
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), -EAGAIN);
    CU_ASSERT_EQUAL(wr(0, "hello"), 5);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(ready(1), HG_STACK_IN | HG_STACK_OUT);
    CU_ASSERT_EQUAL(rd(1, buf, 0), 0);
    CU_ASSERT_EQUAL(rd(1, buf, 2), 2);
    CU_ASSERT_EQUAL(rd(1, buf + 2, sizeof buf - 2), 3);
    CU_ASSERT_EQUAL(memcmp(buf, "hello", 5), 0);
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), -EAGAIN);
    end();
}

static void test_full(void)
{
    struct hg_stack_cfg cfg = {.tcp = {.snd_buf = 20000, .rcv_buf = 16384}};
    static char block[100000];
    uint32_t room;
    ssize_t n, in_all = 0;

    begin(&cfg);
    establish();
    n = hg_stack_write(rig.s[0], rig.handle[0], block, sizeof block);
    CU_ASSERT_EQUAL(n, 20000);
    CU_ASSERT_EQUAL(hg_stack_getopt(rig.s[0], rig.handle[0], HG_STACK_ROOM, &room), 0);
    CU_ASSERT_EQUAL(room, 0);
    CU_ASSERT_EQUAL(ready(0), 0);
    CU_ASSERT_EQUAL(wr(0, "x"), -EAGAIN);
    pass(HG_SEC(1));
    CU_ASSERT_EQUAL(ready(0), HG_STACK_OUT); /* what the window took is acknowledged */
    while ((n = rd(1, block, sizeof block)) > 0 || in_all < 20000) {
        in_all += n > 0 ? n : 0;
        pass(HG_MS(300));
        CU_ASSERT_FATAL(rig.now < HG_SEC(60));
    }
    CU_ASSERT_EQUAL(in_all, 20000);
    end();
}

static void test_half_close(void)
{
    char buf[16];

    begin(&plain);
    establish();
    CU_ASSERT_EQUAL(wr(0, "question"), 8);
    CU_ASSERT_EQUAL(hg_stack_shutdown(rig.s[0], rig.handle[0]), 0);
    CU_ASSERT_EQUAL(wr(0, "more"), -EPIPE);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(ready(1), HG_STACK_IN | HG_STACK_OUT | HG_STACK_HUP);
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), 8);
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), 0);
    CU_ASSERT_EQUAL(wr(1, "answer"), 6);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[1], rig.handle[1]), 0);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(rd(0, buf, sizeof buf), 6);
    CU_ASSERT_EQUAL(memcmp(buf, "answer", 6), 0);
    CU_ASSERT_EQUAL(rd(0, buf, sizeof buf), 0);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[0], rig.handle[0]), 0);
    end();
}

static void test_reset(void)
{
    uint32_t value;
    char buf[16];

    begin(&plain);
    establish();
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[0], rig.handle[0], HG_STACK_LINGER0, 1), 0);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[0], rig.handle[0]), 0);
    pass(HG_MS(50));
    CU_ASSERT(ready(1) & HG_STACK_ERR);
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), -ECONNRESET);
    CU_ASSERT_EQUAL(wr(1, "x"), -ECONNRESET);
    CU_ASSERT_EQUAL(hg_stack_getopt(rig.s[1], rig.handle[1], HG_STACK_ERROR, &value), 0);
    CU_ASSERT_EQUAL(value, ECONNRESET);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[1], rig.handle[1]), 0);
    end();
}

static void test_unread_data_resets(void)
{
    begin(&plain);
    establish();
    CU_ASSERT_EQUAL(wr(0, "never read"), 10);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[1], rig.handle[1]), 0);
    pass(HG_MS(50));
    CU_ASSERT(ready(0) & HG_STACK_ERR);
    end();
}

static void test_refused(void)
{
    struct hg_ip ip = ip_of(1);
    char buf[4];

    begin(&plain);
    rig.handle[0] = hg_stack_connect(rig.s[0], &ip, PORT, 0);
    pass(HG_MS(50));
    CU_ASSERT(ready(0) & HG_STACK_ERR);
    CU_ASSERT_EQUAL(rd(0, buf, sizeof buf), -ECONNREFUSED);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[0], rig.handle[0]), 0);
    end();
}

static void test_timed_out(void)
{
    struct hg_stack_cfg cfg = {.tcp = {.retries = 2}};
    char buf[4];

    begin(&cfg);
    establish();
    rig.cut = true;
    CU_ASSERT_EQUAL(wr(0, "x"), 1);
    pass(HG_SEC(30));
    CU_ASSERT_EQUAL(rd(0, buf, sizeof buf), -ETIMEDOUT);
    end();
}

static void test_backlog(void)
{
    struct hg_ip any = {{0}}, ip = ip_of(1);
    int h[3], errors = 0;

    begin(&plain);
    rig.listener = hg_stack_listen(rig.s[1], &any, PORT, 2);
    CU_ASSERT_EQUAL(hg_stack_listen(rig.s[1], &any, PORT, 2), -EADDRINUSE);
    for (unsigned i = 0; i < 3; i++)
        h[i] = hg_stack_connect(rig.s[0], &ip, PORT, 0);
    pass(HG_MS(100));
    for (unsigned i = 0; i < 3; i++)
        errors += (hg_stack_poll(rig.s[0], h[i]) & HG_STACK_ERR) != 0;
    CU_ASSERT_EQUAL(errors, 1);
    CU_ASSERT(hg_stack_accept(rig.s[1], rig.listener) >= 0);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[1], rig.listener), 0); /* the other one still waits */
    pass(HG_MS(100));
    errors = 0;
    for (unsigned i = 0; i < 3; i++)
        errors += (hg_stack_poll(rig.s[0], h[i]) & HG_STACK_ERR) != 0;
    CU_ASSERT_EQUAL(errors, 2);
    CU_ASSERT(hg_stack_listen(rig.s[1], &any, PORT, 2) >= 0);
    end();
}

static void test_bad_handles(void)
{
    static const int bad[] = {-1, 100000, INT32_MAX, INT32_MIN, 3};
    struct hg_tcp_info info;
    uint32_t value;
    char buf[4];

    begin(&plain);
    establish();
    for (unsigned i = 0; i < HG_ARRAY_LEN(bad); i++) {
        struct hg_stack *s = rig.s[0];

        CU_ASSERT_EQUAL(hg_stack_read(s, bad[i], buf, 4), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_write(s, bad[i], buf, 4), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_accept(s, bad[i]), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_shutdown(s, bad[i]), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_close(s, bad[i]), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_poll(s, bad[i]), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_info(s, bad[i], &info), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_setopt(s, bad[i], HG_STACK_NODELAY, 1), -EBADF);
        CU_ASSERT_EQUAL(hg_stack_getopt(s, bad[i], HG_STACK_NODELAY, &value), -EBADF);
    }
    CU_ASSERT_EQUAL(hg_stack_accept(rig.s[0], rig.handle[0]), -EINVAL);
    CU_ASSERT_EQUAL(hg_stack_read(rig.s[1], rig.listener, buf, 4), -ENOTCONN);
    CU_ASSERT_EQUAL(hg_stack_info(rig.s[1], rig.listener, &info), -ENOTCONN);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[0], rig.handle[0]), 0);
    CU_ASSERT_EQUAL(hg_stack_close(rig.s[0], rig.handle[0]), -EBADF);
    end();
}

static void test_options(void)
{
    uint32_t v;

    begin(&plain);
    establish();
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_RCVLOWAT, 10), 0);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_RCVLOWAT, 0), -EINVAL);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_RCVLOWAT, 1u << 30), -EINVAL);
    wr(0, "123456789");
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(ready(1), HG_STACK_OUT);
    CU_ASSERT_EQUAL(hg_stack_getopt(rig.s[1], rig.handle[1], HG_STACK_UNREAD, &v), 0);
    CU_ASSERT_EQUAL(v, 9);
    wr(0, "0");
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(ready(1), HG_STACK_IN | HG_STACK_OUT);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_NODELAY, 0), -EINVAL);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_ERROR, 0), -ENOPROTOOPT);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.handle[1], HG_STACK_BACKLOG, 1), -ENOPROTOOPT);
    CU_ASSERT_EQUAL(hg_stack_setopt(rig.s[1], rig.listener, HG_STACK_BACKLOG, 1), 0);
    CU_ASSERT_EQUAL(hg_stack_getopt(rig.s[1], rig.listener, HG_STACK_BACKLOG, &v), 0);
    CU_ASSERT_EQUAL(v, 1);
    CU_ASSERT_EQUAL(hg_stack_getopt(rig.s[1], rig.listener, HG_STACK_UNREAD, &v), -ENOPROTOOPT);
    end();
}

static void test_packets(void)
{
    static uint8_t packet[2000];
    int rc = 0;
    unsigned n;

    begin(&plain);
    CU_ASSERT_EQUAL(hg_stack_input(rig.s[0], packet, 0), -EMSGSIZE);
    CU_ASSERT_EQUAL(hg_stack_input(rig.s[0], packet, 1515), -EMSGSIZE);
    for (n = 0; n < 2000 && rc == 0; n++)
        rc = hg_stack_input(rig.s[0], packet, 1514);
    CU_ASSERT_EQUAL(rc, -ENOBUFS);
    CU_ASSERT(n > 400 && n <= HG_STACK_QUEUE + 1);
    hg_stack_run(rig.s[0], rig.now);
    CU_ASSERT_EQUAL(hg_stack_input(rig.s[0], packet, 1), 0);
    CU_ASSERT_EQUAL(hg_stack_output(rig.s[0], packet, 10), -EMSGSIZE); /* an announcement, by ARP */
    CU_ASSERT(hg_stack_output(rig.s[0], packet, sizeof packet) > 0);
    end();
}

static void test_raw_ip(void)
{
    struct hg_stack_cfg cfg = {.raw_ip = true, .mtu = 1400};
    static char block[10000];
    struct hg_tcp_info info;

    begin(&cfg);
    establish();
    CU_ASSERT_EQUAL(hg_stack_write(rig.s[0], rig.handle[0], block, sizeof block), sizeof block);
    pass(HG_MS(100));
    CU_ASSERT_EQUAL(rd(1, block, sizeof block), sizeof block);
    CU_ASSERT_EQUAL(rig.longest, 1400);
    CU_ASSERT_EQUAL(rig.first, 0x45); /* no Ethernet, no ARP */
    CU_ASSERT_EQUAL(hg_stack_info(rig.s[0], rig.handle[0], &info), 0);
    CU_ASSERT_EQUAL(info.snd_mss, 1360);
    CU_ASSERT_STRING_EQUAL(info.state, "ESTABLISHED");
    end();
}

static void test_ipv6(void)
{
    struct hg_tcp_info info;
    char buf[8];

    rig.v6 = true;
    begin(&plain);
    establish();
    CU_ASSERT_EQUAL(wr(0, "hello"), 5);
    pass(HG_MS(50));
    CU_ASSERT_EQUAL(rd(1, buf, sizeof buf), 5);
    CU_ASSERT_EQUAL(hg_stack_info(rig.s[1], rig.handle[1], &info), 0);
    CU_ASSERT(!hg_ip_is_v4(&info.flow.remote));
    CU_ASSERT_EQUAL(info.snd_mss, 1440);
    end();
    rig.v6 = false;
}

static void test_settings(void)
{
    struct hg_stack_cfg cfg = {.mtu = 9000, .tcp = {.mss = 1000, .init_cwnd = 3, .no_sack = true}};
    struct hg_tcp_info info;
    struct hg_stack *none = NULL;
    struct hg_err err = {""};

    begin(&cfg);
    establish();
    CU_ASSERT_EQUAL(hg_stack_info(rig.s[0], rig.handle[0], &info), 0);
    CU_ASSERT(!info.sack && info.timestamps);
    CU_ASSERT_EQUAL(info.snd_mss, 1000);
    CU_ASSERT_EQUAL(info.cwnd / (1000 - 12), 3);
    end();
    cfg.mtu = 60;
    CU_ASSERT_EQUAL(hg_stack_create(&cfg, HG_SEC(1), &none, &err), -EINVAL);
    CU_ASSERT_PTR_NULL(none);
}

int main(void)
{
    static const struct suite_test tests[] = {
        {"nothing to do yet is -EAGAIN", test_would_block},
        {"write takes what there is room for", test_full},
        {"after shutdown the other direction goes on", test_half_close},
        {"a reset is told as an error", test_reset},
        {"closing with unread data resets", test_unread_data_resets},
        {"a closed port refuses", test_refused},
        {"a peer that vanished times out", test_timed_out},
        {"a full backlog resets, closing a listener resets what waits", test_backlog},
        {"handles that are none are -EBADF, others are not mistaken", test_bad_handles},
        {"options are checked, get what was set, and work", test_options},
        {"packets in: length and number are bounded", test_packets},
        {"raw mode: IP packets only", test_raw_ip},
        {"IPv6 works as IPv4 does", test_ipv6},
        {"settings reach the wire", test_settings},
    };
    struct hg_err err = {""};

    if (hg_stack_eal(128, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    return suite_run("stack", tests, HG_ARRAY_LEN(tests));
}
