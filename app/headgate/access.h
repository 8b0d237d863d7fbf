/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The trust class of a listener, and the addresses it takes connections from.
 *
 *     public      from anywhere
 *     restricted  from limited addresses, with a certificate
 *     enumerated  from enumerated addresses, with a certificate; silent to all others
 */
#ifndef HG_APP_ACCESS_H
#define HG_APP_ACCESS_H

#include "config.h"
#include <headgate/tcp.h>

/* The list as lib/tcp wants it. -EINVAL and a sentence that names section and key. */
int access_parse(const struct config_access *access, const char *section, struct hg_tcp_allow *out,
                 struct hg_err *err);

/* All listeners: the list of each, and what their class asks of it and of TLS. 0 or -EINVAL. */
int access_check(const struct config *cfg, struct hg_err *err);

#endif /* HG_APP_ACCESS_H */
