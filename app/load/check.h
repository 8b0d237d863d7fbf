/* SPDX-License-Identifier: BSD-3-Clause */
/* --check-manifest: compares exports with what a run was told is durable. */
#ifndef LOAD_CHECK_H
#define LOAD_CHECK_H

#include "options.h"

/* Reads the manifest opt->check_manifest and, for each of its volumes, the image of that name.
 * Prints what it found; exit status 0 when every volume named has an image and all bytes fit. */
int check_run(const struct load_options *opt);

#endif /* LOAD_CHECK_H */
