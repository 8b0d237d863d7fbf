/* SPDX-License-Identifier: BSD-3-Clause */
/* A simple and odd TCP peer: see model_peer.h. */
#include "model_peer.h"

#include <rte_byteorder.h>
#include <string.h>

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* One segment as the model understands it. */
struct parsed {
    uint32_t seq, ack, len, wnd;
    uint8_t flags, shift;
    uint16_t mss;
    uint32_t ts_val;
    bool sack_ok, ts, wscale;
    const uint8_t *data;
};

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool chance(struct model_peer *p, unsigned percent)
{
    return net_rng_chance(&p->rng, percent * 10000);
}

static uint32_t pick(struct model_peer *p, uint32_t lo, uint32_t hi)
{
    return (uint32_t)net_rng_range(&p->rng, lo, hi);
}

static int32_t diff(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

static void fail(struct model_peer *p, const char *what)
{
    if (!p->failure)
        p->failure = what;
}

void model_init(struct model_peer *p, const struct model_cfg *cfg, hg_ns now)
{
    static const uint16_t mss[] = {1, 40, 536, 1000, 1460, 1460, 9000, 65535};

    memset(p, 0, sizeof *p);
    p->cfg = *cfg;
    p->rng.state = cfg->seed;
    p->sack = chance(p, 60);
    p->ts = chance(p, 60);
    p->wscale = chance(p, 60);
    p->renege = p->sack && chance(p, 30);
    p->shrink = chance(p, 20);
    p->silly = chance(p, 20);
    p->split_acks = chance(p, 20);
    p->crash = chance(p, 10);
    p->shift = p->wscale ? (uint8_t)pick(p, 0, 7) : 0;
    p->ack_every = (uint8_t)pick(p, 1, 6);
    p->mss = mss[pick(p, 0, 7)];
    p->ack_delay = chance(p, 50) ? HG_MS(pick(p, 1, 200)) : 0;
    p->rto = HG_MS(pick(p, 150, 600));
    p->crash_at = p->crash ? now + HG_MS(pick(p, 1, 3000)) : 0;
    p->iss = chance(p, 50) ? 0xffffffffu - pick(p, 0, 100000) : pick(p, 0, UINT32_MAX);
    p->una = p->nxt = p->iss;
    p->their_mss = 536;
    p->wnd = MODEL_WINDOW - 1;
}

/* ---- segments out ---- */

static unsigned put(uint8_t *o, const uint8_t *bytes, unsigned n)
{
    memcpy(o, bytes, n);
    return n;
}

static unsigned put32(uint8_t *o, uint32_t v)
{
    v = rte_cpu_to_be_32(v);
    memcpy(o, &v, 4);
    return 4;
}

/* One block: the first island above rcv_nxt. */
static unsigned put_sack(const struct model_peer *p, uint8_t *o)
{
    uint32_t lo = 1, hi;
    unsigned n;

    while (lo < MODEL_WINDOW && !p->have[(p->rcv_nxt + lo) % MODEL_WINDOW])
        lo++;
    for (hi = lo; hi < MODEL_WINDOW && p->have[(p->rcv_nxt + hi) % MODEL_WINDOW]; hi++)
        ;
    if (lo == hi)
        return 0;
    n = put(o, (const uint8_t[]){5, 10}, 2);
    n += put32(o + n, p->rcv_nxt + lo);
    return n + put32(o + n, p->rcv_nxt + hi);
}

static unsigned put_options(const struct model_peer *p, uint8_t *o, uint8_t flags, hg_ns now)
{
    unsigned n = 0;

    if (flags & SYN) {
        n += put(o, (const uint8_t[]){2, 4, (uint8_t)(p->mss >> 8), (uint8_t)p->mss}, 4);
        if (p->sack)
            n += put(o + n, (const uint8_t[]){4, 2}, 2);
        if (p->wscale)
            n += put(o + n, (const uint8_t[]){3, 3, p->shift}, 3);
    }
    if (p->ts) {
        n += put(o + n, (const uint8_t[]){8, 10}, 2);
        n += put32(o + n, (uint32_t)(now / 1000000));
        n += put32(o + n, p->ts_recent);
    }
    if (p->sack && !(flags & SYN))
        n += put_sack(p, o + n);
    while (n % 4)
        o[n++] = 1;
    return n;
}

static void send_segment(struct model_peer *p, uint32_t seq, uint32_t len, uint8_t flags, hg_ns now)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->cfg.pool);
    struct hg_tx tx = {.flow = &p->cfg.flow};
    uint8_t *h;

    if (!m)
        return; /* lost */
    h = (uint8_t *)rte_pktmbuf_append(m, 60);
    memset(h, 0, 60);
    unsigned head = 20 + put_options(p, h + 20, flags, now);
    uint32_t wnd = p->edge - p->rcv_nxt;
    wnd = flags & SYN ? wnd : wnd >> p->shift;
    wnd = wnd > 65535 ? 65535 : wnd;
    uint32_t words[4] = {(uint32_t)p->cfg.flow.lport << 16 | p->cfg.flow.rport, seq,
                         flags & ACK ? p->rcv_nxt : 0,
                         head / 4 << 28 | (uint32_t)flags << 16 | wnd};
    for (unsigned i = 0; i < 4; i++) {
        words[i] = rte_cpu_to_be_32(words[i]);
        memcpy(h + 4 * i, &words[i], 4);
    }
    rte_pktmbuf_trim(m, (uint16_t)(60 - head));
    uint8_t *d = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
    for (uint32_t i = 0; d && i < len; i++)
        d[i] = p->cfg.byte(0, seq + i - p->iss - 1);
    p->cfg.emit(p->cfg.arg, m, &tx, now);
}

static void send_rst(struct model_peer *p, const struct parsed *s, hg_ns now)
{
    if (s->flags & RST)
        return;
    p->ts = p->sack = false;
    if (s->flags & ACK) {
        send_segment(p, s->ack, 0, RST, now);
    } else {
        p->rcv_nxt = s->seq + s->len + !!(s->flags & SYN) + !!(s->flags & FIN);
        send_segment(p, 0, 0, RST | ACK, now);
    }
}

static void update_window(struct model_peer *p, hg_ns now)
{
    uint32_t edge = p->rcv_nxt + p->wnd;

    if (now >= p->wnd_at && (p->silly || p->shrink)) {
        p->wnd_at = now + HG_MS(pick(p, 5, 800));
        p->wnd = p->silly && chance(p, 50) ? pick(p, 0, 3) : pick(p, 0, MODEL_WINDOW - 1);
        edge = p->rcv_nxt + p->wnd;
        p->ack_due = true;
    }
    edge = p->rcv_nxt + ((edge - p->rcv_nxt) >> p->shift << p->shift);
    if (diff(edge, p->edge) > 0 || (p->shrink && diff(edge, p->rcv_nxt) >= 0))
        p->edge = edge;
}

static void send_ack(struct model_peer *p, hg_ns now)
{
    update_window(p, now);
    p->ack_due = false;
    p->unacked = 0;
    p->ack_at = 0;
    send_segment(p, p->nxt, 0, ACK, now);
    if (p->split_acks && chance(p, 30)) /* the same once more: it must not count for anything */
        send_segment(p, p->nxt, 0, ACK, now);
}

/* ---- sending ---- */

static uint32_t stream_end(const struct model_peer *p)
{
    return p->iss + 1 + (uint32_t)p->cfg.to_send;
}

static void send_syn(struct model_peer *p, hg_ns now)
{
    p->edge = p->rcv_nxt + (p->wnd < 65535 ? p->wnd : 65535);
    send_segment(p, p->iss, 0, p->state == MODEL_SYN_RECEIVED ? SYN | ACK : SYN, now);
    p->rto_at = now + p->rto;
}

void model_connect(struct model_peer *p, hg_ns now)
{
    p->state = MODEL_SYN_SENT;
    p->nxt = p->iss + 1;
    send_syn(p, now);
}

static void send_data(struct model_peer *p, hg_ns now)
{
    uint32_t end = stream_end(p), wnd_end = p->una + p->their_wnd;

    while (diff(p->nxt, end) < 0) {
        uint32_t room = diff(wnd_end, p->nxt) > 0 ? wnd_end - p->nxt : 0;
        uint32_t len = end - p->nxt, most = p->their_mss < 1400 ? p->their_mss : 1400;
        len = len < most ? len : most;
        len = len < room ? len : room;
        if (len > 1 && chance(p, 10))
            len = pick(p, 1, len); /* other boundaries */
        if (!len)
            break;
        send_segment(p, p->nxt, len, ACK | PSH, now);
        p->nxt += len;
    }
    if (p->nxt == end && diff(wnd_end, p->nxt) > 0) {
        send_segment(p, end, 0, FIN | ACK, now);
        p->nxt = end + 1;
    }
    if (!p->rto_at && p->una != p->nxt)
        p->rto_at = now + p->rto;
    if (!p->rto_at && p->nxt != end + 1)
        p->rto_at = now + p->rto; /* a closed window */
}

static void timeout(struct model_peer *p, hg_ns now)
{
    p->rto_at = 0;
    if (p->state == MODEL_SYN_SENT || p->state == MODEL_SYN_RECEIVED) {
        send_syn(p, now);
        return;
    }
    if (p->una == stream_end(p) + 1)
        return;
    if (!p->their_wnd) { /* a byte into the closed window */
        uint32_t left = stream_end(p) - p->una;
        send_segment(p, p->una, diff(left, 0) > 0 ? 1 : 0, ACK, now);
        if (diff(p->nxt, p->una) <= 0 && diff(left, 0) > 0)
            p->nxt = p->una + 1;
        p->rto_at = now + p->rto;
        return;
    }
    p->nxt = p->una; /* go back N */
    send_data(p, now);
}

/* ---- segments in ---- */

static void take_option(struct parsed *s, const uint8_t *o)
{
    switch (o[0]) {
    case 2:
        s->mss = (uint16_t)(o[2] << 8 | o[3]);
        break;
    case 3:
        s->wscale = true;
        s->shift = o[2];
        break;
    case 4:
        s->sack_ok = true;
        break;
    case 8:
        s->ts = true;
        s->ts_val = get32(o + 2);
        break;
    default:
        break;
    }
}

static bool parse(const struct rte_mbuf *m, struct parsed *s, uint8_t *flat)
{
    const uint8_t *h = rte_pktmbuf_read(m, 0, m->pkt_len, flat);
    unsigned head;

    memset(s, 0, sizeof *s);
    if (m->pkt_len < 20)
        return false;
    head = (h[12] >> 4) * 4u;
    s->seq = get32(h + 4);
    s->ack = get32(h + 8);
    s->flags = h[13] & 0x1f;
    s->wnd = (uint32_t)h[14] << 8 | h[15];
    s->mss = 536;
    for (unsigned i = 20; i < head && h[i] != 0;) {
        if (h[i] == 1) {
            i++;
            continue;
        }
        if (i + 1 >= head || h[i + 1] < 2 || i + h[i + 1] > head)
            return false;
        take_option(s, h + i);
        i += h[i + 1];
    }
    s->data = h + head;
    s->len = m->pkt_len - head;
    return true;
}

static void learn_syn(struct model_peer *p, const struct parsed *s)
{
    p->irs = s->seq;
    p->rcv_nxt = s->seq + 1;
    p->edge = p->rcv_nxt + (p->edge - p->rcv_nxt < MODEL_WINDOW ? p->edge - p->rcv_nxt : 0);
    p->their_mss = s->mss;
    p->their_wnd = s->wnd;
    p->ts &= s->ts;
    p->sack &= s->sack_ok;
    p->wscale &= s->wscale;
    p->their_shift = p->wscale ? s->shift : 0;
    if (!p->wscale)
        p->shift = 0;
    p->ts_recent = s->ts_val;
}

static void take_text(struct model_peer *p, const struct parsed *s)
{
    for (uint32_t i = 0; i < s->len; i++) {
        uint32_t seq = s->seq + i;
        if (diff(seq, p->rcv_nxt) < 0 || diff(seq, p->edge) >= 0)
            continue;
        if (s->data[i] != p->cfg.byte(1, seq - p->irs - 1))
            fail(p, "the peer received a wrong byte");
        p->have[seq % MODEL_WINDOW] = 1;
    }
    if (s->flags & FIN && diff(s->seq + s->len, p->edge) <= 0) {
        p->fin_seen = true;
        p->fin_seq = s->seq + s->len;
    }
    while (p->have[p->rcv_nxt % MODEL_WINDOW]) {
        p->have[p->rcv_nxt % MODEL_WINDOW] = 0;
        p->rcv_nxt++;
        p->received++;
    }
    if (p->fin_seen && !p->fin_taken && p->rcv_nxt == p->fin_seq) {
        p->rcv_nxt++;
        p->fin_taken = true;
    }
    if (p->renege && chance(p, 2))
        memset(p->have, 0, sizeof p->have);
}

static void take_ack(struct model_peer *p, const struct parsed *s, hg_ns now)
{
    if (diff(s->ack, p->una) < 0)
        return;
    if (diff(s->ack, stream_end(p) + 1) > 0) {
        fail(p, "the peer was acknowledged what it never sent");
        return;
    }
    if (s->ack != p->una) {
        p->una = s->ack;
        if (diff(p->nxt, p->una) < 0)
            p->nxt = p->una;
        p->rto_at = p->una == p->nxt ? 0 : now + p->rto;
    }
    p->their_wnd = s->wnd << p->their_shift;
    p->fin_acked = p->una == stream_end(p) + 1;
}

static void input_syn(struct model_peer *p, const struct parsed *s, hg_ns now)
{
    if (s->flags & ACK && s->ack != p->iss + 1) {
        send_rst(p, s, now);
        return;
    }
    learn_syn(p, s);
    if (s->flags & ACK) {
        p->una = p->iss + 1;
        p->state = MODEL_OPEN;
        p->rto_at = 0;
        send_ack(p, now);
    } else { /* both at once, or ours is the first */
        p->state = MODEL_SYN_RECEIVED;
        p->nxt = p->iss + 1;
        send_syn(p, now);
    }
}

static void input_open(struct model_peer *p, const struct parsed *s, hg_ns now)
{
    uint32_t before = p->rcv_nxt;

    if (s->flags & SYN) { /* ours got lost, or theirs came twice */
        p->ack_due = true;
        return;
    }
    if (!(s->flags & ACK))
        return;
    if (p->state == MODEL_SYN_RECEIVED) {
        if (s->ack != p->iss + 1 && diff(s->ack, p->iss + 1) < 0)
            return;
        p->state = MODEL_OPEN;
        p->rto_at = 0;
    }
    if (s->ts && diff(s->ts_val, p->ts_recent) >= 0 && diff(s->seq, p->rcv_nxt) <= 0)
        p->ts_recent = s->ts_val;
    take_ack(p, s, now);
    if (!s->len && !(s->flags & FIN) && diff(s->seq, p->rcv_nxt) >= 0)
        return;
    take_text(p, s);
    p->unacked++;
    if (p->unacked >= p->ack_every || p->rcv_nxt == before || p->fin_taken)
        p->ack_due = true;
    else if (!p->ack_at)
        p->ack_at = now + p->ack_delay;
}

void model_input(struct model_peer *p, struct rte_mbuf *m, hg_ns now)
{
    static uint8_t flat[16384];
    struct parsed s;

    if (!parse(m, &s, flat)) {
        fail(p, "a segment makes no sense");
    } else if (p->state == MODEL_RESET) {
        send_rst(p, &s, now);
    } else if (s.flags & RST) {
        if (p->state != MODEL_SYN_SENT || (s.flags & ACK && s.ack == p->nxt))
            p->state = MODEL_RESET;
    } else if (p->state == MODEL_CLOSED && !(s.flags & SYN)) {
        send_rst(p, &s, now);
    } else if (s.flags & SYN && (p->state == MODEL_CLOSED || p->state == MODEL_SYN_SENT)) {
        input_syn(p, &s, now);
    } else if (p->state != MODEL_SYN_SENT) {
        input_open(p, &s, now);
    }
    rte_pktmbuf_free(m);
}

/* ---- time ---- */

void model_poll(struct model_peer *p, hg_ns now)
{
    if (p->crash_at && now >= p->crash_at) {
        p->crash_at = 0;
        p->state = MODEL_RESET;
    }
    if (p->state == MODEL_CLOSED || p->state == MODEL_RESET)
        return;
    if (p->rto_at && now >= p->rto_at)
        timeout(p, now);
    if (p->state != MODEL_OPEN)
        return;
    if ((p->silly || p->shrink) && now >= p->wnd_at && !p->fin_taken)
        p->ack_due = true;
    if (p->ack_due || (p->ack_at && now >= p->ack_at))
        send_ack(p, now);
    send_data(p, now);
}

hg_ns model_next(const struct model_peer *p)
{
    hg_ns at[] = {p->rto_at, p->ack_at, p->crash_at,
                  (p->silly || p->shrink) && !p->fin_taken ? p->wnd_at : 0};
    hg_ns next = 0;

    if (p->state == MODEL_CLOSED || p->state == MODEL_RESET)
        return p->crash_at;
    for (unsigned i = 0; i < HG_ARRAY_LEN(at); i++)
        if (at[i] && (!next || at[i] < next))
            next = at[i];
    return next;
}

bool model_done(const struct model_peer *p)
{
    return p->fin_acked && p->fin_taken;
}
