/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_post.h"
#include "tls_alert.h"

#define NEW_SESSION_TICKET 4
#define KEY_UPDATE 24

/* The header is complete: may this message come at all? 0 or a negated alert. */
static int check_header(struct hg_tls_post *post, bool client)
{
    uint32_t len = (uint32_t)post->hdr[1] << 16 | (uint32_t)post->hdr[2] << 8 | post->hdr[3];

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
