/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A bad cable between two ports, on virtual time: a path of headgate/impair.h for each direction. It
 * owns one end of two wires; the stacks under test own the others.
 */
#ifndef HG_TESTS_SIM_RELAY_H
#define HG_TESTS_SIM_RELAY_H

#include <headgate/impair.h>
#include <headgate/port.h>

struct relay_cfg {
    uint64_t seed;
    struct hg_impair_cfg path; /* of both directions */
    struct rte_mempool *pool;  /* of the frames on the cable */
};

struct relay;

/* ends[i] are the relay's own ends; both stay the caller's. */
struct relay *relay_create(const struct relay_cfg *cfg, struct hg_port *const ends[2]);
void relay_destroy(struct relay *r);

/* Takes what came, delivers what is due; returns frames moved. */
unsigned relay_run(struct relay *r, hg_ns now);

/* When the next frame is due, 0: none is on its way. */
hg_ns relay_next(const struct relay *r);

/* Frames lost so far, so that a test can see that it was tested. */
uint64_t relay_lost(const struct relay *r);

/* splitmix64: the simulation's only source of chance. */
uint64_t sim_rand(uint64_t *state);

#endif /* HG_TESTS_SIM_RELAY_H */
