/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl: its commands, and what they share. Errors are printed to stderr. */
#ifndef HG_APP_CTL_CTL_H
#define HG_APP_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct ctl {
    const char *socket; /* of the daemon */
    bool json;          /* print the answer as it is */
};

/* A command's own arguments, argv[0] its name. Returns the exit status; CTL_USAGE: not understood. */
#define CTL_USAGE 2
int ctl_stats(const struct ctl *ctl, int argc, char **argv);
int ctl_conns(const struct ctl *ctl, int argc, char **argv);
int ctl_devices(const struct ctl *ctl, int argc, char **argv);
int ctl_doctor(const struct ctl *ctl, int argc, char **argv);
int ctl_capture(const struct ctl *ctl, int argc, char **argv);

/* Sends request (and drops the reference); the answer, or NULL when there is none or it is an error. */
json_t *ctl_ask(const struct ctl *ctl, json_t *request);

/* Prints the answer and drops the reference. */
void ctl_print_json(json_t *answer);

/* An integer member; 0 when it is missing. */
uint64_t ctl_number(const json_t *o, const char *name);
/* A string member; "" when it is missing. */
const char *ctl_text(const json_t *o, const char *name);
/* "1.5 GiB", in buf. */
const char *ctl_human(uint64_t n, char buf[32]);

#endif /* HG_APP_CTL_CTL_H */
