/* SPDX-License-Identifier: BSD-3-Clause */
/* Section numbers are those of draft-ietf-opsawg-pcapng. The file is in the machine's byte order (4.1). */
#include "pcapng.h"
#include <string.h>

#define SECTION_HEADER 0x0A0D0D0Au
#define INTERFACE_DESCRIPTION 1u
#define INTERFACE_STATISTICS 5u
#define ENHANCED_PACKET 6u
#define BYTE_ORDER_MAGIC 0x1A2B3C4Du
#define LINKTYPE_ETHERNET 1u

enum {
    SHB_USERAPPL = 4,
    IF_NAME = 2,
    IF_DESCRIPTION = 3,
    IF_MACADDR = 6,
    IF_TSRESOL = 9,
    IF_FILTER = 11,
    EPB_FLAGS = 2,
    EPB_QUEUE = 6,
    ISB_STARTTIME = 2,
    ISB_ENDTIME = 3,
    ISB_IFRECV = 4,
    ISB_FILTERACCEPT = 6,
    ISB_OSDROP = 7,
};

/* One block under construction. */
struct block {
    uint8_t *begin, *at;
};

static void put(struct block *b, const void *data, size_t len)
{
    memcpy(b->at, data, len);
    b->at += len;
}

static void put16(struct block *b, uint16_t v)
{
    put(b, &v, sizeof v);
}

static void put32(struct block *b, uint32_t v)
{
    put(b, &v, sizeof v);
}

/* To the next multiple of four (3.1). */
static void pad(struct block *b, size_t len)
{
    static const uint8_t zeros[4];

    put(b, zeros, -len & 3);
}

static struct block begin(uint8_t *to, uint32_t type)
{
    struct block b = {to, to};

    put32(&b, type);
    put32(&b, 0);
    return b;
}

/* The length stands at both ends (3.1). */
static size_t finish(struct block *b)
{
    uint32_t len = (uint32_t)(b->at - b->begin) + 4;

    memcpy(b->begin + 4, &len, sizeof len);
    put32(b, len);
    return len;
}

static void option(struct block *b, uint16_t code, const void *value, size_t len)
{
    put16(b, code);
    put16(b, (uint16_t)len);
    put(b, value, len);
    pad(b, len);
}

static void text_option(struct block *b, uint16_t code, const char *text)
{
    size_t len = strnlen(text, PCAPNG_TEXT_MAX);

    if (len != 0)
        option(b, code, text, len);
}

static void filter_option(struct block *b, const char *filter)
{
    size_t len = strnlen(filter, PCAPNG_TEXT_MAX - 1);

    if (len == 0)
        return;
    put16(b, IF_FILTER);
    put16(b, (uint16_t)(len + 1));
    put(b, "", 1); /* 4.2: a zero, then the text of a libpcap filter */
    put(b, filter, len);
    pad(b, len + 1);
}

static void end_of_options(struct block *b)
{
    put32(b, 0);
}

static size_t section_header(uint8_t *to, const char *application)
{
    struct block b = begin(to, SECTION_HEADER);

    put32(&b, BYTE_ORDER_MAGIC);
    put16(&b, 1); /* version 1.0 */
    put16(&b, 0);
    put32(&b, UINT32_MAX); /* the section's length is not known */
    put32(&b, UINT32_MAX);
    text_option(&b, SHB_USERAPPL, application);
    end_of_options(&b);
    return finish(&b);
}

size_t pcapng_begin(uint8_t *to, const struct pcapng_interface *interface)
{
    size_t len = section_header(to, interface->application);
    struct block b = begin(to + len, INTERFACE_DESCRIPTION);
    const uint8_t nanoseconds = 9;

    put16(&b, LINKTYPE_ETHERNET);
    put16(&b, 0);
    put32(&b, interface->snaplen);
    text_option(&b, IF_NAME, interface->name);
    text_option(&b, IF_DESCRIPTION, interface->description);
    option(&b, IF_MACADDR, interface->mac, sizeof interface->mac);
    option(&b, IF_TSRESOL, &nanoseconds, 1);
    filter_option(&b, interface->filter);
    end_of_options(&b);
    return len + finish(&b);
}

static void put_time(struct block *b, uint64_t time)
{
    put32(b, (uint32_t)(time >> 32));
    put32(b, (uint32_t)time);
}

size_t pcapng_packet(uint8_t *to, const struct pcapng_packet *packet)
{
    struct block b = begin(to, ENHANCED_PACKET);
    const uint32_t flags = packet->out ? 2 : 1; /* 4.3.1, bits 0-1: inbound 1, outbound 2 */

    put32(&b, 0); /* interface */
    put_time(&b, packet->time);
    put32(&b, packet->captured);
    put32(&b, packet->original);
    put(&b, packet->data, packet->captured);
    pad(&b, packet->captured);
    option(&b, EPB_FLAGS, &flags, sizeof flags);
    option(&b, EPB_QUEUE, &packet->queue, sizeof packet->queue);
    end_of_options(&b);
    return finish(&b);
}

static void time_option(struct block *b, uint16_t code, uint64_t time)
{
    const uint32_t halves[2] = {(uint32_t)(time >> 32), (uint32_t)time};

    option(b, code, halves, sizeof halves);
}

size_t pcapng_end(uint8_t *to, const struct pcapng_totals *totals)
{
    struct block b = begin(to, INTERFACE_STATISTICS);

    put32(&b, 0);
    put_time(&b, totals->end);
    time_option(&b, ISB_STARTTIME, totals->start);
    time_option(&b, ISB_ENDTIME, totals->end);
    option(&b, ISB_IFRECV, &totals->received, sizeof totals->received);
    option(&b, ISB_FILTERACCEPT, &totals->accepted, sizeof totals->accepted);
    option(&b, ISB_OSDROP, &totals->dropped, sizeof totals->dropped);
    end_of_options(&b);
    return finish(&b);
}
