/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random requests on half a device, DEPTH at a time, each checked against a copy in memory when it comes
 * back. Requests in flight never overlap, so each has one right answer.
 */
#ifndef TESTS_UNIT_BDEV_BODY_RANDOM_H
#define TESTS_UNIT_BDEV_BODY_RANDOM_H

#include "body.h"

struct body_random {
    const struct body_row *row;
    struct body_device *device;
    struct hg_bdev_chan *chan;
    uint64_t offset; /* bytes; the run uses [offset, offset + BODY_SIZE / 2) */
    uint64_t seed;
    unsigned depth;
    /* Results. */
    unsigned failed; /* requests with a status */
    unsigned wrong;  /* reads of other bytes than were written */
    unsigned lost;   /* requests that came back twice, or that nobody sent */
};

void body_random_run(struct body_random *r);

/* Both at the same time, each in a thread of its own; false: no thread could be had. */
bool body_random_both(struct body_random *one, struct body_random *two);

#endif /* TESTS_UNIT_BDEV_BODY_RANDOM_H */
