/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside of the services: one connection, and what a kind of service does. */
#ifndef HG_LIB_TESTSVC_TESTSVC_PRIV_H
#define HG_LIB_TESTSVC_TESTSVC_PRIV_H

#include "pattern.h"
#include <sys/queue.h>

#define BUF_SIZE 2048u /* bytes of echo on their way back, or of a request line */

/* What a kind does; the rules are those of the functions of the same name in testsvc.h. */
struct kind_ops {
    uint32_t (*input)(struct hg_testsvc_conn *c, const uint8_t *data, uint32_t len);
    bool (*has_output)(const struct hg_testsvc_conn *c);
    int (*output)(struct hg_testsvc_conn *c, struct hg_testsvc_out *out);
};

extern const struct kind_ops testsvc_echo, testsvc_discard, testsvc_chargen, testsvc_http;

enum http_state { HTTP_LINE, HTTP_FIELDS, HTTP_HEAD, HTTP_BODY };

struct http {
    enum http_state state;
    unsigned status;   /* of the answer */
    uint32_t n;        /* bytes asked for */
    uint32_t received; /* bytes of the request's head so far */
    bool head;         /* HEAD: no body */
    bool line_empty;   /* nothing but CR since the last LF */
};

struct hg_testsvc_conn {
    struct hg_testsvc *t;
    const struct kind_ops *ops;
    enum hg_testsvc_kind kind;
    bool eof;
    hg_ns begun, moved_at; /* the last time that bytes went either way */
    uint64_t at, end;      /* positions in the pattern: next byte, end of the body */
    struct http http;
    uint32_t buf_off, buf_len; /* buf[buf_off .. buf_len) is what counts */
    uint8_t buf[BUF_SIZE];
    SLIST_ENTRY(hg_testsvc_conn) free_link;
};

struct hg_testsvc {
    struct hg_testsvc_cfg cfg;
    struct hg_testsvc_counters count;
    struct pattern chargen, body;
    struct hg_testsvc_conn *conns;
    SLIST_HEAD(, hg_testsvc_conn) free;
};

#endif /* HG_LIB_TESTSVC_TESTSVC_PRIV_H */
