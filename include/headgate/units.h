/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers with units, as profiles and options write them. Parsing is strict: a decimal number and one
 * known unit are the whole text. All parsers return 0 or -EINVAL, which an overflow is too.
 */
#ifndef HEADGATE_UNITS_H
#define HEADGATE_UNITS_H

#include <headgate/base.h>

/* A whole decimal number. */
int hg_units_count(const char *text, uint64_t *n);
/* Bytes: K, M, G, T or KiB, MiB, GiB, TiB (powers of 1024), B or nothing. */
int hg_units_size(const char *text, uint64_t *bytes);
/* us, ms, s, m or h; 0 needs none. */
int hg_units_time(const char *text, hg_ns *ns);
/* Bits per second: bit, kbit, Mbit or Gbit (powers of 1000). */
int hg_units_rate(const char *text, uint64_t *bits);

/* The shortest exact form that can be read back. */
void hg_units_size_text(uint64_t bytes, char *buf, size_t size);
void hg_units_time_text(hg_ns ns, char *buf, size_t size);
/* For people: "1.5 GiB", "12.0 KiB". Returns buf. */
const char *hg_units_size_about(uint64_t bytes, char *buf, size_t size);

#endif /* HEADGATE_UNITS_H */
