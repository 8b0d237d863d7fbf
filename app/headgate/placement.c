/* SPDX-License-Identifier: BSD-3-Clause */
/* See placement.h. */
#include "placement.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct line {
    char text[480];
    size_t len;
};

static void add(struct line *l, const char *text)
{
    int n = snprintf(l->text + l->len, sizeof l->text - l->len, "%s", text);

    if (n > 0)
        l->len += (size_t)n < sizeof l->text - l->len ? (size_t)n : sizeof l->text - l->len - 1;
}

/* "shards 2 and 3 (CPUs 9 and 10) are on node 1" of those on one node. */
static void add_shards(struct line *l, const struct placement *p, int node)
{
    unsigned n = 0, told = 0;
    char cpus[160] = "", one[32];

    for (unsigned i = 0; i < p->n_shards; i++)
        n += p->shards[i].node == node;
    add(l, n == 1 ? "shard" : "shards");
    for (unsigned i = 0; i < p->n_shards; i++) {
        const char *join = told == 0 ? " " : told + 1 == n ? " and " : ", ";
        size_t len = strlen(cpus);

        if (p->shards[i].node != node)
            continue;
        snprintf(one, sizeof one, "%s%u", join, i);
        add(l, one);
        snprintf(cpus + len, sizeof cpus - len, "%s%u", join, p->shards[i].cpu);
        told++;
    }
    add(l, n == 1 ? " (CPU" : " (CPUs");
    add(l, cpus);
    snprintf(one, sizeof one, ") %s on node %d", n == 1 ? "is" : "are", node);
    add(l, one);
}

static bool has_shards(const struct placement *p, int node)
{
    for (unsigned i = 0; i < p->n_shards; i++)
        if (p->shards[i].node == node)
            return true;
    return false;
}

static void add_distance(struct line *l, const struct placement *p, int from, int to)
{
    char text[48];

    if (p->distance == NULL || p->distance[from][to] == 0)
        return;
    snprintf(text, sizeof text, " (distance %u, own node %u)", p->distance[from][to],
             p->distance[from][from]);
    add(l, text);
}

static bool judge_one(const struct placement *p, const struct placement_dev *d, struct line *l)
{
    bool crosses = false;
    char begin[160];

    snprintf(begin, sizeof begin, "%s %.100s is on NUMA node %d, but ", d->what, d->name, d->node);
    add(l, begin);
    for (int node = 0; node < PLACEMENT_NODES; node++) {
        if (node == d->node || !has_shards(p, node))
            continue;
        add(l, crosses ? "; " : "");
        add_shards(l, p, node);
        add_distance(l, p, node, d->node);
        crosses = true;
    }
    return crosses;
}

unsigned placement_judge(const struct placement *p, placement_fn *tell, void *arg)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->n_devs; i++) {
        struct line l = {.len = 0};

        if (p->devs[i].node < 0 || p->devs[i].node >= PLACEMENT_NODES ||
            !judge_one(p, &p->devs[i], &l))
            continue;
        tell(arg, i, l.text);
        n++;
    }
    return n;
}
