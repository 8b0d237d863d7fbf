/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the job interface of ipsec-mb gives for the three AEADs of TLS, beside its direct calls: records
 * of 16 KiB, 1460 and 64 bytes, each under a key of its own, in bursts of 1 to 32.
 *
 *     tls_jobs [--cpu N] [--turns T] [--arch sse|avx|avx2|avx512]
 *
 * One line for each algorithm, size and form: what, bytes, form, GB/s. Forms:
 *
 *     steps     init, update, finalize
 *     whole     one direct call (the library has none for ChaCha20-Poly1305)
 *     burst N   submit_burst of N whole records, arguments checked; nocheck N without the checks
 *     queue     get_next_job, submit_job_nocheck, one after the other: the only jobs that take the same
 *               calls in ipsec-mb 1.3 and 2.0
 *     pieces    init, an update for each 1460 bytes (16 KiB only), finalize
 *     sgl N     submit_burst of N records in such pieces
 *     gather    such pieces copied together where the plaintext shall be, then steps (or, for AES-GCM,
 *               whole) in place; gather N: a burst of nocheck N instead
 *
 * Forms take turns; of each turn the fastest pass over 32 records counts, of the turns the median.
 */
#include "cpu.h"
#include <getopt.h>
#include <intel-ipsec-mb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS 32u
#define LARGEST 16384u
#define PIECE 1460u
#define PIECES ((LARGEST + PIECE - 1) / PIECE)
#define PASSES 8u
#define TURNS_MAX 99u
#define TAG 16u

enum alg { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, ALGS };

static const char *const alg_name[ALGS] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};

struct job_bench {
    IMB_MGR *mb;
    struct gcm_key_data gcm[2][RECORDS] __attribute__((aligned(64)));
    uint8_t chacha[RECORDS][32];
    uint8_t *src, *dst;
    uint8_t iv[12], aad[5], tag[RECORDS][TAG];
    union {
        struct gcm_context_data gcm;
        struct chacha20_poly1305_context_data chacha;
    } ctx[RECORDS];
    struct IMB_SGL_IOV sgl[RECORDS][PIECES];
    enum alg alg;
    uint32_t len;   /* of a record, bytes */
    unsigned burst; /* jobs at once */
    bool in_place;  /* the text is at dst */
};

typedef void (*pass_fn)(struct job_bench *b);

static uint8_t *src_of(struct job_bench *b, unsigned i)
{
    return b->src + (size_t)i * LARGEST;
}

static uint8_t *dst_of(struct job_bench *b, unsigned i)
{
    return b->dst + (size_t)i * LARGEST;
}

static const uint8_t *in_of(struct job_bench *b, unsigned i)
{
    return b->in_place ? dst_of(b, i) : src_of(b, i);
}

/* ---- direct calls ---- */

static void in_steps(struct job_bench *b, unsigned i, uint32_t piece)
{
    uint8_t *dst = dst_of(b, i);
    const uint8_t *src = in_of(b, i);
    struct gcm_key_data *k = &b->gcm[b->alg == AES_256_GCM][i];

    if (b->alg == AES_128_GCM)
        IMB_AES128_GCM_INIT(b->mb, k, &b->ctx[i].gcm, b->iv, b->aad, sizeof b->aad);
    else if (b->alg == AES_256_GCM)
        IMB_AES256_GCM_INIT(b->mb, k, &b->ctx[i].gcm, b->iv, b->aad, sizeof b->aad);
    else
        IMB_CHACHA20_POLY1305_INIT(b->mb, b->chacha[i], &b->ctx[i].chacha, b->iv, b->aad,
                                   sizeof b->aad);
    for (uint32_t at = 0; at < b->len; at += piece) {
        uint32_t n = b->len - at < piece ? b->len - at : piece;

        if (b->alg == AES_128_GCM)
            IMB_AES128_GCM_DEC_UPDATE(b->mb, k, &b->ctx[i].gcm, dst + at, src + at, n);
        else if (b->alg == AES_256_GCM)
            IMB_AES256_GCM_DEC_UPDATE(b->mb, k, &b->ctx[i].gcm, dst + at, src + at, n);
        else
            IMB_CHACHA20_POLY1305_DEC_UPDATE(b->mb, b->chacha[i], &b->ctx[i].chacha, dst + at,
                                             src + at, n);
    }
    if (b->alg == AES_128_GCM)
        IMB_AES128_GCM_DEC_FINALIZE(b->mb, k, &b->ctx[i].gcm, b->tag[i], TAG);
    else if (b->alg == AES_256_GCM)
        IMB_AES256_GCM_DEC_FINALIZE(b->mb, k, &b->ctx[i].gcm, b->tag[i], TAG);
    else
        IMB_CHACHA20_POLY1305_DEC_FINALIZE(b->mb, &b->ctx[i].chacha, b->tag[i], TAG);
}

static void pass_steps(struct job_bench *b)
{
    for (unsigned i = 0; i < RECORDS; i++)
        in_steps(b, i, b->len);
}

static void pass_pieces(struct job_bench *b)
{
    for (unsigned i = 0; i < RECORDS; i++)
        in_steps(b, i, PIECE);
}

static void pass_whole(struct job_bench *b)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        struct gcm_key_data *k = &b->gcm[b->alg == AES_256_GCM][i];

        if (b->alg == AES_128_GCM)
            IMB_AES128_GCM_DEC(b->mb, k, &b->ctx[i].gcm, dst_of(b, i), in_of(b, i), b->len, b->iv,
                               b->aad, sizeof b->aad, b->tag[i], TAG);
        else
            IMB_AES256_GCM_DEC(b->mb, k, &b->ctx[i].gcm, dst_of(b, i), in_of(b, i), b->len, b->iv,
                               b->aad, sizeof b->aad, b->tag[i], TAG);
    }
}

/* ---- jobs ---- */

static void fill(struct job_bench *b, unsigned i, IMB_JOB *job, bool sgl)
{
    bool gcm = b->alg != CHACHA20_POLY1305;

    job->cipher_direction = IMB_DIR_DECRYPT;
    job->chain_order = IMB_ORDER_HASH_CIPHER;
    job->key_len_in_bytes = b->alg == AES_128_GCM ? 16 : 32;
    job->enc_keys = job->dec_keys =
        gcm ? (const void *)&b->gcm[b->alg == AES_256_GCM][i] : (const void *)b->chacha[i];
    job->iv = b->iv;
    job->iv_len_in_bytes = sizeof b->iv;
    job->auth_tag_output = b->tag[i];
    job->auth_tag_output_len_in_bytes = TAG;
    job->cipher_start_src_offset_in_bytes = job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = b->len;
    if (gcm) {
        job->cipher_mode = sgl ? IMB_CIPHER_GCM_SGL : IMB_CIPHER_GCM;
        job->hash_alg = sgl ? IMB_AUTH_GCM_SGL : IMB_AUTH_AES_GMAC;
        job->u.GCM.aad = b->aad;
        job->u.GCM.aad_len_in_bytes = sizeof b->aad;
        job->u.GCM.ctx = &b->ctx[i].gcm;
    } else {
        job->cipher_mode = sgl ? IMB_CIPHER_CHACHA20_POLY1305_SGL : IMB_CIPHER_CHACHA20_POLY1305;
        job->hash_alg = sgl ? IMB_AUTH_CHACHA20_POLY1305_SGL : IMB_AUTH_CHACHA20_POLY1305;
        job->u.CHACHA20_POLY1305.aad = b->aad;
        job->u.CHACHA20_POLY1305.aad_len_in_bytes = sizeof b->aad;
        job->u.CHACHA20_POLY1305.ctx = &b->ctx[i].chacha;
    }
    if (sgl) {
        job->sgl_state = IMB_SGL_ALL;
        job->sgl_io_segs = b->sgl[i];
        job->num_sgl_io_segs = (b->len + PIECE - 1) / PIECE;
    } else {
        job->src = in_of(b, i);
        job->dst = dst_of(b, i);
    }
}

/* What a burst wants in each job since ipsec-mb 1.4. */
static void begin_session(IMB_MGR *mb, IMB_JOB *job)
{
#if IMB_VERSION_NUM >= IMB_VERSION(1, 4, 0)
    imb_set_session(mb, job);
#else
    (void)mb;
    (void)job;
#endif
}

static void bursts(struct job_bench *b, bool sgl, bool check)
{
    IMB_JOB *jobs[RECORDS];

    for (unsigned i = 0; i < RECORDS; i += b->burst) {
        unsigned done;

        if (IMB_GET_NEXT_BURST(b->mb, b->burst, jobs) != b->burst)
            cpu_die("tls_jobs: the queue is full");
        for (unsigned k = 0; k < b->burst; k++) {
            fill(b, i + k, jobs[k], sgl);
            begin_session(b->mb, jobs[k]);
        }
        done = check ? IMB_SUBMIT_BURST(b->mb, b->burst, jobs)
                     : IMB_SUBMIT_BURST_NOCHECK(b->mb, b->burst, jobs);
        if (done < b->burst)
            done += IMB_FLUSH_BURST(b->mb, b->burst - done, jobs);
        if (done != b->burst)
            cpu_die("tls_jobs: jobs are missing");
    }
}

static void pass_queue(struct job_bench *b)
{
    for (unsigned i = 0; i < RECORDS; i++) {
        fill(b, i, IMB_GET_NEXT_JOB(b->mb), false);
        if (IMB_SUBMIT_JOB_NOCHECK(b->mb) == NULL && IMB_FLUSH_JOB(b->mb) == NULL)
            cpu_die("tls_jobs: a job is missing");
    }
}

static void pass_burst(struct job_bench *b)
{
    bursts(b, false, true);
}

static void pass_nocheck(struct job_bench *b)
{
    bursts(b, false, false);
}

static void pass_sgl(struct job_bench *b)
{
    bursts(b, true, true);
}

/* ---- gathered ---- */

static void gather(struct job_bench *b)
{
    for (unsigned i = 0; i < RECORDS; i++)
        for (uint32_t at = 0; at < b->len; at += PIECE)
            memcpy(dst_of(b, i) + at, src_of(b, i) + at, b->len - at < PIECE ? b->len - at : PIECE);
}

static void pass_gather(struct job_bench *b)
{
    b->in_place = true;
    gather(b);
    if (b->alg == CHACHA20_POLY1305)
        pass_steps(b);
    else
        pass_whole(b);
    b->in_place = false;
}

static void pass_gather_burst(struct job_bench *b)
{
    b->in_place = true;
    gather(b);
    bursts(b, false, false);
    b->in_place = false;
}

/* ---- the run ---- */

struct form {
    const char *name;
    pass_fn pass;
    unsigned burst; /* 0: not a burst */
    double rate[TURNS_MAX];
};

static struct form forms[] = {
    {"steps", pass_steps, 0, {0}},     {"whole", pass_whole, 0, {0}},
    {"burst", pass_burst, 1, {0}},     {"burst", pass_burst, 4, {0}},
    {"burst", pass_burst, 8, {0}},     {"burst", pass_burst, 16, {0}},
    {"burst", pass_burst, 32, {0}},    {"nocheck", pass_nocheck, 1, {0}},
    {"nocheck", pass_nocheck, 8, {0}}, {"nocheck", pass_nocheck, 32, {0}},
    {"queue", pass_queue, 0, {0}},     {"pieces", pass_pieces, 0, {0}},
    {"gather", pass_gather, 0, {0}},   {"gather", pass_gather_burst, 8, {0}},
    {"sgl", pass_sgl, 1, {0}},         {"sgl", pass_sgl, 8, {0}},
    {"sgl", pass_sgl, 32, {0}},
};

static bool applies(const struct job_bench *b, const struct form *f)
{
    if (f->pass == pass_whole)
        return b->alg != CHACHA20_POLY1305;
    if (f->pass == pass_pieces || f->pass == pass_sgl || f->pass == pass_gather ||
        f->pass == pass_gather_burst)
        return b->len > PIECE;
    return true;
}

/* GB/s of the fastest pass. */
static double rate_of(struct job_bench *b, const struct form *f)
{
    double best = 1;
    unsigned passes = PASSES * (LARGEST / b->len > 16 ? 16 : LARGEST / b->len);

    b->burst = f->burst;
    for (unsigned i = 0; i < passes; i++) {
        double t = cpu_now();

        f->pass(b);
        t = cpu_now() - t;
        best = t < best ? t : best;
    }
    return RECORDS * b->len / best / 1e9;
}

static void measure(struct job_bench *b, unsigned turns)
{
    for (unsigned t = 0; t < turns; t++)
        for (unsigned f = 0; f < sizeof forms / sizeof *forms; f++)
            if (applies(b, &forms[f]))
                forms[f].rate[t] = rate_of(b, &forms[f]);
    for (unsigned f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (!applies(b, &forms[f]))
            continue;
        printf("%s\t%u\t%s", alg_name[b->alg], b->len, forms[f].name);
        if (forms[f].burst != 0)
            printf(" %u", forms[f].burst);
        printf("\t%.3f\n", cpu_median(forms[f].rate, turns));
    }
    fflush(stdout);
}

/* As if the processor had no more than `arch`; NULL: all that it has. */
static void choose(IMB_MGR *mb, const char *arch)
{
    if (arch == NULL)
        init_mb_mgr_auto(mb, NULL);
    else if (strcmp(arch, "sse") == 0)
        init_mb_mgr_sse(mb);
    else if (strcmp(arch, "avx") == 0)
        init_mb_mgr_avx(mb);
    else if (strcmp(arch, "avx2") == 0)
        init_mb_mgr_avx2(mb);
    else
        init_mb_mgr_avx512(mb);
    if (imb_get_errno(mb) != 0)
        cpu_die(imb_get_strerror(imb_get_errno(mb)));
}

static void prepare(struct job_bench *b, const char *arch)
{
    uint8_t key[32];

    b->mb = alloc_mb_mgr(0);
    b->src = aligned_alloc(4096, RECORDS * LARGEST);
    b->dst = aligned_alloc(4096, RECORDS * LARGEST);
    if (b->mb == NULL || b->src == NULL || b->dst == NULL)
        cpu_die("tls_jobs: no memory");
    choose(b->mb, arch);
    memset(b->src, 5, RECORDS * LARGEST);
    memset(b->dst, 6, RECORDS * LARGEST);
    for (unsigned i = 0; i < RECORDS; i++) {
        memset(key, (int)i + 1, sizeof key);
        IMB_AES128_GCM_PRE(b->mb, key, &b->gcm[0][i]);
        IMB_AES256_GCM_PRE(b->mb, key, &b->gcm[1][i]);
        memcpy(b->chacha[i], key, sizeof key);
        for (unsigned p = 0; p < PIECES; p++) {
            uint32_t at = p * PIECE;

            b->sgl[i][p].in = src_of(b, i) + at;
            b->sgl[i][p].out = dst_of(b, i) + at;
            b->sgl[i][p].len = LARGEST - at < PIECE ? LARGEST - at : PIECE;
        }
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"cpu", required_argument, NULL, 'c'},
                                            {"turns", required_argument, NULL, 't'},
                                            {"arch", required_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    static const uint32_t sizes[] = {LARGEST, PIECE, 64};
    static struct job_bench b;
    const char *arch = NULL;
    unsigned turns = 9;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'c')
            cpu_pin(atoi(optarg));
        else if (c == 'a')
            arch = optarg;
        else if (c == 't')
            turns = (unsigned)atoi(optarg);
        else
            return 2;
    }
    if (turns == 0 || turns > TURNS_MAX)
        cpu_die("tls_jobs: 1 to 99 turns");
    prepare(&b, arch);
    for (b.alg = 0; b.alg < ALGS; b.alg++)
        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            b.len = sizes[i];
            measure(&b, turns);
        }
    return 0;
}
