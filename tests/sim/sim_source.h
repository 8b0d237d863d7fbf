/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source for the node's simulation: our own TCP, our TLS as client, the source's half of the
 * protocol, and the model of what its volumes must hold.
 *
 * The model: op k (from 1) of a volume is made from (seed, volume, k) alone, so the volume's bytes
 * after any prefix of ops can be made again.
 */
#ifndef HG_TESTS_SIM_SOURCE_H
#define HG_TESTS_SIM_SOURCE_H

#include <headgate/net.h>
#include <headgate/source.h>
#include <headgate/tcp.h>
#include <headgate/tls.h>

#define SIM_VOLUMES 3
#define SIM_VOLUME_SIZE (1024u * 1024u)

struct sim_source_cfg {
    uint64_t seed;
    uint32_t ops; /* per volume */
    struct hg_port *port;
    struct rte_mempool *pool;
    struct hg_tls_ctx *tls;
};

struct sim_source;

struct sim_source *sim_source_create(const struct sim_source_cfg *cfg, hg_ns now);
void sim_source_destroy(struct sim_source *s);

/* One turn; returns work done. Reconnects by itself after a cut. */
unsigned sim_source_turn(struct sim_source *s, hg_ns now);
hg_ns sim_source_next(const struct sim_source *s);

/* Cuts the connection without a word (as if the host's address had vanished). */
void sim_source_cut(struct sim_source *s, hg_ns now);

/* Everything submitted is durable and BYE was answered. */
bool sim_source_done(const struct sim_source *s);

/* Highest sequence number of a volume that the node has called durable. */
uint64_t sim_source_acked(const struct sim_source *s, unsigned volume);

const char *sim_volume_name(unsigned volume);
/* The volume's bytes after its first k ops into image[SIM_VOLUME_SIZE]. */
void sim_model(uint64_t seed, unsigned volume, uint64_t k, uint8_t *image);

#endif /* HG_TESTS_SIM_SOURCE_H */
