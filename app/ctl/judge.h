/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is missing, from facts (machine.h) and what is wanted of the machine. Pure: nothing is read, nothing
 * is printed. A finding is a sentence and, where there is one, the command that mends it, which works when
 * it is run as it stands, by root, after those before it.
 *
 * A command never takes a device from whoever uses it through the kernel: then the sentence says who.
 */
#ifndef HG_APP_CTL_JUDGE_H
#define HG_APP_CTL_JUDGE_H

#include "machine.h"

/* ---- what is wanted ---- */

#define WANTS_DEVS 256
#define WANTS_SHARDS 128

struct want_dev {
    char addr[PCI_ADDR]; /* "": the profile names a serial number that no kernel device has */
    char by[320];        /* "[store] device0 = ..."; "": nobody named it, it is on the bus */
    bool nic;            /* a port; else a device of the pool */
    bool bare;           /* of the pool, without "nvme:": the daemon takes it for a file's name */
    bool both;           /* named by a block device of the kernel as well */
    bool kernel; /* through the kernel's driver (a path of the pool below /dev), not by VFIO */
};

struct wants {
    bool all;     /* nothing was named: whatever is on the bus */
    bool profile; /* there is one: memory, pci, shards, control and pin are known */
    bool huge;    /* hugepages */
    uint64_t memory
        [MACHINE_NODES]; /* bytes of EAL memory on each node; on node 0 when they are not told */
    bool pci;            /* EAL looks at the PCI bus */
    cpu_set_t shards;    /* CPUs of a profile */
    unsigned shard_cpu[WANTS_SHARDS]; /* the same, in its order */
    unsigned n_shards;
    int control; /* CPU, -1: none */
    bool pin;    /* threads are bound to them */
    struct want_dev devs[WANTS_DEVS];
    unsigned n_devs;
};

/* wants.c: every NVMe controller and NIC of the machine. */
void wants_all(const struct machine *m, struct wants *w);
/* What the operator names: "0000:03:00.0", "03:00.0" or a block device, "/dev/nvme0n1". -EINVAL and a sentence. */
struct hg_err;
int wants_named(const struct machine *m, const char *name, struct wants *w, struct hg_err *err);
/* What a profile needs. Negative errno and a sentence when it cannot be read. */
int wants_profile(const struct machine *m, const char *file, struct wants *w, struct hg_err *err);

/* ---- what is found ---- */

enum level {
    LEVEL_FINE,    /* as it should be */
    LEVEL_NOTE,    /* worth knowing */
    LEVEL_ADVICE,  /* works, but slower or less even */
    LEVEL_MISSING, /* does not work so */
};
extern const char *const level_names[]; /* "fine", "note", "advice", "missing" */

#define FINDINGS_MAX 1024
#define COMMANDS_MAX 6

struct finding {
    enum level level;
    const char *check; /* what was looked at, a stable word: "driver", "iommu", ... */
    const char *addr;  /* the device's, in wants or machine; NULL: the machine */
    char text[640];
    char commands[COMMANDS_MAX][256];
    unsigned n_commands;
};

struct verdict {
    struct finding *list; /* FINDINGS_MAX on the heap, the caller's */
    unsigned n;           /* those beyond are dropped */
};

void judge(const struct machine *m, const struct wants *w, struct verdict *v);
/* How many are of that level. */
unsigned verdict_count(const struct verdict *v, enum level level);

/* ---- between the judges ---- */

struct finding *find(struct verdict *v, enum level level, const char *check, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Words for the kernel's command line, where its boot loader is known: GRUB. */
void mend_cmdline(const struct machine *m, struct finding *f, const char *words);

/* Whether some wanted device shall be driven through VFIO. */
bool wants_vfio(const struct machine *m, const struct wants *w);
/* Devices that VFIO is not for: their driver in DPDK works beside the kernel's. */
bool pci_bifurcated(const struct pci_dev *d);
/* VFIO works, or will after the commands that judge_machine() gave. */
bool vfio_usable(const struct machine *m);

void judge_machine(const struct machine *m, const struct wants *w, struct verdict *v);
void judge_memory(const struct machine *m, const struct wants *w, struct verdict *v);
void judge_cpus(const struct machine *m, const struct wants *w, struct verdict *v);
void judge_devices(const struct machine *m, const struct wants *w, struct verdict *v);

#endif /* HG_APP_CTL_JUDGE_H */
