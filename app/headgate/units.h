/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units, as profiles and options write them. Parsing is strict: nothing may be left
 * over. */
#ifndef HG_APP_UNITS_H
#define HG_APP_UNITS_H

#include <headgate/base.h>

/* "64K", "1M", "10G", "2T", "4096B", "0". Powers of 1024. 0 or -EINVAL. */
int units_size(const char *text, uint64_t *bytes);
/* "500us", "40ms", "10s", "5m", "2h". 0 or -EINVAL. */
int units_time(const char *text, hg_ns *ns);
/* A whole decimal number. 0 or -EINVAL. */
int units_count(const char *text, uint64_t *n);

/* The shortest exact form that can be read back. */
void units_size_text(uint64_t bytes, char *buf, size_t size);
void units_time_text(hg_ns ns, char *buf, size_t size);

#endif /* HG_APP_UNITS_H */
