/* SPDX-License-Identifier: BSD-3-Clause */
/* A session of the source core under test, and both sides' hand movements. */
#ifndef TESTS_UNIT_INGEST_SOURCE_RIG_H
#define TESTS_UNIT_INGEST_SOURCE_RIG_H

#include <headgate/codec.h>
#include <headgate/source.h>
#include <CUnit/Basic.h>

#define VOLUMES 3u
#define SIZE (UINT64_C(1) << 30)
#define BLOCK 4096u

/* One session with what its callbacks saw. */
struct rig {
    struct hg_source *src;
    uint8_t block[BLOCK];
    uint8_t session[16];
    int payload_rc;          /* returned by payload() */
    uint64_t acked[VOLUMES]; /* ops acknowledged */
    uint64_t last_tag[VOLUMES];
    hg_ns last_sent;
    unsigned opened, failed;
    char why[1024];
    hg_ns now;
};

/* What an ERROR of the node says, beside its sentence. */
struct refusal {
    unsigned code;
    enum hg_proto_scope scope;
    enum hg_proto_retry retry;
    uint32_t retry_ms;
};

/* cfg with the rig's own volumes_max, max_raw and codecs. */
void rig_init(struct rig *r, struct hg_source_cfg cfg);
uint32_t add_volume(struct rig *r, const char *name);

/* ---- the node's side: each returns what hg_source_input() did ---- */

/* f with this payload, lengths and CRC filled in. */
int node_sends(struct rig *r, struct hg_frame f, const void *payload, uint32_t len);
struct hg_welcome_wire good_welcome(const struct rig *r, uint64_t credit);
int node_error(struct rig *r, uint32_t handle, uint64_t seq, struct refusal why);
int node_ack(struct rig *r, uint32_t handle, enum hg_ack_level level, uint64_t seq);
int node_opened(struct rig *r, uint32_t handle, uint64_t seq, uint64_t epoch);

/* ---- our side ---- */

/* The next frame, which must be of this type. */
struct hg_frame take(struct rig *r, uint8_t type);
void take_nothing(struct rig *r);
/* HELLO and WELCOME. */
void begin(struct rig *r, uint64_t credit);
/* One volume, open, at sequence number seq. */
void begin_one(struct rig *r, uint64_t credit, uint64_t seq);
/* n ops of one block each, with tags from first_tag on. */
void submit(struct rig *r, uint32_t volume, uint8_t type, uint64_t first_tag, uint32_t n);

struct rig_test {
    const char *name;
    void (*run)(void);
};
int rig_main(const char *suite_name, const struct rig_test *tests, unsigned n);

#endif /* TESTS_UNIT_INGEST_SOURCE_RIG_H */
