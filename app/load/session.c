/* SPDX-License-Identifier: BSD-3-Clause */
#include "session.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define UNSENT_LOW 16u /* ops kept ready per volume: enough to fill a turn */
#define LINES_MAX 50u
#define CONNECT_TIMEOUT HG_SEC(10)
#define BACKOFF_MIN HG_MS(100)
#define BACKOFF_MAX HG_SEC(2)
#define PACE_BURST HG_MS(5)

hg_ns clock_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return HG_SEC(ts.tv_sec) + (hg_ns)ts.tv_nsec;
}

void say(struct worker *w, const char *fmt, ...)
{
    va_list ap;

    if (w->lines >= LINES_MAX)
        return;
    va_start(ap, fmt);
    /* Erases the line first: a bar may stand there. */
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    if (++w->lines == LINES_MAX)
        fputs("(further messages are left out)\n", stderr);
}

/* ---- what the protocol core calls ---- */

static int on_payload(void *arg, uint32_t volume, const struct hg_source_op *op,
                      struct hg_source_payload *out)
{
    struct session *s = arg;

    s->feeds[volume].codecs = hg_source_codecs(s->src);
    return feed_payload(&s->feeds[volume], &s->worker->scratch, op, out, &s->err);
}

static void to_manifest(struct session *s, uint32_t volume, const struct hg_source_op *op)
{
    struct manifest_volume *mv = s->manifest[volume];
    const uint8_t *raw;

    if (op->type == HG_FRAME_ZERO)
        manifest_zero(mv, op->offset, op->len);
    else if (feed_raw(&s->feeds[volume], &s->worker->scratch, op, &raw, &s->err) == 0)
        manifest_data(mv, op->offset, (uint32_t)op->len, raw);
}

static void on_acked(void *arg, uint32_t volume, const struct hg_source_op *op, hg_ns sent,
                     hg_ns now)
{
    struct session *s = arg;
    struct load_counts *n = &s->worker->stats.n;

    s->progress = true;
    s->progress_at = now;
    if (op->type == HG_FRAME_BARRIER) {
        stat_add(&n->barriers, 1);
        return;
    }
    stat_add(&n->blocks, 1);
    stat_add(&n->durable_bytes, op->len);
    if (op->type == HG_FRAME_DATA)
        stat_add(&n->data_bytes, op->len);
    stat_add(&s->feeds[volume].acked_bytes, op->len);
    if (sent != 0 && now > sent)
        hist_add(&s->worker->stats.latency, now - sent);
    if (s->manifest != NULL)
        to_manifest(s, volume, op);
}

static void on_volume_news(void *arg, uint32_t volume, const char *why)
{
    struct session *s = arg;

    (void)volume;
    if (why == NULL)
        return;
    say(s->worker, "source %u: %s", s->id, why);
    stat_add(&s->worker->stats.n.failed, 1);
}

/* ---- making ---- */

static uint32_t smallest_block(const struct load_mix *mix)
{
    uint32_t min = mix->size[0];

    for (unsigned i = 1; i < mix->n; i++)
        if (mix->size[i] < min)
            min = mix->size[i];
    return min;
}

static uint32_t largest_block(const struct load_mix *mix)
{
    uint32_t max = mix->size[0];

    for (unsigned i = 1; i < mix->n; i++)
        if (mix->size[i] > max)
            max = mix->size[i];
    return max;
}

static uint32_t frames_max(const struct load_options *opt)
{
    uint64_t n = 2 * opt->depth / smallest_block(&opt->mix);

    return n < 64 ? 64 : n > 16384 ? 16384 : (uint32_t)n;
}

static int add_volumes(struct session *s, struct hg_err *err)
{
    bool manifest = s->worker->run->opt->manifest != NULL;

    if (manifest) {
        s->manifest = calloc(s->n_feeds, sizeof *s->manifest);
        if (s->manifest == NULL)
            return hg_fail(err, -ENOMEM, "source %u: out of memory", s->id);
    }
    for (uint32_t i = 0; i < s->n_feeds; i++) {
        struct feed *feed = &s->feeds[i];
        uint32_t index;
        int rc = hg_source_volume_add(s->src, feed->name, feed->size, &index, err);

        if (rc == 0 && manifest)
            rc = manifest_volume_create(feed->name, feed->size, &s->manifest[i], err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int session_create(struct worker *worker, const struct session_spec *spec, struct session **out,
                   struct hg_err *err)
{
    const struct load_options *opt = worker->run->opt;
    const struct hg_source_cfg cfg = {
        .volumes_max = spec->n_feeds,
        .frames_max = frames_max(opt),
        .max_raw = largest_block(&opt->mix),
        .depth = (uint32_t)opt->depth,
        .codecs = 1u << opt->codec,
        .levels = opt->levels,
        .release = HG_ACK_DURABLE,
        .agent = "headgate-load",
    };
    const struct hg_source_env env = {on_payload, on_acked, on_volume_news, NULL};
    struct hg_source_env bound = env;
    struct session *s = calloc(1, sizeof *s);
    int rc;

    if (s == NULL)
        return hg_fail(err, -ENOMEM, "source %u: out of memory", spec->id);
    s->worker = worker;
    s->id = spec->id;
    s->cert = spec->cert;
    s->feeds = spec->feeds;
    s->n_feeds = spec->n_feeds;
    s->backoff = BACKOFF_MIN;
    if (opt->rate != 0)
        s->rate = opt->rate / ((uint64_t)opt->sources * opt->connections);
    bound.arg = s;
    rc = hg_source_create(&cfg, &bound, &s->src, err);
    if (rc == 0)
        rc = add_volumes(s, err);
    if (rc != 0) {
        session_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void session_destroy(struct session *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; i < s->n_feeds; i++) {
        image_close(s->feeds[i].image);
        if (s->manifest != NULL)
            manifest_volume_destroy(s->manifest[i]);
    }
    hg_source_destroy(s->src);
    free(s->manifest);
    free(s->feeds);
    free(s);
}

/* ---- connecting and ending ---- */

bool session_wants_connect(struct session *s, hg_ns now)
{
    if (s->phase != SESSION_WAIT || now < s->retry_at)
        return false;
    if (s->progress_at == 0)
        s->progress_at = now;
    s->phase = SESSION_CONNECTING;
    s->deadline = now + CONNECT_TIMEOUT;
    return true;
}

void session_up(struct session *s, hg_ns now)
{
    uint8_t id[16] = {0};

    /* Only a label in logs: zeros do no harm. */
    if (getrandom(id, sizeof id, 0) < 0)
        memcpy(id, &s->id, sizeof s->id);
    s->phase = SESSION_UP;
    s->progress = false;
    s->pace_at = 0;
    hg_source_start(s->src, id, now);
    s->counted_up = true;
    if (s->worker->began == 0)
        __atomic_store_n(&s->worker->began, now, __ATOMIC_RELAXED);
    stat_add(&s->worker->stats.n.up, 1);
    if (s->was_up)
        stat_add(&s->worker->stats.n.resumes, 1);
    s->was_up = true;
}

static void give_up(struct session *s, const char *why, const char *reason)
{
    s->phase = SESSION_FAILED;
    stat_add(&s->worker->stats.n.failed, 1);
    say(s->worker, "source %u: %s; giving up: %s", s->id, why, reason);
}

static bool finished(const struct session *s)
{
    return s->fed && hg_source_released(s->src);
}

/* Plans the next attempt after a cut, or gives up. */
static void plan_retry(struct session *s, bool never, const char *why, hg_ns advised, hg_ns now)
{
    const struct load_options *opt = s->worker->run->opt;

    if (never) {
        give_up(s, why, "trying again would not help");
        return;
    }
    if (now - s->progress_at >= opt->resume_retry) {
        give_up(s, why, "nothing became durable for as long as --resume-retry allows");
        return;
    }
    if (s->progress)
        s->backoff = BACKOFF_MIN;
    /* The session number spreads many sources that lost the same node. */
    s->retry_at = now + s->backoff + HG_MS(s->id % 64);
    if (s->retry_at < now + advised)
        s->retry_at = now + advised;
    s->backoff = 2 * s->backoff > BACKOFF_MAX ? BACKOFF_MAX : 2 * s->backoff;
    s->phase = SESSION_WAIT;
    say(s->worker, "source %u: %s; trying again", s->id, why);
}

void session_down(struct session *s, bool never, const char *why, hg_ns now)
{
    enum hg_source_state state = hg_source_state(s->src);
    struct hg_source_end end = *hg_source_end(s->src);
    bool was_up = s->phase == SESSION_UP;

    if (s->counted_up)
        stat_add(&s->worker->stats.n.up, UINT64_MAX); /* minus one */
    s->counted_up = false;
    hg_source_cut(s->src);
    if (session_over(s))
        return;
    if (state == HG_SOURCE_CLOSED || (was_up && finished(s))) {
        s->phase = SESSION_DONE;
        stat_add(&s->worker->stats.n.done, 1);
        return;
    }
    if (was_up)
        stat_add(&s->worker->stats.n.cuts, 1);
    if (s->err.text[0] != '\0') {
        give_up(s, s->err.text, "the data cannot be read");
    } else if (state == HG_SOURCE_FAILED) {
        bool hopeless = end.retry == HG_RETRY_NEVER || end.retry == HG_RETRY_OTHER_NODE;

        plan_retry(s, hopeless, end.text, HG_MS(end.retry_ms), now);
    } else {
        plan_retry(s, never, why == NULL ? "the connection was lost" : why, 0, now);
    }
}

/* ---- running ---- */

static void note_rewinds(struct session *s)
{
    struct hg_source_stats st;

    hg_source_stats(s->src, &st);
    stat_add(&s->worker->stats.n.resent, st.resent - s->resent_seen);
    s->resent_seen = st.resent;
    if (st.rewinds == s->rewinds_seen)
        return;
    stat_add(&s->worker->stats.n.rewinds, st.rewinds - s->rewinds_seen);
    s->rewinds_seen = st.rewinds;
    say(s->worker, "source %u: %s", s->id, hg_source_advice(s->src));
}

bool session_input(struct session *s, const uint8_t *data, size_t len, hg_ns now)
{
    return hg_source_input(s->src, data, len, now) == 0 &&
           hg_source_state(s->src) != HG_SOURCE_CLOSED;
}

/* Keeps some ops ready for one volume. false: no more will come. */
static bool feed_volume(struct session *s, uint32_t i, hg_ns now)
{
    struct feed *feed = &s->feeds[i];

    while (hg_source_unsent(s->src, i) < UNSENT_LOW && hg_source_room(s->src, i) != 0) {
        struct hg_source_op op;
        int rc = feed_next(feed, &s->worker->scratch, now, &op, &s->err);

        if (rc <= 0)
            return false;
        if (hg_source_submit(s->src, i, &op, 1) != 1) {
            hg_fail(&s->err, -EINVAL, "volume %s: the protocol refused an extent at byte %llu",
                    feed->name, (unsigned long long)op.offset);
            return false;
        }
        stat_add(&s->worker->stats.n.fed_bytes, op.len);
    }
    return true;
}

static void feed_all(struct session *s, hg_ns now)
{
    const struct run *run = s->worker->run;
    bool stop = __atomic_load_n(&run->stop, __ATOMIC_RELAXED) != 0 ||
                (run->opt->duration != 0 && now - s->worker->began >= run->opt->duration);
    uint32_t done = 0;

    if (s->fed)
        return;
    for (uint32_t i = 0; i < s->n_feeds; i++) {
        struct hg_source_volume_info info;

        if (stop)
            feed_stop(&s->feeds[i]);
        hg_source_volume_info(s->src, i, &info);
        if (info.failed || (!feed_volume(s, i, now) && s->err.text[0] == '\0'))
            done++;
    }
    if (done == s->n_feeds) {
        s->fed = true;
        hg_source_finish(s->src);
    }
}

/* The node is there and takes nothing: the same patience as with a node that is not there. A slow
 * rate may need longer for one frame than any patience. */
static bool stalled(const struct session *s, hg_ns now)
{
    const struct load_options *opt = s->worker->run->opt;

    return opt->resume_retry != 0 && s->rate == 0 && !hg_source_released(s->src) &&
           now - s->progress_at >= opt->resume_retry;
}

bool session_tick(struct session *s, hg_ns now)
{
    int stop = __atomic_load_n(&s->worker->run->stop, __ATOMIC_RELAXED);

    /* Asked once it finishes what is in flight; nothing is before the first session. */
    if (stop == 2 || (stop != 0 && s->phase != SESSION_UP && !s->was_up)) {
        give_up(s, "interrupted", "asked to");
        return false;
    }
    if (s->phase == SESSION_CONNECTING)
        return now < s->deadline;
    if (s->phase != SESSION_UP)
        return true;
    hg_source_poll(s->src, now);
    feed_all(s, now);
    note_rewinds(s);
    if (s->err.text[0] != '\0' || hg_source_state(s->src) == HG_SOURCE_FAILED)
        return false;
    if (stalled(s, now)) {
        give_up(s, hg_source_advice(s->src), "nothing became durable for too long");
        return false;
    }
    return hg_source_state(s->src) != HG_SOURCE_CLOSED;
}

/* Token bucket in time: each frame pushes the time of the next. */
static void pace(struct session *s, uint32_t bytes, hg_ns now)
{
    if (s->rate == 0)
        return;
    if (s->pace_at + PACE_BURST < now)
        s->pace_at = now - PACE_BURST;
    s->pace_at += (hg_ns)bytes * 8u * HG_SEC(1) / s->rate;
}

int session_next(struct session *s, hg_ns now, struct hg_source_frame *frame)
{
    struct load_counts *n = &s->worker->stats.n;
    int rc;

    if (s->rate != 0 && now < s->pace_at)
        return 0;
    rc = hg_source_next(s->src, now, frame);
    if (rc == 0 && !s->fed && hg_source_state(s->src) == HG_SOURCE_OPEN) {
        feed_all(s, now);
        rc = hg_source_next(s->src, now, frame);
    }
    if (rc <= 0)
        return rc;
    stat_add(&n->wire_bytes, HG_FRAME_HEADER + frame->payload_len);
    if (frame->type >= HG_FRAME_DATA && frame->type <= HG_FRAME_BARRIER)
        stat_add(&n->frames, 1);
    pace(s, HG_FRAME_HEADER + frame->payload_len, now);
    return 1;
}
