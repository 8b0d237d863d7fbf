/* SPDX-License-Identifier: BSD-3-Clause */
#include "transport.h"
#include <errno.h>

int dpdk_run(struct worker *worker, const struct certs *certs, struct hg_err *err)
{
    (void)worker;
    (void)certs;
    return hg_fail(err, -ENOTSUP, "--transport dpdk is not built in");
}
