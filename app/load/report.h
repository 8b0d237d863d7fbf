/* SPDX-License-Identifier: BSD-3-Clause */
/* What a person or a script sees: live line, bars, summary, JSON, manifest. Main thread. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "session.h"

struct report {
    const struct run *run;
    struct worker **workers;
    unsigned n_workers;
    bool bars;           /* a bar per image */
    unsigned bars_shown; /* lines to go up before drawing again */
    hg_ns last;
    struct load_stats before; /* at `last` */
};

void report_init(struct report *r, const struct run *run, struct worker **workers, unsigned n);

/* The live line, or the bars; about once a second. */
void report_live(struct report *r, hg_ns now);

/* Whether everything asked for was acknowledged durable. */
bool report_complete(const struct report *r);

/* Summary on stdout and, if asked for, JSON. 0, or negative errno with a sentence. Only after all
 * threads have ended. */
int report_end(struct report *r, struct hg_err *err);

/* Writes --verify-manifest. Only after all threads have ended. */
int report_manifest(struct report *r, struct hg_err *err);

#endif /* LOAD_REPORT_H */
