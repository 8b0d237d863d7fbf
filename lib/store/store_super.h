/* SPDX-License-Identifier: BSD-3-Clause */
/* Superblocks: encoding and checking. Pure; the reading side takes bytes from outside. */
#ifndef LIB_STORE_STORE_SUPER_H
#define LIB_STORE_STORE_SUPER_H

#include "store_format.h"

struct store_super {
    uint8_t pool_uuid[STORE_UUID_LEN];
    uint8_t device_uuid[STORE_UUID_LEN];
    uint32_t device_index, n_devices;
    uint64_t generation, device_size, data_start;
    uint32_t stripe_unit, chunk, n_segments;
    uint8_t uuids[HG_POOL_DEVICES_MAX][STORE_UUID_LEN];
};

enum store_super_verdict {
    SUPER_OK,
    SUPER_ABSENT,  /* another magic */
    SUPER_DAMAGED, /* CRC does not match */
    SUPER_NEWER,   /* format or features this version does not know */
    SUPER_ABSURD,  /* sound, but with numbers outside of the limits */
};

void store_super_put(struct store_super_disk *disk, const struct store_super *super);
enum store_super_verdict store_super_get(const struct store_super_disk *disk,
                                         struct store_super *super);

#endif /* LIB_STORE_STORE_SUPER_H */
