/* SPDX-License-Identifier: BSD-3-Clause */
/* From options to sessions: which source sends which volumes over which connection. */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include "session.h"

/* Makes all sessions and deals them to the workers in turn. 0, or negative errno with a sentence.
 */
int plan_sessions(struct run *run, struct worker **workers, unsigned n_workers, struct hg_err *err);
void plan_free(struct worker **workers, unsigned n_workers);

#endif /* LOAD_PLAN_H */
