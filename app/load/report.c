/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"
#include <headgate/units.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 40
#define BARS_MAX 16 /* more images than this share one line */

/* What the lines and the JSON have in common. */
struct figures {
    double seconds;
    double wire_gbit, data_gbit, logical_gbit; /* per second */
    double blocks;                             /* per second */
    double p50_ms, p99_ms, p999_ms;
};

void report_init(struct report *r, const struct run *run, struct worker **workers, unsigned n)
{
    const struct load_options *opt = run->opt;
    bool wanted = opt->progress || (!opt->no_progress && isatty(STDERR_FILENO));

    memset(r, 0, sizeof *r);
    r->run = run;
    r->workers = workers;
    r->n_workers = n;
    r->last = run->started;
    r->bars = opt->n_images != 0 && opt->n_images <= BARS_MAX && wanted && !opt->quiet;
}

static void collect(const struct report *r, struct load_stats *sum)
{
    memset(sum, 0, sizeof *sum);
    for (unsigned i = 0; i < r->n_workers; i++)
        stats_merge(sum, &r->workers[i]->stats);
}

static double gbit(uint64_t bytes, double seconds)
{
    return seconds > 0 ? (double)bytes * 8 / 1e9 / seconds : 0;
}

static struct figures figures_of(const struct load_counts *now, const struct load_counts *before,
                                 const struct hist *latency, hg_ns span)
{
    double s = (double)span / 1e9;

    return (struct figures){
        .seconds = s,
        .wire_gbit = gbit(now->wire_bytes - before->wire_bytes, s),
        .data_gbit = gbit(now->data_bytes - before->data_bytes, s),
        .logical_gbit = gbit(now->durable_bytes - before->durable_bytes, s),
        .blocks = s > 0 ? (double)(now->blocks - before->blocks) / s : 0,
        .p50_ms = (double)hist_quantile(latency, 50, 100) / 1e6,
        .p99_ms = (double)hist_quantile(latency, 99, 100) / 1e6,
        .p999_ms = (double)hist_quantile(latency, 999, 1000) / 1e6,
    };
}

/* ---- live ---- */

static void live_line(const struct figures *f, const struct load_counts *n, hg_ns run_for)
{
    char lag[32];

    fprintf(stderr,
            "%6.1fs  wire %6.3f  data %6.3f  logical %6.3f Gbit/s  %7.0f blk/s  "
            "ack p50 %.2f p99 %.2f p99.9 %.2f ms  retrans %" PRIu64 "  resumes %" PRIu64
            "  lag %s  up %" PRIu64 "\n",
            (double)run_for / 1e9, f->wire_gbit, f->data_gbit, f->logical_gbit, f->blocks,
            f->p50_ms, f->p99_ms, f->p999_ms, n->retransmits, n->resumes,
            hg_units_size_about(n->fed_bytes - n->durable_bytes, lag, sizeof lag), n->up);
}

static void bar(const struct feed *feed)
{
    uint64_t done = __atomic_load_n(&feed->acked_bytes, __ATOMIC_RELAXED);
    double share = feed->size == 0 ? 1 : (double)done / (double)feed->size;
    int full = (int)(share * BAR_WIDTH);
    char text[BAR_WIDTH + 1], a[32], b[32];

    full = full > BAR_WIDTH ? BAR_WIDTH : full;
    memset(text, '#', (size_t)full);
    memset(text + full, '.', (size_t)(BAR_WIDTH - full));
    text[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%-24.24s [%s] %5.1f%%  %s of %s durable\n", feed->name, text,
            share * 100, hg_units_size_about(done, a, sizeof a),
            hg_units_size_about(feed->size, b, sizeof b));
}

static void live_bars(struct report *r, const struct figures *f, const struct load_counts *n)
{
    if (r->bars_shown != 0 && isatty(STDERR_FILENO))
        fprintf(stderr, "\033[%uA", r->bars_shown);
    r->bars_shown = 1;
    for (unsigned w = 0; w < r->n_workers; w++)
        for (uint32_t i = 0; i < r->workers[w]->n_sessions; i++) {
            const struct session *s = r->workers[w]->sessions[i];

            for (uint32_t j = 0; j < s->n_feeds; j++, r->bars_shown++)
                bar(&s->feeds[j]);
        }
    fprintf(stderr,
            "\r\033[Kwire %.3f Gbit/s, data %.3f Gbit/s, ack p50 %.1f ms, resumes %" PRIu64 "\n",
            f->wire_gbit, f->data_gbit, f->p50_ms, n->resumes);
}

void report_live(struct report *r, hg_ns now)
{
    struct load_stats sum;
    struct hist recent;
    struct figures f;

    if (r->run->opt->quiet)
        return;
    collect(r, &sum);
    hist_since(&recent, &sum.latency, &r->before.latency);
    f = figures_of(&sum.n, &r->before.n, &recent, now - r->last);
    if (r->bars)
        live_bars(r, &f, &sum.n);
    else
        live_line(&f, &sum.n, now - r->run->started);
    r->before = sum;
    r->last = now;
}

/* ---- the end ---- */

bool report_complete(const struct report *r)
{
    if (__atomic_load_n(&r->run->stop, __ATOMIC_RELAXED) == 2)
        return false;
    for (unsigned w = 0; w < r->n_workers; w++) {
        const struct worker *worker = r->workers[w];

        if (worker->stats.n.failed != 0)
            return false;
        for (uint32_t i = 0; i < worker->n_sessions; i++)
            if (worker->sessions[i]->phase != SESSION_DONE)
                return false;
    }
    return true;
}

static void print_summary(const struct figures *f, const struct load_counts *n, bool complete)
{
    char a[32], b[32], c[32];

    printf("%s: %s durable (%s of data) in %.1f s, %s on the wire\n"
           "rate: wire %.3f, data %.3f, logical %.3f Gbit/s, %.0f blocks/s\n"
           "ack latency: p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n"
           "frames %" PRIu64 ", sent again %" PRIu64 ", rewinds %" PRIu64 ", cuts %" PRIu64
           ", resumes %" PRIu64 ", TCP retransmits %" PRIu64 "\n",
           complete ? "complete" : "INCOMPLETE", hg_units_size_about(n->durable_bytes, a, sizeof a),
           hg_units_size_about(n->data_bytes, b, sizeof b), f->seconds,
           hg_units_size_about(n->wire_bytes, c, sizeof c), f->wire_gbit, f->data_gbit,
           f->logical_gbit, f->blocks, f->p50_ms, f->p99_ms, f->p999_ms, n->frames, n->resent,
           n->rewinds, n->cuts, n->resumes, n->retransmits);
}

static json_t *number(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static int write_json(const char *path, const struct figures *f, const struct load_counts *n,
                      bool complete)
{
    json_t *j = json_object();
    int rc = 0;

    json_object_set_new(j, "complete", json_boolean(complete));
    json_object_set_new(j, "seconds", json_real(f->seconds));
    json_object_set_new(j, "wire_bytes", number(n->wire_bytes));
    json_object_set_new(j, "data_bytes", number(n->data_bytes));
    json_object_set_new(j, "durable_bytes", number(n->durable_bytes));
    json_object_set_new(j, "fed_bytes", number(n->fed_bytes));
    json_object_set_new(j, "wire_gbit", json_real(f->wire_gbit));
    json_object_set_new(j, "data_gbit", json_real(f->data_gbit));
    json_object_set_new(j, "logical_gbit", json_real(f->logical_gbit));
    json_object_set_new(j, "blocks", number(n->blocks));
    json_object_set_new(j, "blocks_per_s", json_real(f->blocks));
    json_object_set_new(j, "barriers", number(n->barriers));
    json_object_set_new(j, "frames", number(n->frames));
    json_object_set_new(j, "resent", number(n->resent));
    json_object_set_new(j, "rewinds", number(n->rewinds));
    json_object_set_new(j, "cuts", number(n->cuts));
    json_object_set_new(j, "resumes", number(n->resumes));
    json_object_set_new(j, "retransmits", number(n->retransmits));
    json_object_set_new(j, "sessions_done", number(n->done));
    json_object_set_new(j, "failed", number(n->failed));
    json_object_set_new(j, "ack_p50_ms", json_real(f->p50_ms));
    json_object_set_new(j, "ack_p99_ms", json_real(f->p99_ms));
    json_object_set_new(j, "ack_p999_ms", json_real(f->p999_ms));
    if (json_dump_file(j, path, JSON_INDENT(2)) != 0)
        rc = -EIO;
    json_decref(j);
    return rc;
}

/* From the first session to the last: making and unmaking a DPDK port takes seconds. */
static hg_ns run_time(const struct report *r)
{
    hg_ns from = 0, to = 0;

    for (unsigned i = 0; i < r->n_workers; i++) {
        const struct worker *w = r->workers[i];

        if (w->began != 0 && (from == 0 || w->began < from))
            from = w->began;
        if (w->ended > to)
            to = w->ended;
    }
    return from != 0 && to > from ? to - from : 0;
}

int report_end(struct report *r, struct hg_err *err)
{
    static const struct load_counts zero;
    const char *path = r->run->opt->json;
    bool complete = report_complete(r);
    struct load_stats sum;
    struct figures f;

    collect(r, &sum);
    f = figures_of(&sum.n, &zero, &sum.latency, run_time(r));
    if (r->bars)
        live_bars(r, &f, &sum.n);
    print_summary(&f, &sum.n, complete);
    if (path != NULL && write_json(path, &f, &sum.n, complete) != 0)
        return hg_fail(err, -EIO, "--json %s: cannot be written", path);
    return 0;
}

static int manifest_session(struct session *s, FILE *file, struct hg_err *err)
{
    for (uint32_t v = 0; v < s->n_feeds; v++) {
        struct manifest_volume *mv = s->manifest[v];
        struct hg_source_op op;
        bool sent;

        manifest_begin(mv, file);
        for (uint32_t i = 0; hg_source_pending(s->src, v, i, &op, &sent) && sent; i++) {
            const uint8_t *raw = NULL;
            int rc = 0;

            if (op.type == HG_FRAME_BARRIER)
                continue;
            if (op.type == HG_FRAME_DATA)
                rc = feed_raw(&s->feeds[v], &s->worker->scratch, &op, &raw, err);
            if (rc != 0)
                return rc;
            manifest_doubt(mv, op.offset, op.len, raw, file);
        }
        manifest_end(mv, file);
    }
    return 0;
}

int report_manifest(struct report *r, struct hg_err *err)
{
    const char *path = r->run->opt->manifest;
    FILE *file = fopen(path, "w");
    bool unwritten;
    int rc = 0;

    if (file == NULL)
        return hg_fail(err, -errno, "--verify-manifest %s: %s", path, strerror(errno));
    fputs("# headgate-load manifest 1\n", file);
    for (unsigned w = 0; w < r->n_workers && rc == 0; w++)
        for (uint32_t i = 0; i < r->workers[w]->n_sessions && rc == 0; i++)
            rc = manifest_session(r->workers[w]->sessions[i], file, err);
    unwritten = ferror(file) != 0;
    unwritten |= fclose(file) != 0;
    if (unwritten && rc == 0)
        rc = hg_fail(err, -EIO, "--verify-manifest %s: cannot be written", path);
    return rc;
}
