/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole harness for the stack as a library: a client sends 8 MiB to a server, which checks every
 * byte. Two stacks, one path of 10 ms between them, a virtual clock; it ends in real milliseconds.
 */
#include <errno.h>
#include <headgate/stack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL (8u << 20) /* bytes to send */
#define DELAY HG_MS(10)  /* one way */
#define IN_FLIGHT 4096u  /* packets on the path, one way */
#define LIMIT HG_SEC(60) /* of virtual time */
#define PORT 7000

struct packet {
    hg_ns arrives;
    ssize_t len;
    uint8_t bytes[1514];
};

/* One direction of the path. */
struct path {
    struct packet *ring;
    unsigned head, n;
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "example: %s\n", what);
        exit(1);
    }
}

static struct hg_stack *make(const char *address, enum hg_tcp_syn_order order, uint8_t mac,
                             hg_ns now)
{
    struct hg_stack_cfg cfg = {
        .bufs = 2047, .net = {.n_addrs = 1, .no_dad = true}, .mac = {0x02, 0, 0, 0, 0, mac}};
    struct hg_stack *stack;
    struct hg_err err = {""};

    cfg.tcp.syn_order = order;
    cfg.tcp.secret[0] = mac; /* a real harness: random */
    must(hg_ip_parse_prefix(address, &cfg.net.addrs[0].ip, &cfg.net.addrs[0].len) == 0, "address");
    must(hg_stack_create(&cfg, now, &stack, &err) == 0, err.text);
    return stack;
}

/* Packets of `from` go onto the path, those that have arrived go into `to`. */
static void move(struct hg_stack *from, struct path *path, struct hg_stack *to, hg_ns now)
{
    struct packet *p = &path->ring[(path->head + path->n) % IN_FLIGHT];

    while (path->n < IN_FLIGHT && (p->len = hg_stack_output(from, p->bytes, sizeof p->bytes)) > 0) {
        p->arrives = now + DELAY;
        path->n++;
        p = &path->ring[(path->head + path->n) % IN_FLIGHT];
    }
    while (path->n > 0 && path->ring[path->head].arrives <= now) {
        p = &path->ring[path->head];
        hg_stack_input(to, p->bytes, (size_t)p->len);
        path->head = (path->head + 1) % IN_FLIGHT;
        path->n--;
    }
}

static uint8_t byte_at(uint32_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7);
}

static void send_some(struct hg_stack *stack, int h, uint32_t *sent)
{
    uint8_t buf[16384];
    ssize_t n = 0;

    while (*sent < TOTAL && n >= 0) {
        uint32_t len = TOTAL - *sent < sizeof buf ? TOTAL - *sent : (uint32_t)sizeof buf;

        for (uint32_t i = 0; i < len; i++)
            buf[i] = byte_at(*sent + i);
        n = hg_stack_write(stack, h, buf, len);
        *sent += n > 0 ? (uint32_t)n : 0;
        if (*sent == TOTAL)
            must(hg_stack_shutdown(stack, h) == 0, "shutdown");
    }
    must(n >= 0 || n == -EAGAIN, "write");
}

/* True when everything and the end of the stream have come. */
static bool receive_some(struct hg_stack *stack, int h, uint32_t *got)
{
    uint8_t buf[16384];
    ssize_t n;

    while ((n = hg_stack_read(stack, h, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            must(buf[i] == byte_at((*got)++), "a byte differs");
    must(n == 0 || n == -EAGAIN, "read");
    return n == 0;
}

int main(void)
{
    struct path there = {.ring = calloc(IN_FLIGHT, sizeof(struct packet))};
    struct path back = {.ring = calloc(IN_FLIGHT, sizeof(struct packet))};
    struct hg_stack *client, *server;
    struct hg_tcp_info info;
    struct hg_err err = {""};
    struct hg_ip any = {{0}}, ip;
    uint32_t sent = 0, got = 0;
    hg_ns now = HG_SEC(1);
    int listener, out, in = -EAGAIN;

    must(hg_stack_eal(0, &err) == 0, err.text);
    client = make("192.0.2.2/24", HG_TCP_SYN_BSD, 2, now);
    server = make("192.0.2.1/24", HG_TCP_SYN_LINUX, 1, now);
    listener = hg_stack_listen(server, &any, PORT, 1);
    hg_ip_parse("192.0.2.1", &ip);
    out = hg_stack_connect(client, &ip, PORT, 0);
    must(listener >= 0 && out >= 0, "sockets");
    for (bool done = false; !done; now += HG_US(100)) { /* or to hg_stack_next(), or a packet */
        must(now < LIMIT, "it takes too long");
        hg_stack_run(client, now);
        hg_stack_run(server, now);
        send_some(client, out, &sent);
        if (in < 0)
            in = hg_stack_accept(server, listener);
        done = in >= 0 && receive_some(server, in, &got);
        hg_stack_run(client, now);
        hg_stack_run(server, now);
        move(client, &there, server, now);
        move(server, &back, client, now);
    }
    must(got == TOTAL && hg_stack_info(client, out, &info) == 0, "not everything came");
    printf("%u bytes in %.3f s of virtual time, srtt %u us, cwnd %u bytes\n", got,
           (double)(now - HG_SEC(1)) / 1e9, info.srtt_us, info.cwnd);
    hg_stack_destroy(client);
    hg_stack_destroy(server);
    free(there.ring);
    free(back.ring);
    return 0;
}
