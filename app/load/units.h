/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units, parsed strictly: the whole text must be the number and one known unit. */
#ifndef LOAD_UNITS_H
#define LOAD_UNITS_H

#include <stdint.h>

/* Plain decimal. 0 or -EINVAL; so below. */
int units_number(const char *text, uint64_t *out);
/* Bytes: a number with an optional K, M, G or T (powers of 1024), each also as KiB, ... */
int units_size(const char *text, uint64_t *out);
/* Bits per second: a number with bit, kbit, Mbit or Gbit (powers of 1000). */
int units_rate(const char *text, uint64_t *out);
/* Nanoseconds: a number with ms, s, m or h; a bare number is seconds. */
int units_time(const char *text, uint64_t *out);

/* "1.5 GiB", "12 KiB", ... into buf; returns buf. */
const char *units_size_str(uint64_t bytes, char *buf, unsigned cap);

#endif /* LOAD_UNITS_H */
