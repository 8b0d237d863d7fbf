/* SPDX-License-Identifier: BSD-3-Clause */
/* What the daemon does with the pool's devices while it runs: looks after them, and tells of them. */
#ifndef HG_APP_DEVICES_H
#define HG_APP_DEVICES_H

#include "device_json.h"
#include "node.h"

/* Starts and ends the thread. Channels may be open before and after. */
int devices_watch(struct node *node, struct hg_err *err);
void devices_unwatch(struct node *node);

/* Any thread but a shard's. Device i < node->n_devs. */
struct hg_counter_set devices_counters(struct node *node, unsigned i,
                                       uint64_t value[DEVICE_COUNTERS]);
/* Devices that are dead or warn of themselves, as sentences added to a list. */
void devices_warnings(struct node *node, json_t *list);

#endif /* HG_APP_DEVICES_H */
