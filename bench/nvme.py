# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the part uring of the NVMe bench, from lines of operation, block size, requests a second: ours, fio's, and ours
with huge pages."""

import statistics
import sys

samples = {}
for line in open(sys.argv[1]):
    op, block, *rates = line.split()
    samples.setdefault((op, int(block)), []).append([float(r) for r in rates])

for (op, block), pairs in samples.items():
    name = f"{op}, {block // 1024} KiB"
    ours = statistics.median(p[0] for p in pairs)
    theirs = statistics.median(p[1] for p in pairs)
    huge = statistics.median(p[2] for p in pairs)
    ratios = sorted(p[0] / p[1] for p in pairs)
    low, high = ratios[len(ratios) // 4], ratios[(3 * len(ratios) - 1) // 4]
    print("-", f"{name}: uring", ours / 1e3, "1000/s", sep="\t")
    print("-", f"{name}: fio", theirs / 1e3, "1000/s", sep="\t")
    print("-", f"{name}: uring, huge pages", huge / 1e3, "1000/s", sep="\t")
    print("R15", f"{name}: uring / fio, median of the turns", statistics.median(ratios), "ratio", sep="\t")
    print("-", "  interquartile range of that ratio", high - low, "ratio", sep="\t")
