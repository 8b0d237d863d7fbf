/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that can be asked of headgate-load: one table makes parser and help. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <headgate/base.h>
#include <netinet/in.h>
#include <stdbool.h>

#define LOAD_MIX_MAX 8 /* different block sizes */
#define LOAD_IMAGES_MAX 256

/* Distribution of block sizes. */
struct load_mix {
    unsigned n;
    uint32_t size[LOAD_MIX_MAX]; /* bytes, multiples of 4096 */
    uint32_t weight[LOAD_MIX_MAX];
    uint32_t weight_sum;
};

struct load_image {
    const char *path;
    char name[128]; /* of the volume */
};

enum load_pattern { LOAD_SEQ, LOAD_RANDOM };
enum load_transport { LOAD_KERNEL, LOAD_DPDK };

struct load_options {
    /* where to */
    struct sockaddr_storage server; /* with its port */
    socklen_t server_len;           /* 0: not given */
    const char *cert, *key, *ca, *cert_dir;
    const char *pin;      /* of the node's key, or several; NULL: any */
    uint32_t tls_version; /* 0x0304, 0x0303; 0 both */
    const char *suite;    /* OpenSSL name; NULL: its default */
    /* how many */
    uint32_t sources, volumes, connections;
    /* what */
    const char *volume; /* base of volume names */
    uint64_t size;      /* bytes per synthetic volume */
    struct load_image image[LOAD_IMAGES_MAX];
    unsigned n_images;
    struct load_mix mix;
    double compress_ratio;
    uint32_t zero_pct, overwrite_pct;
    enum load_pattern pattern;
    uint32_t codec; /* enum hg_codec */
    uint64_t seed;
    bool replay;
    /* how fast, how long */
    uint64_t rate;  /* bits per second over all sources; 0: no limit */
    uint64_t depth; /* bytes in flight per connection */
    hg_ns duration;
    uint64_t bytes; /* over all volumes */
    uint64_t barrier_frames;
    hg_ns barrier_ns;
    uint32_t levels; /* bit mask */
    hg_ns resume_retry;
    /* what to tell */
    const char *json, *manifest;
    bool quiet, progress, no_progress;
    /* how */
    enum load_transport transport;
    uint32_t threads;
    const char *eal, *port, *addr, *gateway;
    uint32_t mtu;               /* of the DPDK port; 0: its default */
    int32_t cpu;                /* -1: not pinned */
    const char *bad;            /* fault to inject; NULL: none */
    const char *check_manifest; /* compare images with this manifest; NULL: a run */
    bool help;
};

/* Fills *opt. 0, or -EINVAL with a sentence that names the option and what is allowed. */
int options_parse(struct load_options *opt, int argc, char **argv, struct hg_err *err);

/* Writes the help, made from the table. */
void options_help(void);

#endif /* LOAD_OPTIONS_H */
