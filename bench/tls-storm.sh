#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a storm of TLS handshakes costs a stream: goodput and the wait for acknowledgements of one replication,
# before and during, with helper threads and without. The storm is as many openssl s_time clients as CPUs, each
# with a certificate, which the HTTP responder is told to ask for, one full handshake after the other (s_time has no ALPN, so
# not to the port of the stream). They share the CPUs with the node, whose shard polls one, so read the rows as before and
# during of the same machine.
#
#     ./dev bench tls-storm [--json FILE] [--seconds N]      N: the length of a slice
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/tests/e2e/node.bash"

HELPERS=${HELPERS:-2} # threads, where there are any
RATE=${RATE:-400Mbit} # of the stream; above what the machine carries, the storm only takes shares

storm_start() {
    local i
    for i in $(seq "$(nproc)"); do
        hg_start "storm$i" ip netns exec "$NS" openssl s_time -connect $HG_NODE_ADDR:443 -new -tls1_3 -time 600 \
            -www /10 -cert "$HG_DIR/pki/beta.crt" -key "$HG_DIR/pki/beta.key" -CAfile "$HG_DIR/pki/ca.crt"
    done
}

storm_stop() {
    local i
    for i in $(seq "$(nproc)"); do
        hg_kill "storm$i"
    done
}

# slice VOLUME: prints goodput in Mbit/s, p50 and p99 of the acknowledgements in ms.
slice() {
    node_load alpha --size 8G --volume "$1" --rate "$RATE" --duration "${BENCH_SECONDS}s" --replay --json "$HG_DIR/load.json" >&2
    python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
assert s["cuts"] == 0, "the stream was cut"
print(s["wire_gbit"] * 1000, s["ack_p50_ms"], s["ack_p99_ms"])' "$HG_DIR/load.json"
}

# rows WHAT "GOODPUT P50 P99"
rows() {
    local values
    read -ra values <<<"$2"
    bench_row storm "$1: goodput" "${values[0]}" Mbit/s
    bench_row storm "$1: acknowledgement, median" "${values[1]}" ms
    bench_row storm "$1: acknowledgement, 99 %" "${values[2]}" ms
}

# round HELPERS NAME
round() {
    local quiet noisy done
    node_start --set tls.handshake-helpers="$1" --set tls.handshakes-per-prefix=0 --set cpu.idle-sleep=0us \
        --set node.profile=test --set test.services=yes --set test.http-tls=443 --set test.tls-client-certificate=required
    quiet=$(slice "quiet$1")
    rows "$2, before" "$quiet"
    storm_start
    node_counts tls.handshakes 20
    done=$(node_counter tls.handshakes)
    noisy=$(slice "noisy$1")
    done=$(($(node_counter tls.handshakes) - done))
    rows "$2, during the storm" "$noisy"
    storm_stop
    bench_row storm "$2: handshakes served meanwhile" "$(python3 -c "print($done / $BENCH_SECONDS)")" 1/s
    bench_row storm "$2: goodput during / before" "$(python3 -c "print(${noisy%% *} / ${quiet%% *})")" ratio
    hg_daemon_stop
    rm -f "$HG_DIR"/pool/*
}

bench_begin tls-storm 5 "$@"
requires ip openssl python3
requires_root
export HEADGATE_SOCKET=$HG_DIR/control.sock NODE_DEVICE_SIZE=4G
hg_certificates alpha beta
mkdir -p "$HG_DIR/pool"
NS=$(hg_namespace node)
round "$HELPERS" "$HELPERS helpers"
round 0 "no helpers"
bench_end
