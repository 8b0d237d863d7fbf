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
    local layers=$2
    path_node "$1" "${@:3}"
    hg_wait_line headgate 60 '^headgate: ready'
    hg_wait_for 10 ip -n "$NS_M" link show h0
    ip -n "$NS_M" link set h0 arp off up
    FORWARD_B=h0 forward_start --both "$layers"
}

# path_node PROFILE [OPTION...]: starts the node on h0.
path_node() {
    local profile=$1
    shift
    hg_start headgate ip netns exec "$NS_M" "$HG_DAEMON" -c "$HG_TOP/config/$profile.ini" \
        --set store.device0=mem:256M --set store.device1=mem:256M --set store.device2= \
        --set store.device3= --set store.device-size=0 \
        --set "port.vdev=net_tap0,iface=h0,mac=$HG_B_MAC" --set "port.address=$HG_B_ADDR/24" \
        --set port.rx-mbufs=8192 --set ingest.buffers=48M --set ingest.credit=2M \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" \
        --set "eal.file-prefix=hg$HG_ID" "$@"
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

@test "packets of 9000 bytes: bulk data is right in both directions, over both IP versions" {
    requires curl
    path_mtu 9000
    forward_jumbo 9000
    path_up test delay=1ms "${FORWARD_JUMBO[@]}" --set "port.address=$HG_B_ADDR/24, $HG_B_ADDR6/64"
    for address in $HG_B_ADDR "[$HG_B_ADDR6]"; do
        hg_in "$NS_A" curl -sg -m 60 -o "$HG_DIR/body" "http://$address/40000000"
        body_is "$HG_DIR/body" 40000000
    done
    for address in $HG_B_ADDR $HG_B_ADDR6; do
        echoes $address 20000000
    done
    [ "$(node_counter tcp.rx_mem_drop)" -eq 0 ]
    forward_stop
    # Both ends used them: the mean of what passed, ACKs too, is above what a packet of 1500 bytes could be.
    [ "$(forward_count 'min(p["bytes_in"] / p["packets_in"] for p in (ab, ba)) > 2000')" = True ]
}

# body_is FILE BYTES: the body of GET /BYTES, as include/headgate/testsvc.h has it.
body_is() {
    python3 - "$1" "$2" <<'PY'
import sys
body, n = open(sys.argv[1], "rb").read(), int(sys.argv[2])
period = bytes((i * 2654435761 >> 24) & 255 for i in range(65521))
at = n % len(period)
assert body == (period * (n // len(period) + 2))[at : at + n], len(body)
PY
}

# echoes ADDRESS BYTES: so many come back from port 7 as they went.
echoes() {
    timeout 60 ip netns exec "$NS_A" python3 - "$1" "$2" <<'PY'
import random, socket, sys, threading
data = random.Random(7).randbytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 7), 20) as c:
    def send():
        c.sendall(data)
        c.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    back = bytearray()
    while piece := c.recv(1 << 18):
        back += piece
    sender.join()
assert back == data, (len(back), len(data))
PY
}

@test "packets of 9000 bytes: an interface or a frame that is too small is refused, with what to do" {
    forward_jumbo 1500
    refused_mtu "${FORWARD_JUMBO[@]}" --set port.mtu=9000
    ip -n "$NS_M" link set h1 mtu 9000
    refused_mtu "${FORWARD_JUMBO[@]}" --set port.mtu=9000 --set port.vdev=net_af_packet0,iface=h1
}

# refused_mtu OPTION...: the node does not start, and says why.
refused_mtu() {
    local rc=0
    path_node test "$@"
    hg_wait_exit headgate 30 || rc=$?
    [ $rc -ne 0 ] && [ $rc -ne 124 ]
    grep -q 'MTU 9000; it allows .* give its interface that MTU, and framesz 80 bytes more' "$HG_DIR/run/headgate.err"
}

# path_mtu MTU: of the client's end.
path_mtu() {
    ip -n "$NS_A" link set a0 mtu "$1"
    ip -n "$NS_M" link set f0 mtu "$1"
}
