#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a plain receiver on kernel sockets does with the load of the ingest bench: the denominator of P3.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/baseline/run.bash"

SUITE=TLS_AES_128_GCM_SHA256
bench_begin baseline 3 "$@"
requires ip taskset python3
requires_root
hg_certificates source1
baseline_prepare
printf '%s, %s s each\n' "$SUITE" "$BENCH_SECONDS"
for codec in stored deflate; do
    for connections in 1 64 1000; do
        read -r per_cpu busy < <(baseline_measure "$codec" "$connections" "${BENCH_SECONDS}000" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print(r["raw_bytes"] / 1e9 / r["cpu_seconds"], r["cpu_seconds"] / r["seconds"])')
        bench_row P3 "kernel sockets, OpenSSL, zlib: $codec, 64 KiB, $connections connections" "$per_cpu" "GB/s per busy core-second"
        bench_row - "  share of its core that it was busy" "$busy" "ratio"
    done
done
bench_end
