/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Synthetic: source s has volumes v = 0..M-1, and volume v travels on connection v mod C. Names
 * carry source and volume number, since sources that share a certificate share a name space.
 * Images: image k goes to source k mod N.
 */
#include "plan.h"
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

struct planner {
    struct run *run;
    struct worker **workers;
    unsigned n_workers;
    uint32_t sessions;
    uint32_t volumes; /* planned in all, to share --bytes */
};

static int feed_init(struct planner *p, struct feed *feed, uint32_t id)
{
    const struct load_options *opt = p->run->opt;

    feed->opt = opt;
    feed->gen = &p->run->gen;
    feed->replay = p->run->replay;
    feed->id = id;
    feed->rng = gen_mix(opt->seed ^ ((uint64_t)id << 32));
    return 0;
}

static int feed_synthetic(struct planner *p, struct feed *feed, uint32_t source, uint32_t volume,
                          struct hg_err *err)
{
    const struct load_options *opt = p->run->opt;
    bool one = opt->sources == 1 && opt->volumes == 1;
    int n;

    feed_init(p, feed, source * opt->volumes + volume);
    feed->size = opt->size;
    if (opt->bytes != 0)
        feed->left = (opt->bytes + p->volumes - 1) / p->volumes;
    else
        feed->left = opt->duration != 0 ? UINT64_MAX : opt->size;
    n = one ? snprintf(feed->name, sizeof feed->name, "%s", opt->volume)
            : snprintf(feed->name, sizeof feed->name, "%s-%u-%u", opt->volume, source, volume);
    if (n < 0 || (size_t)n >= sizeof feed->name)
        return hg_fail(err, -EINVAL, "--volume: the name is too long");
    return 0;
}

static int feed_image(struct planner *p, struct feed *feed, unsigned k, struct hg_err *err)
{
    const struct load_image *image = &p->run->opt->image[k];
    int rc = image_open(image->path, &feed->image, err);

    if (rc != 0)
        return rc;
    feed_init(p, feed, k);
    feed->size = image_size(feed->image);
    feed->left = UINT64_MAX;
    strcpy(feed->name, image->name);
    return 0;
}

/* Takes over feeds. */
static int add_session(struct planner *p, uint32_t cert, struct feed *feeds, uint32_t n,
                       struct hg_err *err)
{
    struct worker *w = p->workers[p->sessions % p->n_workers];
    const struct session_spec spec = {
        .id = p->sessions, .cert = cert, .feeds = feeds, .n_feeds = n};
    int rc = session_create(w, &spec, &w->sessions[w->n_sessions], err);

    if (rc != 0)
        return rc;
    w->n_sessions++;
    p->sessions++;
    return 0;
}

static int plan_connection(struct planner *p, uint32_t source, uint32_t connection,
                           struct hg_err *err)
{
    const struct load_options *opt = p->run->opt;
    uint32_t n = (opt->volumes - connection + opt->connections - 1) / opt->connections;
    struct feed *feeds = calloc(n, sizeof *feeds);

    if (feeds == NULL)
        return hg_fail(err, -ENOMEM, "out of memory for %u volumes", n);
    for (uint32_t i = 0; i < n; i++) {
        int rc = feed_synthetic(p, &feeds[i], source, connection + i * opt->connections, err);

        if (rc != 0) {
            free(feeds);
            return rc;
        }
    }
    return add_session(p, source, feeds, n, err);
}

static int plan_image_source(struct planner *p, uint32_t source, struct hg_err *err)
{
    const struct load_options *opt = p->run->opt;
    uint32_t n = (opt->n_images - source + opt->sources - 1) / opt->sources;
    struct feed *feeds = calloc(n, sizeof *feeds);

    if (feeds == NULL)
        return hg_fail(err, -ENOMEM, "out of memory for %u images", n);
    for (uint32_t i = 0; i < n; i++) {
        int rc = feed_image(p, &feeds[i], source + i * opt->sources, err);

        if (rc != 0) {
            while (i-- > 0)
                image_close(feeds[i].image);
            free(feeds);
            return rc;
        }
    }
    return add_session(p, source, feeds, n, err);
}

int plan_sessions(struct run *run, struct worker **workers, unsigned n_workers, struct hg_err *err)
{
    const struct load_options *opt = run->opt;
    bool images = opt->n_images != 0;
    uint32_t sources = images && opt->n_images < opt->sources ? opt->n_images : opt->sources;
    uint32_t connections = images ? 1 : opt->connections;
    uint32_t per_worker = sources * connections / n_workers + 1;
    struct planner p = {.run = run,
                        .workers = workers,
                        .n_workers = n_workers,
                        .volumes = opt->sources * opt->volumes};

    for (unsigned i = 0; i < n_workers; i++) {
        workers[i]->sessions = calloc(per_worker, sizeof *workers[i]->sessions);
        if (workers[i]->sessions == NULL)
            return hg_fail(err, -ENOMEM, "out of memory for %u sources", sources);
    }
    for (uint32_t s = 0; s < sources; s++)
        for (uint32_t c = 0; c < connections; c++) {
            int rc = images ? plan_image_source(&p, s, err) : plan_connection(&p, s, c, err);

            if (rc != 0)
                return rc;
        }
    return 0;
}

void plan_free(struct worker **workers, unsigned n_workers)
{
    for (unsigned i = 0; i < n_workers; i++) {
        for (uint32_t s = 0; s < workers[i]->n_sessions; s++)
            session_destroy(workers[i]->sessions[s]);
        free(workers[i]->sessions);
    }
}
