/* SPDX-License-Identifier: BSD-3-Clause */
/* Raw deflate of independent payloads through ISA-L, straight into the destination. */
#include <headgate/codec.h>
#include <errno.h>
#include <isa-l.h>
#include <stdlib.h>

struct hg_inflate {
    struct inflate_state state;
};

int hg_inflate_create(struct hg_inflate **out)
{
    *out = malloc(sizeof **out);
    return *out == NULL ? -ENOMEM : 0;
}

void hg_inflate_destroy(struct hg_inflate *inf)
{
    free(inf);
}

int hg_inflate(struct hg_inflate *inf, uint8_t *dst, uint32_t dst_len, const uint8_t *src,
               uint32_t src_len)
{
    struct inflate_state *st = &inf->state;
    int rc;

    isal_inflate_init(st);
    st->next_in = (uint8_t *)(uintptr_t)src;
    st->avail_in = src_len;
    st->next_out = dst;
    st->avail_out = dst_len;
    rc = isal_inflate_stateless(st);
    if (rc == ISAL_OUT_OVERFLOW)
        return -EOVERFLOW;
    if (rc == ISAL_END_INPUT)
        return -ENODATA;
    if (rc != ISAL_DECOMP_OK)
        return -EBADMSG;
    if (st->block_state != ISAL_BLOCK_FINISH || st->total_out != dst_len)
        return -ENODATA;
    /* ISA-L reads ahead into a bit buffer; whole bytes left there were not part of the stream. */
    if (st->avail_in + (uint32_t)(st->read_in_length > 0 ? st->read_in_length / 8 : 0) != 0)
        return -E2BIG;
    return 0;
}

uint32_t hg_deflate(uint8_t *dst, uint32_t dst_cap, const uint8_t *src, uint32_t src_len,
                    void *scratch)
{
    struct isal_zstream *z = scratch;
    uint8_t *level_buf = (uint8_t *)scratch + ((sizeof *z + 63) & ~(size_t)63);

    _Static_assert(sizeof(struct isal_zstream) + 64 + ISAL_DEF_LVL1_DEFAULT <= HG_DEFLATE_SCRATCH,
                   "scratch holds the stream and the level buffer");
    isal_deflate_stateless_init(z);
    z->level = 1;
    z->level_buf = level_buf;
    z->level_buf_size = ISAL_DEF_LVL1_DEFAULT;
    z->end_of_stream = 1;
    z->flush = NO_FLUSH;
    z->next_in = (uint8_t *)(uintptr_t)src;
    z->avail_in = src_len;
    z->next_out = dst;
    z->avail_out = dst_cap < src_len ? dst_cap : src_len;
    if (isal_deflate_stateless(z) != COMP_OK || z->total_out >= src_len)
        return 0;
    return z->total_out;
}
