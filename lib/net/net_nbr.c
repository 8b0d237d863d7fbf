/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: which MAC an on-link address has (RFC 826; states after RFC 4861 7.3.2).
 *
 *                 confirm                     30 s
 *   INCOMPLETE ------------> REACHABLE -----------------> STALE ---- 10 min unused --> (removed)
 *      |    |                    ^          or doubt        | ^
 *      |    |                    +------- confirm ----------+ |
 *      |    +--------------------- adopt ---------------------+
 *      |                                                    |
 *      +---- 3 requests unanswered ---> FAILED <------------+
 *                                         | 3 s
 *                                      (removed)
 *
 *  1. A question is open while tries > 0; only then is a reply believed. In INCOMPLETE the first
 *     packet opens it, in STALE the next packet or a doubt; in REACHABLE and FAILED none is open.
 *  2. Packets wait only in INCOMPLETE: NBR_WAIT per neighbour, WAITING_MAX in all. The newest is
 *     kept (RFC 1122 2.3.2.2).
 *  3. An entry's timer is armed in every state but UNUSED, save for an INCOMPLETE one between
 *     nbr_get() and what its caller does next.
 *  4. FAILED is the hold-down: packets are dropped at once and nobody is asked.
 */
#include "net_int.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define TRIES 3                  /* requests per question */
#define ASK_INTERVAL HG_SEC(1)   /* RFC 1122 2.3.2.1: at most one per second and destination */
#define ASK_LATER HG_MS(100)     /* when the common limit stood against it */
#define REACHABLE_FOR HG_SEC(30) /* RFC 4861 REACHABLE_TIME */
#define HOLD_DOWN HG_SEC(3)
#define IDLE_FOR HG_SEC(600)    /* unused for so long: forgotten */
#define EVICT_UNUSED HG_SEC(60) /* unused for so long: may go when the table is full */
#define EVICT_ASKED HG_MS(200)  /* unanswered for so long: may go */
#define EVICT_LOOKS 16          /* entries looked at in the search for a victim */
#define WAITING_MAX 256         /* packets */
#define TIMERS_PER_POLL 64

int nbr_init(struct nbr_table *table, uint32_t max, hg_ns now)
{
    table->max = max;
    table->bits = 1;
    while ((1u << table->bits) < max)
        table->bits++;
    table->entry = calloc(max, sizeof *table->entry);
    table->bucket = calloc((size_t)1 << table->bits, sizeof *table->bucket);
    if (table->entry == NULL || table->bucket == NULL) {
        free(table->bucket);
        free(table->entry);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < 1u << table->bits; i++)
        table->bucket[i] = NBR_NONE;
    for (uint32_t i = 0; i < max; i++)
        table->entry[i].next = i + 1 < max ? i + 1 : NBR_NONE;
    hg_wheel_init(&table->wheel, now);
    return 0;
}

void nbr_fini(struct nbr_table *table)
{
    for (uint32_t i = 0; i < table->max; i++) {
        for (unsigned k = 0; k < table->entry[i].n_wait; k++)
            rte_pktmbuf_free(table->entry[i].wait[k]);
    }
    free(table->bucket);
    free(table->entry);
}

static uint32_t *bucket_of(const struct nbr_table *table, uint32_t ip_be)
{
    /* Multiplicative hash of the address as a number: its last byte varies most. */
    return &table->bucket[(rte_be_to_cpu_32(ip_be) * 2654435769u) >> (32 - table->bits)];
}

struct nbr *nbr_find(const struct nbr_table *table, uint32_t ip_be)
{
    uint32_t i = *bucket_of(table, ip_be);

    while (i != NBR_NONE && table->entry[i].ip_be != ip_be)
        i = table->entry[i].next;
    return i != NBR_NONE ? &table->entry[i] : NULL;
}

static void drop_waiting(struct hg_net *net, struct nbr *nbr)
{
    for (unsigned i = 0; i < nbr->n_wait; i++)
        net_drop(&net->c.tx_arp_wait_drop, nbr->wait[i]);
    net->nbrs.waiting -= nbr->n_wait;
    nbr->n_wait = 0;
}

static void remove_nbr(struct hg_net *net, struct nbr *nbr)
{
    struct nbr_table *table = &net->nbrs;
    uint32_t self = (uint32_t)(nbr - table->entry);
    uint32_t *link = bucket_of(table, nbr->ip_be);

    drop_waiting(net, nbr);
    hg_wheel_stop(&table->wheel, &nbr->timer);
    while (*link != self)
        link = &table->entry[*link].next;
    *link = nbr->next;
    table->to_tell -= nbr->tell;
    *nbr = (struct nbr){.state = NBR_UNUSED, .next = table->free};
    table->free = self;
}

static bool may_go(const struct hg_net *net, const struct nbr *nbr, hg_ns now)
{
    if (nbr->ip_be == net->addrs.gateway_be)
        return false;
    switch (nbr->state) {
    case NBR_INCOMPLETE:
        return now - (nbr->asked != 0 ? nbr->asked : nbr->used) >= EVICT_ASKED;
    case NBR_STALE:
        return now - nbr->used >= EVICT_UNUSED;
    case NBR_FAILED:
        return true;
    default:
        return false;
    }
}

/* A few steps of a clock hand and no full search: spoofed sources can fill the table, and the
 * price of a full table must not be paid per packet. */
static void evict_one(struct hg_net *net, hg_ns now)
{
    struct nbr_table *table = &net->nbrs;

    for (unsigned i = 0; i < EVICT_LOOKS; i++) {
        struct nbr *nbr = &table->entry[table->hand];

        table->hand = table->hand + 1 < table->max ? table->hand + 1 : 0;
        if (may_go(net, nbr, now)) {
            remove_nbr(net, nbr);
            return;
        }
    }
}

struct nbr *nbr_get(struct hg_net *net, uint32_t ip_be, hg_ns now)
{
    struct nbr_table *table = &net->nbrs;
    struct nbr *nbr = nbr_find(table, ip_be);
    uint32_t *head, self;

    if (nbr != NULL)
        return nbr;
    if (table->free == NBR_NONE)
        evict_one(net, now);
    if (table->free == NBR_NONE)
        return NULL;
    self = table->free;
    nbr = &table->entry[self];
    table->free = nbr->next;
    head = bucket_of(table, ip_be);
    *nbr = (struct nbr){.ip_be = ip_be, .state = NBR_INCOMPLETE, .next = *head, .used = now};
    *head = self;
    return nbr;
}

static void arm(struct hg_net *net, struct nbr *nbr, hg_ns at)
{
    hg_wheel_arm(&net->nbrs.wheel, &nbr->timer, at);
}

/* Opens a question, or repeats it. */
static void ask(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    if (!arp_request(net, nbr->ip_be, now)) {
        arm(net, nbr, now + ASK_LATER);
        return;
    }
    nbr->tries++;
    nbr->asked = now;
    arm(net, nbr, now + ASK_INTERVAL);
}

/* Nobody answered: RFC 1122 2.3.2.2 lets the packets go. */
static void fail(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    drop_waiting(net, nbr);
    net->nbrs.to_tell -= nbr->tell;
    nbr->tell = false;
    nbr->state = NBR_FAILED;
    nbr->tries = 0;
    arm(net, nbr, now + HOLD_DOWN);
}

static void wait_in(struct hg_net *net, struct nbr *nbr, struct rte_mbuf *m)
{
    if (nbr->n_wait == NBR_WAIT) {
        net_drop(&net->c.tx_arp_wait_drop, nbr->wait[0]);
        for (unsigned i = 1; i < NBR_WAIT; i++)
            nbr->wait[i - 1] = nbr->wait[i];
        nbr->wait[NBR_WAIT - 1] = m;
        return;
    }
    if (net->nbrs.waiting == WAITING_MAX) {
        net_drop(&net->c.tx_arp_wait_drop, m);
        return;
    }
    nbr->wait[nbr->n_wait++] = m;
    net->nbrs.waiting++;
}

static void release_waiting(struct hg_net *net, struct nbr *nbr)
{
    unsigned n = nbr->n_wait;

    net->nbrs.waiting -= n;
    nbr->n_wait = 0;
    for (unsigned i = 0; i < n; i++)
        net_queue_to(net, nbr->wait[i], &nbr->mac);
}

void nbr_send(struct hg_net *net, struct nbr *nbr, struct rte_mbuf *m, hg_ns now)
{
    nbr->used = now;
    switch (nbr->state) {
    case NBR_INCOMPLETE:
        wait_in(net, nbr, m);
        if (!hg_timer_armed(&nbr->timer))
            ask(net, nbr, now);
        return;
    case NBR_STALE:
        net_queue_to(net, m, &nbr->mac);
        if (nbr->tries == 0)
            nbr_doubt(net, nbr, now);
        return;
    case NBR_REACHABLE:
        net_queue_to(net, m, &nbr->mac);
        return;
    default:
        net_drop(&net->c.tx_arp_wait_drop, m);
    }
}

void nbr_confirm(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now)
{
    nbr->mac = *mac;
    nbr->state = NBR_REACHABLE;
    nbr->tries = 0;
    nbr->confirmed = now;
    arm(net, nbr, now + REACHABLE_FOR);
    release_waiting(net, nbr);
}

void nbr_adopt(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now)
{
    assert(nbr->state == NBR_INCOMPLETE || nbr->state == NBR_FAILED);
    nbr->mac = *mac;
    nbr->state = NBR_STALE;
    if (nbr->tries == 0)
        arm(net, nbr, now + IDLE_FOR);
    release_waiting(net, nbr);
}

void nbr_doubt(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    if (nbr->asked != 0 && now - nbr->asked < ASK_INTERVAL)
        return;
    if (nbr->state == NBR_FAILED || nbr->tries != 0)
        return;
    if (nbr->state == NBR_REACHABLE)
        nbr->state = NBR_STALE;
    ask(net, nbr, now);
}

void nbr_tell(struct hg_net *net, struct nbr *nbr)
{
    net->nbrs.to_tell += !nbr->tell;
    nbr->tell = true;
}

static void expire(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    switch (nbr->state) {
    case NBR_INCOMPLETE:
        if (nbr->tries < TRIES)
            ask(net, nbr, now);
        else
            fail(net, nbr, now);
        return;
    case NBR_REACHABLE:
        nbr->state = NBR_STALE;
        arm(net, nbr, now + IDLE_FOR);
        return;
    case NBR_STALE:
        if (nbr->tries == TRIES)
            fail(net, nbr, now);
        else if (nbr->tries != 0)
            ask(net, nbr, now);
        else if (now - nbr->used < IDLE_FOR)
            arm(net, nbr, nbr->used + IDLE_FOR);
        else
            remove_nbr(net, nbr);
        return;
    default:
        remove_nbr(net, nbr);
    }
}

void nbr_poll(struct hg_net *net, hg_ns now)
{
    struct hg_timer *due[TIMERS_PER_POLL];
    unsigned n = hg_wheel_advance(&net->nbrs.wheel, now, due, TIMERS_PER_POLL);

    for (unsigned i = 0; i < n; i++)
        expire(net, HG_CONTAINER_OF(due[i], struct nbr, timer), now);
}

void hg_net_learn(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                  hg_ns now)
{
    uint32_t ip_be = rte_cpu_to_be_32(hg_ip_to_v4(ip));
    struct nbr *nbr;

    assert(hg_ip_is_v4(ip));
    nbr = nbr_get(net, ip_be, now);
    if (nbr != NULL)
        nbr_confirm(net, nbr, mac, now);
}

unsigned hg_net_learnt(struct hg_net *net, struct hg_neighbour *out, unsigned max)
{
    struct nbr_table *table = &net->nbrs;
    unsigned n = 0;

    for (uint32_t looked = 0; n < max && table->to_tell > 0; looked++) {
        struct nbr *nbr = &table->entry[table->tell_from];

        assert(looked < table->max);
        table->tell_from = table->tell_from + 1 < table->max ? table->tell_from + 1 : 0;
        if (!nbr->tell)
            continue;
        nbr->tell = false;
        table->to_tell--;
        out[n].ip = hg_ip_from_v4(rte_be_to_cpu_32(nbr->ip_be));
        out[n++].mac = nbr->mac;
    }
    return n;
}
