/* SPDX-License-Identifier: BSD-3-Clause */
/* --bad KIND: one deliberately bad thing after a valid start, and how the node answered. */
#ifndef LOAD_BAD_H
#define LOAD_BAD_H

#include "options.h"

bool bad_known(const char *kind);
/* "header-crc, payload-crc, ..." into buf; returns buf. */
const char *bad_kinds(char *buf, unsigned cap);

/* Runs it and prints one line on stdout. Exit status: 0 the node answered in some way, 1 it did not
 * or the valid start failed. */
int bad_run(const struct load_options *opt);

#endif /* LOAD_BAD_H */
