#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The whole pipeline over shared memory (net_memif), and beside it what a plain receiver on kernel
# sockets does with the same load: server on CPU 0, generator on CPU 1, 64 KiB blocks, the stored form
# and deflate, 1, 64 and 1000 connections.
#
# Engine: our TCP and TLS on both sides, devices of memory. The rate per busy core-second (turns of its
# loop that found nothing are not counted) stands beside the harmonic sum of the primitives it cannot do
# without:
#
#     1 / (wire/GCM + raw/CRC + raw/copy [+ raw/inflate])     per raw byte
#
# The machine's speed changes from second to second, so they are measured in turns: the engine is
# stopped (SIGSTOP), the primitives run on its CPU, the engine goes on. Medians of the slices count. The
# links cannot corrupt, so TCP/IP checksums are not computed in software on receive.
#
# Kernel: bench/baseline (epoll, OpenSSL, zlib, pwrite into a file in memory), a veth pair, OpenSSL on
# both sides; its CPU seconds are those of its process.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/baseline/run.bash"

SUITE=TLS_AES_128_GCM_SHA256
RATIO=2.5
SLICES=4
RAW_WARM=450000000 # bytes: every page of the devices has been written twice

# generator CODEC CONNECTIONS DEPTH
generator() {
    hg_start load "$HG_LOAD" --transport dpdk --cpu 1 --server "$HG_NODE_ADDR" --addr "$HG_CLIENT_ADDR/24" --port net_memif0 \
        --eal "--no-huge -m 1536 --no-pci --file-prefix=ld$HG_ID --vdev=net_memif0,role=server,bsize=2048,rsize=9,socket-abstract=no,socket=$HG_DIR/memif.sock" \
        --ca "$HG_DIR/pki/ca.crt" --cert "$HG_DIR/pki/source1.crt" --key "$HG_DIR/pki/source1.key" \
        --tls 1.3 --suite $SUITE --codec "$1" --replay --compress-ratio $RATIO --block 64K \
        --size "$((64 / $2 > 0 ? 64 * 1024 / $2 / 64 * 64 : 64))K" --volumes "$2" --connections "$2" --depth "$3" \
        --duration 600s --quiet --json "$HG_DIR/load.json"
    hg_wait_for 10 test -S "$HG_DIR/memif.sock"
}

# The engine is the memif client, whose packets the other side writes straight into its buffers. Windows
# are small: the round trip is microseconds, and what waits in a queue is no longer in the cache.
engine() {
    hg_start headgate "$HG_DAEMON" -c "$HG_TOP/config/demo.ini" --set cpu.shards=0 --set cpu.control=1 --set cpu.idle-sleep=0us \
        --set "port.vdev=net_memif0,role=client,zero-copy=yes,rsize=9,socket-abstract=no,socket=$HG_DIR/memif.sock" \
        --set eal.args=--single-file-segments --set "eal.huge=$HUGE" --set "eal.file-prefix=hg$HG_ID" \
        --set port.trust-checksums=yes --set port.rx-mbufs=65536 --set port.rx-descriptors=0 --set port.tx-descriptors=0 \
        --set tcp.receive-memory=96M --set tcp.receive-buffer=128K \
        --set ingest.connections=1200 --set ingest.buffers=256M --set ingest.credit=4M --set ingest.max-extent=64K \
        --set store.device0=mem:112M --set store.device1=mem:112M --set store.device2= --set store.device3= --set store.device-size=0 \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET"
    hg_wait_line headgate 30 '^headgate: ready'
}

snapshot() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
s = json.load(sys.stdin)["shards"][0]
print(s["ingest"]["raw_bytes"], s["ingest"]["wire_bytes"], s["shard"]["busy_ns"], s["shard"]["idle_ns"],
      s["tcp"]["rx_segs"])'
}

flowing() {
    [ "$(snapshot | cut -d' ' -f1)" -gt $RAW_WARM ]
}

# primitives: one line of figures, measured on the engine's CPU while the engine stands still.
primitives() {
    local line
    kill -STOP "$(hg_pid headgate)"
    echo go >&"${PRIMITIVES[1]}"
    read -r -t 20 line <&"${PRIMITIVES[0]}"
    kill -CONT "$(hg_pid headgate)"
    sleep 0.05 # the turn that was interrupted is over, and what had piled up is done
    printf '%s\n' "$line"
}

# What one CPU writes the other reads: a virtual machine's CPUs share a cache at one moment and not at
# the next, and that changes the stored rows by a third. Sets PAIR: ns to the other CPU and back.
NEAR=200
pair() {
    PAIR=$("$HG_TOP/build/bench/primitives" --cpu 0 --pair 1)
}

# Or it does not matter.
is_near() {
    [ -z "${HG_BENCH_NEAR:-}" ] || [ "$PAIR" -le $NEAR ]
}

# measure_near CODEC CONNECTIONS DEPTH: with HG_BENCH_NEAR=1, waits up to 30 s for the CPUs to share a
# cache, and repeats, four times at most, a row in which they parted.
measure_near() {
    local before try
    for try in 1 2 3 4; do
        pair
        for _ in $(seq 60); do
            if is_near; then break; fi
            sleep 0.5
            pair
        done
        before=$PAIR
        : >"$HG_DIR/row"
        measure "$@"
        pair
        if is_near || [ "$try" -eq 4 ]; then break; fi
    done
    cat "$HG_DIR/row" >>"$HG_DIR/samples"
    printf '%s\t%s\tpair\t%s\n' "$1" "$2" "$before" "$1" "$2" "$PAIR" >>"$HG_DIR/samples"
}

# measure CODEC CONNECTIONS DEPTH
measure() {
    local before after
    rm -f "$HG_DIR/memif.sock"
    generator "$1" "$2" "$3"
    engine
    hg_wait_for 120 flowing
    for _ in $(seq $SLICES); do
        printf '%s\t%s\tprimitives\t%s\n' "$1" "$2" "$(primitives)" >>"$HG_DIR/row"
        before=$(snapshot)
        sleep "$(python3 -c "print($BENCH_SECONDS / $SLICES)")"
        after=$(snapshot)
        printf '%s\t%s\tslice\t%s %s\n' "$1" "$2" "$before" "$after" >>"$HG_DIR/row"
    done
    hg_kill load
    hg_kill headgate
}

bench_begin ingest 1.2 "$@"
requires ip taskset python3
requires_root
taskset -pc 1 $$ >/dev/null # the engine's CPU is for the engine
HUGE=$(bench_hugepages 320)
export HEADGATE_SOCKET=$HG_DIR/control.sock
hg_certificates source1
baseline_prepare
coproc PRIMITIVES { exec "$HG_TOP/build/bench/primitives" --cpu 0 --ratio $RATIO --seconds 0.02 --serve; }
printf '%s, %s s a row; server on CPU 0, generator on CPU 1, 64 KiB blocks; hugepages: %s\n' "$SUITE" "$BENCH_SECONDS" "$HUGE"
: >"$HG_DIR/samples"
for codec in ${HG_BENCH_CODECS:-stored deflate}; do
    for connections in ${HG_BENCH_CONNECTIONS:-1 64 1000}; do
        case $connections in 1) depth=4M ;; 64) depth=1M ;; *) depth=128K ;; esac
        measure_near "$codec" "$connections" $depth
        kernel=$(baseline_measure "$codec" "$connections" 500)
        printf '%s\t%s\tbaseline\t%s\n' "$codec" "$connections" "$kernel" >>"$HG_DIR/samples"
    done
done
bench_rows "$HG_TOP/bench/ingest.py" "$HG_DIR/samples"
bench_end
