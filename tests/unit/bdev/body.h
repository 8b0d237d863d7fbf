/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The promises of bdev.h, checked on any block device: one test body over all implementations. A test
 * program describes each in a row and hands the rows to body_main().
 */
#ifndef TESTS_UNIT_BDEV_BODY_H
#define TESTS_UNIT_BDEV_BODY_H

#include <headgate/bdev.h>

#define BODY_SIZE (4u << 20) /* bytes of a device when it is opened */

struct body_device {
    struct hg_bdev *dev;
    struct hg_bdev *below; /* of a layer; the row's */
    char path[64];         /* the row's */
    void *own;             /* the row's */
};

enum {
    BODY_WRITE_ZEROES = 1,
    BODY_DEALLOCATE = 2,
    BODY_THREADS = 4 /* channels may belong to different threads */
};

struct body_row {
    const char *name;
    const char *kind; /* of hg_bdev_info */
    unsigned caps;    /* BODY_, what is there; what is not must say -EOPNOTSUPP */
    /* Opens a device of BODY_SIZE bytes into d->dev. false with a reason: not possible here. */
    bool (*open)(struct body_device *d, char reason[128]);
    void (*grow)(struct body_device *d, uint64_t size); /* the medium, not d->dev; NULL: cannot */
    void (*close)(struct body_device *d);               /* d->dev too */
    void (*pump)(struct body_device *d); /* called while requests are waited for; NULL: nothing */
};

/* Runs all checks on every row that opens here, prints which did not and why. Arguments: [SEED]. Returns
 * what main() returns: 0, 1 when something failed, 77 when no row could be opened. */
int body_main(const struct body_row *rows, unsigned n, int argc, char **argv);

#endif /* TESTS_UNIT_BDEV_BODY_H */
