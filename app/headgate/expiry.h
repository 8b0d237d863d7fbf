/* SPDX-License-Identifier: BSD-3-Clause */
/* Dates of what a node shows and trusts: what ends soon, and what cannot be used as it is. The time is an
 * argument: seconds since 1970. */
#ifndef HG_APP_EXPIRY_H
#define HG_APP_EXPIRY_H

#include <headgate/log.h>
#include <headgate/tls.h>

#define EXPIRY_TEXT_MAX 600

/* Calls say for each certificate of ours that is in use, each CA and each revocation list that ends within
 * `days`, or has ended (level HG_LOG_ERR). Lists live for days rather than years: of them, only in the last third
 * of their time. Returns how many. */
unsigned expiry_warnings(const struct hg_tls_ctx *ctx, int64_t now, uint64_t days,
                         void (*say)(void *arg, enum hg_log_level level, const char *text),
                         void *arg);

/* Whether new sessions can begin with it, as far as dates tell: 0, or -EINVAL and a sentence. */
int expiry_usable(const struct hg_tls_ctx *ctx, int64_t now, struct hg_err *err);

#endif /* HG_APP_EXPIRY_H */
