/* SPDX-License-Identifier: BSD-3-Clause */
/* Values that are lists or names: what can be told of them without looking at the machine. */
#ifndef APP_HEADGATE_CHECKS_H
#define APP_HEADGATE_CHECKS_H

#include "config.h"

/* [cpu] shards: as many different CPUs as there are to be shards. 0 or -EINVAL with the sentence. */
int checks_cpus(const struct config *cfg, struct hg_err *err);

/* [store] device`number`: a path, memory or an NVMe controller, and not a slip that would be taken for
 * a path. 0 or -EINVAL with the sentence. */
int checks_device(const char *name, unsigned number, struct hg_err *err);

#endif /* APP_HEADGATE_CHECKS_H */
