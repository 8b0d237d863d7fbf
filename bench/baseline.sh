#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a plain receiver on kernel sockets does with the load that the ingest bench uses: the
# denominator of P3. Receiver on CPU 0, generator on CPU 1, a veth pair between their namespaces,
# nothing written. CPU seconds are those of the receiver's process, which sleeps when it is idle; what
# the kernel does for it in soft interrupts on other CPUs is not in them.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"

SUITE=TLS_AES_128_GCM_SHA256
RECEIVER=$HG_TOP/build/bench/baseline

# A veth pair; the receiver gets the node's address.
make_wire() {
    server=$(hg_namespace server)
    client=$(hg_namespace client)
    ip link add v0 netns "$server" type veth peer name v1 netns "$client"
    ip -n "$server" address add "$HG_NODE_ADDR/24" dev v0
    ip -n "$client" address add "$HG_CLIENT_ADDR/24" dev v1
    ip -n "$server" link set v0 up
    ip -n "$client" link set v1 up
}

# measure CODEC CONNECTIONS
measure() {
    local key=$HG_DIR/pki
    hg_start receiver ip netns exec "$server" taskset -c 0 "$RECEIVER" --listen "$HG_NODE_ADDR" \
        --cert "$key/node.crt" --key "$key/node.key" --ca "$key/ca.crt" --null
    hg_wait_line receiver 10 '^baseline: ready'
    hg_in "$client" taskset -c 1 "$HG_LOAD" --server "$HG_NODE_ADDR" --ca "$key/ca.crt" --quiet \
        --cert "$key/source1.crt" --key "$key/source1.key" --tls 1.3 --suite $SUITE --codec "$1" --replay \
        --compress-ratio 2.5 --block 64K --size 256M --volumes "$2" --connections "$2" \
        --duration "${BENCH_SECONDS}s" >"$HG_DIR/load.log" 2>&1 || {
        tail -n 5 "$HG_DIR/load.log" >&2
        exit 1
    }
    hg_stop receiver 20
    read -r per_cpu busy < <(tail -n 1 "$HG_DIR/run/receiver.out" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print(r["raw_bytes"] / 1e9 / r["cpu_seconds"], r["cpu_seconds"] / r["seconds"])')
    bench_row P3 "kernel sockets, OpenSSL, zlib: $1, 64 KiB, $2 connections" "$per_cpu" "GB/s per busy core-second"
    bench_row - "  share of its core that it was busy" "$busy" "ratio"
}

bench_begin baseline 3 "$@"
requires ip taskset python3
requires_root
hg_certificates source1
make_wire
printf '%s, %s s each\n' "$SUITE" "$BENCH_SECONDS"
for codec in stored deflate; do
    for connections in 1 64 1000; do
        measure "$codec" "$connections"
    done
done
bench_end
