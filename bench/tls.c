/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Records through the TLS library as a shard uses it, and beside them the AEAD alone, in one thread and
 * in turns: what parsing, nonce, additional data, tag and content type cost.
 *
 *     tls_bench [--cpu N] [--turns T] --cert FILE --key FILE --ca FILE
 *
 * Two ends of a TLS 1.3 connection in memory; a lap seals a ring of records and opens them, so sequence
 * numbers are in order and every tag is right. Sealed in place and opened as the shard does: size of the
 * record, its room, then the record; by direct calls or as jobs, as is measured at start.
 *
 * Beside it, in the same turn and over as many bytes in as many pieces, the calls of the provider's library
 * alone under a key that is there already: for ipsec-mb one direct call for a record in one piece (init,
 * update, finalize for ChaCha20-Poly1305, which has none), init, an update for each piece and finalize for
 * one in pieces; for OpenSSL the EVP calls.
 *
 * And opening beside SSL_read of as many bytes from memory BIOs (R3).
 *
 * One line for each provider, suite, record size and form (whole: one piece; pieces: of 1460 bytes, each in
 * a packet buffer of its own, as segments come):
 *
 *     provider suite bytes form seal|open|read library-GB/s record-GB/s ratio first-quartile third-quartile
 *
 * Of each turn the fastest lap counts; figures are medians of turns, the ratio that of the turns' ratios.
 */
#include "cpu.h"
#include "tls_raw.h"
#include "tls_ssl.h"
#include <getopt.h>
#include <headgate/tls.h>
#include <string.h>

#define RING 16u /* records in a lap: 256 KiB of the largest, which stays in the second cache */
#define PIECE 1460u
#define SLOT 2048u /* a packet buffer */
#define SLOTS (RING * (HG_TLS_MAX_RECORD / PIECE + 2))
#define LAPS 24u
#define TURNS_MAX 99u

struct tls_bench {
    struct hg_tls_shard *shard;
    struct hg_tls *client, *server;
    struct raw raw;
    struct ssl_pair ssl;
    uint8_t *stream, *slots, *dst;
    uint32_t len;                        /* plaintext of a record, bytes */
    struct hg_iov iov[RING + SLOTS];     /* pieces of all records */
    struct hg_iov raw_iov[RING + SLOTS]; /* the same of the library's own records */
    unsigned first[RING + 1];            /* of record i: iov[first[i]] up to iov[first[i + 1]] */
    uint8_t *raw_stream, *raw_slots;
    unsigned turns;
};

static uint8_t *pages(size_t len)
{
    uint8_t *p = aligned_alloc(4096, (len + 4095) & ~(size_t)4095);

    if (p == NULL)
        cpu_die("tls_bench: no memory");
    memset(p, 7, len);
    return p;
}

/* ---- the two ends ---- */

static void move(struct hg_tls *from, struct hg_tls *to)
{
    static uint8_t wire[65536], plain[HG_TLS_MAX_RECORD];
    struct hg_iov in = {.base = wire, .len = hg_tls_take(from, wire, sizeof wire)};
    struct hg_iov dst = {.base = plain, .len = sizeof plain};
    struct hg_tls_opened res;

    while (in.len != 0) {
        if (hg_tls_open(to, &in, 1, &dst, &res) != 0 || res.consumed == 0)
            cpu_die(hg_tls_error(to));
        in.base += res.consumed;
        in.len -= res.consumed;
    }
}

static struct hg_tls *end_of(struct tls_bench *b, const struct hg_tls_cfg *cfg)
{
    struct hg_tls_ctx *ctx;
    struct hg_tls *tls;
    struct hg_err err;

    if (hg_tls_ctx_create(cfg, &ctx, &err) != 0)
        cpu_die(err.text);
    if (hg_tls_create(ctx, b->shard, &tls) != 0)
        cpu_die("tls_bench: no memory for a connection");
    hg_tls_ctx_unref(ctx);
    return tls;
}

static void connect_ends(struct tls_bench *b, struct hg_tls_cfg cfg, const char *suite)
{
    cfg.min_version = cfg.max_version = HG_TLS_1_3;
    cfg.ciphers13 = suite;
    cfg.client_cert = HG_TLS_CERT_OFF;
    cfg.role = HG_TLS_SERVER;
    b->server = end_of(b, &cfg);
    cfg.role = HG_TLS_CLIENT;
    b->client = end_of(b, &cfg);
    for (unsigned i = 0; i < 8; i++) {
        move(b->client, b->server);
        move(b->server, b->client);
    }
    if (hg_tls_state(b->client) != HG_TLS_OPEN || hg_tls_state(b->server) != HG_TLS_OPEN)
        cpu_die("tls_bench: the handshake did not end");
}

/* ---- laps: each returns its seconds ---- */

static uint32_t wire_len(const struct tls_bench *b)
{
    return HG_TLS_RECORD_HEADER + b->len + 1 + RAW_TAG;
}

static double seal_lap(struct tls_bench *b)
{
    double t = cpu_now();

    for (unsigned i = 0; i < RING; i++) {
        uint8_t *dst = b->stream + (size_t)i * wire_len(b);
        struct hg_iov in = {.base = dst + hg_tls_seal_offset(b->client), .len = b->len};

        if (hg_tls_seal(b->client, &in, 1, dst, b->len + HG_TLS_OVERHEAD) != (int)wire_len(b))
            cpu_die(hg_tls_error(b->client));
    }
    return cpu_now() - t;
}

/* A record is text and content type to the library. All of a lap are sealed under one nonce and are the
 * same text, so they have one tag too, which opening them needs. */
static double raw_seal_lap(struct tls_bench *b)
{
    double t = cpu_now();

    for (unsigned i = 0; i < RING; i++)
        raw_seal(&b->raw, b->raw_stream + (size_t)i * wire_len(b) + HG_TLS_RECORD_HEADER,
                 b->len + 1);
    return cpu_now() - t;
}

static double open_lap(struct tls_bench *b)
{
    double t = cpu_now();

    for (unsigned i = 0; i < RING; i++) {
        const struct hg_iov *in = b->iov + b->first[i];
        unsigned n = b->first[i + 1] - b->first[i];
        struct hg_tls_opened res;
        struct hg_iov dst = {.base = b->dst};

        if (hg_tls_record_size(in, n) != wire_len(b))
            cpu_die("tls_bench: a record of the wrong size");
        dst.len = hg_tls_peek(b->server, in, n);
        if (hg_tls_open(b->server, in, n, &dst, &res) != 0 || res.len != b->len)
            cpu_die(hg_tls_error(b->server));
    }
    return cpu_now() - t;
}

static double raw_open_lap(struct tls_bench *b)
{
    const uint8_t *tag = b->raw_stream + RING * wire_len(b) - RAW_TAG;
    double t;

    memcpy(b->raw.tag, tag, RAW_TAG);
    t = cpu_now();
    for (unsigned i = 0; i < RING; i++)
        raw_open(&b->raw, b->raw_iov + b->first[i], b->first[i + 1] - b->first[i], b->len + 1,
                 b->dst);
    t = cpu_now() - t;
    if (b->raw.failed || memcmp(b->raw.tag, tag, RAW_TAG) != 0)
        cpu_die("tls_bench: the library does not open what it sealed");
    return t;
}

/* ---- pieces ---- */

/* Both streams are cut at the same places: iov for the records, and raw_iov for the text and type alone
 * in the library's. */
static void add_piece(struct tls_bench *b, unsigned at, uint8_t *p, uint8_t *raw, uint32_t n)
{
    b->iov[at] = (struct hg_iov){.base = p, .len = n};
    b->raw_iov[at] = (struct hg_iov){.base = raw, .len = n};
}

/* The header is not the library's. */
static void skip_header(struct hg_iov *v)
{
    uint32_t skip = HG_TLS_RECORD_HEADER;

    for (; skip != 0; v++) {
        uint32_t n = v->len < skip ? v->len : skip;

        v->base += n;
        v->len -= n;
        skip -= n;
    }
}

static void lay_whole(struct tls_bench *b)
{
    for (unsigned i = 0; i < RING; i++) {
        size_t at = (size_t)i * wire_len(b);

        b->first[i] = i;
        add_piece(b, i, b->stream + at, b->raw_stream + at, wire_len(b));
        skip_header(&b->raw_iov[i]);
    }
    b->first[RING] = RING;
}

static void lay_pieces(struct tls_bench *b)
{
    uint32_t at = 0; /* in the stream */
    unsigned n = 0;

    for (unsigned i = 0; i < RING; i++) {
        uint32_t end = (i + 1) * wire_len(b);

        b->first[i] = n;
        while (at < end) {
            uint32_t in_piece = at % PIECE, left = PIECE - in_piece;
            size_t slot = (size_t)(at / PIECE) * SLOT + in_piece;
            uint32_t len = left < end - at ? left : end - at;

            add_piece(b, n++, b->slots + slot, b->raw_slots + slot, len);
            at += len;
        }
        skip_header(b->raw_iov + b->first[i]);
    }
    b->first[RING] = n;
}

/* Segments arrive: not timed. */
static void scatter(const struct tls_bench *b, const uint8_t *stream, uint8_t *slots)
{
    uint32_t all = RING * wire_len(b);

    for (uint32_t at = 0; at < all; at += PIECE)
        memcpy(slots + (size_t)(at / PIECE) * SLOT, stream + at,
               all - at < PIECE ? all - at : PIECE);
}

/* ---- the run ---- */

enum what { SEAL, OPEN, READ, WHATS };

struct sample {
    double raw[WHATS][TURNS_MAX], rec[WHATS][TURNS_MAX], ratio[WHATS][TURNS_MAX];
};

static void keep_best(double *best, double t)
{
    if (*best == 0 || t < *best)
        *best = t;
}

static void turn(struct tls_bench *b, bool pieces, struct sample *s, unsigned at)
{
    double rec[WHATS] = {0}, raw[WHATS] = {0};
    double bytes = (double)RING * b->len / 1e9;

    for (unsigned lap = 0; lap < LAPS * HG_TLS_MAX_PLAINTEXT / b->len; lap++) {
        keep_best(&raw[SEAL], raw_seal_lap(b));
        if (pieces)
            scatter(b, b->raw_stream, b->raw_slots);
        keep_best(&raw[OPEN], raw_open_lap(b));
        keep_best(&rec[SEAL], seal_lap(b));
        if (pieces)
            scatter(b, b->stream, b->slots);
        keep_best(&rec[OPEN], open_lap(b));
        if (!pieces)
            keep_best(&raw[READ], ssl_pair_read(&b->ssl, b->stream, b->len, RING, b->dst));
    }
    rec[READ] = rec[OPEN];
    for (unsigned w = 0; w < WHATS; w++) {
        s->raw[w][at] = bytes / raw[w];
        s->rec[w][at] = bytes / rec[w];
        s->ratio[w][at] = raw[w] / rec[w];
    }
}

static void measure(struct tls_bench *b, const char *name, bool pieces)
{
    static const char *const what[WHATS] = {"seal", "open", "read"};
    static struct sample s;

    memset(b->raw_stream, 7, (size_t)RING * wire_len(b));
    if (pieces)
        lay_pieces(b);
    else
        lay_whole(b);
    for (unsigned t = 0; t < b->turns; t++)
        turn(b, pieces, &s, t);
    for (unsigned w = pieces ? OPEN : SEAL; w < (pieces ? READ : WHATS); w++)
        printf("%s\t%u\t%s\t%s\t%.3f\t%.3f\t%.4f\t%.4f\t%.4f\n", name, b->len,
               pieces ? "pieces" : "whole", what[w], cpu_median(s.raw[w], b->turns),
               cpu_median(s.rec[w], b->turns), cpu_median(s.ratio[w], b->turns),
               cpu_quantile(s.ratio[w], b->turns, 0.25), cpu_quantile(s.ratio[w], b->turns, 0.75));
    fflush(stdout);
}

static void bench_suite(struct tls_bench *b, const struct hg_tls_cfg *cfg, enum raw_alg alg)
{
    static const char *const suite[RAW_ALGS] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                                "TLS_CHACHA20_POLY1305_SHA256"};
    static const char *const label[RAW_ALGS] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
    static const uint32_t sizes[] = {16384, 4096, 1400};
    char name[64];

    snprintf(name, sizeof name, "%s\t%s", cfg->provider == HG_TLS_OPENSSL ? "openssl" : "ipsec-mb",
             label[alg]);
    connect_ends(b, *cfg, suite[alg]);
    ssl_pair_connect(&b->ssl, cfg, suite[alg]);
    raw_init(&b->raw, cfg->provider == HG_TLS_OPENSSL, alg);
    for (unsigned i = 0; i < HG_ARRAY_LEN(sizes); i++) {
        b->len = sizes[i];
        measure(b, name, false);
        measure(b, name, true);
    }
    raw_fini(&b->raw);
    ssl_pair_free(&b->ssl);
    hg_tls_destroy(b->client);
    hg_tls_destroy(b->server);
}

static hg_ns clock_ns(void)
{
    return (hg_ns)(cpu_now() * 1e9);
}

static void prepare(struct tls_bench *b)
{
    size_t all = (size_t)RING * HG_TLS_MAX_RECORD;
    struct hg_err err;

    if (hg_tls_shard_create(&b->shard, &err) != 0)
        cpu_die(err.text);
    if (hg_tls_shard_choose(b->shard, HG_TLS_BATCH_AUTO, clock_ns) != 0)
        cpu_die("tls_bench: no memory");
    b->stream = pages(all);
    b->raw_stream = pages(all);
    b->slots = pages((size_t)SLOTS * SLOT);
    b->raw_slots = pages((size_t)SLOTS * SLOT);
    b->dst = pages(HG_TLS_MAX_RECORD);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"cpu", required_argument, NULL, 'c'},  {"turns", required_argument, NULL, 't'},
        {"cert", required_argument, NULL, 'e'}, {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},   {NULL, 0, NULL, 0}};
    static struct tls_bench b;
    struct hg_tls_cfg cfg = {0};
    int c;

    b.turns = 9;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'c')
            cpu_pin(atoi(optarg));
        else if (c == 't')
            b.turns = (unsigned)atoi(optarg);
        else if (c == 'e')
            cfg.cert_file = optarg;
        else if (c == 'k')
            cfg.key_file = optarg;
        else if (c == 'a')
            cfg.ca_file = optarg;
        else
            return 2;
    }
    if (b.turns == 0 || b.turns > TURNS_MAX || cfg.cert_file == NULL || cfg.ca_file == NULL)
        cpu_die("tls_bench: --cert, --key and --ca, and 1 to 99 turns");
    prepare(&b);
    for (unsigned alg = 0; alg < RAW_ALGS; alg++) {
        cfg.provider = HG_TLS_IPSEC_MB;
        bench_suite(&b, &cfg, (enum raw_alg)alg);
        cfg.provider = HG_TLS_OPENSSL;
        bench_suite(&b, &cfg, (enum raw_alg)alg);
    }
    hg_tls_shard_destroy(b.shard);
    return 0;
}
