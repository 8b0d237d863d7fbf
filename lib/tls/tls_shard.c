/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls_shard.h"
#include <errno.h>
#include <stdlib.h>

static const struct hg_counter_desc tls_desc[] = {HG_TLS_COUNTERS(HG_COUNTER_DESC)};
static const struct hg_counter_desc batch_desc[] = {HG_TLS_BATCH_COUNTERS(HG_COUNTER_DESC)};

int hg_tls_shard_create(struct hg_tls_shard **out, struct hg_err *err)
{
    struct hg_tls_shard *shard = calloc(1, sizeof *shard);
    int rc;

    *out = NULL;
    if (shard == NULL)
        return hg_fail(err, -ENOMEM, "no memory for a TLS shard");
    rc = hg_tls_engine_init(&shard->engine, err);
    if (rc != 0) {
        free(shard);
        return rc;
    }
    *out = shard;
    return 0;
}

void hg_tls_shard_destroy(struct hg_tls_shard *shard)
{
    if (shard == NULL)
        return;
    hg_tls_engine_fini(&shard->engine);
    free(shard);
}

struct hg_counter_set hg_tls_counter_set(const struct hg_tls_shard *shard)
{
    return (struct hg_counter_set){
        .area = "tls",
        .desc = tls_desc,
        .value = (const uint64_t *)&shard->counters,
        .n = HG_ARRAY_LEN(tls_desc),
    };
}

int hg_tls_shard_choose(struct hg_tls_shard *shard, enum hg_tls_batch batch, hg_tls_clock clock)
{
    return hg_tls_aead_choose(&shard->engine, batch, clock, &shard->batch);
}

struct hg_counter_set hg_tls_batch_set(const struct hg_tls_shard *shard)
{
    return (struct hg_counter_set){
        .area = "tls_batch",
        .desc = batch_desc,
        .value = (const uint64_t *)&shard->batch,
        .n = HG_ARRAY_LEN(batch_desc),
    };
}
