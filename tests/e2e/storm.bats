#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# Connections in great number from the kernel's TCP: opened and closed, or held open.

load node.bash

SOURCES=()

setup() {
    NODE_PROFILE=test
    node_prepare alpha
    ulimit -n "$(ulimit -Hn)"
    local i
    for i in 2 3 4 5 6 7; do
        SOURCES+=(192.0.2.$i)
    done
}

teardown() {
    hg_end
}

# storm_start [OPTION...]: the node, and a client with all addresses and ports.
storm_start() {
    node_start "$@"
    local address
    for address in "${SOURCES[@]:1}"; do
        ip -n "$NS" address add "$address/24" dev hg0
    done
    hg_in "$NS" sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
}

# churn PORT END COUNT
churn() {
    timeout 120 ip netns exec "$NS" "$HG_TOP/tests/e2e/storm.py" churn $HG_NODE_ADDR "$@" "${SOURCES[@]}" >"$HG_DIR/churn"
}

# table NAME MAXIMUM: no more than that.
table() {
    local now
    now=$(node_counter "tcp_table.$1")
    [ "$now" -le "$2" ] || hg_die "tcp_table.$1 is $now, more than $2"
}

# flat MAXIMUM: KiB that the daemon has grown since $rss.
flat() {
    local now
    now=$(node_rss)
    echo "# resident: $rss KiB before, $now KiB after" >&3
    [ $((now - rss)) -le "$1" ] || hg_die "grew by $((now - rss)) KiB"
}

@test "100,000 connections come and go: memory is flat, nothing is left, every one is counted" {
    local rss end
    storm_start --set tcp.connections=8000 --set test.connections=1000
    for end in reset fin; do # touches all that will be touched
        churn 7 $end 5000
    done
    churn 80 theirs 9000
    rss=$(node_rss)
    churn 7 reset 30000
    churn 7 fin 35000
    churn 80 theirs 35000
    table time_wait 2001 # a quarter of the table, and one
    flat 1024
    hg_wait_for 10 only_time_wait
    [ "$(node_counter test.echo_conns)" -eq 75000 ]
    [ "$(node_counter test.http_200)" -eq 44000 ]
    [ "$(node_counter tcp.passive_opens)" -eq 119000 ]
    [ "$(node_counter shard.conns)" -eq 119000 ]
    [ "$(node_counter shard.conns_closed)" -eq 119000 ]
    [ "$(node_counter tcp.rx_rst)" -ge 35000 ]
    [ "$(node_counter tcp.time_wait_recycled)" -gt 0 ]
    [ "$(node_counter test.refused)" -eq 0 ]
    [ "$(node_counter tcp.conn_limit_drop)" -eq 0 ]
    hg_wait_for 45 table conns 0 # TIME-WAIT lasts 30 s
}

only_time_wait() {
    [ "$(node_counter tcp_table.conns)" -eq "$(node_counter tcp_table.time_wait)" ]
}

open_or_gone() {
    grep -qx open "$HG_DIR/said" || ! kill -0 "$1"
}

# held COUNT LIMIT PORT [CA]: as many connections idle, then all send at once, twice; LIMIT is in bytes
# for each of them.
held() {
    local count=$1 limit=$2 port=$3 kind=hold rss grown ca=()
    [ $# -lt 4 ] || { kind=hold-tls; ca=("$4"); }
    [ "$(ulimit -n)" -ge $((count + 1000)) ] || hg_skip "may not open $count sockets here"
    rss=$(node_rss)
    mkfifo "$HG_DIR/say"
    hg_in "$NS" "$HG_TOP/tests/e2e/storm.py" $kind $HG_NODE_ADDR "$port" "$count" 1000 "${ca[@]}" "${SOURCES[@]}" \
        <"$HG_DIR/say" >"$HG_DIR/said" 2>&1 3>&- &
    local client=$!
    exec 9>"$HG_DIR/say"
    hg_wait_for 300 open_or_gone $client
    grep -qx open "$HG_DIR/said" || hg_die "$(cat "$HG_DIR/said")"
    grown=$((($(node_rss) - rss) * 1024 / count))
    echo "# $count idle connections: $grown bytes each" >&3
    sleep 3 # idle
    table conns "$count"
    for _ in 1 2; do
        echo go >&9
    done
    exec 9>&-
    wait $client
    [ "$(grep -c done "$HG_DIR/said")" -eq 2 ]
    [ $grown -le "$limit" ] || hg_die "an idle connection costs $grown bytes"
    rm "$HG_DIR/say" "$HG_DIR/said"
    hg_wait_for 30 only_time_wait
}

@test "10,000 idle connections cost 8 KiB each, and then all send at once and get all of it back" {
    storm_start --set test.connections=10000 --set test.idle=60s
    held 10000 8192 7
}

@test "10,000 idle connections over TLS cost 8 KiB each, and all send at once" {
    storm_start --set test.connections=10000 --set test.idle=400s
    held 10000 8192 1007 "$HG_DIR/pki/ca.crt"
}
