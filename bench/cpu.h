/* SPDX-License-Identifier: BSD-3-Clause */
/* What measuring programs share: the clock, a CPU of their own, the median. */
#ifndef HEADGATE_BENCH_CPU_H
#define HEADGATE_BENCH_CPU_H

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Seconds. */
static inline double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void cpu_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static inline void cpu_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline int cpu_less(const void *a, const void *b)
{
    double d = *(const double *)a - *(const double *)b;

    return (d > 0) - (d < 0);
}

/* Sorts v. */
static inline double cpu_quantile(double *v, unsigned n, double q)
{
    qsort(v, n, sizeof *v, cpu_less);
    return v[(unsigned)(q * (n - 1) + 0.5)];
}

/* Sorts v. */
static inline double cpu_median(double *v, unsigned n)
{
    return cpu_quantile(v, n, 0.5);
}

#endif /* HEADGATE_BENCH_CPU_H */
