/* SPDX-License-Identifier: BSD-3-Clause */
/* The services without a grammar: echo (RFC 862), discard (RFC 863), chargen (RFC 864). */
#include "testsvc_priv.h"
#include <errno.h>
#include <string.h>

/* ---- echo ---- */

static uint32_t echo_input(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len)
{
    uint32_t room = BUF_SIZE - c->buf_len;

    len = len < room ? len : room;
    memcpy(c->buf + c->buf_len, data, len);
    c->buf_len += len;
    return len;
}

static bool echo_has_output(const struct hg_testsvc_conn *c)
{
    return c->buf_len != 0 || c->eof;
}

static int echo_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out)
{
    uint32_t len = c->buf_len - c->buf_off;

    if (len == 0)
        return c->eof ? -EPIPE : 0;
    len = len < out->cap ? len : out->cap;
    memcpy(out->room, c->buf + c->buf_off, len);
    c->buf_off += len;
    if (c->buf_off == c->buf_len)
        c->buf_off = c->buf_len = 0;
    return (int)len;
}

const struct kind_ops testsvc_echo = {echo_input, echo_has_output, echo_output};

/* ---- discard ---- */

static uint32_t discard_input(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len)
{
    (void)c;
    (void)data;
    return len;
}

static bool discard_has_output(const struct hg_testsvc_conn *c)
{
    return c->eof;
}

static int discard_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out)
{
    (void)out;
    return c->eof ? -EPIPE : 0;
}

const struct kind_ops testsvc_discard = {discard_input, discard_has_output, discard_output};

/* ---- chargen: what comes in is thrown away, and its end is the end ---- */

static bool chargen_has_output(const struct hg_testsvc_conn *c)
{
    (void)c;
    return true;
}

static int chargen_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out)
{
    uint32_t len;

    if (c->eof)
        return -EPIPE;
    len = pattern_point(&c->t->chargen, c->at, UINT64_MAX, out);
    c->at += len;
    return (int)len;
}

const struct kind_ops testsvc_chargen = {discard_input, chargen_has_output, chargen_output};
