#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# TLS under bad conditions: bad paths (hg-forward), and clients that behave as tools do not.

load node.bash
load tls.bash
load forward.bash

setup() {
    requires curl python3
    NODE_PROFILE=test
    node_prepare
    tls_pki ecdsa
}

teardown() {
    hg_end
}

# odd KIND [NAMESPACE ADDRESS]: such clients in both versions.
odd() {
    local version
    for version in 1.2 1.3; do
        timeout 120 ip netns exec "${2:-$NS}" "$HG_TOP/tests/e2e/tls_odd_clients.py" "$1" --host "${3:-$HG_NODE_ADDR}" \
            --pki "$HG_DIR/pki" --version $version
    done
}

# fetch NAMESPACE ADDRESS N [OPTION...]: N bytes by curl, compared with what an earlier fetch got.
fetch() {
    local ns=$1 address=$2 n=$3
    shift 3
    timeout 120 ip netns exec "$ns" curl -s --cacert "$HG_DIR/pki/ca.crt" -o "$HG_DIR/body" "$@" "https://$address/$n"
    [ "$(stat -c %s "$HG_DIR/body")" -eq "$n" ]
    [ -e "$HG_DIR/body.$n" ] || mv "$HG_DIR/body" "$HG_DIR/body.$n"
    [ ! -e "$HG_DIR/body" ] || cmp "$HG_DIR/body" "$HG_DIR/body.$n"
    rm -f "$HG_DIR/body"
}

# bad_path MTU LAYERS: the node, whose packets are not longer, behind a cable with these faults in both
# directions.
bad_path() {
    forward_path 1500
    hg_start headgate ip netns exec "$NS_M" "$HG_DAEMON" -c "$HG_TOP/config/test.ini" \
        --set "port.vdev=net_tap0,iface=h0,mac=$HG_B_MAC" --set "port.address=$HG_B_ADDR/24" \
        --set "port.mtu=$1" --set port.rx-mbufs=8192 --set ingest.buffers=48M --set ingest.credit=2M \
        --set "tls.certificate=$HG_DIR/pki/server-path.crt" --set "tls.key=$HG_DIR/pki/server-path.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" --set "eal.file-prefix=hg$HG_ID"
    hg_wait_line headgate 60 '^headgate: ready'
    hg_wait_for 10 ip -n "$NS_M" link show h0
    ip -n "$NS_M" link set h0 arp off up
    FORWARD_B=h0 forward_start --both "$2"
}

# over_bad_path: bodies and uploads in both versions.
over_bad_path() {
    local n
    for n in 0 1 16384 1000003 4000000; do
        fetch "$NS_A" $HG_B_ADDR $n --tls-max 1.2
        fetch "$NS_A" $HG_B_ADDR $n --tlsv1.3
    done
    odd upload "$NS_A" $HG_B_ADDR
    odd records "$NS_A" $HG_B_ADDR
}

@test "1 % loss and reordering: bodies, uploads, and records of every size come whole" {
    "$HG_PKI" node "$HG_DIR/pki" server-path --ip $HG_B_ADDR >/dev/null
    bad_path 1500 delay=2ms,loss=1%,reorder=1%,late=3ms
    over_bad_path
    forward_stop
    [ "$(forward_count 'min(ab["lost"], ba["lost"])')" -gt 10 ]
}

@test "packets of 576 bytes: bodies, uploads, and records of every size come whole" {
    "$HG_PKI" node "$HG_DIR/pki" server-path --key rsa --ip $HG_B_ADDR >/dev/null
    bad_path 576 mtu=576
    over_bad_path
    forward_stop
    [ "$(forward_count 'ab["too_big"] + ba["too_big"]')" -eq 0 ]
}

@test "records of 1 byte and of 2^14, together and cut anywhere" {
    local provider
    for provider in ipsec-mb openssl; do
        tls_start $provider ecdsa
        odd records
        hg_daemon_stop
    done
}

@test "a slow reader gets all of it and holds nobody back" {
    tls_start ipsec-mb ecdsa
    hg_start slow ip netns exec "$NS" "$HG_TOP/tests/e2e/tls_odd_clients.py" slow-reader --host $HG_NODE_ADDR \
        --pki "$HG_DIR/pki" --version 1.3 --until "$HG_DIR/go"
    node_counts test.http_200 1
    fetch "$NS" $HG_NODE_ADDR 4000000
    odd upload
    fetch "$NS" $HG_NODE_ADDR 4000000
    fetch "$NS" $HG_NODE_ADDR 1000000 --limit-rate 500K
    touch "$HG_DIR/go"
    hg_wait_exit slow 60 || { hg_output slow; hg_die "the slow reader failed"; }
}

@test "200 clients at a time get their own bytes" {
    tls_start ipsec-mb ecdsa
    odd many
    [ "$(node_counter tls.handshakes)" -eq 800 ]
    [ "$(node_counter tls.handshake_failures)" -eq 0 ]
}

@test "close_notify of the client, then FIN: it gets the rest, and a close_notify" {
    tls_start ipsec-mb ecdsa
    odd half-close
    [ "$(node_counter shard.cut)" -eq 0 ]
}

@test "clients that die within a record or a handshake leave nothing behind" {
    tls_start ipsec-mb ecdsa
    odd deaths
    hg_wait_for 20 nobody_left
    [ "$(node_counter shard.cut)" -eq 400 ]
    [ "$(node_counter tls.bad_record)" -eq 0 ]
    fetch "$NS" $HG_NODE_ADDR 4000000
}

nobody_left() {
    [ "$("$HG_CTL" --json conns | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["conns"]))')" -eq 0 ]
}
