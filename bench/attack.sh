#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What a SYN flood from spoofed sources costs a connection that stands: its goodput with and without, in slices
# that take turns, as attack.py in this folder says. Once paced to what the machine carries easily, where the
# flood should cost nothing, and once as fast as it goes, where it costs the shard's time.
#
#     ./dev bench attack [--json FILE] [--seconds N]      N: the length of a slice
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/tests/e2e/node.bash"

RATE=10000 # SYNs a second

bench_begin attack 1 "$@"
requires ip python3 openssl
requires_root
export HEADGATE_SOCKET=$HG_DIR/control.sock NODE_PROFILE=test
hg_certificates
mkdir -p "$HG_DIR/pool"
NS=$(hg_namespace node)
node_start --set port.gateway=$HG_CLIENT_ADDR
ip -n "$NS" link add away0 type veth peer name away1
ip -n "$NS" link set away0 up
ip -n "$NS" link set away1 up
hg_wait_for 10 hg_in "$NS" ping -q -c 1 -W 1 $HG_NODE_ADDR
for mbit in 100 0; do
    hg_in "$NS" "$HG_TOP/bench/attack.py" $HG_NODE_ADDR hg0 away0 "$BENCH_SECONDS" $RATE $mbit >"$HG_DIR/flood.rows"
    while IFS=$'\t' read -r id what value unit; do
        bench_row "$id" "$what" "$value" "$unit"
    done <"$HG_DIR/flood.rows"
done
bench_row attack "SYNs answered with cookies" "$(node_counter tcp.syncookies_sent)" packets
bench_row attack "SYNs dropped because the table was full" "$(node_counter tcp.conn_limit_drop)" packets
hg_daemon_stop
bench_end
