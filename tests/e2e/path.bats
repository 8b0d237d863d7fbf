#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# Paths that are worse than they say: the kernel's TCP at one end, the node on a tap at the other.

load node.bash
load forward.bash

setup() {
    node_prepare alpha
    forward_path 1500
}

teardown() {
    hg_end
}

# path_up PROFILE LAYERS [OPTION...]: the node behind a cable with these faults in both directions.
path_up() {
    local profile=$1 layers=$2
    shift 2
    hg_start headgate ip netns exec "$NS_M" "$HG_DAEMON" -c "$HG_TOP/config/$profile.ini" \
        --set store.device0=mem:256M --set store.device1=mem:256M --set store.device2= \
        --set store.device3= --set store.device-size=0 \
        --set "port.vdev=net_tap0,iface=h0,mac=$HG_B_MAC" --set "port.address=$HG_B_ADDR/24" \
        --set port.rx-mbufs=8192 --set ingest.buffers=48M --set ingest.credit=2M \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" \
        --set "eal.file-prefix=hg$HG_ID" "$@"
    hg_wait_line headgate 60 '^headgate: ready'
    hg_wait_for 10 ip -n "$NS_M" link show h0
    ip -n "$NS_M" link set h0 arp off up
    FORWARD_B=h0 forward_start --both "$layers"
}

# source_run OPTION...: a source at the other end.
source_run() {
    hg_in "$NS_A" "$HG_LOAD" --server $HG_B_ADDR --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --quiet "$@"
}

@test "a black hole above 1400 bytes: what the node sends gets through in smaller segments" {
    requires curl
    path_up test mtu=1400,delay=5ms
    hg_in "$NS_A" curl -s -m 60 -o "$HG_DIR/body" "http://$HG_B_ADDR/20000000"
    [ "$(stat -c %s "$HG_DIR/body")" -eq 20000000 ]
    [ "$(node_counter tcp.pmtu_black_holes)" -ge 1 ]
    forward_stop
    [ "$(forward_count 'ba["too_big"]')" -gt 0 ]
}

@test "a black hole above 1400 bytes: with a clamped MSS replication does not notice" {
    path_up demo mtu=1400,delay=5ms --set tcp.mss=1340
    source_run --volume clamped --size 32M --bytes 32M --json "$HG_DIR/load.json"
    python3 - "$HG_DIR/load.json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["complete"] and j["cuts"] == 0, j
PY
    forward_stop
    [ "$(forward_count 'ab["too_big"] + ba["too_big"]')" -eq 0 ]
}

@test "replication over a long path with loss, reordering and damage arrives whole" {
    path_up demo delay=25ms,loss=0.5%,reorder=1%,late=3ms,corrupt=0.1%
    mkdir "$HG_DIR/files"
    cp -r "$HG_TOP/lib" "$HG_TOP/include" "$HG_DIR/files"
    mke2fs -q -F -d "$HG_DIR/files" "$HG_DIR/fs.img" 16M
    source_run --image "fs=$HG_DIR/fs.img" --no-progress
    node_export alpha/fs "$HG_DIR/out"
    cmp "$HG_DIR/fs.img" "$HG_DIR/out"
    [ "$(node_counter tcp.rx_ooo)" -gt 0 ]
    [ "$(node_counter net.rx_tcp_csum)" -gt 0 ]
}
