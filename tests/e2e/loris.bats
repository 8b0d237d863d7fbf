#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# A thousand handshakes that are begun and never finished, beside a transfer and clients that mean it.

load node.bash

setup() {
    NODE_PROFILE=test
    node_prepare alpha beta
    ulimit -n "$(ulimit -Hn)"
}

teardown() {
    hg_end
}

# transfer: source alpha sends at a steady rate until the test lets it end; returns when it has begun.
transfer() {
    hg_start alpha ip netns exec "$NS" "$HG_LOAD" --server $HG_NODE_ADDR --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --quiet --size 128M --rate 24Mbit --duration 25s \
        --block 16K
    node_counts ingest.frames_data 5
}

# moves: alpha's transfer goes on.
moves() {
    node_counts tls.records_in $(($(node_counter tls.records_in) + 100)) 20
}

# loris COUNT: as many half-done handshakes; returns when all are there.
loris() {
    hg_start loris ip netns exec "$NS" "$HG_TOP/tests/e2e/loris.py" $HG_NODE_ADDR 1500 "$1"
    hg_wait_line loris 60 '^open'
}

# honest NAME: a new source gets in and has its data stored.
honest() {
    timeout 30 ip netns exec "$NS" "$HG_LOAD" --server $HG_NODE_ADDR --cert "$HG_DIR/pki/beta.crt" \
        --key "$HG_DIR/pki/beta.key" --ca "$HG_DIR/pki/ca.crt" --quiet --size 1M --volume "$1" >"$HG_DIR/honest" 2>&1 ||
        { cat "$HG_DIR/honest" >&2; hg_die "an honest source was not served"; }
}

# grown KIB: the daemon's memory, since $rss, is at most that.
grown() {
    local now
    now=$(node_rss)
    echo "# resident: $rss KiB before, $now KiB with the handshakes, $1 KiB more are allowed" >&3
    [ $((now - rss)) -le "$1" ] || hg_die "grew by $((now - rss)) KiB"
}

all_over() {
    [ "$(node_counter handshakes.open)" -eq 0 ]
}

# undisturbed: alpha has ended well, on the connection it began with.
undisturbed() {
    local rc=0
    hg_wait_exit alpha 60 || rc=$?
    [ $rc -eq 0 ] || { hg_output alpha; hg_die "the transfer ended with status $rc"; }
    [ "$(node_counter tls.handshakes)" -eq "$1" ]
    [ "$(node_counter shard.cut)" -eq 0 ]
}

@test "1,000 half-done handshakes: bounded memory, a transfer goes on, others get in, all time out" {
    local rss
    node_start --set tls.client-hello-timeout=10s --set tls.handshake-timeout=14s --set tls.handshakes-max=1200
    transfer
    rss=$(node_rss)
    loris 1000
    [ "$(node_counter handshakes.open)" -eq 1000 ]
    grown $((1000 * 64 + 4096))
    moves
    honest one
    honest two
    moves
    hg_wait_for 30 all_over
    hg_wait_exit loris 10 # all were ended
    [ "$(node_counter shard.hello_timeouts)" -eq 667 ]
    [ "$(node_counter shard.handshake_timeouts)" -eq 333 ]
    [ "$(node_counter shard.handshakes_full)" -eq 0 ]
    undisturbed 3
}

@test "more half-done handshakes than the cap: the cap holds, the oldest go, others get in; without helpers" {
    local rss
    node_start --set tls.handshakes-max=100 --set tls.handshake-helpers=0
    transfer
    rss=$(node_rss)
    loris 1000
    [ "$(node_counter handshakes.open)" -le 100 ]
    grown $((100 * 64 + 4096))
    moves
    sleep 1 # older than a second they give way
    honest one
    [ "$(node_counter shard.handshakes_evicted)" -gt 0 ]
    [ $(($(node_counter shard.handshakes_evicted) + $(node_counter shard.handshakes_full))) -ge 900 ]
    hg_wait_for 30 all_over
    hg_wait_exit loris 10
    undisturbed 2
}
