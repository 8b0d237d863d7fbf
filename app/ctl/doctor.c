/* SPDX-License-Identifier: BSD-3-Clause */
/* headgatectl doctor: what this machine lacks for driving its devices from user space, and how to mend it. */
#include "ctl.h"
#include "judge.h"
#include <errno.h>
#include <getopt.h>
#include <headgate/base.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct doctor {
    const char *root, *profile; /* root: "" but in tests */
    bool json, commands;
    struct machine m;
    struct wants w;
    struct verdict v;
};

/* ---- for people ---- */

static void print_finding(const struct finding *f)
{
    static const char *const mark[] = {"ok", "note", "advice", "MISSING"};

    printf("  %-8s %s\n", mark[f->level], f->text);
    for (unsigned i = 0; i < f->n_commands; i++)
        printf("               %s\n", f->commands[i]);
}

/* What is known of a device before it is judged. */
static void print_device(const struct machine *m, const char *addr)
{
    const struct pci_dev *d = machine_dev(m, addr);

    if (d == NULL) {
        printf("%s\n", addr);
        return;
    }
    printf("%s  %s %04x:%04x", addr,
           pci_is_nvme(d)  ? "NVMe"
           : pci_is_nic(d) ? "NIC"
                           : "device",
           d->vendor, d->device);
    if (d->model[0] != '\0')
        printf(", %s, serial %s", d->model, d->serial);
    if (d->netdev[0] != '\0')
        printf(", %s", d->netdev);
    if (d->pf[0] != '\0')
        printf(", virtual function of %s", d->pf);
    if (d->node >= 0)
        printf(", NUMA node %d", d->node);
    putchar('\n');
}

static bool is_about(const struct finding *f, const char *addr)
{
    return addr == NULL ? f->addr == NULL : f->addr != NULL && strcmp(f->addr, addr) == 0;
}

static void print_about(const struct doctor *d, const char *addr)
{
    for (unsigned i = 0; i < d->v.n; i++)
        if (is_about(&d->v.list[i], addr))
            print_finding(&d->v.list[i]);
}

static void print_text(const struct doctor *d)
{
    unsigned missing = verdict_count(&d->v, LEVEL_MISSING);
    unsigned advice = verdict_count(&d->v, LEVEL_ADVICE);

    puts("machine");
    print_about(d, NULL);
    for (unsigned i = 0; i < d->w.n_devs; i++) {
        const char *addr = d->w.devs[i].addr;

        if (addr[0] == '\0')
            continue;
        putchar('\n');
        print_device(&d->m, addr);
        print_about(d, addr);
    }
    if (d->m.uid != 0)
        puts("\nnote: not run as root: who uses a device could not be seen in full.");
    if (missing == 0)
        printf("\nNothing is missing%s.\n", advice != 0 ? "; see the advice above" : "");
    else
        printf("\n%u to mend. Run the commands above as root, from top to bottom, then doctor "
               "again.\n",
               missing);
}

/* Only what is missing, in order; a shell can read it. */
static void print_commands(const struct doctor *d)
{
    for (unsigned i = 0; i < d->v.n; i++) {
        const struct finding *f = &d->v.list[i];

        if (f->level != LEVEL_MISSING)
            continue;
        if (f->n_commands == 0)
            printf("# %s%s%s\n", f->addr != NULL ? f->addr : "", f->addr != NULL ? ": " : "",
                   f->text);
        for (unsigned c = 0; c < f->n_commands; c++)
            puts(f->commands[c]);
    }
}

/* ---- for programs ---- */

static json_t *text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *number_or_null(int n)
{
    return n < 0 ? json_null() : json_integer(n);
}

static json_t *finding_json(const struct finding *f)
{
    json_t *commands = json_array();

    for (unsigned i = 0; i < f->n_commands; i++)
        json_array_append_new(commands, json_string(f->commands[i]));
    return json_pack("{s:s, s:s, s:s, s:o}", "level", level_names[f->level], "check", f->check,
                     "text", f->text, "commands", commands);
}

static json_t *findings_json(const struct doctor *d, const char *addr)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < d->v.n; i++)
        if (is_about(&d->v.list[i], addr))
            json_array_append_new(list, finding_json(&d->v.list[i]));
    return list;
}

static json_t *device_json(const struct doctor *doc, const struct want_dev *want)
{
    const struct pci_dev *d = machine_dev(&doc->m, want->addr);
    json_t *o = json_pack("{s:s, s:o, s:o}", "address", want->addr, "named_by",
                          text_or_null(want->by), "findings", findings_json(doc, want->addr));

    if (d == NULL)
        return o;
    json_object_update_new(
        o, json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                     pci_is_nvme(d)  ? "nvme"
                     : pci_is_nic(d) ? "nic"
                                     : "other",
                     "vendor", d->vendor, "device", d->device, "driver", text_or_null(d->driver),
                     "numa_node", number_or_null(d->node), "iommu_group", number_or_null(d->group),
                     "model", text_or_null(d->model), "serial", text_or_null(d->serial),
                     "interfaces", text_or_null(d->netdev), "in_use", text_or_null(d->use)));
    return o;
}

static void print_json(const struct doctor *d)
{
    json_t *devices = json_array();

    for (unsigned i = 0; i < d->w.n_devs; i++)
        if (d->w.devs[i].addr[0] != '\0')
            json_array_append_new(devices, device_json(d, &d->w.devs[i]));
    ctl_print_json(json_pack("{s:i, s:i, s:o, s:o}", "missing", verdict_count(&d->v, LEVEL_MISSING),
                             "advice", verdict_count(&d->v, LEVEL_ADVICE), "machine",
                             findings_json(d, NULL), "devices", devices));
}

/* ---- the command ---- */

/* Returns how many arguments that are no options stand at argv's end, or -1. */
static int parse(struct doctor *d, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"commands", no_argument, NULL, 'x'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    int opt;

    optind = 0; /* main() has used it */
    while ((opt = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
        if (opt == '?')
            return -1;
        if (opt == 'c')
            d->profile = optarg;
        if (opt == 'r')
            d->root = optarg;
        d->commands |= opt == 'x';
        d->json |= opt == 'j';
    }
    return argc - optind;
}

static int want(struct doctor *d, int n, char **names, struct hg_err *err)
{
    int rc = 0;

    if (d->profile != NULL)
        return wants_profile(&d->m, d->profile, &d->w, err);
    if (n == 0)
        wants_all(&d->m, &d->w);
    for (int i = 0; i < n && rc == 0; i++)
        rc = wants_named(&d->m, names[i], &d->w, err);
    return rc;
}

static int examine(struct doctor *d, int n, char **names)
{
    struct hg_err err = {""};

    if (machine_read(d->root, &d->m) != 0) {
        fputs("headgatectl: out of memory\n", stderr);
        return CTL_USAGE;
    }
    if (want(d, n, names, &err) != 0) {
        fprintf(stderr, "headgatectl: %s\n", err.text);
        return CTL_USAGE;
    }
    judge(&d->m, &d->w, &d->v);
    if (d->json)
        print_json(d);
    else if (d->commands)
        print_commands(d);
    else
        print_text(d);
    return verdict_count(&d->v, LEVEL_MISSING) != 0;
}

int ctl_doctor(const struct ctl *ctl, int argc, char **argv)
{
    struct doctor *d = calloc(1, sizeof *d);
    int n, rc = CTL_USAGE;

    if (d != NULL)
        d->v.list = calloc(FINDINGS_MAX, sizeof *d->v.list);
    if (d == NULL || d->v.list == NULL) {
        fputs("headgatectl: out of memory\n", stderr);
        free(d);
        return CTL_USAGE;
    }
    d->root = "";
    d->json = ctl->json;
    n = parse(d, argc, argv);
    /* A list of commands takes devices: those that somebody named. */
    if (n < 0 || (n > 0 && d->profile != NULL) || (d->commands && n == 0 && d->profile == NULL))
        fputs("headgatectl: doctor [--config FILE | DEVICE...] [--json | --commands]; --commands "
              "needs a profile or devices\n",
              stderr);
    else
        rc = examine(d, n, &argv[argc - n]);
    machine_free(&d->m);
    free(d->v.list);
    free(d);
    return rc;
}
