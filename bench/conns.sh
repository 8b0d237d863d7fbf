#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Connections per second and what one costs.
#
#     in process          handshake and close of the TCP stack alone, without a port (build/bench/tcp_bench)
#     from the kernel     clients open, exchange a line with echo and reset, 200 at once; beside it a Linux
#                         listener behind a veth pair. The client and that listener are Python programs
#     TLS                 handshakes, full and resumed, one after the other; beside it openssl s_server with the same key.
#                         Per second, and per second in which the server was busy, which leaves the client out
#     memory              what the daemon's resident memory grows by for each idle connection
#
# Hosts take turns; medians count. The one whose turn it is not stands still.
#
#     ./dev bench conns [--json FILE] [--seconds N]
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/bench/host.bash"
source "$HG_TOP/bench/handshakes.bash"

TURNS=3
COUNT=8000 HANDSHAKES=800 IDLE=5000

churn_rows() {
    local ours=() theirs=() mine other
    hg_start linux ip netns exec "$NS_LINUX" "$STORM" serve 7
    hg_wait_line linux 10 '^ready'
    for _ in $(seq $TURNS); do
        host_pause
        theirs+=("$(clients churn $HG_LINUX_ADDR 7 reset $COUNT 198.51.100.1)")
        host_resume
        ours+=("$(clients churn $HG_NODE_ADDR 7 reset $COUNT $HG_CLIENT_ADDR)")
    done
    hg_kill linux
    mine=$(calc "median([$(IFS=,; echo "${ours[*]}")])")
    other=$(calc "median([$(IFS=,; echo "${theirs[*]}")])")
    bench_row conns "open, echo, reset from kernel clients: Headgate over net_tap" "$mine" 1/s
    bench_row conns "open, echo, reset from kernel clients: Linux over veth" "$other" 1/s
    bench_row conns "open, echo, reset from kernel clients: Headgate / Linux" "$(calc "$mine / $other")" ratio
}

# idle WHAT PORT KIND [CA]: the row of idle connections.
idle() {
    local what=$1 port=$2 kind=$3 ca=("${@:4}") before
    mkfifo "$HG_DIR/say"
    before=$(resident)
    hg_start clients bash -c "exec ip netns exec $NS $STORM $kind $HG_NODE_ADDR $port $IDLE 100 ${ca[*]} $HG_CLIENT_ADDR <>$HG_DIR/say"
    hg_wait_line clients 60 '^open'
    bench_row conns "memory of an idle connection, $what" "$(calc "($(resident) - $before) / $IDLE")" bytes
    hg_kill clients
    rm "$HG_DIR/say"
}

bench_begin conns 1 "$@"
requires ip openssl python3
requires_root
ulimit -n "$(ulimit -Hn)"
bench_row conns "opened and closed in process, TCP alone" \
    "$("$HG_TOP/build/bench/tcp_bench" --cpu 0 --seconds "$BENCH_SECONDS" open)" 1/s
host_network
host_daemon --set test.connections=12000
idle "plain" 7 hold
host_daemon --set test.connections=12000
idle "TLS" 1007 hold-tls "$HG_DIR/pki/ca.crt"
churn_rows
handshake_rows
bench_end
