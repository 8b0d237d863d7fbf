/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hg-forward: a bad cable between two interfaces, in user space. Every frame from one leaves through
 * the other, after the fault layers of headgate/impair.h, each direction with its own. Prints its
 * counters as one line of JSON on SIGUSR1 and at its end, which SIGTERM and SIGINT bring.
 *
 * One thread: take what came, hand out what is due, sleep until the next of either. Timers of the
 * kernel are exact to some microseconds; a packet is late by that and by the time until the thread is
 * scheduled. What waits in the socket meanwhile is taken for having come when it is read.
 */
#include "frames.h"

#include <errno.h>
#include <getopt.h>
#include <headgate/impair.h>
#include <headgate/units.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define ETH_LEN 14u
#define FRAME_EXTRA 18u   /* Ethernet header and a VLAN tag */
#define WIRE_OVERHEAD 38u /* header, CRC, preamble and gap of a frame on a cable */
#define FRAMES_DEFAULT 65536u

struct options {
    const char *name[2];
    struct hg_impair_cfg cfg[2]; /* [0]: from the first interface to the second */
    uint64_t seed;
    uint64_t frames;
    bool icmp;
};

/* One direction. */
struct way {
    struct forward *fwd;
    unsigned from;
    struct hg_impair *path;
    uint64_t answered;
};

struct forward {
    struct options opt;
    struct iface iface[2];
    struct frame_pool pool;
    struct way way[2];
    int signals;
    bool stop;
};

static hg_ns clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return HG_SEC((uint64_t)t.tv_sec) + (uint64_t)t.tv_nsec;
}

static void *copy_frame(void *arg, const void *user)
{
    struct way *way = arg;
    const struct frame *frame = user;
    struct frame *copy = frame_new(&way->fwd->pool);

    if (copy != NULL) {
        copy->len = frame->len;
        memcpy(copy->data, frame->data, frame->len);
    }
    return copy;
}

static struct hg_impair_pkt packet_of(struct frame *frame)
{
    return (struct hg_impair_pkt){.user = frame,
                                  .len = frame->len > ETH_LEN ? frame->len - ETH_LEN : 0,
                                  .ect = hg_impair_frame_ect(frame->data, frame->len)};
}

/* Sends the ICMP error for the frame, if one is due, back the other way. */
static void answer(struct way *way, const struct frame *frame)
{
    struct forward *fwd = way->fwd;
    struct frame *out = frame_new(&fwd->pool);

    if (out == NULL)
        return;
    out->len = hg_impair_frame_too_big(frame->data, frame->len,
                                       (uint16_t)fwd->opt.cfg[way->from].mtu, out->data);
    if (out->len == 0) {
        frame_free(&fwd->pool, out);
        return;
    }
    way->answered++;
    struct hg_impair_pkt pkt = packet_of(out);
    hg_impair_push(fwd->way[!way->from].path, &pkt, 1, clock_now());
}

static void drop_frame(void *arg, const struct hg_impair_pkt *pkt, enum hg_impair_fate fate)
{
    struct way *way = arg;

    if (fate == HG_IMPAIR_TOO_BIG && way->fwd->opt.icmp)
        answer(way, pkt->user);
    frame_free(&way->fwd->pool, pkt->user);
}

/* Returns whether there may be more to take. */
static bool take(struct way *way)
{
    struct forward *fwd = way->fwd;
    struct frame *frames[FRAMES_BATCH];
    struct hg_impair_pkt pkts[FRAMES_BATCH];
    unsigned n = iface_receive(&fwd->iface[way->from], &fwd->pool, frames);

    for (unsigned i = 0; i < n; i++)
        pkts[i] = packet_of(frames[i]);
    hg_impair_push(way->path, pkts, n, clock_now());
    return n == FRAMES_BATCH;
}

static void damage(const struct hg_impair_pkt *pkt)
{
    struct frame *frame = pkt->user;

    if (pkt->ce)
        hg_impair_frame_mark_ce(frame->data, frame->len);
    if (pkt->corrupt)
        frame->data[ETH_LEN + pkt->flip_bit / 8] ^= (uint8_t)(0x80 >> pkt->flip_bit % 8);
}

static bool deliver(struct way *way)
{
    struct forward *fwd = way->fwd;
    struct hg_impair_pkt pkts[FRAMES_BATCH];
    struct frame *frames[FRAMES_BATCH];
    unsigned n = hg_impair_pop(way->path, pkts, FRAMES_BATCH, clock_now());

    for (unsigned i = 0; i < n; i++) {
        damage(&pkts[i]);
        frames[i] = pkts[i].user;
    }
    iface_send(&fwd->iface[!way->from], frames, n);
    for (unsigned i = 0; i < n; i++)
        frame_free(&fwd->pool, frames[i]);
    return n == FRAMES_BATCH;
}

static void print_set(struct hg_counter_set set)
{
    for (unsigned i = 0; i < set.n; i++)
        printf("%s\"%s\": %" PRIu64, i != 0 ? ", " : "", set.desc[i].name, set.value[i]);
}

static void print_counters(struct forward *fwd)
{
    static const char *const direction[] = {"ab", "ba"};

    printf("{");
    for (unsigned i = 0; i < 2; i++) {
        printf("\"%s\": {", direction[i]);
        print_set(hg_impair_counter_set(fwd->way[i].path));
        printf(", \"answered\": %" PRIu64 "}, ", fwd->way[i].answered);
    }
    for (unsigned i = 0; i < 2; i++) {
        printf("%s\"%s\": {\"name\": \"%s\", ", i != 0 ? ", " : "", i == 0 ? "a" : "b",
               fwd->iface[i].name);
        print_set(iface_counters(&fwd->iface[i]));
        printf("}");
    }
    printf("}\n");
    fflush(stdout);
}

static void read_signals(struct forward *fwd)
{
    struct signalfd_siginfo info;

    while (read(fwd->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            print_counters(fwd);
        else
            fwd->stop = true;
    }
}

static hg_ns next_due(const struct forward *fwd)
{
    hg_ns a = hg_impair_next(fwd->way[0].path), b = hg_impair_next(fwd->way[1].path);

    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Until something comes or is due. */
static void sleep_until_next(struct forward *fwd)
{
    struct pollfd fds[] = {{fwd->iface[0].rx_fd, POLLIN, 0},
                           {fwd->iface[1].rx_fd, POLLIN, 0},
                           {fwd->signals, POLLIN, 0}};
    hg_ns due = next_due(fwd), now = clock_now();
    hg_ns wait = due > now ? due - now : 0;
    struct timespec t = {(time_t)(wait / HG_SEC(1)), (long)(wait % HG_SEC(1))};

    if (ppoll(fds, HG_ARRAY_LEN(fds), due != 0 ? &t : NULL, NULL) > 0 && fds[2].revents != 0)
        read_signals(fwd);
}

static void run(struct forward *fwd)
{
    while (!fwd->stop) {
        bool more = false;

        more |= take(&fwd->way[0]);
        more |= take(&fwd->way[1]);
        more |= deliver(&fwd->way[0]);
        more |= deliver(&fwd->way[1]);
        if (!more)
            sleep_until_next(fwd);
        else
            read_signals(fwd);
    }
}

static int open_signals(struct forward *fwd, struct hg_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_TIMERSLACK, 1); /* ns; the default would add 50 us to every delay */
    fwd->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fwd->signals >= 0 ? 0 : hg_fail(err, -errno, "signals: %s", strerror(errno));
}

static int open_way(struct forward *fwd, unsigned from, struct hg_err *err)
{
    struct way *way = &fwd->way[from];
    struct hg_impair_env env = {.seed = fwd->opt.seed + from,
                                .packets_max = fwd->pool.n,
                                .copy = copy_frame,
                                .drop = drop_frame,
                                .arg = way};

    *way = (struct way){.fwd = fwd, .from = from};
    return hg_impair_create(&fwd->opt.cfg[from], &env, &way->path, err);
}

static int open_all(struct forward *fwd, struct hg_err *err)
{
    uint32_t mtu = HG_IMPAIR_ANSWER_MAX;
    int ret = open_signals(fwd, err);

    for (unsigned i = 0; i < 2 && ret == 0; i++) {
        ret = iface_open(&fwd->iface[i], fwd->opt.name[i], err);
        mtu = fwd->iface[i].mtu > mtu ? fwd->iface[i].mtu : mtu;
    }
    if (ret == 0)
        ret = frame_pool_open(&fwd->pool, (uint32_t)fwd->opt.frames, mtu + FRAME_EXTRA, err);
    for (unsigned i = 0; i < 2 && ret == 0; i++)
        ret = open_way(fwd, i, err);
    return ret;
}

static void close_all(struct forward *fwd)
{
    for (unsigned i = 0; i < 2; i++)
        hg_impair_destroy(fwd->way[i].path);
    for (unsigned i = 0; i < 2; i++)
        iface_close(&fwd->iface[i]);
    frame_pool_close(&fwd->pool);
    close(fwd->signals);
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: hg-forward [OPTION...] A B\n"
            "Joins interfaces A and B (tap:NAME makes one) by a bad cable.\n"
            "  --ab LAYERS    from A to B; LAYERS is KEY=VALUE,... of\n"
            "                 %s\n"
            "  --ba LAYERS    from B to A\n"
            "  --both LAYERS  both\n"
            "  --icmp         answer what is longer than mtu= with ICMP; else drop it silently\n"
            "  --seed N       of chance, 1\n"
            "  --frames N     on their way at most, %u\n",
            hg_impair_keys, FRAMES_DEFAULT);
}

static int parse_layers(struct options *opt, int option, const char *text, struct hg_err *err)
{
    int ret = 0;

    if (option != 'b')
        ret = hg_impair_parse(text, &opt->cfg[0], err);
    if (option != 'a' && ret == 0)
        ret = hg_impair_parse(text, &opt->cfg[1], err);
    return ret;
}

static int parse_options(int argc, char **argv, struct options *opt, struct hg_err *err)
{
    static const struct option table[] = {
        {"ab", required_argument, NULL, 'a'},   {"ba", required_argument, NULL, 'b'},
        {"both", required_argument, NULL, 'c'}, {"icmp", no_argument, NULL, 'i'},
        {"seed", required_argument, NULL, 's'}, {"frames", required_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    int c, ret = 0;

    *opt = (struct options){.seed = 1, .frames = FRAMES_DEFAULT};
    opt->cfg[0].overhead = opt->cfg[1].overhead = WIRE_OVERHEAD;
    while (ret == 0 && (c = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (c == 'a' || c == 'b' || c == 'c') {
            ret = parse_layers(opt, c, optarg, err);
        } else if (c == 'i') {
            opt->icmp = true;
        } else if (c == 's') {
            ret = hg_units_count(optarg, &opt->seed);
        } else if (c == 'f') {
            ret = hg_units_count(optarg, &opt->frames);
        } else if (c == 'h') {
            usage(stdout);
            exit(0);
        } else {
            return -EINVAL;
        }
    }
    if (ret == 0 && (optind != argc - 2 || opt->frames < 2 || opt->frames > 1u << 22))
        ret = hg_fail(err, -EINVAL, "two interfaces are needed, and 2 to 4194304 frames");
    if (ret == 0)
        memcpy(opt->name, argv + optind, sizeof opt->name);
    return ret;
}

int main(int argc, char **argv)
{
    static struct forward fwd;
    struct hg_err err = {"a number is not a number"};

    if (parse_options(argc, argv, &fwd.opt, &err) != 0) {
        fprintf(stderr, "hg-forward: %s\n", err.text);
        usage(stderr);
        return 2;
    }
    if (open_all(&fwd, &err) != 0) {
        fprintf(stderr, "hg-forward: %s\n", err.text);
        return 1;
    }
    printf("hg-forward: ready\n");
    fflush(stdout);
    run(&fwd);
    print_counters(&fwd);
    close_all(&fwd);
    return 0;
}
