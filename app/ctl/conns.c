/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * headgatectl conns: connections as `ss -ti` shows them (names and units are ss's own), with what only this
 * node knows behind them: source, TLS, session.
 */
#include "ctl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* How a field is written. */
enum form {
    WORD,     /* the text itself */
    FLAG,     /* its name when it is true */
    PLAIN,    /* name:number */
    NOT_ZERO, /* the same, nothing when it is 0 */
    PAIR,     /* nothing when both are 0: name:number,other */
    MS,       /* microseconds as milliseconds */
    MS_PAIR,  /* the same: name:number/other */
    MS_WORD,  /* microseconds as whole milliseconds with their unit */
    AGO,      /* milliseconds; nothing when it never was */
    SEGMENTS, /* bytes as multiples of the MSS, and of what is not zero at least one */
    SSTHRESH, /* the same; nothing while it is infinite */
    RETRANS,  /* name:segments/total */
    BPS,      /* bytes per second as bits, behind a blank */
};

/* Names and order are those of `ss -ti`. */
static const struct field {
    const char *ss, *key; /* of the answer's "tcp" */
    enum form form;
    const char *other;
} fields[] = {
    {"ts", "timestamps", FLAG, NULL},
    {"sack", "sack", FLAG, NULL},
    {"ecn", "ecn", FLAG, NULL},
    {"", "cc", WORD, NULL},
    {"wscale", "snd_wscale", PAIR, "rcv_wscale"},
    {"rto", "rto_us", MS, NULL},
    {"backoff", "backoff", NOT_ZERO, NULL},
    {"rtt", "srtt_us", MS_PAIR, "rttvar_us"},
    {"ato", "ato_us", MS, NULL},
    {"mss", "snd_mss", PLAIN, NULL},
    {"pmtu", "pmtu", PLAIN, NULL},
    {"rcvmss", "rcv_mss", PLAIN, NULL},
    {"advmss", "advmss", PLAIN, NULL},
    {"cwnd", "cwnd", SEGMENTS, NULL},
    {"ssthresh", "ssthresh", SSTHRESH, NULL},
    {"bytes_sent", "bytes_sent", NOT_ZERO, NULL},
    {"bytes_retrans", "bytes_retrans", NOT_ZERO, NULL},
    {"bytes_acked", "bytes_acked", NOT_ZERO, NULL},
    {"bytes_received", "bytes_in", NOT_ZERO, NULL},
    {"segs_out", "segs_out", NOT_ZERO, NULL},
    {"segs_in", "segs_in", NOT_ZERO, NULL},
    {"data_segs_out", "data_segs_out", NOT_ZERO, NULL},
    {"data_segs_in", "data_segs_in", NOT_ZERO, NULL},
    {"lastsnd", "last_data_sent_ms", AGO, NULL},
    {"lastrcv", "last_recv_ms", AGO, NULL},
    {"delivery_rate", "delivery_rate", BPS, NULL},
    {"delivered_ce", "delivered_ce", NOT_ZERO, NULL},
    {"busy", "busy_us", MS_WORD, NULL},
    {"rwnd_limited", "rwnd_limited_us", MS_WORD, NULL},
    {"sndbuf_limited", "sndbuf_limited_us", MS_WORD, NULL},
    {"unacked", "unacked", SEGMENTS, NULL},
    {"retrans", "retrans", RETRANS, "retransmits"},
    {"lost", "lost", SEGMENTS, NULL},
    {"sacked", "sacked", SEGMENTS, NULL},
    {"dsack_dups", "dsack_dups", NOT_ZERO, NULL},
    {"reord_seen", "reordering", NOT_ZERO, NULL},
    {"rcv_rtt", "rcv_rtt_us", MS, NULL},
    {"rcv_space", "rcv_space", PLAIN, NULL},
    {"notsent", "unsent", NOT_ZERO, NULL},
    {"minrtt", "min_rtt_us", MS, NULL},
    {"rcv_ooopack", "rcv_ooopack", NOT_ZERO, NULL},
    {"rcv_ooo", "ooo", NOT_ZERO, NULL},
    {"snd_wnd", "snd_wnd", PLAIN, NULL},
    {"rcv_wnd", "rcv_wnd", PLAIN, NULL},
};

static uint64_t segments(const json_t *tcp, uint64_t bytes)
{
    uint64_t mss = ctl_number(tcp, "snd_mss");

    return mss == 0 ? 0 : (bytes + mss - 1) / mss;
}

/* Forms that are a name and one number; false: not one of those. */
static bool print_number(const json_t *tcp, const struct field *f, uint64_t n)
{
    bool hidden = (f->form != PLAIN && n == 0) || (f->form == SSTHRESH && n >= UINT32_MAX);

    switch (f->form) {
    case SEGMENTS:
    case SSTHRESH:
        n = segments(tcp, n);
        break;
    case AGO:
        hidden = n >= UINT32_MAX;
        break;
    case PLAIN:
    case NOT_ZERO:
        break;
    default:
        return false;
    }
    if (!hidden)
        printf(" %s:%" PRIu64, f->ss, n);
    return true;
}

static void print_field(const json_t *tcp, const struct field *f)
{
    uint64_t n = ctl_number(tcp, f->key), other = f->other == NULL ? 0 : ctl_number(tcp, f->other);

    if (f->form == WORD)
        printf(" %s", ctl_text(tcp, f->key));
    else if (f->form == FLAG && json_is_true(json_object_get(tcp, f->key)))
        printf(" %s", f->ss);
    if (f->form == WORD || f->form == FLAG || print_number(tcp, f, n) || (n == 0 && other == 0))
        return;
    if (f->form == PAIR)
        printf(" %s:%" PRIu64 ",%" PRIu64, f->ss, n, other);
    else if (f->form == MS)
        printf(" %s:%g", f->ss, (double)n / 1e3);
    else if (f->form == MS_PAIR)
        printf(" %s:%g/%g", f->ss, (double)n / 1e3, (double)other / 1e3);
    else if (f->form == MS_WORD)
        printf(" %s:%" PRIu64 "ms", f->ss, n / 1000);
    else if (f->form == RETRANS)
        printf(" %s:%" PRIu64 "/%" PRIu64, f->ss, segments(tcp, n), other);
    else
        printf(" %s %" PRIu64 "bps", f->ss, 8 * n);
}

/* What ss computes: one window each round trip. */
static void print_rate(const json_t *tcp)
{
    uint64_t cwnd = ctl_number(tcp, "cwnd"), srtt = ctl_number(tcp, "srtt_us");

    if (srtt != 0)
        printf(" send %.0fbps", (double)cwnd * 8e6 / (double)srtt);
}

static void print_conn(const json_t *c)
{
    const json_t *t = json_object_get(c, "tcp"), *s = json_object_get(c, "session");
    char a[32], b[32];

    printf("%-12s %8" PRIu64 " %8" PRIu64 " %-26s %-26s %s\n", ctl_text(t, "state"),
           ctl_number(t, "unread"), ctl_number(t, "unacked") + ctl_number(t, "unsent"),
           ctl_text(c, "local"), ctl_text(c, "peer"),
           ctl_text(c, "source")[0] != '\0' ? ctl_text(c, "source") : "(no source yet)");
    printf("    ");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        print_field(t, &fields[i]);
    print_rate(t);
    printf("\n     tls: %s %s\n", ctl_text(c, "tls"), ctl_text(c, "suite"));
    if (s != NULL)
        printf("     session: %" PRIu64 " volumes, %" PRIu64
               " frames, raw %s, wire %s, in flight %s, refused %" PRIu64 "%s\n",
               ctl_number(s, "volumes"), ctl_number(s, "frames"),
               ctl_human(ctl_number(s, "raw_bytes"), a), ctl_human(ctl_number(s, "wire_bytes"), b),
               ctl_human(ctl_number(s, "in_flight"), (char[32]){0}), ctl_number(s, "errors"),
               json_is_true(json_object_get(s, "blocked")) ? ", waits for buffers" : "");
}

/* ---- filters ---- */

struct filter {
    const char *state, *source, *peer; /* NULL: any */
};

static bool peer_matches(const char *peer, const char *wanted)
{
    size_t len = strlen(wanted);

    if (strncmp(peer, wanted, len) == 0 && (peer[len] == '\0' || peer[len] == ':'))
        return true;
    /* an IPv6 address without its brackets */
    return peer[0] == '[' && strncmp(peer + 1, wanted, len) == 0 && peer[len + 1] == ']';
}

/* ss writes "established" and "fin-wait-1" as well. */
static bool passes(const struct filter *f, const json_t *c)
{
    return (f->state == NULL ||
            strcasecmp(f->state, ctl_text(json_object_get(c, "tcp"), "state")) == 0) &&
           (f->source == NULL || strcmp(f->source, ctl_text(c, "source")) == 0) &&
           (f->peer == NULL || peer_matches(ctl_text(c, "peer"), f->peer));
}

/* Drops the connections that do not pass; returns how many stay. */
static size_t select_conns(json_t *list, const struct filter *f)
{
    for (size_t i = json_array_size(list); i-- > 0;)
        if (!passes(f, json_array_get(list, i)))
            json_array_remove(list, i);
    return json_array_size(list);
}

static int list_conns(const struct ctl *ctl, const struct filter *f)
{
    json_t *answer = ctl_ask(ctl, json_pack("{s:s}", "cmd", "conns")), *c;
    size_t all, n, i;

    if (answer == NULL)
        return 1;
    all = json_array_size(json_object_get(answer, "conns"));
    n = select_conns(json_object_get(answer, "conns"), f);
    if (ctl->json) {
        ctl_print_json(answer);
        return 0;
    }
    if (all == 0)
        puts("There are no connections.");
    else if (n == 0)
        printf("None of the %zu connections is like that.\n", all);
    else
        printf("%-12s %8s %8s %-26s %-26s %s\n", "State", "Recv-Q", "Send-Q", "Local", "Peer",
               "Source");
    json_array_foreach(json_object_get(answer, "conns"), i, c) print_conn(c);
    json_decref(answer);
    return 0;
}

/* ---- the trace of one connection ---- */

static int print_trace(const struct ctl *ctl, const char *peer)
{
    json_t *answer = ctl_ask(ctl, json_pack("{s:s, s:s}", "cmd", "conns", "trace", peer)), *e;
    size_t i;

    if (answer == NULL)
        return 1;
    if (ctl->json) {
        ctl_print_json(answer);
        return 0;
    }
    json_array_foreach(json_object_get(answer, "trace"), i, e)
    {
        uint64_t times = ctl_number(e, "times");

        printf("%14.6f s ago  %-34s %s", (double)ctl_number(e, "ago_us") / 1e6, ctl_text(e, "what"),
               ctl_text(e, "detail"));
        if (times > 1)
            printf(" (%s%" PRIu64 " times)", times > 255 ? "at least " : "", times);
        putchar('\n');
    }
    json_decref(answer);
    return 0;
}

int ctl_conns(const struct ctl *ctl, int argc, char **argv)
{
    struct filter f = {NULL, NULL, NULL};

    if (argc == 3 && strcmp(argv[1], "--trace") == 0)
        return print_trace(ctl, argv[2]);
    if (argc % 2 == 0)
        return CTL_USAGE;
    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "state") == 0)
            f.state = argv[i + 1];
        else if (strcmp(argv[i], "src") == 0)
            f.source = argv[i + 1];
        else if (strcmp(argv[i], "peer") == 0)
            f.peer = argv[i + 1];
        else
            return CTL_USAGE;
    }
    return list_conns(ctl, &f);
}
