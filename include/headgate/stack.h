/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The stack as a library: lib/net and lib/tcp in the process of a foreign harness. Packets go in and
 * come out as byte buffers, the clock is an argument, and sockets are small integers, the calls
 * being those that everybody knows. Nothing here blocks, starts a thread or reads a clock.
 *
 * Order of calls: give packets to hg_stack_input(), call hg_stack_run(now), read, write, accept;
 * call hg_stack_run(now) again to let out what these caused; take packets with hg_stack_output()
 * until it returns 0; let time pass until hg_stack_next() or the next packet. tests/stack/example.c
 * is a whole harness.
 *
 * Any number of stacks per process, each used by one thread at a time. EAL must have been
 * initialised, by hg_stack_eal() or by the harness (--no-huge --no-shconf --no-pci is enough; EAL
 * refuses --in-memory beside --no-huge).
 */
#ifndef HEADGATE_STACK_H
#define HEADGATE_STACK_H

#include <headgate/base.h>
#include <headgate/net.h>
#include <headgate/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hg_stack;

/* Initialises EAL for stacks alone, on the CPUs this thread may use: memory of the process, no
 * devices, no files. Once per process. memory in MiB, 0: 256. 0 or a negative errno and a sentence. */
int hg_stack_eal(unsigned memory, struct hg_err *err);

/* Zero means the default in brackets. */
struct hg_stack_cfg {
    struct hg_net_cfg net; /* addresses, gateway, ...; port, queue and pool are filled in */
    struct hg_tcp_cfg tcp; /* initial window, MSS, window, SACK, ...; pools are filled in.
                            * conns_max [256], snd_buf [256 KiB], rcv_mem_max [what bufs allow] */
    uint16_t mtu;          /* largest IP packet, bytes [1500]; 68 to 9216 */
    uint8_t mac[6];        /* [02:00:00:00:00:01] */
    bool raw_ip;           /* packets are IPv4 packets without an Ethernet header; ARP is answered
                            * inside, so every destination is taken to be there */
    uint32_t bufs;         /* packet buffers for each direction [4096] */
};

/* Ready to use at time now, which is not 0. 0, -EINVAL, -ENOMEM and a sentence. */
int hg_stack_create(const struct hg_stack_cfg *cfg, hg_ns now, struct hg_stack **out,
                    struct hg_err *err);
/* Without a word to peers. NULL is allowed. */
void hg_stack_destroy(struct hg_stack *stack);

/* ---- packets and time ---- */

/* Queues a copy of one packet for the next hg_stack_run(). 0; -EMSGSIZE: longer than the MTU (and
 * Ethernet header) or empty; -ENOBUFS: HG_STACK_QUEUE packets wait, or no buffer is free: lost, as
 * on a full network card. */
#define HG_STACK_QUEUE 1024
int hg_stack_input(struct hg_stack *stack, const void *packet, size_t len);

/* Deals with queued packets, timers and what the sockets asked for. now never goes back. */
void hg_stack_run(struct hg_stack *stack, hg_ns now);

/* Moves the next packet out; returns its length, 0: none. cap: the MTU and 14 always suffice; a packet
 * that is longer than cap stays, -EMSGSIZE. */
ssize_t hg_stack_output(struct hg_stack *stack, void *packet, size_t cap);

/* When hg_stack_run() has something to do without a packet; never 0. */
hg_ns hg_stack_next(const struct hg_stack *stack);

/* ---- sockets: a handle >= 0, or a negative errno; -EBADF when the handle is none ---- */

/* Listens on port of ip (all zero: of any address). At most `backlog` connections wait to be
 * accepted, further ones are reset. -EADDRINUSE, -ENOSPC. */
int hg_stack_listen(struct hg_stack *stack, const struct hg_ip *ip, uint16_t port,
                    uint32_t backlog);

/* Begins to connect; hg_stack_poll() tells when it is done. lport 0: one is chosen. -EADDRINUSE,
 * -ENOSPC, -EADDRNOTAVAIL: none of our addresses is usable, or not yet (net.no_dad). */
int hg_stack_connect(struct hg_stack *stack, const struct hg_ip *ip, uint16_t port, uint16_t lport);

/* The oldest connection that waits on a listener, as a handle; -EAGAIN: none, -EINVAL: no listener. */
int hg_stack_accept(struct hg_stack *stack, int listener);

/* Moves up to len bytes; returns how many. read: 0 after the peer's FIN. -EAGAIN: nothing to read, no
 * room to write, or not connected yet; -EPIPE: write after shutdown or close; -ENOTCONN: a listener;
 * or what ended the connection: -ECONNRESET, -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH. */
ssize_t hg_stack_read(struct hg_stack *stack, int handle, void *buf, size_t len);
ssize_t hg_stack_write(struct hg_stack *stack, int handle, const void *buf, size_t len);

/* FIN after what was written; reading goes on. 0, -ENOTCONN. */
int hg_stack_shutdown(struct hg_stack *stack, int handle);

/* Gives the handle back. What was written is still sent, then FIN; with unread data, or with
 * HG_STACK_LINGER0, RST instead. A listener resets what waits on it. 0 or -EBADF. */
int hg_stack_close(struct hg_stack *stack, int handle);

enum hg_stack_opt {
    HG_STACK_RCVLOWAT, /* bytes from which on HG_STACK_IN is said [1]; at most tcp.rcv_low */
    HG_STACK_LINGER0,  /* 1: close with RST [0] */
    HG_STACK_NODELAY,  /* always 1: there is no Nagle delay */
    HG_STACK_BACKLOG,  /* of a listener; what waits already stays */
    HG_STACK_ERROR,    /* only to get: what ended the connection, as a positive errno; 0: nothing */
    HG_STACK_UNREAD,   /* only to get: bytes to read */
    HG_STACK_ROOM,     /* only to get: bytes that write takes now */
};
/* 0; -ENOPROTOOPT: not an option of this socket, or only to get; -EINVAL: a value out of range. */
int hg_stack_setopt(struct hg_stack *stack, int handle, enum hg_stack_opt opt, uint32_t value);
int hg_stack_getopt(struct hg_stack *stack, int handle, enum hg_stack_opt opt, uint32_t *value);

/* What can be done with the handle now: a set of these, or -EBADF. */
enum {
    HG_STACK_IN = 1 << 0,  /* read or accept does not say -EAGAIN */
    HG_STACK_OUT = 1 << 1, /* write does not say -EAGAIN; connected */
    HG_STACK_HUP = 1 << 2, /* the peer will send no more */
    HG_STACK_ERR = 1 << 3, /* ended by an error: HG_STACK_ERROR */
};
int hg_stack_poll(struct hg_stack *stack, int handle);

/* The fields of Linux's tcp_info, and more. 0, -EBADF, -ENOTCONN. */
int hg_stack_info(struct hg_stack *stack, int handle, struct hg_tcp_info *out);

/* Counter sets of both layers, for display: net, then tcp. */
void hg_stack_counters(const struct hg_stack *stack, struct hg_counter_set out[2]);

#endif /* HEADGATE_STACK_H */
