/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl devices: the devices of the pool, their health, load, latencies and what happened to them. */
#include "ctl.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "820 ns", "12.5 us", "3.1 ms". */
static const char *duration(uint64_t ns, char buf[32])
{
    static const char *const unit[] = {"ns", "us", "ms", "s"};
    double v = (double)ns;
    unsigned i = 0;

    while (v >= 1000 && i + 1 < sizeof unit / sizeof unit[0]) {
        v /= 1000;
        i++;
    }
    snprintf(buf, 32, i == 0 ? "%.0f %s" : "%.1f %s", v, unit[i]);
    return buf;
}

/* A bar of the histogram for each bucket, the longest 40 characters. */
static void print_buckets(const json_t *lat)
{
    const json_t *list = json_object_get(lat, "buckets");
    uint64_t most = 1, lower = 0;
    size_t i;
    json_t *b;

    json_array_foreach(list, i, b)
    {
        uint64_t n = ctl_number(b, "count");

        most = n > most ? n : most;
    }
    json_array_foreach(list, i, b)
    {
        uint64_t below = ctl_number(b, "below_ns"), n = ctl_number(b, "count");
        char text[32];

        if (below != 0)
            printf("      below %9s %12" PRIu64 " ", duration(below, text), n);
        else
            printf("      above %9s %12" PRIu64 " ", duration(lower, text), n);
        for (uint64_t c = 0; c < (n * 40 + most - 1) / most; c++)
            putchar('#');
        putchar('\n');
        lower = below;
    }
}

static void print_latency(const json_t *lat, const char *what, bool buckets)
{
    char a[32], b[32], c[32];

    if (ctl_number(lat, "count") == 0) {
        printf("  %s none\n", what);
        return;
    }
    printf("  %s %" PRIu64 ", half within %s, 99 %% within %s, longest %s\n", what,
           ctl_number(lat, "count"), duration(ctl_number(lat, "p50_ns"), a),
           duration(ctl_number(lat, "p99_ns"), b), duration(ctl_number(lat, "max_ns"), c));
    if (buckets)
        print_buckets(lat);
}

static void print_health(const json_t *health)
{
    size_t i;
    json_t *w;

    if (!json_is_object(health))
        return;
    printf("  health: spare %" PRIu64 " %% (threshold %" PRIu64 " %%), %" PRIu64
           " %% of its endurance used, %" JSON_INTEGER_FORMAT " degrees C,\n          %" PRIu64
           " media errors, %" PRIu64 " unsafe shutdowns, %" PRIu64 " h in use\n",
           ctl_number(health, "available_spare"), ctl_number(health, "spare_threshold"),
           ctl_number(health, "percentage_used"),
           json_integer_value(json_object_get(health, "temperature")),
           ctl_number(health, "media_errors"), ctl_number(health, "unsafe_shutdowns"),
           ctl_number(health, "power_on_hours"));
    json_array_foreach(json_object_get(health, "warnings"), i, w)
        printf("  WARNING: %s\n", json_string_value(w));
}

static void print_errors(const json_t *errors)
{
    const char *name;
    json_t *n;
    unsigned kinds = 0;

    json_object_foreach((json_t *)errors, name, n)
    {
        if (json_integer_value(n) == 0)
            continue;
        printf("%s %s %" JSON_INTEGER_FORMAT, kinds == 0 ? "  errors:" : ",", name,
               json_integer_value(n));
        kinds++;
    }
    puts(kinds == 0 ? "  errors: none" : "");
}

static void print_events(const json_t *events)
{
    size_t i;
    json_t *e;

    json_array_foreach(events, i, e) printf(
        "  %.0f s ago: %s\n", json_real_value(json_object_get(e, "ago_s")), ctl_text(e, "text"));
}

static void print_device(const json_t *d, bool buckets)
{
    const char *why = ctl_text(d, "state_text");
    char size[32];

    printf("%s: %s, %s%s%s\n", ctl_text(d, "name"), ctl_text(d, "kind"), ctl_text(d, "state"),
           why[0] != '\0' ? ", " : "", why);
    if (ctl_text(d, "model")[0] != '\0')
        printf("  model %s, serial %s, firmware %s\n", ctl_text(d, "model"), ctl_text(d, "serial"),
               ctl_text(d, "firmware"));
    printf("  %s in blocks of %" PRIu64 ", %s", ctl_human(ctl_number(d, "size"), size),
           ctl_number(d, "block"),
           json_is_true(json_object_get(d, "volatile_cache")) ? "volatile cache"
                                                              : "no volatile cache");
    if (json_is_integer(json_object_get(d, "numa_node")))
        printf(", NUMA node %" PRIu64, ctl_number(d, "numa_node"));
    if (ctl_text(d, "access")[0] != '\0')
        printf(", by %s", ctl_text(d, "access"));
    printf("\n  %" PRIu64 " queues, depth %" PRIu64 " in all, in flight %" PRIu64 "\n",
           ctl_number(d, "queues"), ctl_number(d, "depth"), ctl_number(d, "in_flight"));
    print_latency(json_object_get(json_object_get(d, "latency"), "read"), "reads:", buckets);
    print_latency(json_object_get(json_object_get(d, "latency"), "other"),
                  "writes, flushes and the like:", buckets);
    print_health(json_object_get(d, "health"));
    print_errors(json_object_get(d, "errors"));
    print_events(json_object_get(d, "events"));
}

int ctl_devices(const struct ctl *ctl, int argc, char **argv)
{
    bool buckets = argc == 2 && strcmp(argv[1], "--histogram") == 0;
    json_t *answer, *d;
    size_t i;

    if (argc > 2 || (argc == 2 && !buckets))
        return CTL_USAGE;
    answer = ctl_ask(ctl, json_pack("{s:s}", "cmd", "devices"));
    if (answer == NULL)
        return 1;
    if (ctl->json) {
        ctl_print_json(answer);
        return 0;
    }
    json_array_foreach(json_object_get(answer, "devices"), i, d) print_device(d, buckets);
    json_decref(answer);
    return 0;
}
