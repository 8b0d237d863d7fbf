/* SPDX-License-Identifier: BSD-3-Clause */
/* Log pages (base spec 5.16.1) and asynchronous events (5.2) of the emulated controller. */
#include "nvme_emu_impl.h"
#include <string.h>

#define LOG_FIRMWARE 0x03u

enum { /* information of a SMART event, base spec 5.2 */
       SMART_RELIABILITY = 0,
       SMART_TEMPERATURE = 1,
       SMART_SPARE = 2
};

/* ---- asynchronous events ---- */

static enum nvme_log log_of(unsigned type)
{
    static const enum nvme_log logs[] = {
        [NVME_AER_ERROR] = NVME_LOG_ERROR,
        [NVME_AER_SMART] = NVME_LOG_SMART,
        [NVME_AER_NOTICE] = NVME_LOG_CHANGED_NS,
    };

    return logs[type];
}

/* After a report the type is masked until its log page is read. */
void emu_events_report(struct nvme_emu *emu)
{
    for (unsigned type = NVME_AER_ERROR; type <= NVME_AER_NOTICE; type++) {
        struct emu_req *req;
        unsigned info;

        if (emu->event_pending[type] == 0 || (emu->event_masked >> type & 1) != 0)
            continue;
        if (emu->events.head == NULL)
            return;
        info = (unsigned)__builtin_ctz(emu->event_pending[type]);
        emu->event_pending[type] &= emu->event_pending[type] - 1;
        emu->event_masked |= (uint8_t)(1u << type);
        emu->n_events--;
        emu->stats.events++;
        req = emu_list_take(&emu->events, &emu->events.head);
        req->dw0 = type | info << 8 | (uint32_t)log_of(type) << 16;
        emu_complete(emu, req, EMU_OK);
    }
}

void emu_event(struct nvme_emu *emu, enum nvme_aer_type type, unsigned info)
{
    emu->event_pending[type] |= 1u << info;
    emu_events_report(emu);
}

static void event_read(struct nvme_emu *emu, enum nvme_aer_type type)
{
    emu->event_masked &= (uint8_t) ~(1u << type);
    emu_events_report(emu);
}

static void raise_smart(struct nvme_emu *emu, uint8_t fresh)
{
    if ((emu->aec & fresh & NVME_AEC_SMART) == 0)
        return;
    if ((fresh & 0x01) != 0)
        emu_event(emu, NVME_AER_SMART, SMART_SPARE);
    if ((fresh & 0x02) != 0)
        emu_event(emu, NVME_AER_SMART, SMART_TEMPERATURE);
    if ((fresh & 0x1c) != 0)
        emu_event(emu, NVME_AER_SMART, SMART_RELIABILITY);
}

void nvme_emu_smart(struct nvme_emu *emu, uint8_t warning, int celsius)
{
    uint8_t fresh;

    emu_lock(emu);
    fresh = warning & (uint8_t)~emu->warning;
    emu->warning = warning;
    emu->celsius = celsius;
    raise_smart(emu, fresh);
    emu_unlock(emu);
}

/* One entry for each namespace; too many are told by one entry of all ones (5.16.1.5). */
static void changed(struct nvme_emu *emu, uint32_t nsid)
{
    for (unsigned i = 0; i < emu->n_changed; i++) {
        if (hg_le32_get(emu->changed[i]) == nsid)
            return;
    }
    if (emu->n_changed < EMU_CHANGED_MAX)
        emu->changed[emu->n_changed++] = hg_le32_put(nsid);
}

int nvme_emu_ns_resize(struct nvme_emu *emu, uint32_t nsid, uint64_t size)
{
    struct emu_ns *ns = &emu->ns[nsid - 1];
    int rc = 0;

    emu_lock(emu);
    emu_medium_forget(emu, ns);
    ns->cfg.inactive = size == 0;
    if (size != 0)
        rc = emu_medium_resize(ns, size);
    changed(emu, nsid);
    if ((emu->aec & NVME_AEC_NS_ATTR) != 0)
        emu_event(emu, NVME_AER_NOTICE, NVME_AER_NS_CHANGED);
    emu_unlock(emu);
    return rc;
}

/* ---- log pages ---- */

void emu_log_error(struct nvme_emu *emu, const struct emu_req *req)
{
    struct nvme_error_entry *e = &emu->errors[0];

    memmove(emu->errors + 1, emu->errors, sizeof emu->errors - sizeof emu->errors[0]);
    memset(e, 0, sizeof *e);
    e->error_count = hg_le64_put(++emu->n_errors);
    e->sqid = hg_le16_put(req->sq->qid);
    e->cid = hg_le16_put(req->cid);
    e->status = hg_le16_put(req->status);
    e->param = hg_le16_put(0xffff); /* not told */
    e->nsid = req->sqe.nsid;
    if (req->sq->qid != 0)
        e->lba =
            hg_le64_put(hg_le32_get(req->sqe.cdw10) | (uint64_t)hg_le32_get(req->sqe.cdw11) << 32);
    if (req->injected && NVME_STATUS_SCT(req->status) == NVME_SCT_MEDIA)
        emu->media_errors++;
}

static struct nvme_u128 u128(uint64_t n)
{
    return (struct nvme_u128){.lo = hg_le64_put(n)};
}

/* Thousands of 512 bytes, rounded up. */
static struct nvme_u128 data_units(const struct nvme_emu *emu, uint64_t blocks)
{
    return u128((blocks * emu->cfg.ns[0].block / 512 + 999) / 1000);
}

static void smart(const struct nvme_emu *emu, struct nvme_smart *s)
{
    s->critical_warning = emu->warning;
    s->temperature = hg_le16_put((uint16_t)(emu->celsius + 273));
    s->avail_spare = (emu->warning & 0x01) != 0 ? 5 : 100;
    s->spare_thresh = 10;
    s->percent_used = 1;
    s->data_units_read = data_units(emu, emu->stats.blocks_read);
    s->data_units_written = data_units(emu, emu->stats.blocks_written);
    s->host_reads = u128(emu->stats.reads);
    s->host_writes = u128(emu->stats.writes);
    s->power_cycles = u128(emu->power_cycles);
    s->power_on_hours = u128(1234);
    s->unsafe_shutdowns = u128(emu->unsafe_shutdowns);
    s->media_errors = u128(emu->media_errors);
    s->error_log_entries = u128(emu->n_errors);
}

/* Its length, or 0: there is no such page. What reading it acknowledges is done by log_read(). */
static size_t log_fill(struct nvme_emu *emu, unsigned lid, uint8_t *page)
{
    switch (lid) {
    case NVME_LOG_ERROR:
        memcpy(page, emu->errors, sizeof emu->errors);
        return sizeof emu->errors;
    case NVME_LOG_SMART:
        smart(emu, (struct nvme_smart *)(void *)page);
        return sizeof(struct nvme_smart);
    case LOG_FIRMWARE:
        page[0] = 1; /* slot 1 is active */
        memcpy(page + 8, "1.0     ", 8);
        return 512;
    case NVME_LOG_CHANGED_NS:
        memcpy(page, emu->changed, emu->n_changed * sizeof emu->changed[0]);
        return sizeof emu->changed;
    default:
        return 0;
    }
}

/* 5.16: reading without "retain" lets the next event of its type be reported. */
static void log_read(struct nvme_emu *emu, unsigned lid)
{
    switch (lid) {
    case NVME_LOG_ERROR:
        event_read(emu, NVME_AER_ERROR);
        break;
    case NVME_LOG_SMART:
        event_read(emu, NVME_AER_SMART);
        break;
    case NVME_LOG_CHANGED_NS:
        emu->n_changed = 0;
        event_read(emu, NVME_AER_NOTICE);
        break;
    default:
        break;
    }
}

uint16_t emu_get_log(struct nvme_emu *emu, struct emu_req *req)
{
    _Alignas(8) uint8_t page[4096] = {0};
    uint32_t dw10 = hg_le32_get(req->sqe.cdw10);
    uint64_t dwords = (dw10 >> 16 | (uint64_t)(hg_le32_get(req->sqe.cdw11) & 0xffff) << 16) + 1;
    uint64_t offset = hg_le32_get(req->sqe.cdw12) | (uint64_t)hg_le32_get(req->sqe.cdw13) << 32;
    uint32_t nsid = hg_le32_get(req->sqe.nsid);
    size_t len = log_fill(emu, dw10 & 0xff, page);
    uint16_t rc;

    if (len == 0)
        return EMU_SPECIFIC_DNR(NVME_SCS_INVALID_LOG_PAGE);
    /* No page is of one namespace (LPA bit 0). */
    if (offset % 4 != 0 || offset > len || (nsid != 0 && nsid != NVME_NSID_ALL))
        return EMU_GENERIC_DNR(NVME_SC_INVALID_FIELD);
    len -= offset;
    if (len > dwords * 4)
        len = dwords * 4;
    rc = emu_map(emu, req, dwords * 4);
    if (rc != EMU_OK)
        return rc;
    emu_copy_out(emu, page + offset, len);
    if ((dw10 & NVME_LOG_RAE) == 0)
        log_read(emu, dw10 & 0xff);
    return EMU_OK;
}
