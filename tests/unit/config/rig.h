/* SPDX-License-Identifier: BSD-3-Clause */
/* One profile that tests change line by line, and its check. */
#ifndef HEADGATE_TESTS_CONFIG_RIG_H
#define HEADGATE_TESTS_CONFIG_RIG_H

#include "config.h"

extern struct config cfg;
extern struct hg_err err;

/* A production profile that is good. */
void begin(void);
/* "SECTION.KEY=VALUE", which must be accepted. */
void set(const char *assignment);
/* The check of the whole passes, */
void good(void);
/* or fails with these words in its sentence. */
void bad(const char *words);

#endif /* HEADGATE_TESTS_CONFIG_RIG_H */
