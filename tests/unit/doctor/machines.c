/* SPDX-License-Identifier: BSD-3-Clause */
/* Machines, and an examination of one. */
#include "tree.h"
#include <CUnit/CUnit.h>
#include <headgate/base.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NVME 0x010802u
#define NIC 0x020000u
#define USB 0x0c0330u
#define AUDIO 0x040300u
#define BRIDGE 0x060400u
#define INTEL 0x8086u

static const char route_header[] =
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

void machine_laptop(struct tree *t)
{
    char route[256];

    tree_base(t, "0-7", 1);
    tree_file(t, "MemTotal:        4194304 kB\nHugepagesize:       2048 kB", "/proc/meminfo");
    tree_file(t, "Node 0 MemTotal:        4194304 kB", "/sys/devices/system/node/node0/meminfo");
    tree_file(t, "", "/sys/firmware/acpi/tables/DMAR");
    tree_file(t, "kernel/drivers/vfio/pci/vfio-pci.ko: x", "/lib/modules/6.1.0-test/modules.dep");
    tree_file(t, "GRUB_DEFAULT=0\nGRUB_CMDLINE_LINUX=\"\"", "/etc/default/grub");
    tree_file(t, "", "/usr/sbin/update-grub");
    tree_pci(t, &(struct tree_dev){"0000:00:1f.6", "e1000e", NIC, INTEL, -1, -1});
    tree_net(t, "0000:00:1f.6", "eth0");
    tree_pci(t, &(struct tree_dev){"0000:01:00.0", "nvme", NVME, 0x144d, -1, -1});
    tree_nvme(t, "0000:01:00.0", "nvme0", "259:0");
    tree_file(t, "1", "/sys/class/block/nvme0n1/nvme0n1p2/partition");
    tree_file(t, "259:2", "/sys/class/block/nvme0n1p2/dev");
    tree_file(t, "29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw", "/proc/self/mountinfo");
    snprintf(route, sizeof route, "%seth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
             route_header);
    tree_file(t, route, "/proc/net/route");
}

void machine_half(struct tree *t)
{
    tree_base(t, "0-7", 1);
    tree_file(t, "kernel/drivers/vfio/pci/vfio-pci.ko: x", "/lib/modules/6.1.0-test/modules.dep");
    tree_file(t, "hugetlbfs /mnt/huge hugetlbfs rw,relatime,pagesize=2M 0 0", "/proc/mounts");
    tree_file(t, "128", "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages");
    tree_file(t, "128", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    tree_pci(t, &(struct tree_dev){"0000:03:00.0", "ixgbe", NIC, INTEL, 4, 0});
    tree_net(t, "0000:03:00.0", "eth1");
    tree_pci(t, &(struct tree_dev){"0000:04:00.0", "nvme", NVME, 0x144d, 5, 0});
    tree_nvme(t, "0000:04:00.0", "nvme0", "259:0");
}

void machine_shared(struct tree *t)
{
    tree_base(t, "0-7", 1);
    tree_vfio(t);
    tree_pci(t, &(struct tree_dev){"0000:02:00.0", "pcieport", BRIDGE, INTEL, 7, 0});
    tree_pci(t, &(struct tree_dev){"0000:03:00.0", "nvme", NVME, 0x144d, 7, 0});
    tree_nvme(t, "0000:03:00.0", "nvme0", "259:0");
    tree_pci(t, &(struct tree_dev){"0000:03:00.1", "snd_hda_intel", AUDIO, INTEL, 7, 0});
    tree_pci(t, &(struct tree_dev){"0000:05:00.0", NULL, NVME, 0x144d, 8, 0});
    tree_pci(t, &(struct tree_dev){"0000:05:00.1", NULL, USB, INTEL, 8, 0});
    tree_pci(t, &(struct tree_dev){"0000:06:00.0", "vfio-pci", NVME, 0x144d, 9, 0});
    tree_pci(t, &(struct tree_dev){"0000:06:00.1", "nvme", NVME, 0x144d, 9, 0});
    tree_nvme(t, "0000:06:00.1", "nvme2", "259:9");
    tree_file(t, "29 1 259:9 / /srv rw - xfs /dev/nvme2n1 rw", "/proc/self/mountinfo");
}

void machine_vf(struct tree *t)
{
    tree_base(t, "0-7", 1);
    tree_vfio(t);
    tree_pci(t, &(struct tree_dev){"0000:03:00.0", "igb", NIC, INTEL, 1, 0});
    tree_net(t, "0000:03:00.0", "eth0");
    tree_file(t, "2", "/sys/bus/pci/devices/0000:03:00.0/sriov_numvfs");
    tree_file(t, "7", "/sys/bus/pci/devices/0000:03:00.0/sriov_totalvfs");
    tree_pci(t, &(struct tree_dev){"0000:03:10.0", "vfio-pci", NIC, INTEL, 2, 0});
    tree_link(t, "../0000:03:00.0", "/sys/bus/pci/devices/0000:03:10.0/physfn");
    tree_pci(t, &(struct tree_dev){"0000:03:10.2", "igbvf", NIC, INTEL, 3, 0});
    tree_link(t, "../0000:03:00.0", "/sys/bus/pci/devices/0000:03:10.2/physfn");
    tree_net(t, "0000:03:10.2", "eth1");
    tree_pci(t, &(struct tree_dev){"0000:04:00.0", "nvme", NVME, 0x1b36, 4, 0});
    tree_nvme(t, "0000:04:00.0", "nvme0", "259:0");
    tree_file(t, "1", "/sys/bus/pci/devices/0000:04:00.0/sriov_numvfs");
    tree_pci(t, &(struct tree_dev){"0000:04:00.1", "nvme", NVME, 0x1b36, 5, 0});
    tree_link(t, "../0000:04:00.0", "/sys/bus/pci/devices/0000:04:00.1/physfn");
}

void machine_two_nodes(struct tree *t)
{
    static const char pages[] =
        "/sys/devices/system/node/node%u/hugepages/hugepages-2048kB/%s_hugepages";

    tree_base(t, "0-7", 2);
    tree_vfio(t);
    tree_file(t, "hugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0", "/proc/mounts");
    for (unsigned node = 0; node < 2; node++) {
        tree_file(t, "4096", pages, node, "nr");
        tree_file(t, "4096", pages, node, "free");
    }
    tree_file(t, "8192", "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    tree_file(t, "8192", "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    tree_pci(t, &(struct tree_dev){"0000:03:00.0", "vfio-pci", NIC, INTEL, 1, 0});
    tree_pci(t, &(struct tree_dev){"0000:83:00.0", "vfio-pci", NVME, 0x144d, 2, 1});
}

/* ---- the examination ---- */

void exam_begin(struct exam *e)
{
    memset(e, 0, sizeof *e);
    tree_begin(&e->t);
    e->v.list = calloc(FINDINGS_MAX, sizeof *e->v.list);
    CU_ASSERT_PTR_NOT_NULL_FATAL(e->v.list);
}

void exam_judge(struct exam *e, const char *const *named)
{
    struct hg_err err;

    machine_free(&e->m);
    memset(&e->w, 0, sizeof e->w);
    e->v.n = 0;
    CU_ASSERT_EQUAL_FATAL(machine_read(e->t.root, &e->m), 0);
    if (named == NULL)
        wants_all(&e->m, &e->w);
    for (; named != NULL && *named != NULL; named++)
        CU_ASSERT_EQUAL(wants_named(&e->m, *named, &e->w, &err), 0);
    judge(&e->m, &e->w, &e->v);
    exam_commands_have_files(e);
}

void exam_end(struct exam *e)
{
    machine_free(&e->m);
    free(e->v.list);
    tree_end(&e->t);
}

const struct finding *exam_find(const struct exam *e, const char *addr, const char *check)
{
    for (unsigned i = 0; i < e->v.n; i++) {
        const struct finding *f = &e->v.list[i];

        if (strcmp(f->check, check) == 0 && (addr == NULL) == (f->addr == NULL) &&
            (addr == NULL || strcmp(f->addr, addr) == 0))
            return f;
    }
    return NULL;
}

void exam_says(const struct exam *e, const char *addr, const char *check, enum level level,
               const char *words)
{
    const struct finding *f = exam_find(e, addr, check);

    CU_ASSERT_PTR_NOT_NULL(f);
    if (f == NULL || f->level != level || strstr(f->text, words) == NULL)
        fprintf(stderr, "\n%s %s: %s %s\nwant: %s %s\n", addr, check,
                f == NULL ? "-" : level_names[f->level], f == NULL ? "-" : f->text,
                level_names[level], words);
    CU_ASSERT(f != NULL && f->level == level && strstr(f->text, words) != NULL);
}

char *exam_commands(const struct exam *e)
{
    char *all = NULL;
    size_t size;
    FILE *f = open_memstream(&all, &size);

    for (unsigned i = 0; i < e->v.n; i++)
        for (unsigned c = 0; c < e->v.list[i].n_commands; c++)
            fprintf(f, "%s\n", e->v.list[i].commands[c]);
    fclose(f);
    return all;
}

void exam_spares(const struct exam *e, const char *addr)
{
    char *all = exam_commands(e);

    CU_ASSERT_PTR_NULL(strstr(all, addr));
    free(all);
}

void exam_commands_have_files(const struct exam *e)
{
    char *all = exam_commands(e), *rest = all, *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        char *file = strstr(line, " > /sys/");

        if (file == NULL || strchr(file, '$') != NULL)
            continue;
        if (!sys_exists(e->t.root, "%s", file + 3))
            fprintf(stderr, "\nno such file: %s\n", line);
        CU_ASSERT(sys_exists(e->t.root, "%s", file + 3));
    }
    free(all);
}
