/* SPDX-License-Identifier: BSD-3-Clause */
/* What carries sessions: both run a worker's sessions until all are over. */
#ifndef LOAD_TRANSPORT_H
#define LOAD_TRANSPORT_H

#include "certs.h"
#include "session.h"

/* Sockets, epoll and OpenSSL: an independent peer of our own TCP and TLS. 0, or negative errno with
 * a sentence when it could not start. */
int kernel_run(struct worker *worker, const struct certs *certs, struct hg_err *err);

/* Our own TCP and TLS over a DPDK port. Only one worker. */
int dpdk_run(struct worker *worker, const struct certs *certs, struct hg_err *err);

#endif /* LOAD_TRANSPORT_H */
