#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# Several shards behind one port: whoever spreads the packets, connections work the same.

load node.bash

setup() {
    node_prepare alpha
}

teardown() {
    hg_end
}

# Shards that have at least one connection.
busy_shards() {
    "$HG_CTL" --json conns | python3 -c '
import json, sys
print(len({c["shard"] for c in json.load(sys.stdin)["conns"]}))'
}

both_busy() {
    [ "$(busy_shards)" -eq 2 ]
}

spread_counter() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
print(json.load(sys.stdin)["port"]["spread"][sys.argv[1]])' "$1"
}

@test "one queue is spread over two shards, and every volume arrives" {
    node_start --set cpu.shards=0,1 --set port.spread=software
    node_load alpha --volumes 8 --connections 8 --size 16M --bytes 256M --codec deflate &
    hg_wait_for 20 both_busy
    wait $!
    [ "$(spread_counter passed)" -gt 1000 ]
    [ "$(spread_counter rx_drop)" -eq 0 ]
    [ "$(node_counter tcp.rx_no_conn)" -eq 0 ]
}
