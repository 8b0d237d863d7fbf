/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: which MAC an on-link address has (RFC 826; states after RFC 4861 7.3.2).
 *
 *                 confirm                     30 s
 *   INCOMPLETE ------------> REACHABLE -----------------> STALE ---- 10 min unused --> (removed)
 *      |    |                 ^     |                     ^   | packet
 *      |    |         confirm |     | doubt         adopt |   v
 *      |    +-----------------|-----|---------------------+  DELAY
 *      |                      |     v                         | 5 s, or doubt
 *      |                      +-- PROBE <---------------------+
 *      |                            | 3 requests to it, 3 to all unanswered
 *      +-- 3 unanswered --> FAILED <+
 *                             | 3 s
 *                          (removed)
 *
 *  1. A question is open while tries > 0, which is in INCOMPLETE and PROBE; only then is a reply
 *     believed. In INCOMPLETE the first packet opens it.
 *  2. What was adopted and never confirmed goes from STALE to PROBE with the first packet.
 *  3. In PROBE the first three requests go to the known MAC alone (RFC 4861 7.3.3), the next three to
 *     all, since it may have moved (RFC 7048); a doubt begins with the latter. Packets go on meanwhile.
 *  4. Packets wait only in INCOMPLETE: NBR_WAIT per neighbour, WAITING_MAX in all. The newest is
 *     kept (RFC 1122 2.3.2.2).
 *  5. An entry's timer is armed in every state but UNUSED, save for an INCOMPLETE one between
 *     nbr_get() and what its caller does next.
 *  6. FAILED is the hold-down: packets are dropped at once and nobody is asked.
 *  7. A rival is another MAC that answered a question to all. It is taken SETTLE later, unless the
 *     known one has answered by then; so rivalled is true in PROBE alone.
 *
 * Neither ARP nor ND proves anything, so what an unasked packet claims is never believed against what
 * we know; a contradiction only makes us ask, and the answer to our own question counts. A liar may
 * answer as well, and sooner, so the known one has the last word while it is there. A gateway
 * that moved to another MAC is found in SETTLE, and so is a neighbour whose reply to another
 * shard's question arrived on our queue.
 */
#include "net_int.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define TRIES 3                  /* RFC 4861 10: MAX_UNICAST_SOLICIT, MAX_MULTICAST_SOLICIT */
#define ASK_INTERVAL HG_SEC(1)   /* RFC 4861 RETRANS_TIMER; RFC 1122 2.3.2.1: not more often */
#define ASK_LATER HG_MS(100)     /* when the common limit stood against it */
#define REACHABLE_FOR HG_SEC(30) /* RFC 4861 REACHABLE_TIME */
#define DELAY_FOR HG_SEC(5)      /* RFC 4861 DELAY_FIRST_PROBE_TIME */
#define SETTLE HG_MS(200)        /* a round trip on a link, and a busy host's pause */
#define TELL_INTERVAL HG_SEC(1)
#define HOLD_DOWN HG_SEC(3)
#define IDLE_FOR HG_SEC(600)    /* unused for so long: forgotten */
#define EVICT_UNUSED HG_SEC(60) /* unused for so long: may go when the table is full */
#define EVICT_ASKED HG_MS(200)  /* unanswered for so long, or heard and never asked: may go */
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

static uint32_t *bucket_of(const struct nbr_table *table, const struct hg_ip *ip)
{
    uint64_t w[2];

    /* Multiplicative hash of the address as a number: its last byte varies most. Only on-link
     * addresses get in, and the table is bounded, so a long bucket costs its makers more than us. */
    memcpy(w, ip, sizeof w);
    w[1] = rte_be_to_cpu_64(w[1]) + w[0];
    return &table->bucket[(w[1] * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - table->bits)];
}

struct nbr *nbr_find(const struct nbr_table *table, const struct hg_ip *ip)
{
    uint32_t i = *bucket_of(table, ip);

    while (i != NBR_NONE && !net_ip_same(&table->entry[i].ip, ip))
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
    uint32_t *link = bucket_of(table, &nbr->ip);

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
    if (route_is_gateway(net, &nbr->ip))
        return false;
    switch (nbr->state) {
    case NBR_INCOMPLETE:
        return now - (nbr->asked != 0 ? nbr->asked : nbr->used) >= EVICT_ASKED;
    case NBR_STALE:
        return now - nbr->used >= (nbr->confirmed != 0 ? EVICT_UNUSED : EVICT_ASKED);
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

struct nbr *nbr_get(struct hg_net *net, const struct hg_ip *ip, hg_ns now)
{
    struct nbr_table *table = &net->nbrs;
    struct nbr *nbr = nbr_find(table, ip);
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
    head = bucket_of(table, ip);
    *nbr = (struct nbr){.ip = *ip, .state = NBR_INCOMPLETE, .next = *head, .used = now};
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
    bool to_it = nbr->state == NBR_PROBE && nbr->tries < TRIES;
    const struct rte_ether_addr *mac = to_it ? &nbr->mac : NULL;
    bool sent = hg_ip_is_v4(&nbr->ip) ? arp_request(net, &nbr->ip, mac, now)
                                      : nd_solicit(net, &nbr->ip, mac, now);

    if (!sent) {
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
    net->route_gen += net->route_gen == UINT32_MAX ? 2 : 1; /* another router may do */
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
        if (nbr->confirmed == 0) {
            nbr_doubt(net, nbr, now); /* only ever heard, never asked: not left standing for 5 s */
            return;
        }
        nbr->state = NBR_DELAY;
        arm(net, nbr, now + DELAY_FOR);
        return;
    case NBR_REACHABLE:
    case NBR_DELAY:
    case NBR_PROBE:
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
    nbr->rivalled = false;
    nbr->confirmed = now;
    arm(net, nbr, now + REACHABLE_FOR);
    release_waiting(net, nbr);
}

void nbr_answer(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now)
{
    if (!nbr_known(nbr) || rte_is_same_ether_addr(&nbr->mac, mac)) {
        nbr_confirm(net, nbr, mac, now);
        nbr_tell(net, nbr);
    } else if (nbr->tries <= TRIES) {
        nbr->tries = TRIES; /* the known one alone was asked: the next question goes to all */
    } else if (!nbr->rivalled) {
        nbr->rivalled = true;
        nbr->rival = *mac;
        arm(net, nbr, now + SETTLE);
    }
}

/* A MAC good enough to be used while we ask; only for INCOMPLETE and FAILED. */
static void adopt(struct hg_net *net, struct nbr *nbr, const struct rte_ether_addr *mac, hg_ns now)
{
    assert(nbr->state == NBR_INCOMPLETE || nbr->state == NBR_FAILED);
    nbr->mac = *mac;
    if (nbr->tries == 0) {
        nbr->state = NBR_STALE;
        arm(net, nbr, now + IDLE_FOR);
    } else {
        nbr->state = NBR_PROBE;
        nbr->tries = (uint8_t)(nbr->tries + TRIES);
    }
    release_waiting(net, nbr);
}

void nbr_stale(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    if (nbr->state != NBR_REACHABLE && nbr->state != NBR_PROBE)
        return;
    nbr->state = NBR_STALE;
    nbr->tries = 0;
    nbr->rivalled = false;
    arm(net, nbr, now + IDLE_FOR);
}

void nbr_doubt(struct hg_net *net, struct nbr *nbr, hg_ns now)
{
    if (nbr->asked != 0 && now - nbr->asked < ASK_INTERVAL)
        return;
    if (!nbr_known(nbr)) {
        if (nbr->state == NBR_INCOMPLETE && nbr->tries == 0)
            ask(net, nbr, now);
        return;
    }
    if (nbr->state == NBR_PROBE && nbr->tries >= TRIES)
        return;
    nbr->state = NBR_PROBE;
    nbr->tries = TRIES;
    ask(net, nbr, now);
}

static bool may_learn(struct hg_net *net, const struct hg_ip *ip)
{
    return !net_is_martian(net, ip) && (route_on_link(net, ip) || route_is_gateway(net, ip));
}

/* RFC 826, RFC 4861 7.2.3: who asks for us is likely to talk to us next. */
void nbr_hear_asker(struct hg_net *net, const struct hg_ip *ip, const struct rte_ether_addr *mac,
                    hg_ns now)
{
    struct nbr *nbr = may_learn(net, ip) ? nbr_get(net, ip, now) : NULL;

    if (nbr == NULL)
        return;
    if (!nbr_known(nbr))
        adopt(net, nbr, mac, now);
    else if (!rte_is_same_ether_addr(&nbr->mac, mac))
        nbr_doubt(net, nbr, now);
}

/* With several queues the question may have been another shard's: then a stranger that answers to
 * our MAC is asked by us too, and a confirmation of what we know counts. */
void nbr_hear_unasked(struct hg_net *net, const struct nbr_claim *claim, hg_ns now)
{
    bool siblings = net->port->n_queues > 1;
    struct nbr *nbr;

    if (!may_learn(net, &claim->ip))
        return;
    nbr = nbr_find(&net->nbrs, &claim->ip);
    if (nbr == NULL && (net->accept_unsolicited || (siblings && claim->to_us)))
        nbr = nbr_get(net, &claim->ip, now);
    if (nbr == NULL)
        return;
    if (net->accept_unsolicited) {
        nbr_confirm(net, nbr, &claim->mac, now);
        nbr_tell(net, nbr);
    } else if (!nbr_known(nbr) || !rte_is_same_ether_addr(&nbr->mac, &claim->mac)) {
        nbr_doubt(net, nbr, now);
    } else if (siblings && now - nbr->confirmed >= TELL_INTERVAL) {
        nbr_confirm(net, nbr, &claim->mac, now);
        nbr_tell(net, nbr);
    }
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
    case NBR_DELAY:
        nbr->state = NBR_PROBE;
        ask(net, nbr, now);
        return;
    case NBR_PROBE:
        if (nbr->rivalled) {
            nbr_confirm(net, nbr, &nbr->rival, now);
            nbr_tell(net, nbr);
        } else if (nbr->tries < 2 * TRIES) {
            ask(net, nbr, now);
        } else {
            fail(net, nbr, now);
        }
        return;
    case NBR_STALE:
        if (now - nbr->used < IDLE_FOR)
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
    struct nbr *nbr = nbr_get(net, ip, now);

    if (nbr != NULL)
        nbr_confirm(net, nbr, mac, now);
}

unsigned hg_net_learnt(struct hg_net *net, struct hg_neighbour *out, unsigned max)
{
    struct nbr_table *table = &net->nbrs;
    unsigned n = 0;

    while (n < max && addr_to_tell(net, &out[n]))
        n++;
    for (uint32_t looked = 0; n < max && table->to_tell > 0; looked++) {
        struct nbr *nbr = &table->entry[table->tell_from];

        assert(looked < table->max);
        table->tell_from = table->tell_from + 1 < table->max ? table->tell_from + 1 : 0;
        if (!nbr->tell)
            continue;
        nbr->tell = false;
        table->to_tell--;
        out[n++] = (struct hg_neighbour){.ip = nbr->ip, .mac = nbr->mac};
    }
    return n;
}
