# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the TLS bench from the lines of tls_bench."""

import sys

GOAL = {"16384": "R1", "4096": "R2", "1400": "R2"}

for line in open(sys.argv[1]):
    provider, suite, size, form, what, library, record, ratio, low, high = line.rstrip("\n").split("\t")
    alone, goal = ("SSL_read", "R3") if what == "read" else ("library alone", GOAL[size])
    verb = "open" if what == "read" else what
    name = f"{verb} of {size} bytes{', pieces of 1460' if form == 'pieces' else ''}, {suite}, {provider}"
    print("-", f"{name}: {alone}", library, "GB/s", sep="\t")
    if what != "read":
        print("-", f"{name}: record", record, "GB/s", sep="\t")
    print(goal, f"{name}: record / {alone.replace(' alone', '')}", ratio, "ratio", sep="\t")
    print("-", "  interquartile range of that ratio", float(high) - float(low), "ratio", sep="\t")
