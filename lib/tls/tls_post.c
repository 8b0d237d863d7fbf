/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_post.h"
#include "tls_alert.h"

#define HELLO_REQUEST 0
#define CLIENT_HELLO 1
#define NEW_SESSION_TICKET 4
#define KEY_UPDATE 24

static uint32_t length(const struct hg_tls_post *post)
{
    return (uint32_t)post->hdr[1] << 16 | (uint32_t)post->hdr[2] << 8 | post->hdr[3];
}

/* The header is complete: may this message come at all? 0 or a negated alert. */
static int check_header(struct hg_tls_post *post, bool client)
{
    uint32_t len = length(post);

    if (post->hdr[0] == KEY_UPDATE)
        return len == 1 ? 0 : -HG_TLS_AL_DECODE_ERROR;
    if (post->hdr[0] != NEW_SESSION_TICKET || !client)
        return -HG_TLS_AL_UNEXPECTED_MESSAGE;
    if (len > HG_TLS_POST_MAX)
        return -HG_TLS_AL_ILLEGAL_PARAMETER;
    post->skip = len;
    return 0;
}

/* RFC 8446 4.6.3, and 5.1: keys change after it, so it must end its record. */
static int key_update(struct hg_tls_post *post, uint8_t request, uint32_t left)
{
    post->have = 0;
    if (request > 1)
        return -HG_TLS_AL_ILLEGAL_PARAMETER;
    if (left != 0)
        return -HG_TLS_AL_UNEXPECTED_MESSAGE;
    return request == 1 ? HG_TLS_POST_KEY_UPDATE_REQUESTED : HG_TLS_POST_KEY_UPDATE;
}

int hg_tls_post_input(struct hg_tls_post *post, bool client, const uint8_t *p, uint32_t len)
{
    int rc;

    if (len == 0)
        return -HG_TLS_AL_UNEXPECTED_MESSAGE; /* 5.1: no empty handshake fragments */
    while (len != 0) {
        if (post->have < sizeof post->hdr) {
            post->hdr[post->have++] = *p++;
            len--;
            if (post->have < sizeof post->hdr)
                continue;
            rc = check_header(post, client);
            if (rc != 0)
                return rc;
        }
        if (post->hdr[0] == KEY_UPDATE) {
            if (len == 0)
                break;
            return key_update(post, *p, len - 1);
        }
        uint32_t run = post->skip < len ? post->skip : len;

        post->skip -= run;
        p += run;
        len -= run;
        if (post->skip == 0)
            post->have = 0;
    }
    return HG_TLS_POST_NONE;
}

/* RFC 5246 7.4.1.1, 7.4.1.2: 0, or a negated alert. */
static int check_header_12(struct hg_tls_post *post, bool client)
{
    if (post->hdr[0] != (client ? HELLO_REQUEST : CLIENT_HELLO))
        return -HG_TLS_AL_UNEXPECTED_MESSAGE;
    post->skip = length(post);
    if (client && post->skip != 0)
        return -HG_TLS_AL_DECODE_ERROR;
    return post->skip > HG_TLS_POST_MAX ? -HG_TLS_AL_ILLEGAL_PARAMETER : 0;
}

int hg_tls_post_input_12(struct hg_tls_post *post, bool client, const uint8_t *p, uint32_t len)
{
    int event = HG_TLS_POST_NONE;

    if (len == 0)
        return -HG_TLS_AL_UNEXPECTED_MESSAGE; /* RFC 5246 6.2.1: no empty handshake fragments */
    while (len != 0) {
        uint32_t run;

        if (post->have < sizeof post->hdr) {
            post->hdr[post->have++] = *p++;
            len--;
            if (post->have < sizeof post->hdr)
                continue;
            int rc = check_header_12(post, client);

            if (rc != 0)
                return rc;
        }
        run = post->skip < len ? post->skip : len;
        post->skip -= run;
        p += run;
        len -= run;
        if (post->skip == 0) {
            post->have = 0;
            event = HG_TLS_POST_RENEGOTIATION;
        }
    }
    return event;
}
