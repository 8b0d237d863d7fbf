/* SPDX-License-Identifier: BSD-3-Clause */
#include "store_stub.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void stub_init(struct hg_store *store)
{
    memset(store, 0, sizeof *store);
    store->vol.info.size = sizeof store->image;
}

static int take(struct hg_store *store, struct stub_request r)
{
    if (store->answer != 0)
        return store->answer;
    if (store->n == STUB_MAX)
        return -EAGAIN;
    store->taken[store->n++] = r;
    return 0;
}

int hg_store_write(struct hg_store *store, struct hg_store_req *req, const uint32_t *crc,
                   uint64_t seq)
{
    int rc = take(store, (struct stub_request){STUB_WRITE, req, seq, req->len, 0, crc[0]});

    if (rc == 0 && req->offset + req->len <= sizeof store->image)
        memcpy(store->image + req->offset, req->buf, req->len);
    return rc;
}

bool hg_store_write_waits(struct hg_store *store, const struct hg_volume *vol, uint32_t len)
{
    (void)vol;
    (void)len;
    return store->answer == -EAGAIN || store->n == STUB_MAX;
}

uint64_t hg_store_progress(const struct hg_store *store)
{
    return store->progress;
}

int hg_store_zero(struct hg_store *store, struct hg_store_req *req, uint64_t len64, uint64_t seq)
{
    return take(store, (struct stub_request){STUB_ZERO, req, seq, len64, 0, 0});
}

int hg_store_epoch(struct hg_store *store, struct hg_store_req *req, uint64_t epoch, uint64_t seq)
{
    return take(store, (struct stub_request){STUB_EPOCH, req, seq, 0, epoch, 0});
}

void stub_complete(struct hg_store *store, unsigned k, int status)
{
    struct stub_request r[STUB_MAX];

    if (k > store->n)
        k = store->n;
    store->progress++;
    memcpy(r, store->taken, k * sizeof *r);
    memmove(store->taken, store->taken + k, (store->n - k) * sizeof *r);
    store->n -= k;
    for (unsigned i = 0; i < k; i++) {
        r[i].req->status = status;
        r[i].req->done(r[i].req);
    }
}

void stub_attach(struct hg_store *store)
{
    struct hg_store_req *req = store->attach;

    store->attach = NULL;
    req->status = store->attach_status;
    if (req->status == 0) {
        store->attached++;
        *store->attach_out = &store->vol;
    }
    req->done(req);
}

void hg_store_attach(struct hg_store *store, const char *name, uint64_t size,
                     struct hg_volume **out, struct hg_store_req *req)
{
    snprintf(store->vol.info.name, sizeof store->vol.info.name, "%s", name);
    if (size != 0)
        store->vol.info.size = size;
    store->attach = req;
    store->attach_out = out;
    if (!store->attach_later)
        stub_attach(store);
}

void hg_store_detach(struct hg_store *store, struct hg_volume *vol)
{
    (void)vol;
    store->detached++;
}

void hg_volume_info(const struct hg_volume *vol, struct hg_volume_info *out)
{
    *out = vol->info;
}
