#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# A node with two ports: the tap interfaces hg0 and hg1, each in a network of its own.

load node.bash

NODE_B=198.51.100.1
CLIENT_B=198.51.100.2

setup() {
    requires ping
    node_prepare alpha beta
}

teardown() {
    hg_end
}

# ports_start [OPTION...]: the node at 192.0.2.1 on hg0 and at 198.51.100.1 on hg1.
ports_start() {
    node_start --set port1.vdev=net_tap1,iface=hg1 --set "port1.address=$NODE_B/24" \
        --set port1.detect-conflicts=no --set port1.rx-mbufs=8192 "$@"
    hg_address "$NS" hg1 "$CLIENT_B/24"
}

pings() {
    hg_in "$NS" ping -q -c 3 -i 0.2 -W 5 "$1"
}

# stat_of PYTHON-EXPRESSION: the statistics are j.
stat_of() {
    "$HG_CTL" --json stats | python3 -c "import json, sys; j = json.load(sys.stdin); print($1)"
}

# durable VOLUME SEQ: the volume's frames are durable up to this number at least.
durable() {
    [ "$("$HG_CTL" --json volumes | python3 -c '
import json, sys
print(sum(v["durable_seq"] for v in json.load(sys.stdin)["volumes"] if v["name"] == sys.argv[1]))' "$1")" -ge "$2" ]
}

# compare VOLUME MANIFEST: what the node has is what was acknowledged.
compare() {
    node_export "$1" "$HG_DIR/out"
    "$HG_LOAD" --check-manifest "$2" --image "vol=$HG_DIR/out"
}

@test "both ports answer echoes, each for its own address, and are counted each by itself" {
    local before
    ports_start
    pings 192.0.2.1
    before=$(stat_of 'j["shards"][0]["net"]["rx_icmp_echo"]')
    [ "$before" -ge 3 ]
    pings "$NODE_B"
    [ "$(stat_of 'j["shards"][0]["net1"]["rx_icmp_echo"]')" -ge 3 ]
    [ "$(stat_of 'j["shards"][0]["net"]["rx_icmp_echo"]')" -eq "$before" ]
    [ "$(stat_of '[(p["section"], p["name"], p["link_up"]) for p in j["ports"]]')" = \
        "[('port', 'net_tap0', True), ('port1', 'net_tap1', True)]" ]
    [ "$(stat_of 'j["port"] == j["ports"][0]')" = True ]
    [ "$(stat_of 'j["ports"][1]["rx_packets"] >= 3 and j["ports"][1]["tx_packets"] >= 3')" = True ]
    # A host: what comes in on one port for the address of the other is not ours there.
    ip -n "$NS" route add "$NODE_B/32" via 192.0.2.1 dev hg0
    hg_refute hg_in "$NS" ping -q -c 1 -W 1 "$NODE_B"
    "$HG_CTL" stats | grep -q '^port1 net_tap1'
    "$HG_CTL" stats --explain | grep -q 'port1\.rx_packets .*packets the device received'
    "$HG_CTL" stats --explain | grep -q 'net1\.rx_icmp_echo .*answered'
}

@test "two sources replicate over both ports at once, and both volumes are right" {
    ports_start
    node_load alpha --size 32M --bytes 32M --verify-manifest "$HG_DIR/a" &
    local first=$!
    node_load beta --server "$NODE_B" --size 32M --bytes 32M --codec deflate --verify-manifest "$HG_DIR/b"
    wait $first
    compare alpha/vol "$HG_DIR/a"
    compare beta/vol "$HG_DIR/b"
    # Each stream kept to its port.
    [ "$(stat_of 'min(p["rx_bytes"] for p in j["ports"]) > 8000000')" = True ]
    [ "$(node_counter net.tx_no_source)" -eq 0 ]
    [ "$(node_counter net1.tx_no_source)" -eq 0 ]
    [ "$(node_counter shard.tx_no_port)" -eq 0 ]
}

@test "two shards spread both ports, and every volume arrives" {
    ports_start --set cpu.shards=0,1 --set port.spread=software --set port1.spread=software
    node_load alpha --volumes 8 --connections 8 --size 4M --bytes 32M &
    local first=$!
    node_load beta --server "$NODE_B" --volumes 8 --connections 8 --size 4M --bytes 32M
    wait $first
    [ "$(stat_of 'min(p["spread"]["passed"] for p in j["ports"]) > 100')" = True ]
    [ "$(node_counter tcp.rx_no_conn)" -eq 0 ]
}

@test "a capture takes the port that is named, and the first when none is" {
    requires tshark
    ports_start
    hg_start second "$HG_CTL" capture --interface net_tap1 --filter icmp --packets 6 "$HG_DIR/b.pcapng"
    hg_wait_for 10 test -s "$HG_DIR/b.pcapng"
    pings 192.0.2.1
    pings "$NODE_B"
    hg_wait_exit second 10
    [ "$(tshark -r "$HG_DIR/b.pcapng" -Y "ip.addr == $NODE_B" | wc -l)" -eq 6 ]
    [ "$(tshark -r "$HG_DIR/b.pcapng" -Y 'frame.interface_name == "net_tap1"' | wc -l)" -eq 6 ]
    hg_start first "$HG_CTL" capture --filter icmp --packets 6 "$HG_DIR/a.pcapng"
    hg_wait_for 10 test -s "$HG_DIR/a.pcapng"
    pings "$NODE_B"
    pings 192.0.2.1
    hg_wait_exit first 10
    [ "$(tshark -r "$HG_DIR/a.pcapng" -Y 'ip.addr == 192.0.2.1' | wc -l)" -eq 6 ]
    "$HG_CTL" capture --interface port1 --seconds 1 "$HG_DIR/c.pcapng"
    run "$HG_CTL" capture --interface eth0 --seconds 1 "$HG_DIR/d.pcapng"
    [ "$status" -ne 0 ]
    [[ $output == *"interface eth0: there is none of this name; there are net_tap0 net_tap1"* ]]
}

@test "while one port's link is down the other goes on, and what was cut comes back with the link" {
    ports_start
    node_load alpha --size 16M --bytes 16M --rate 32Mbit --verify-manifest "$HG_DIR/a" &
    local cut=$!
    node_load beta --server "$NODE_B" --size 24M --bytes 24M --rate 32Mbit --json "$HG_DIR/b.json" &
    local other=$!
    hg_wait_for 20 durable alpha/vol 20
    hg_wait_for 20 durable beta/vol 20
    ip -n "$NS" link set hg0 down
    node_counts net.link_downs 1
    [ "$(node_counter net1.link_downs)" -eq 0 ]
    [ "$(stat_of '[p["link_up"] for p in j["ports"]]')" = "[False, True]" ]
    pings "$NODE_B"
    wait $other
    python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); assert j["complete"] and j["cuts"] == 0, j' \
        "$HG_DIR/b.json"
    hg_address "$NS" hg0 "$HG_CLIENT_ADDR/24"
    wait $cut
    compare alpha/vol "$HG_DIR/a"
}

@test "a source whose path is cut comes back over the other port, and its volume goes on where it was" {
    ports_start
    hg_start load ip netns exec "$NS" "$HG_LOAD" --server 192.0.2.1 --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --quiet --size 16M --bytes 16M --rate 16Mbit
    # The second connection of the same source, over the other path all the while.
    node_load alpha --server "$NODE_B" --volume side --size 16M --bytes 16M --rate 32Mbit \
        --json "$HG_DIR/side.json" &
    local side=$!
    hg_wait_for 20 durable alpha/vol 40
    ip -n "$NS" link set hg0 down
    hg_kill load
    # The old connection is still there when the source comes to the other port: it must not be in the way.
    node_load alpha --server "$NODE_B" --size 16M --bytes 16M --verify-manifest "$HG_DIR/a"
    wait $side
    compare alpha/vol "$HG_DIR/a"
    # 256 frames behind those which came over the first path, whose numbers the node has kept.
    durable alpha/vol $((40 + 256))
    python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); assert j["complete"] and j["cuts"] == 0, j' \
        "$HG_DIR/side.json"
}

@test "four ports with buffers of different sizes start with the memory that the node reckons" {
    ports_start --set cpu.shards=0,1 --set port1.rx-buffer=10K --set port2.vdev=net_tap2,iface=hg2 \
        --set port2.address=203.0.113.1/24 --set port2.detect-conflicts=no --set port2.rx-mbufs=32768 \
        --set port3.vdev=net_tap3,iface=hg3 --set port3.address=2001:db8:3::1/64 --set port3.detect-conflicts=no \
        --set port3.rx-mbufs=4096 --set port3.rx-buffer=16K
    hg_address "$NS" hg2 203.0.113.2/24
    ip -n "$NS" link set hg3 up
    ip -n "$NS" address add 2001:db8:3::2/64 dev hg3 nodad
    pings 192.0.2.1
    pings "$NODE_B"
    pings 203.0.113.1
    hg_wait_for 10 hg_in "$NS" ping -q -c 1 -W 1 2001:db8:3::1
    pings 2001:db8:3::1
    node_load alpha --server '[2001:db8:3::1]:1500' --size 4M --bytes 4M
}

# relay ADDRESS: what the source calls the node, 127.0.0.1:1600, is now this address of it.
relay() {
    hg_start relay ip netns exec "$NS" socat TCP-LISTEN:1600,bind=127.0.0.1,reuseaddr "TCP:$1:1500"
    hg_wait_for 5 hg_in "$NS" ss -Hltn 'sport = :1600'
}

@test "a session whose path is cut is resumed on the other port, and only what was on its way is sent again" {
    requires socat ss
    "$HG_PKI" node "$HG_DIR/pki" relayed --ip 127.0.0.1 >/dev/null
    ports_start --set "tls.certificate=$HG_DIR/pki/relayed.crt" --set "tls.key=$HG_DIR/pki/relayed.key"
    relay 192.0.2.1
    node_load alpha --server 127.0.0.1:1600 --size 16M --bytes 16M --rate 32Mbit --resume-retry 30s \
        --verify-manifest "$HG_DIR/a" --json "$HG_DIR/a.json" &
    local load=$!
    hg_wait_for 20 durable alpha/vol 40
    ip -n "$NS" link set hg0 down
    hg_kill relay
    relay "$NODE_B"
    wait $load
    compare alpha/vol "$HG_DIR/a"
    # At most the credit of a session, 2 MiB in frames of 64 KiB, was on its way.
    python3 -c '
import json, sys
j = json.load(open(sys.argv[1]))
assert j["complete"] and j["resumes"] == 1 and j["resent"] <= 32, j' "$HG_DIR/a.json"
    durable alpha/vol 256
    hg_refute durable alpha/vol 257
}

@test "mistakes about several ports are named with their sections" {
    local row sets want options one
    while IFS='|' read -r sets want; do
        options=()
        for one in $sets; do
            options+=(--set "$one")
        done
        run "$HG_DAEMON" --check-config --config "$HG_TOP/config/demo.ini" "${options[@]}"
        [ "$status" -ne 0 ] || hg_die "$sets passed"
        [[ $output == *"$want"* ]] || hg_die "$sets said: $output"
    done <<'ROWS'
port1.vdev=net_tap1|[port1] address: at least one is needed
port1.vdev=net_tap1 port1.address=192.0.2.1/24|[port] and [port1] both have address 192.0.2.1
port1.vdev=net_tap0 port1.address=198.51.100.1/24|[port] and [port1] both have device net_tap0
port2.vdev=net_tap2 port2.address=198.51.100.1/24|[port2] has a device but [port1] has none
port1.vdev=net_tap1 port1.address=198.51.100.1|[port1] address = 198.51.100.1: write it like
port3.mtu=9999|[port3] mtu = 9999
ROWS
    printf '[port1]\nvdev = net_tap1,iface=hg1\naddress = 198.51.100.1/24\nmtu = 1400\n' |
        cat "$HG_TOP/config/demo.ini" - >"$HG_DIR/two.ini"
    "$HG_DAEMON" --dump-config --config "$HG_DIR/two.ini" >"$HG_DIR/a.ini"
    grep -q '^\[port1\]' "$HG_DIR/a.ini"
    "$HG_DAEMON" --dump-config --config "$HG_DIR/a.ini" >"$HG_DIR/b.ini"
    cmp "$HG_DIR/a.ini" "$HG_DIR/b.ini"
}
