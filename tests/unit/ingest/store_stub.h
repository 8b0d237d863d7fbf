/* SPDX-License-Identifier: BSD-3-Clause */
/* The store replaced at link time: what the ingest room asked for is kept, the test answers. */
#ifndef HG_TESTS_UNIT_INGEST_STORE_STUB_H
#define HG_TESTS_UNIT_INGEST_STORE_STUB_H

#include <headgate/store.h>

#define STUB_MAX 1024

struct hg_volume {
    struct hg_volume_info info;
};

enum stub_op { STUB_WRITE, STUB_ZERO, STUB_EPOCH };

struct stub_request {
    enum stub_op op;
    struct hg_store_req *req;
    uint64_t seq, len64, epoch;
    uint32_t crc0;
};

struct hg_store {
    struct stub_request taken[STUB_MAX]; /* in order; not answered yet */
    unsigned n;
    uint64_t progress;
    int answer;        /* of the submitting calls: 0, -EAGAIN, -ENOSPC */
    int attach_status; /* of the next attach */
    bool attach_later; /* keep the attach until stub_attach() */
    struct hg_store_req *attach;
    struct hg_volume **attach_out;
    unsigned attached, detached;
    uint8_t image[8u << 20]; /* of the one volume */
    struct hg_volume vol;
};

void stub_init(struct hg_store *store);
/* Completes the first k requests with a status. */
void stub_complete(struct hg_store *store, unsigned k, int status);
/* Completes a kept attach. */
void stub_attach(struct hg_store *store);

#endif /* HG_TESTS_UNIT_INGEST_STORE_STUB_H */
