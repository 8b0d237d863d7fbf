# SPDX-License-Identifier: BSD-3-Clause
"""Rows of the ingest bench from its samples: CODEC, CONNECTIONS, kind and figures, by tabs."""

import json
import sys
from statistics import median

slices, primitives, baseline, pairs = {}, {}, {}, {}
for line in open(sys.argv[1]):
    codec, conns, kind, data = line.rstrip("\n").split("\t")
    key = (codec, conns)
    if kind == "slice":
        n = [int(x) for x in data.split()]
        slices.setdefault(key, []).append([n[i + 5] - n[i] for i in range(5)])
    elif kind == "pair":
        pairs.setdefault(key, []).append(int(data))
    elif kind == "primitives":
        primitives.setdefault(key, []).append(json.loads(data))
    else:
        baseline[key] = json.loads(data)


def row(*cells):
    print("\t".join(str(c) for c in cells))


every = [p for some in primitives.values() for p in some]
for name, what in (("aes128_gcm_open_16k", "AES-128-GCM open of 16 KiB"), ("crc32c", "CRC32C"),
                   ("copy", "copy"), ("inflate", "inflate of 64 KiB, output")):
    values = sorted(p[name] for p in every)
    row("-", f"primitive: {what}", median(values), "GB/s")
    row("-", "  from the slowest to the fastest slice", values[-1] / values[0], "ratio")

for (codec, conns), some in slices.items():
    ratios, rates, bounds, slowest = [], [], [], []
    for p, (raw, wire, busy, idle, _) in zip(primitives[codec, conns], some):
        cost = {"gcm": wire / raw / p["aes128_gcm_open_16k"], "crc": 1 / p["crc32c"], "copy": 1 / p["copy"]}
        if codec == "deflate":
            cost["inflate"] = 1 / p["inflate"]
        bounds.append(1 / sum(cost.values()))
        slowest.append(1 / max(cost.values()))
        rates.append(raw / busy)
        ratios.append(raw / busy * sum(cost.values()))
    total = [sum(s[i] for s in some) for i in range(5)]
    name = f"{codec}, {conns} connection" + ("s" if conns != "1" else "")
    row("-", f"{name}: rate on the wire", total[1] / (total[2] + total[3]) * 8, "Gbit/s")
    row("-", f"{name}: rate per core-second", total[0] / (total[2] + total[3]), "GB/s")
    row("-", f"{name}: rate per busy core-second", median(rates), "GB/s")
    row("-", f"{name}: harmonic sum of the primitives", median(bounds), "GB/s")
    row("R6" if codec == "stored" else "R11", f"{name}: rate / harmonic sum", median(ratios), "ratio")
    row("R7" if codec == "stored" else "-", f"{name}: rate / slowest primitive",
        median(r / s for r, s in zip(rates, slowest)), "ratio")
    row("-", f"{name}: cache line to the other CPU and back", max(pairs[codec, conns]), "ns")
    b = baseline[codec, conns]
    kernel = b["raw_bytes"] / 1e9 / b["cpu_seconds"]
    row("-", f"{name}: kernel sockets, per busy core-second", kernel, "GB/s")
    row("P3", f"{name}: engine / kernel sockets", median(rates) / kernel, "ratio")
