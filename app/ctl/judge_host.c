/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory, CPUs and NUMA nodes. */
#include "judge.h"
#include "placement.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB(bytes) (((bytes) + (1u << 20) - 1) >> 20)

_Static_assert(MACHINE_NODES == PLACEMENT_NODES, "distances are handed on");

/* ---- hugepages ---- */

static uint64_t wanted_memory(const struct wants *w)
{
    uint64_t sum = 0;

    for (unsigned node = 0; node < MACHINE_NODES; node++)
        sum += w->memory[node];
    return sum;
}

static uint64_t reserved(const struct machine *m, const struct huge_pages *p, unsigned node)
{
    return p->size * (m->n_nodes == 0 ? p->total : p->node_total[node]);
}

/* Pages of the size that has most already, since sizes that nobody wants are not to be mixed in. */
static const struct huge_pages *size_to_use(const struct machine *m)
{
    const struct huge_pages *best = &m->pages[0];

    for (unsigned i = 1; i < m->n_pages; i++)
        if (m->pages[i].total * m->pages[i].size > best->total * best->size)
            best = &m->pages[i];
    return best;
}

static void mend_pages(const struct machine *m, struct finding *f, const struct huge_pages *p,
                       unsigned node, uint64_t pages)
{
    uint64_t kib = p->size >> 10;

    if (m->n_nodes == 0)
        mend(f, "echo %" PRIu64 " > /sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/nr_hugepages",
             pages, kib);
    else
        mend(f,
             "echo %" PRIu64 " > /sys/devices/system/node/node%u/hugepages/hugepages-%" PRIu64
             "kB/nr_hugepages",
             pages, node, kib);
}

/* Returns whether pages are missing. */
static bool judge_node_pages(const struct machine *m, const struct wants *w, unsigned node,
                             struct verdict *v)
{
    const struct huge_pages *use = size_to_use(m);
    uint64_t have = 0, lacking, ram = m->n_nodes == 0 ? m->ram : m->node_ram[node];
    char where[32] = "";
    struct finding *f;

    for (unsigned i = 0; i < m->n_pages; i++)
        have += reserved(m, &m->pages[i], node);
    if (have >= w->memory[node])
        return false;
    if (m->n_nodes > 1)
        snprintf(where, sizeof where, " on NUMA node %u", node);
    if (ram != 0 && w->memory[node] > ram / 10 * 9) {
        find(v, LEVEL_MISSING, "hugepages",
             "hugepages%s: %" PRIu64 " MiB are needed, of %" PRIu64
             " MiB of memory there: lower [ingest] buffers or [port] rx-mbufs, or take fewer CPUs "
             "of that node",
             where, MIB(w->memory[node]), MIB(ram));
        return true;
    }
    lacking = (w->memory[node] - have + use->size - 1) / use->size;
    f = find(v, LEVEL_MISSING, "hugepages",
             "hugepages%s: %" PRIu64 " MiB are reserved, %" PRIu64 " MiB are needed", where,
             MIB(have), MIB(w->memory[node]));
    mend_pages(m, f, use, node, reserved(m, use, node) / use->size + lacking);
    return true;
}

static void judge_mount(const struct huge_pages *p, struct verdict *v)
{
    char dir[64] = "/dev/hugepages", size[16];
    struct finding *f;

    snprintf(size, sizeof size, p->size >= 1u << 30 ? "%" PRIu64 "G" : "%" PRIu64 "M",
             p->size >= 1u << 30 ? p->size >> 30 : p->size >> 20);
    if (p->size != 2u << 20)
        snprintf(dir, sizeof dir, "/dev/hugepages-%s", size);
    f = find(v, LEVEL_MISSING, "hugetlbfs", "no hugetlbfs with pages of %s is mounted", size);
    mend(f, "mkdir -p %s", dir);
    mend(f, "mount -t hugetlbfs -o pagesize=%s hugetlbfs %s", size, dir);
}

static void judge_free(const struct machine *m, uint64_t wanted, struct verdict *v)
{
    uint64_t total = 0, left = 0;

    for (unsigned i = 0; i < m->n_pages; i++) {
        total += m->pages[i].total * m->pages[i].size;
        left += m->pages[i].free * m->pages[i].size;
    }
    if (left < wanted)
        find(v, LEVEL_NOTE, "hugepages",
             "hugepages: %" PRIu64 " MiB are reserved, of which %" PRIu64
             " MiB are free: other processes have the rest, perhaps a node that runs",
             MIB(total), MIB(left));
    else
        find(v, LEVEL_FINE, "hugepages",
             "hugepages: %" PRIu64 " MiB are reserved, %" PRIu64 " MiB free, and mounted",
             MIB(total), MIB(left));
}

static void judge_hugepages(const struct machine *m, const struct wants *w, struct verdict *v)
{
    bool missing = false;
    unsigned nodes = m->n_nodes == 0 ? 1 : m->n_nodes;

    if (m->n_pages == 0) {
        find(v, LEVEL_MISSING, "hugepages",
             "this kernel has no hugepages (CONFIG_HUGETLBFS): set [eal] huge = no");
        return;
    }
    for (unsigned node = 0; node < nodes; node++)
        missing = judge_node_pages(m, w, node, v) || missing;
    for (unsigned i = 0; i < m->n_pages; i++) {
        const struct huge_pages *p = &m->pages[i];

        if (p->mount[0] == '\0' && (p->total != 0 || (missing && p == size_to_use(m)))) {
            judge_mount(p, v);
            missing = true;
        }
    }
    if (!missing)
        judge_free(m, wanted_memory(w), v);
}

static void judge_memlock(const struct machine *m, const struct wants *w, struct verdict *v)
{
    uint64_t wanted = wanted_memory(w);
    struct finding *f;

    if (m->ipc_lock) {
        find(v, LEVEL_FINE, "memlock", "locked memory: no limit with this process's rights");
        return;
    }
    if (m->memlock >= wanted) {
        find(v, LEVEL_FINE, "memlock", "locked memory: the limit allows what is needed");
        return;
    }
    f = find(v, LEVEL_MISSING, "memlock",
             "locked memory: the limit (RLIMIT_MEMLOCK) is %" PRIu64 " MiB, VFIO maps %" PRIu64
             " MiB. The unit headgate.service has none (LimitMEMLOCK=infinity); for a shell's "
             "children",
             m->memlock >> 20, MIB(wanted));
    mend(f, "prlimit --pid $$ --memlock=unlimited:unlimited");
}

void judge_memory(const struct machine *m, const struct wants *w, struct verdict *v)
{
    if (w->huge)
        judge_hugepages(m, w, v);
    else if (wants_vfio(m, w))
        find(v, LEVEL_ADVICE, "hugepages",
             "[eal] huge = no: the IOMMU maps memory in pages of 4 KiB, which is slower");
    if (wants_vfio(m, w))
        judge_memlock(m, w, v);
    if (!w->profile || w->pci)
        return;
    for (unsigned i = 0; i < w->n_devs; i++)
        if (w->devs[i].nic)
            find(v, LEVEL_MISSING, "profile",
                 "%s, but [eal] pci = no: EAL does not look at the PCI bus. Set [eal] pci = yes",
                 w->devs[i].by);
}

/* ---- CPUs ---- */

static void minus(cpu_set_t *out, const cpu_set_t *a, const cpu_set_t *b)
{
    cpu_set_t both;

    CPU_AND(&both, a, b);
    CPU_XOR(out, a, &both);
}

static void judge_present(const struct machine *m, const struct wants *w, struct verdict *v)
{
    cpu_set_t named = w->shards, gone, off;
    char list[256], have[256];
    struct finding *f;

    if (w->control >= 0 && w->control < CPU_SETSIZE)
        CPU_SET(w->control, &named);
    minus(&gone, &named, &m->online);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &gone) || !CPU_ISSET(cpu, &m->present))
            continue;
        f = find(v, LEVEL_MISSING, "cpus", "CPU %u, which [cpu] names, is switched off", cpu);
        mend(f, "echo 1 > /sys/devices/system/cpu/cpu%u/online", cpu);
    }
    minus(&off, &gone, &m->present);
    if (CPU_COUNT(&off) != 0)
        find(v, LEVEL_MISSING, "cpus", "[cpu] names CPU %s, but this machine has %s",
             sys_cpus_text(&off, list, sizeof list), sys_cpus_text(&m->present, have, sizeof have));
}

/* CPUs that shards have to themselves, as far as the profile goes. */
static void own_cpus(const struct machine *m, const struct wants *w, cpu_set_t *out)
{
    CPU_AND(out, &w->shards, &m->present);
    if (w->control >= 0 && w->control < CPU_SETSIZE)
        CPU_CLR(w->control, out);
}

static void judge_isolation(const struct machine *m, const struct wants *w, struct verdict *v)
{
    cpu_set_t own, others, ticking;
    char list[256], all[256], words[1024];
    bool shared;
    struct finding *f;

    own_cpus(m, w, &own);
    minus(&others, &own, &m->isolated);
    minus(&ticking, &own, &m->nohz_full);
    shared = CPU_COUNT(&others) != 0;
    if (CPU_COUNT(&own) == 0) {
        find(v, LEVEL_NOTE, "isolation", "no shard has a CPU of its own: good for trials only");
        return;
    }
    if (!shared && CPU_COUNT(&ticking) == 0) {
        find(v, LEVEL_FINE, "isolation", "the shards' CPUs are isolated and free of ticks");
        return;
    }
    sys_cpus_text(shared ? &others : &ticking, list, sizeof list);
    sys_cpus_text(&own, all, sizeof all);
    snprintf(words, sizeof words, "isolcpus=managed_irq,domain,%s nohz_full=%s rcu_nocbs=%s", all,
             all, all);
    f = find(v, LEVEL_ADVICE, "isolation",
             "of the shards' CPUs %s %s: put \"%.200s\" on the kernel's command line and restart "
             "the machine",
             list, shared ? "may run others' threads" : "are interrupted by the timer tick", words);
    if (m->grub && strlen(words) < 160)
        mend_cmdline(m, f, words);
}

static void judge_governor(const struct machine *m, const struct wants *w, struct verdict *v)
{
    cpu_set_t slow;
    char list[256], cpus[128] = "";
    size_t len = 0;
    struct finding *f;

    CPU_AND(&slow, &w->shards, &m->slow_governor);
    if (CPU_COUNT(&slow) == 0)
        return;
    f = find(v, LEVEL_ADVICE, "governor",
             "the frequency governor of CPU %s is not \"performance\": clocks fall between bursts",
             sys_cpus_text(&slow, list, sizeof list));
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &slow) && len < 120)
            len += (size_t)snprintf(cpus + len, sizeof cpus - len, " %u", cpu);
    mend(f,
         "for c in%s; do echo performance > "
         "/sys/devices/system/cpu/cpu$c/cpufreq/scaling_governor; done",
         cpus);
}

/* ---- nodes ---- */

struct crossings {
    const struct machine *m;
    const struct placement_dev *devs;
    struct verdict *v;
};

static void tell_crossing(void *arg, unsigned dev, const char *sentence)
{
    struct crossings *c = arg;
    const struct placement_dev *d = &c->devs[dev];
    char cpus[160];

    find(c->v, LEVEL_ADVICE, "numa", "%s. [cpu] shards of its node would be: %s", sentence,
         sys_cpus_text(&c->m->node_cpus[d->node], cpus, sizeof cpus))
        ->addr = d->name;
}

static void judge_nodes(const struct machine *m, const struct wants *w, struct verdict *v)
{
    struct placement_dev devs[WANTS_DEVS];
    struct placement_shard shards[WANTS_SHARDS];
    struct placement p = {.devs = devs, .shards = shards, .distance = m->distance};
    struct crossings c = {m, devs, v};

    while (p.n_shards < w->n_shards) {
        unsigned cpu = w->shard_cpu[p.n_shards];

        shards[p.n_shards++] =
            (struct placement_shard){cpu, w->pin ? machine_cpu_node(m, cpu) : -1};
    }
    for (unsigned i = 0; i < w->n_devs; i++) {
        const struct pci_dev *d = machine_dev(m, w->devs[i].addr);

        if (d != NULL && d->node >= 0 && (unsigned)d->node < m->n_nodes)
            devs[p.n_devs++] =
                (struct placement_dev){w->devs[i].nic ? "port" : "device", d->addr, d->node};
    }
    if (placement_judge(&p, tell_crossing, &c) == 0 && m->n_nodes > 1 && p.n_devs != 0)
        find(v, LEVEL_FINE, "numa", "devices and shards are on the same NUMA node");
}

void judge_cpus(const struct machine *m, const struct wants *w, struct verdict *v)
{
    if (!w->profile)
        return;
    judge_present(m, w, v);
    judge_nodes(m, w, v);
    if (!w->pin)
        return;
    judge_isolation(m, w, v);
    judge_governor(m, w, v);
}
