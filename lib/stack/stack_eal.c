/* SPDX-License-Identifier: BSD-3-Clause */
/* EAL with nothing but memory, for harnesses that have no use for it themselves. */
#include <errno.h>
#include <headgate/stack.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>

#define MEMORY_DEFAULT 256u /* MiB */

/* "0@(1,3)": one lcore on all CPUs that this thread may use, so that EAL changes nothing there. */
static int lcore_plan(char *plan, size_t size)
{
    cpu_set_t set;
    int len;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return -errno;
    len = snprintf(plan, size, "0@(");
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && (size_t)len + 8 < size; cpu++)
        if (CPU_ISSET(cpu, &set))
            len += snprintf(plan + len, size - (size_t)len, "%s%u", plan[len - 1] == '(' ? "" : ",",
                            cpu);
    snprintf(plan + len, size - (size_t)len, ")");
    return 0;
}

int hg_stack_eal(unsigned memory, struct hg_err *err)
{
    char plan[4096], mib[16];
    char *argv[] = {"headgate-stack", "--no-huge", "--no-shconf",    "--no-pci",      "-m", mib,
                    "--lcores",       plan,        "--no-telemetry", "--log-level=4", NULL};
    int rc = lcore_plan(plan, sizeof plan);

    if (rc != 0)
        return hg_fail(err, rc, "the CPUs of this thread cannot be found out");
    snprintf(mib, sizeof mib, "%u", memory != 0 ? memory : MEMORY_DEFAULT);
    if (rte_eal_init(HG_ARRAY_LEN(argv) - 1, argv) < 0)
        return hg_fail(err, -rte_errno, "EAL did not start with %s MiB: %s", mib,
                       rte_strerror(rte_errno));
    return 0;
}
