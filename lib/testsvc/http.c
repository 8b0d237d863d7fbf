/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small HTTP/1.0 responder (RFC 1945): GET /N and HEAD /N, one request a connection.
 *
 *     LINE --request line--> FIELDS --empty line--> HEAD --status line, fields--> BODY
 *        \---- a line or field that is refused ------^
 *
 * Field lines are passed over: nothing in them changes the answer. A refusal is sent without
 * waiting for the rest of the head; the connection reads and drops that until the peer's FIN.
 */
#include "testsvc_priv.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 8 /* of N */

/* ---- the request ---- */

/* The next word of the line [*p, end), which a blank ends; returns its length, 0: none. */
static size_t word(const char **p, const char *end, const char **start)
{
    const char *blank;

    *start = *p;
    blank = memchr(*p, ' ', (size_t)(end - *p));
    if (blank == NULL)
        blank = end;
    *p = blank < end ? blank + 1 : end;
    return (size_t)(blank - *start);
}

static bool word_is(const char *start, size_t len, const char *text)
{
    return len == strlen(text) && memcmp(start, text, len) == 0;
}

/* "/N"; false when it is something else, or more than HG_TESTSVC_BODY_MAX. */
static bool parse_target(const char *s, size_t len, uint32_t *n)
{
    *n = 0;
    if (len < 2 || len > 1 + DIGITS_MAX || s[0] != '/')
        return false;
    for (size_t i = 1; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *n = *n * 10 + (uint32_t)(s[i] - '0');
    }
    return *n <= HG_TESTSVC_BODY_MAX;
}

/* "HTTP/1.x": we answer all of them as HTTP/1.0 (RFC 7230 2.6). */
static bool is_version(const char *s, size_t len)
{
    return len == 8 && memcmp(s, "HTTP/1.", 7) == 0 && s[7] >= '0' && s[7] <= '9';
}

static unsigned parse_line(struct http *h, const char *line, size_t len)
{
    const char *p = line, *end = line + len, *method, *target, *version;
    size_t method_len = word(&p, end, &method);
    size_t target_len = word(&p, end, &target);
    size_t version_len = word(&p, end, &version);

    if (method_len == 0 || target_len == 0 || p != end || !is_version(version, version_len))
        return 400;
    h->head = word_is(method, method_len, "HEAD");
    if (!h->head && !word_is(method, method_len, "GET"))
        return 405;
    return parse_target(target, target_len, &h->n) ? 200 : 404;
}

static void answer(struct http *h, unsigned status)
{
    h->status = status;
    h->state = HTTP_HEAD;
}

/* The request line is complete in buf, without its LF. */
static void end_line(struct hg_testsvc_conn *c)
{
    struct http *h = &c->http;
    uint32_t len = c->buf_len;
    unsigned status;

    if (len != 0 && c->buf[len - 1] == '\r')
        len--;
    status = parse_line(h, (const char *)c->buf, len);
    c->buf_len = 0;
    h->line_empty = true;
    h->state = HTTP_FIELDS;
    if (status != 200)
        answer(h, status);
}

static void take_byte(struct hg_testsvc_conn *c, uint8_t b)
{
    struct http *h = &c->http;

    if (++h->received > HG_TESTSVC_HEAD_MAX) {
        answer(h, 400);
    } else if (h->state == HTTP_LINE) {
        if (b == '\n')
            end_line(c);
        else if (c->buf_len == HG_TESTSVC_LINE_MAX)
            answer(h, 414);
        else
            c->buf[c->buf_len++] = b;
    } else if (b == '\n') {
        if (h->line_empty)
            answer(h, 200);
        h->line_empty = true;
    } else if (b != '\r') {
        h->line_empty = false;
    }
}

static uint32_t http_input(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len)
{
    for (uint32_t i = 0; i < len && c->http.state < HTTP_HEAD; i++)
        take_byte(c, data[i]);
    return len;
}

/* ---- the answer ---- */

static bool http_has_output(const struct hg_testsvc_conn *c)
{
    return c->http.state >= HTTP_HEAD || c->eof;
}

static const char *reason(struct hg_testsvc_counters *count, unsigned status)
{
    switch (status) {
    case 200:
        count->http_200++;
        return "OK";
    case 404:
        count->http_404++;
        return "Not Found";
    case 405:
        count->http_405++;
        return "Method Not Allowed";
    case 414:
        count->http_414++;
        return "URI Too Long";
    default:
        count->http_400++;
        return "Bad Request";
    }
}

static int output_head(struct hg_testsvc_conn *c, struct hg_testsvc_out *out)
{
    struct http *h = &c->http;
    uint32_t n = h->status == 200 ? h->n : 0;

    h->state = HTTP_BODY;
    c->at = n;
    c->end = h->head ? n : 2 * (uint64_t)n;
    return snprintf(
        (char *)out->room, out->cap,
        "HTTP/1.0 %u %s\r\nServer: headgate\r\nContent-Type: application/octet-stream\r\n"
        "Content-Length: %u\r\n%sConnection: close\r\n\r\n",
        h->status, reason(&c->t->count, h->status), n,
        h->status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

static int http_output(struct hg_testsvc_conn *c, struct hg_testsvc_out *out)
{
    uint32_t len;

    switch (c->http.state) {
    case HTTP_HEAD:
        return output_head(c, out);
    case HTTP_BODY:
        if (c->at == c->end)
            return -EPIPE;
        len = pattern_point(&c->t->body, c->at, c->end - c->at, out);
        c->at += len;
        return (int)len;
    default:
        return c->eof ? -EPIPE : 0; /* the peer went before it had asked */
    }
}

const struct kind_ops testsvc_http = {http_input, http_has_output, http_output};
