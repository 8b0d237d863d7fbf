/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening a pool whose devices hold anything: patches over a small valid image, then open, and when
 * that succeeds attach, read and write.
 *
 * Input: a byte of flags (1: make the CRCs of patched blocks right again, 2: use the pool after
 * opening it), then patches: block (index into places[]), offset (2 bytes, little-endian), length
 * (1 byte), bytes.
 */
#include <headgate/codec.h>
#include <headgate/store.h>
#include <rte_log.h>
#include <stdlib.h>
#include <string.h>

#define DEVS 2u
#define CHUNK (133u * HG_BLOCK) /* a segment has 266 blocks: the least there may be, and a few */
#define SEGMENTS 9u
#define SIZE (((uint64_t)5 << 20) + (uint64_t)SEGMENTS * CHUNK)
#define ARENA_BYTES (2u << 20)
#define LOG_BLOCKS 10u /* of each segment, that hold headers or may after a patch */
#define PLACES (DEVS * (2 + 2 * 2 + SEGMENTS * LOG_BLOCKS / 2))
#define POLLS 2000u

static struct {
    struct hg_bdev *dev[DEVS];
    struct {
        unsigned dev;
        uint64_t at;
        uint8_t *pristine;
    } place[PLACES];
    unsigned n_places;
    void *region;
    uint8_t *scratch;
} fuzz;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void *blocks(size_t n)
{
    void *p = aligned_alloc(HG_ARENA_MAX_BLOCK, (n + 255) / 256 * HG_ARENA_MAX_BLOCK);

    must(p != NULL);
    return p;
}

static void access_place(enum hg_bdev_op op, unsigned i, uint8_t *buf)
{
    must(hg_bdev_sync(fuzz.dev[fuzz.place[i].dev], op, fuzz.place[i].at,
                      (struct hg_iov){buf, HG_BLOCK}, NULL) == 0);
}

static void add_place(unsigned dev, uint64_t at)
{
    must(fuzz.n_places < PLACES);
    fuzz.place[fuzz.n_places].dev = dev;
    fuzz.place[fuzz.n_places++].at = at;
}

static void list_places(void)
{
    for (unsigned d = 0; d < DEVS; d++) {
        add_place(d, 0);
        add_place(d, 65536);
        for (unsigned b = 0; b < 2; b++) {
            add_place(d, ((uint64_t)1 << 20) + b * HG_BLOCK);
            add_place(d, ((uint64_t)3 << 20) + b * HG_BLOCK);
        }
        for (unsigned s = 0; s < SEGMENTS; s++)
            for (unsigned b = 0; b < LOG_BLOCKS / 2; b++)
                add_place(d, ((uint64_t)5 << 20) + s * (uint64_t)CHUNK + b * HG_BLOCK);
    }
}

/* ---- the pool in use ---- */

struct use {
    struct hg_pool *pool;
    struct hg_store *store;
    struct hg_arena *arena;
    hg_ns now;
};

static void on_done(struct hg_store_req *req)
{
    *(bool *)req->owner = true;
}

static void wait_for(struct use *u, const bool *done)
{
    for (unsigned i = 0; i < POLLS && !(done != NULL ? *done : hg_store_idle(u->store)); i++)
        hg_store_poll(u->store, u->now += HG_MS(1));
}

static bool use_begin(struct use *u)
{
    struct hg_store_cfg cfg = {.n_shards = 1, .batch_bytes = HG_BLOCK};

    must(hg_arena_create(fuzz.region, ARENA_BYTES, &u->arena) == 0);
    cfg.arena = u->arena;
    if (hg_store_create(u->pool, &cfg, &u->store, NULL) == 0)
        return true;
    hg_arena_destroy(u->arena);
    return false;
}

static void use_end(struct use *u)
{
    wait_for(u, NULL);
    must(hg_store_idle(u->store));
    hg_store_destroy(u->store);
    hg_arena_destroy(u->arena);
}

static void read_and_write(struct use *u, struct hg_volume *vol)
{
    bool done = false;
    struct hg_volume_info info;
    struct hg_store_req req = {.done = on_done, .owner = &done, .len = HG_BLOCK, .vol = vol};
    uint64_t start, len;
    uint32_t crc;

    hg_volume_info(vol, &info);
    req.buf = hg_arena_alloc(u->arena, HG_BLOCK);
    must(req.buf != NULL);
    if (hg_store_next_data(u->store, vol, 0, &start, &len))
        req.offset = start;
    must(hg_store_read(u->store, &req) == 0);
    wait_for(u, &done);
    must(done);
    memset(req.buf, 1, HG_BLOCK);
    crc = hg_crc32c(req.buf, HG_BLOCK);
    done = false;
    if (hg_store_write(u->store, &req, &crc, info.durable_seq + 1) == 0)
        wait_for(u, &done);
    wait_for(u, NULL);
    hg_arena_free(u->arena, req.buf);
}

static void use_pool(struct hg_pool *pool)
{
    struct use u = {.pool = pool};
    struct hg_volume_info info;

    if (!use_begin(&u))
        return;
    for (unsigned i = 0; i < 4 && hg_pool_volume(pool, i, &info); i++) {
        bool done = false;
        struct hg_volume *vol = NULL;
        struct hg_store_req req = {.done = on_done, .owner = &done};

        hg_store_attach(u.store, info.name, 0, &vol, &req);
        wait_for(&u, &done);
        must(done);
        if (req.status != 0)
            continue;
        read_and_write(&u, vol);
        hg_store_detach(u.store, vol);
    }
    use_end(&u);
}

/* ---- the image ---- */

/* Three volumes with writes, zeroes and epochs, so that every kind of record is there. */
static void fill_image(struct hg_pool *pool)
{
    static const char *const names[] = {"s/a", "s/b", "s/c"};
    struct use u = {.pool = pool};

    must(use_begin(&u));
    for (unsigned i = 0; i < 3; i++) {
        bool done = false;
        struct hg_volume *vol = NULL;
        struct hg_store_req req = {.done = on_done, .owner = &done};

        hg_store_attach(u.store, names[i], (uint64_t)(i + 1) << 20, &vol, &req);
        wait_for(&u, &done);
        must(req.status == 0);
        read_and_write(&u, vol);
        req.vol = vol;
        must(hg_store_epoch(u.store, &req, 5, 100) == 0);
        wait_for(&u, NULL);
        req.offset = 3 * HG_BLOCK;
        must(hg_store_zero(u.store, &req, HG_BLOCK, 101) == 0);
        wait_for(&u, NULL);
        hg_store_detach(u.store, vol);
    }
    use_end(&u);
}

static void restore(void)
{
    for (unsigned i = 0; i < fuzz.n_places; i++)
        access_place(HG_BDEV_WRITE, i, fuzz.place[i].pristine);
}

/* All of the structures have their CRC at 8; a catalogue also has that of its entries at 12. */
static void mend(unsigned i)
{
    uint8_t *block = fuzz.scratch;
    uint32_t crc = 0;

    access_place(HG_BDEV_READ, i, block);
    if (memcmp(block, "@HGCATG1", 8) == 0) {
        uint32_t n;

        memcpy(&n, block + 44, 4);
        must(hg_bdev_sync(fuzz.dev[fuzz.place[i].dev], HG_BDEV_READ, fuzz.place[i].at + HG_BLOCK,
                          (struct hg_iov){block + HG_BLOCK, 4 * HG_BLOCK}, NULL) == 0);
        crc = hg_crc32c(block + HG_BLOCK, (size_t)(n % 60) * 272);
        memcpy(block + 12, &crc, 4);
    }
    memset(block + 8, 0, 4);
    crc = hg_crc32c(block, HG_BLOCK);
    memcpy(block + 8, &crc, 4);
    access_place(HG_BDEV_WRITE, i, block);
}

static void patch(const uint8_t *data, size_t size, bool mending)
{
    bool touched[PLACES] = {false};

    while (size >= 4) {
        unsigned i = data[0] % fuzz.n_places;
        unsigned at = (data[1] | (unsigned)data[2] << 8) % HG_BLOCK;
        size_t len = data[3];

        data += 4;
        size -= 4;
        if (len > size)
            len = size;
        if (len > HG_BLOCK - at)
            len = HG_BLOCK - at;
        access_place(HG_BDEV_READ, i, fuzz.scratch);
        memcpy(fuzz.scratch + at, data, len);
        access_place(HG_BDEV_WRITE, i, fuzz.scratch);
        touched[i] = true;
        data += len;
        size -= len;
    }
    /* Catalogue headers after their entries: backwards, since places list them in that order. */
    for (unsigned i = fuzz.n_places; mending && i-- > 0;)
        if (touched[i])
            mend(i);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct hg_pool_geometry geometry = {.stripe_unit = HG_BLOCK, .chunk = CHUNK};
    struct hg_pool *pool;

    (void)argc;
    (void)argv;
    rte_log_set_global_level(RTE_LOG_EMERG);
    fuzz.region = blocks(ARENA_BYTES / HG_BLOCK);
    fuzz.scratch = blocks(8);
    for (unsigned d = 0; d < DEVS; d++)
        must(hg_bdev_mem_open("mem", SIZE, &fuzz.dev[d], NULL) == 0);
    must(hg_pool_format(fuzz.dev, DEVS, &geometry, false, NULL) == 0);
    must(hg_pool_open(fuzz.dev, DEVS, &pool, NULL) == 0);
    fill_image(pool);
    hg_pool_close(pool);
    list_places();
    for (unsigned i = 0; i < fuzz.n_places; i++) {
        fuzz.place[i].pristine = blocks(1);
        access_place(HG_BDEV_READ, i, fuzz.place[i].pristine);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hg_pool *pool;
    struct hg_err err = {""};

    if (size < 1)
        return 0;
    restore();
    patch(data + 1, size - 1, (data[0] & 1) != 0);
    if (hg_pool_open(fuzz.dev, DEVS, &pool, &err) != 0) {
        must(err.text[0] != '\0');
        return 0;
    }
    if ((data[0] & 2) != 0)
        use_pool(pool);
    hg_pool_close(pool);
    return 0;
}
