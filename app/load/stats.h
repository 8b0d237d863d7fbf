/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counters of one thread. It alone writes them; the printing thread reads them with relaxed loads,
 * so a line may be a few events old.
 */
#ifndef LOAD_STATS_H
#define LOAD_STATS_H

#include "hist.h"

struct load_counts {
    uint64_t wire_bytes;    /* frames handed to TLS: headers and payloads */
    uint64_t frames;        /* sequenced frames handed to TLS */
    uint64_t fed_bytes;     /* bytes of DATA and ZERO made */
    uint64_t durable_bytes; /* of them, acknowledged at the level relied on */
    uint64_t data_bytes;    /* of the acknowledged bytes, those of DATA */
    uint64_t blocks;        /* DATA and ZERO frames acknowledged */
    uint64_t barriers;      /* BARRIERs acknowledged */
    uint64_t resent;        /* frames handed out more than once */
    uint64_t rewinds;       /* times the node asked for frames again */
    uint64_t cuts;          /* sessions lost; attempts to connect that fail do not count */
    uint64_t resumes;       /* sessions begun again after a cut */
    uint64_t retransmits;   /* TCP segments sent again */
    uint64_t up;            /* sessions with a node behind them, now */
    uint64_t done;          /* sessions that have ended well */
    uint64_t failed;        /* sessions or volumes given up */
};

struct load_stats {
    struct load_counts n;
    struct hist latency; /* from first handing out to the durable ACK */
};

static inline void stat_add(uint64_t *p, uint64_t n)
{
    __atomic_store_n(p, *p + n, __ATOMIC_RELAXED);
}

/* sum += s, counters and histogram. */
void stats_merge(struct load_stats *sum, const struct load_stats *s);

#endif /* LOAD_STATS_H */
