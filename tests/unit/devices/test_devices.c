/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a device as sentences, and a device as JSON. */
#include "device_json.h"
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct devwatch w;
static struct hg_bdev_info info;
static hg_ns now;

static void begin(const char *kind)
{
    memset(&w, 0, sizeof w);
    memset(&info, 0, sizeof info);
    info.kind = kind;
    info.numa_node = -1;
    now = HG_SEC(100);
}

/* How many events a second later tells. */
static unsigned look(void)
{
    now += HG_SEC(1);
    return devwatch_look(&w, &info, now);
}

static void said(unsigned back, enum hg_log_level level, const char *words)
{
    const struct devwatch_event *e = devwatch_event(&w, back);

    CU_ASSERT_PTR_NOT_NULL_FATAL(e);
    if (strstr(e->text, words) == NULL)
        fprintf(stderr, "\nsaid: %s\nwant: %s\n", e->text, words);
    CU_ASSERT_PTR_NOT_NULL(strstr(e->text, words));
    CU_ASSERT_EQUAL(e->level, level);
    CU_ASSERT_EQUAL(e->at, now);
}

static void test_quiet(void)
{
    begin("mem");
    for (unsigned i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(look(), 0);
    CU_ASSERT_PTR_NULL(devwatch_event(&w, 0));
}

static void test_states(void)
{
    begin("uring");
    CU_ASSERT_EQUAL(look(), 0);
    info.state = HG_BDEV_RESETTING;
    strcpy(info.state_text, "it did not answer");
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_WARN, "being reset: it did not answer; requests wait");
    CU_ASSERT_EQUAL(look(), 0);
    info.state = HG_BDEV_OK;
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_INFO, "works again");
    info.state = HG_BDEV_DEAD;
    strcpy(info.state_text, "it is gone");
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_ERR, "dead: it is gone; every request to it fails");
    CU_ASSERT_EQUAL(look(), 0);
}

static void test_start(void)
{
    begin("uring");
    info.state = HG_BDEV_STARTING;
    CU_ASSERT_EQUAL(look(), 0);
    info.state = HG_BDEV_OK;
    CU_ASSERT_EQUAL(look(), 0); /* that it has started is no news */
    begin("uring");
    info.state = HG_BDEV_DEAD;
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_ERR, "dead; every request");
}

static void test_warnings(void)
{
    begin("uring");
    info.critical_warning = 0xff; /* nothing, while health is not known */
    CU_ASSERT_EQUAL(look(), 0);
    info.has_health = true;
    info.critical_warning = 0x0a;
    CU_ASSERT_EQUAL(look(), 2);
    said(1, HG_LOG_WARN, "warning: its temperature is out of bounds");
    said(0, HG_LOG_WARN, "warning: it has become read-only");
    CU_ASSERT_EQUAL(look(), 0);
    info.critical_warning = 0x08;
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_INFO, "no longer: its temperature");
    info.critical_warning = 0xc8; /* bits without a meaning */
    CU_ASSERT_EQUAL(look(), 0);
}

static void test_errors(void)
{
    begin("uring");
    info.errors[HG_BDEV_ERR_TIMEOUT] = 4; /* of before the first look */
    CU_ASSERT_EQUAL(look(), 0);
    info.errors[HG_BDEV_ERR_TIMEOUT] = 5;
    info.errors[HG_BDEV_ERR_MEDIA] = 7;
    CU_ASSERT_EQUAL(look(), 2);
    said(1, HG_LOG_WARN, "7 requests that found the medium's data lost; 7 since the start");
    said(0, HG_LOG_WARN, "1 requests that passed their deadline; 5 since the start");
    info.has_health = true;
    info.media_errors = 30;
    CU_ASSERT_EQUAL(look(), 0);
    info.media_errors = 33;
    CU_ASSERT_EQUAL(look(), 1);
    said(0, HG_LOG_WARN, "3 more errors of its medium, 33 in its life");
}

/* Every kind of error has its sentence, so that a new one cannot be silent. */
static void test_every_error(void)
{
    begin("uring");
    look();
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++) {
        CU_ASSERT_FATAL(devwatch_errors[i].name != NULL && devwatch_errors[i].help != NULL);
        info.errors[i]++;
        CU_ASSERT_EQUAL(look(), 1);
        said(0, HG_LOG_WARN, devwatch_errors[i].help);
    }
}

/* The NVMe driver logs its own states and errors; what only the health log knows it does not. */
static void test_logged_once(void)
{
    for (unsigned nvme = 0; nvme < 2; nvme++) {
        begin(nvme ? "nvme" : "uring");
        info.has_health = true;
        look();
        info.state = HG_BDEV_RESETTING;
        info.errors[HG_BDEV_ERR_RESET] = 1;
        info.media_errors = 1;
        CU_ASSERT_EQUAL(look(), 3);
        CU_ASSERT_EQUAL(devwatch_event(&w, 2)->log, !nvme);
        CU_ASSERT_EQUAL(devwatch_event(&w, 1)->log, !nvme);
        CU_ASSERT(devwatch_event(&w, 0)->log);
    }
}

static void test_bound(void)
{
    begin("uring");
    look();
    for (unsigned i = 0; i < 3 * DEVWATCH_EVENTS + 1; i++) {
        info.errors[HG_BDEV_ERR_OTHER]++;
        look();
    }
    said(0, HG_LOG_WARN, "49 since the start");
    CU_ASSERT_PTR_NOT_NULL(strstr(devwatch_event(&w, DEVWATCH_EVENTS - 1)->text, " 34 since"));
    CU_ASSERT_PTR_NULL(devwatch_event(&w, DEVWATCH_EVENTS));
}

/* ---- JSON ---- */

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static long long number(const json_t *o, const char *key)
{
    CU_ASSERT(json_is_integer(json_object_get(o, key)));
    return json_integer_value(json_object_get(o, key));
}

static void test_json_absent(void)
{
    struct device_facts f = {.name = "/srv/dev0", .size = 1u << 30, .block = 4096};
    json_t *o;

    f.info = (struct hg_bdev_info){.kind = "uring", .numa_node = -1};
    o = device_json(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    CU_ASSERT_STRING_EQUAL(text(o, "name"), "/srv/dev0");
    CU_ASSERT_STRING_EQUAL(text(o, "state"), "ok");
    for (const char *const *key =
             (const char *const[]){"model", "serial", "firmware", "numa_node", "access", "health",
                                   "queues_max", "state_text", NULL};
         *key != NULL; key++)
        CU_ASSERT(json_is_null(json_object_get(o, *key)));
    CU_ASSERT_EQUAL(number(json_object_get(json_object_get(o, "latency"), "read"), "count"), 0);
    json_decref(o);
}

static void test_json_full(void)
{
    struct device_facts f = {.name = "n", .size = 1u << 30, .block = 512, .volatile_cache = true};
    json_t *o, *health, *lat, *buckets;

    f.info = (struct hg_bdev_info){.kind = "nvme",
                                   .model = "Model",
                                   .serial = "S1",
                                   .firmware = "F",
                                   .access = "direct I/O, polled",
                                   .numa_node = 1,
                                   .queues_max = 32,
                                   .has_health = true,
                                   .critical_warning = 0x05,
                                   .temperature = -5,
                                   .media_errors = UINT64_MAX};
    f.info.errors[HG_BDEV_ERR_RESET] = 2;
    f.load.latency[1].bucket[3] = 9; /* below 8192 ns */
    f.load.latency[1].bucket[HG_BDEV_LAT_BUCKETS - 1] = 1;
    f.load.latency[1].max = HG_SEC(400);
    f.load.depth = 256;
    o = device_json(&f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(o);
    health = json_object_get(o, "health");
    CU_ASSERT_EQUAL(number(health, "temperature"), -5);
    CU_ASSERT_EQUAL(number(health, "media_errors"), INT64_MAX); /* JSON's integers have a sign */
    CU_ASSERT_EQUAL(json_array_size(json_object_get(health, "warnings")), 2);
    CU_ASSERT_EQUAL(number(json_object_get(o, "errors"), "reset"), 2);
    CU_ASSERT_EQUAL(number(o, "depth"), 256);
    CU_ASSERT_STRING_EQUAL(text(o, "access"), "direct I/O, polled");
    CU_ASSERT_EQUAL(number(o, "queues_max"), 32);
    lat = json_object_get(json_object_get(o, "latency"), "other");
    CU_ASSERT_EQUAL(number(lat, "count"), 10);
    CU_ASSERT_EQUAL(number(lat, "p50_ns"), 8192);
    CU_ASSERT_EQUAL(number(lat, "max_ns"), 400000000000LL);
    buckets = json_object_get(lat, "buckets");
    CU_ASSERT_EQUAL_FATAL(json_array_size(buckets), 2);
    CU_ASSERT_EQUAL(number(json_array_get(buckets, 0), "below_ns"), 8192);
    CU_ASSERT(json_is_null(json_object_get(json_array_get(buckets, 1), "below_ns")));
    json_decref(o);
}

static void test_counters(void)
{
    struct device_facts f = {.name = "n"};
    uint64_t value[DEVICE_COUNTERS];
    struct hg_counter_set set;

    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++)
        f.info.errors[i] = 100 + i;
    f.load.latency[0].bucket[2] = 3;
    f.load.latency[1].bucket[0] = f.load.latency[1].bucket[5] = 4;
    set = device_counters(&f, value);
    CU_ASSERT_EQUAL_FATAL(set.n, HG_BDEV_ERRORS + 2);
    for (unsigned i = 0; i < HG_BDEV_ERRORS; i++) {
        CU_ASSERT_EQUAL(set.value[i], 100 + i);
        CU_ASSERT_STRING_EQUAL(set.desc[i].name + strlen("errors_"), devwatch_errors[i].name);
        CU_ASSERT_STRING_EQUAL(set.desc[i].help, devwatch_errors[i].help);
    }
    CU_ASSERT_STRING_EQUAL(set.desc[HG_BDEV_ERRORS].name, "reads");
    CU_ASSERT(set.value[HG_BDEV_ERRORS] == 3 && set.value[HG_BDEV_ERRORS + 1] == 8);
}

static void test_json_events(void)
{
    json_t *list;

    begin("uring");
    look();
    info.errors[HG_BDEV_ERR_OTHER] = 1;
    look();
    info.state = HG_BDEV_DEAD;
    look();
    list = device_events_json(&w, now + HG_SEC(3));
    CU_ASSERT_EQUAL_FATAL(json_array_size(list), 2);
    CU_ASSERT_STRING_EQUAL(text(json_array_get(list, 0), "level"), "error");
    CU_ASSERT_EQUAL(json_real_value(json_object_get(json_array_get(list, 0), "ago_s")), 3.0);
    CU_ASSERT_STRING_EQUAL(text(json_array_get(list, 1), "level"), "warning");
    json_decref(list);
}

int main(void)
{
    unsigned failed;
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("devices", NULL, NULL);
    CU_add_test(suite, "a device that works says nothing", test_quiet);
    CU_add_test(suite, "reset, back again, dead: one sentence each", test_states);
    CU_add_test(suite, "a start is no event, a device that is dead from the first is", test_start);
    CU_add_test(suite, "each critical warning, when it comes and when it goes", test_warnings);
    CU_add_test(suite, "new errors are one sentence for each kind", test_errors);
    CU_add_test(suite, "no kind of error is silent", test_every_error);
    CU_add_test(suite, "what the driver logs is not logged twice", test_logged_once);
    CU_add_test(suite, "events are bounded, the oldest goes", test_bound);
    CU_add_test(suite, "JSON: what a kind does not have is null", test_json_absent);
    CU_add_test(suite, "JSON: health, errors, latencies", test_json_full);
    CU_add_test(suite, "JSON: events, the newest first", test_json_events);
    CU_add_test(suite, "counters for stats and telemetry", test_counters);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    CU_cleanup_registry();
    return failed != 0;
}
