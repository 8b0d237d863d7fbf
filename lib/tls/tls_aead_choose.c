/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_aead_choose.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a node opens: one large record in segments, and small ones that came in one. */
#define LARGE HG_TLS_MAX_PLAINTEXT
#define SMALL 1400u
#define SMALLS 4u
#define SEGMENT 1448u
#define SEGMENTS ((LARGE + HG_TLS_TAG) / SEGMENT + 1)
#define TURNS 24u       /* of each way; the fastest counts */
#define TURNS_LEAST 4u  /* whatever time they take: others may have the processor in between */
#define ENOUGH HG_MS(2) /* no further turn of an algorithm after so much time */
#define SAVES(direct, jobs) ((jobs) < (direct) - (direct) / 50)

static const uint8_t key[HG_TLS_KEY_MAX] = {1}, nonce[HG_TLS_NONCE] = {2}, aad[5] = {0x17, 3, 3};

struct workload {
    uint8_t large[LARGE + HG_TLS_TAG], small[SMALL + HG_TLS_TAG]; /* sealed */
    uint8_t dst[LARGE];
    struct hg_iov segment[SEGMENTS], whole;
};

static struct hg_tls_aead_op op_of(struct hg_tls_aead *k, struct hg_tls_cur in, uint32_t len,
                                   uint8_t *dst)
{
    return (struct hg_tls_aead_op){.key = k,
                                   .nonce = nonce,
                                   .aad = aad,
                                   .aad_len = sizeof aad,
                                   .in = in,
                                   .len = len,
                                   .dst = dst};
}

/* In place, over zeros. */
static void seal(struct hg_tls_aead *k, uint8_t *p, uint32_t len)
{
    struct hg_iov in = {.base = p, .len = len};
    struct hg_tls_aead_op op = op_of(k, (struct hg_tls_cur){.v = &in, .n = 1}, len, p);

    memset(p, 0, len);
    hg_tls_aead_seal(&op, 1);
}

static void prepare(struct workload *w, const struct hg_tls_engine *e, enum hg_tls_alg alg)
{
    struct hg_tls_aead k;

    hg_tls_aead_init(&k, HG_TLS_IPSEC_MB, e, alg, true);
    hg_tls_aead_set_key(&k, key); /* fails with OpenSSL only */
    seal(&k, w->large, LARGE);
    seal(&k, w->small, SMALL);
    hg_tls_aead_wipe(&k);
    for (uint32_t i = 0, at = 0; i < SEGMENTS; i++, at += SEGMENT) {
        uint32_t left = LARGE + HG_TLS_TAG - at;

        w->segment[i].base = w->large + at;
        w->segment[i].len = left < SEGMENT ? left : SEGMENT;
    }
    w->whole = (struct hg_iov){.base = w->small, .len = sizeof w->small};
}

/* One record in a call, as connections do it. */
static void open_all(struct workload *w, struct hg_tls_aead *k)
{
    struct hg_tls_cur large = {.v = w->segment, .n = SEGMENTS}, small = {.v = &w->whole, .n = 1};
    struct hg_tls_aead_op op = op_of(k, large, LARGE, w->dst);

    hg_tls_aead_open(&op, 1);
    for (unsigned i = 0; i < SMALLS; i++) {
        op = op_of(k, small, SMALL, w->dst);
        hg_tls_aead_open(&op, 1);
    }
}

static void turn(struct workload *w, struct hg_tls_aead *k, hg_tls_clock clock, hg_ns *best)
{
    hg_ns took = clock();

    open_all(w, k);
    took = clock() - took;
    *best = took < *best ? took : *best;
}

static uint64_t rate(hg_ns took)
{
    return took == 0 ? 0 : (LARGE + SMALLS * SMALL) * HG_SEC(1) / took;
}

static void measure(struct workload *w, struct hg_tls_engine *e, enum hg_tls_alg alg,
                    hg_tls_clock clock, uint64_t found[3])
{
    struct hg_tls_aead k[2]; /* direct, jobs */
    hg_ns best[2] = {HG_SEC(1), HG_SEC(1)}, end;

    for (unsigned way = 0; way < 2; way++) {
        e->jobs[alg] = way;
        hg_tls_aead_init(&k[way], HG_TLS_IPSEC_MB, e, alg, false);
        hg_tls_aead_set_key(&k[way], key);
    }
    prepare(w, e, alg);
    end = clock() + ENOUGH;
    for (unsigned t = 0; t < TURNS && (clock() < end || t < TURNS_LEAST); t++)
        for (unsigned way = 0; way < 2; way++)
            turn(w, &k[way], clock, &best[way]);
    for (unsigned way = 0; way < 2; way++) {
        found[way] = rate(best[way]);
        hg_tls_aead_wipe(&k[way]);
    }
    found[2] = e->jobs[alg] = SAVES(best[0], best[1]);
}

int hg_tls_aead_choose(struct hg_tls_engine *e, enum hg_tls_batch batch, hg_tls_clock clock,
                       struct hg_tls_batch_counters *out)
{
    uint64_t found[HG_TLS_ALGS][3] = {{0}}; /* direct, jobs, chosen */
    struct workload *w = NULL;

    static_assert(sizeof found == sizeof *out, "three figures of each");
    memset(e->jobs, false, sizeof e->jobs);
    if (batch == HG_TLS_BATCH_AUTO && (w = calloc(1, sizeof *w)) == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < HG_TLS_ALGS; i++) {
        if (batch == HG_TLS_BATCH_AUTO)
            measure(w, e, (enum hg_tls_alg)i, clock, found[i]);
        else
            found[i][2] = e->jobs[i] = batch == HG_TLS_BATCH_JOBS;
    }
    free(w);
    memcpy(out, found, sizeof *out);
    return 0;
}
