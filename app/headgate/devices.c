/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thread that looks after the pool's devices: their own work (deadlines, resets, health; hg_bdev_tick()) every
 * few milliseconds where a device has some, and once a second what happened to them, which is logged. It is not
 * the control thread, which may be seconds with a slow operator or a reload, and a reset would stand still so long.
 */
#include "devices.h"
#include "device_json.h"
#include "report.h"
#include <errno.h>
#include <string.h>

#define LOOK_EVERY HG_SEC(1)

static void facts_of(struct hg_bdev *dev, struct device_facts *out)
{
    *out = (struct device_facts){
        .name = dev->name,
        .size = __atomic_load_n(&dev->size, __ATOMIC_RELAXED),
        .block = dev->block,
        .volatile_cache = dev->volatile_cache,
    };
    hg_bdev_info(dev, &out->info);
    hg_bdev_load(dev, &out->load);
}

/* ---- the thread ---- */

static void log_events(struct devwatch *w, struct hg_log_limit *limit, unsigned n, const char *name,
                       hg_ns now)
{
    for (unsigned back = n; back > 0; back--) {
        const struct devwatch_event *e = devwatch_event(w, back - 1);

        if (e != NULL && e->log)
            hg_log_limited(limit, now, e->level, "node", "device %s: %s", name, e->text);
    }
}

static void look(struct node *node, hg_ns now)
{
    struct node_devices *d = &node->devices;
    struct hg_bdev_info info;

    for (unsigned i = 0; i < node->n_devs; i++) {
        hg_bdev_info(node->devs[i], &info);
        pthread_mutex_lock(&d->lock);
        log_events(&d->watch[i], &d->limit, devwatch_look(&d->watch[i], &info, now),
                   node->devs[i]->name, now);
        pthread_mutex_unlock(&d->lock);
    }
}

static hg_ns pause_of(const struct node *node)
{
    for (unsigned i = 0; i < node->n_devs; i++)
        if (node->devs[i]->ticks)
            return HG_BDEV_TICK;
    return LOOK_EVERY;
}

/* Until it is time, or the end. */
static bool wait_for(struct node_devices *d, hg_ns at)
{
    struct timespec until = {(time_t)(at / HG_SEC(1)), (long)(at % HG_SEC(1))};
    bool stop;

    pthread_mutex_lock(&d->lock);
    while (!d->stop && pthread_cond_timedwait(&d->wake, &d->lock, &until) != ETIMEDOUT)
        ;
    stop = d->stop;
    pthread_mutex_unlock(&d->lock);
    return !stop;
}

static void *devices_thread(void *arg)
{
    struct node *node = arg;
    const hg_ns pause = pause_of(node);
    hg_ns now = clock_now(), next_look = now;

    pthread_setname_np(pthread_self(), "hg-devices");
    do {
        now = clock_now();
        for (unsigned i = 0; i < node->n_devs; i++)
            hg_bdev_tick(node->devs[i], now);
        if (now >= next_look) {
            look(node, now);
            next_look = now + LOOK_EVERY;
        }
    } while (wait_for(&node->devices, now + pause));
    return NULL;
}

int devices_watch(struct node *node, struct hg_err *err)
{
    struct node_devices *d = &node->devices;
    pthread_condattr_t attr;
    int rc;

    d->stop = false;
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* as clock_now() */
    pthread_cond_init(&d->wake, &attr);
    pthread_condattr_destroy(&attr);
    rc = pthread_create(&d->thread, NULL, devices_thread, node);
    if (rc == 0)
        return 0;
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    return hg_fail(err, -rc, "the thread that watches devices: %s", strerror(rc));
}

void devices_unwatch(struct node *node)
{
    struct node_devices *d = &node->devices;

    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
}

/* ---- what is told ---- */

json_t *report_devices(struct node *node)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < node->n_devs; i++) {
        struct device_facts f;
        json_t *o;

        facts_of(node->devs[i], &f);
        o = device_json(&f);
        pthread_mutex_lock(&node->devices.lock);
        json_object_set_new(o, "events", device_events_json(&node->devices.watch[i], clock_now()));
        pthread_mutex_unlock(&node->devices.lock);
        json_array_append_new(list, o);
    }
    return json_pack("{s:o}", "devices", list);
}

struct hg_counter_set devices_counters(struct node *node, unsigned i,
                                       uint64_t value[DEVICE_COUNTERS])
{
    struct device_facts f;

    facts_of(node->devs[i], &f);
    return device_counters(&f, value);
}

void devices_warnings(struct node *node, json_t *list)
{
    struct hg_bdev_info info;
    char text[512];

    for (unsigned i = 0; i < node->n_devs; i++) {
        hg_bdev_info(node->devs[i], &info);
        if (info.state == HG_BDEV_DEAD) {
            snprintf(text, sizeof text, "device %s is dead: %s", node->devs[i]->name,
                     info.state_text);
            json_array_append_new(list, json_string(text));
        }
        for (unsigned bit = 0; info.has_health && bit < 8; bit++) {
            if ((info.critical_warning >> bit & 1) == 0 || devwatch_warning(bit) == NULL)
                continue;
            snprintf(text, sizeof text, "device %s: %s", node->devs[i]->name,
                     devwatch_warning(bit));
            json_array_append_new(list, json_string(text));
        }
    }
}
