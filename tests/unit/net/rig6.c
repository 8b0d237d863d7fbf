/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig6.h"
#include <string.h>

struct hg_ip ip_of(const char *text)
{
    struct hg_ip ip = {{0}};

    if (strcmp(text, "::") != 0)
        CU_ASSERT_EQUAL_FATAL(hg_ip_parse(text, &ip), 0);
    return ip;
}

bool is_ip(const uint8_t *b, const char *text)
{
    struct hg_ip ip = ip_of(text);

    return memcmp(b, ip.b, 16) == 0;
}

static void (*chosen)(struct rig *, struct hg_net_cfg *);

static void dual(struct rig *rig, struct hg_net_cfg *cfg)
{
    cfg->addrs[1] = (struct hg_net_prefix){ip_of(SELF6), 64};
    cfg->n_addrs = 2;
    cfg->gateway6 = ip_of(GATE6);
    cfg->secret[0] = 0x0123456789abcdef;
    if (chosen != NULL)
        chosen(rig, cfg);
}

void rig6_open(struct rig *rig, void (*tweak)(struct rig *rig, struct hg_net_cfg *cfg))
{
    chosen = tweak;
    rig_open(rig, dual);
}

void rig_pass(struct rig *rig, hg_ns span)
{
    for (hg_ns end = rig->now + span; rig->now < end;) {
        rig->now += HG_MS(10);
        hg_net_poll(rig->net, rig->now);
        hg_net_flush(rig->net);
    }
}

void frame6(struct frame *f, const char *src, const char *dst, uint8_t proto, unsigned len)
{
    struct hg_ip to = ip_of(dst), from = ip_of(src);

    memset(f->b, 0, sizeof f->b);
    memcpy(f->b, &mac_self, 6);
    if (to.b[0] == 0xff) {
        f->b[0] = f->b[1] = 0x33;
        memcpy(f->b + 2, to.b + 12, 4);
    }
    memcpy(f->b + 6, &mac_peer, 6);
    put16(f->b + 12, 0x86dd);
    f->b[14] = 0x60;
    put16(f->b + 18, len);
    f->b[20] = proto;
    f->b[21] = 255;
    memcpy(f->b + 22, from.b, 16);
    memcpy(f->b + 38, to.b, 16);
    f->len = L4 + len;
}

static uint32_t pseudo6(const uint8_t *ip, unsigned len, uint8_t proto)
{
    uint32_t sum = len + proto;

    for (unsigned i = 8; i < 40; i += 2)
        sum += get16(ip + i);
    return sum;
}

uint16_t plain_sum6(const uint8_t *ip)
{
    unsigned len = get16(ip + 4);

    return plain_sum(ip + 40, len, pseudo6(ip, len, ip[6]));
}

void frame6_sum(struct frame *f, unsigned at, uint8_t proto)
{
    uint8_t *sum = f->b + at + (proto == 6 ? 16 : 2);

    put16(sum, 0);
    put16(sum, plain_sum(f->b + at, f->len - at, pseudo6(f->b + 14, f->len - at, proto)));
}

void frame6_tcp(struct frame *f, unsigned payload)
{
    frame6(f, PEER6, SELF6, 6, 20 + payload);
    put16(f->b + L4, 40000);
    put16(f->b + L4 + 2, 1500);
    put32(f->b + L4 + 4, 0x01020304);
    f->b[L4 + 12] = 0x50;
    f->b[L4 + 13] = 0x10;
    for (unsigned i = 0; i < payload; i++)
        f->b[L4 + 20 + i] = (uint8_t)(i * 7 + 1);
    frame6_sum(f, L4, 6);
}

void frame6_icmp(struct frame *f, const char *const ends[2], const uint8_t type_code[2],
                 const uint8_t *body, unsigned len)
{
    frame6(f, ends[0], ends[1], 58, 4 + len);
    memcpy(f->b + L4, type_code, 2);
    memcpy(f->b + L4 + 4, body, len);
    frame6_sum(f, L4, 58);
}

void frame6_nd(struct frame *f, const struct nd *nd)
{
    struct hg_ip target = ip_of(nd->target);
    uint8_t body[4 + 16 + 8] = {nd->flags};

    memcpy(body + 4, target.b, 16);
    if (nd->option != 0) {
        body[20] = nd->option;
        body[21] = 1;
        memcpy(body + 22, nd->mac, 6);
    }
    frame6_icmp(f, (const char *[2]){nd->src, nd->dst}, (uint8_t[2]){nd->type, 0}, body,
                nd->option != 0 ? 28 : 20);
}

void frame6_insert(struct frame *f, uint8_t type, const uint8_t *ext, unsigned len)
{
    memmove(f->b + L4 + len, f->b + L4, f->len - L4);
    memcpy(f->b + L4, ext, len);
    f->b[L4] = f->b[20];
    f->b[20] = type;
    f->len += len;
    put16(f->b + 18, get16(f->b + 18) + len);
}
