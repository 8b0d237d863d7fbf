/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl stats: counters of every port, device and shard. */
#include "ctl.h"
#include <stdio.h>
#include <string.h>

/* With `explain` every counter and its sentence, else those that are not zero. */
static void print_counter(const json_t *answer, const char *key, json_t *value, bool explain)
{
    if (explain || json_integer_value(value) != 0)
        printf("  %-28s %20" JSON_INTEGER_FORMAT "  %s\n", key, json_integer_value(value),
               explain ? ctl_text(json_object_get(answer, "help"), key) : "");
}

static void print_area(const json_t *answer, const char *area_name, json_t *area, bool explain)
{
    const char *name;
    json_t *value;

    json_object_foreach(area, name, value)
    {
        char key[128];

        snprintf(key, sizeof key, "%s.%s", area_name, name);
        if (json_is_integer(value))
            print_counter(answer, key, value, explain);
    }
}

static void print_stats(const json_t *answer, bool explain)
{
    json_t *port, *shard, *area, *device, *warning;
    const char *area_name;
    size_t i;

    printf("uptime %.0f s\n", json_real_value(json_object_get(answer, "uptime_s")));
    json_array_foreach(json_object_get(answer, "warnings"), i, warning)
        printf("WARNING: %s\n", json_string_value(warning));
    json_array_foreach(json_object_get(answer, "ports"), i, port)
    {
        printf("%s %s\n", ctl_text(port, "section"), ctl_text(port, "name"));
        print_area(answer, ctl_text(port, "section"), port, explain);
    }
    json_array_foreach(json_object_get(answer, "devices"), i, device)
    {
        printf("device %s\n", ctl_text(device, "name"));
        print_area(answer, "device", device, explain);
    }
    json_array_foreach(json_object_get(answer, "shards"), i, shard)
    {
        printf("shard %zu\n", i);
        json_object_foreach(shard, area_name, area) print_area(answer, area_name, area, explain);
    }
}

int ctl_stats(const struct ctl *ctl, int argc, char **argv)
{
    bool explain = argc == 2 && (strcmp(argv[1], "--explain") == 0 || strcmp(argv[1], "all") == 0);
    json_t *answer;

    if (argc > 2 || (argc == 2 && !explain))
        return CTL_USAGE;
    answer = ctl_ask(ctl, json_pack("{s:s}", "cmd", "stats"));
    if (answer == NULL)
        return 1;
    if (ctl->json) {
        ctl_print_json(answer);
        return 0;
    }
    print_stats(answer, explain);
    json_decref(answer);
    return 0;
}
