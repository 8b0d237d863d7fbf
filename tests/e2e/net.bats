#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The node as a host on a network, with the Linux kernel as its neighbour: both IP versions, address
# resolution both ways, fragments, VLANs, large frames, several addresses, duplicates, routers.

load node.bash

NODE6=2001:db8::1
CLIENT6=2001:db8::2

setup() {
    requires ping
    node_prepare alpha
}

teardown() {
    hg_end
}

# dual_start [OPTION...]: the node at 192.0.2.1/24 and 2001:db8::1/64, the kernel's side at .2 and ::2.
dual_start() {
    node_start --set "port.address=192.0.2.1/24, $NODE6/64" "$@"
    ip -n "$NS" address replace "$CLIENT6/64" dev hg0 nodad
    hg_wait_for 10 reaches "$NODE6"
}

reaches() {
    hg_in "$NS" ping -q -c 1 -W 1 "$1"
}

# pings ADDRESS [OPTION...]: three echoes, none of them lost.
pings() {
    local to=$1
    shift
    hg_in "$NS" ping -q -c 3 -i 0.2 -W 5 "$@" "$to"
}

# veth_prepare: a pair whose one end, hg0, is the kernel's, while the node has the other, hg1: for what
# net_tap does not do (large frames; a kernel that is there before the node and has another MAC).
veth_prepare() {
    ip -n "$NS" link add hg0 type veth peer name hg1
    hg_in "$NS" sysctl -q -w net.ipv6.conf.hg1.disable_ipv6=1
    ip -n "$NS" link set hg0 up
    ip -n "$NS" link set hg1 up promisc on
}

veth_start() {
    node_start --set port.vdev=net_pcap0,iface=hg1 "$@"
}

node_mac() {
    ip -n "$NS" neigh show "$1" dev hg0 | sed -n 's/.*lladdr \([0-9a-f:]*\).*/\1/p'
}

@test "the kernel finds the node by ARP and by ND, and has its echoes answered, also by the link-local address" {
    dual_start
    pings 192.0.2.1
    pings "$NODE6"
    [ -n "$(node_mac 192.0.2.1)" ]
    [ "$(node_mac 192.0.2.1)" = "$(node_mac $NODE6)" ]
    hg_in "$NS" ping -q -c 1 -W 5 -I hg0 ff02::1
    local lladdr
    lladdr=$(hg_in "$NS" python3 -c '
import sys
b = bytes.fromhex(sys.argv[1].replace(":", ""))
print("fe80::%x%02x:%xff:fe%02x:%x" % (b[0] ^ 2, b[1], b[2], b[3], b[4] << 8 | b[5]))' "$(node_mac $NODE6)")
    # The kernel's end of a tap has the node's MAC, and so its link-local address, until it gets another.
    ip -n "$NS" link set hg0 down
    ip -n "$NS" link set hg0 address 02:00:00:00:77:77
    ip -n "$NS" link set hg0 up
    hg_wait_for 10 reaches "$lladdr%hg0"
    pings "$lladdr%hg0"
    [ "$(node_counter net.rx_nd_solicit)" -ge 1 ]
}

@test "replication over IPv6 arrives byte for byte, and the node finds the kernel by ND" {
    dual_start
    ip -n "$NS" neigh flush dev hg0
    hg_in "$NS" "$HG_LOAD" --server "[$NODE6]:1500" --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --quiet \
        --size 16M --bytes 16M --verify-manifest "$HG_DIR/manifest"
    node_export alpha/vol "$HG_DIR/out"
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" --image "vol=$HG_DIR/out"
    "$HG_CTL" conns >/dev/null
    node_counts net.tx_nd_solicit 1
    [ "$(node_counter net.rx_tcp_csum)" -eq 0 ]
}

@test "a neighbour that moves to another MAC is found again while a transfer runs" {
    dual_start
    hg_in "$NS" "$HG_LOAD" --server "[$NODE6]:1500" --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --quiet \
        --size 16M --bytes 16M --rate 40Mbit &
    local load=$!
    node_counts ingest.frames_data 5
    ip -n "$NS" link set hg0 address 02:00:00:00:77:77
    ip -n "$NS" address replace "$CLIENT6/64" dev hg0 nodad
    wait $load
}

@test "packets larger than the MTU are put together and answered in fragments, in both IP versions" {
    dual_start
    pings 192.0.2.1 -s 3000
    pings "$NODE6" -s 3000
    [ "$(node_counter net.frag_reassembled)" -ge 6 ]
    [ "$(node_counter net.tx_fragments)" -ge 18 ]
    [ "$(node_counter net.frag_dropped)" -eq 0 ]
}

@test "fragments whose other half never comes are dropped in time" {
    dual_start
    pings 192.0.2.1
    hg_in "$NS" python3 - "$(node_mac 192.0.2.1)" <<'PY'
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("hg0", 0))
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
def csum(b):
    n = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    n = (n & 0xffff) + (n >> 16)
    return ~((n & 0xffff) + (n >> 16)) & 0xffff
for i in range(100):
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + 64, i, 0x2000, 64, 1, 0,
                     socket.inet_aton("192.0.2.2"), socket.inet_aton("192.0.2.1"))
    ip = ip[:10] + struct.pack("!H", csum(ip)) + ip[12:]
    s.send(mac + b"\x02\0\0\0\0\x02\x08\0" + ip + bytes(64))
PY
    node_counts net.rx_ip_fragment 100
    node_counts net.frag_dropped 100 30
    pings 192.0.2.1
}

@test "frames of 9000 bytes go both ways, in one piece" {
    veth_prepare
    ip -n "$NS" link set hg0 mtu 9000
    ip -n "$NS" link set hg1 mtu 9000
    veth_start --set port.mtu=9000 --set port.rx-buffer=10K --set port.rx-mbufs=4096 --set "port.address=192.0.2.1/24, $NODE6/64"
    ip -n "$NS" address add "$CLIENT6/64" dev hg0 nodad
    hg_wait_for 10 reaches "$NODE6"
    pings 192.0.2.1 -M do -s 8972
    pings "$NODE6" -M do -s 8952
    [ "$(node_counter net.tx_fragments)" -eq 0 ]
    [ "$(node_counter net.rx_ip_fragment)" -eq 0 ]
}

# Sends an ARP request for the node with the given tag (0: none) and prints the tag of the answer.
arp_tag() {
    timeout 10 ip netns exec "$NS" python3 - "$1" <<'PY'
import socket, struct, sys, time
tag = int(sys.argv[1])
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(("hg0", 0))
s.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes the tag out of the frame
s.settimeout(0.2)
mac = s.getsockname()[4]
arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, mac, socket.inet_aton("192.0.2.2"), bytes(6),
                  socket.inet_aton("192.0.2.1"))
head = b"\xff" * 6 + mac + (struct.pack("!HH", 0x8100, tag) if tag else b"")
s.send(head + b"\x08\x06" + arp + bytes(18))
end = time.time() + 2
while time.time() < end:
    try:
        frame, aux, _, _ = s.recvmsg(2000, 200)
    except TimeoutError:
        continue
    if frame[20:22] != b"\0\2" or frame[28:32] != socket.inet_aton("192.0.2.1"):
        continue
    status, tci = struct.unpack("IIIHHHH", aux[0][2])[0], struct.unpack("IIIHHHH", aux[0][2])[5]
    print(tci if status & 16 else 0)  # TP_STATUS_VLAN_VALID
    sys.exit(0)
sys.exit(1)
PY
}

@test "in a VLAN the node answers frames with its tag, with its tag, and hears no others" {
    node_start --set port.vlan=7
    hg_refute reaches 192.0.2.1
    hg_refute arp_tag 0
    hg_refute arp_tag 8
    [ "$(arp_tag 7)" -eq 7 ]
    node_counts net.rx_vlan 3
}

@test "a VLAN interface of the kernel talks to the node" {
    node_start --set "port.address=192.0.2.1/24, $NODE6/64" --set port.vlan=7
    ip -n "$NS" link add link hg0 name hg0.7 type vlan id 7 2>/dev/null ||
        skip "the kernel has no 802.1Q interfaces"
    ip -n "$NS" address flush dev hg0
    ip -n "$NS" link set hg0.7 up
    ip -n "$NS" address add 192.0.2.2/24 dev hg0.7
    ip -n "$NS" address add "$CLIENT6/64" dev hg0.7 nodad
    hg_wait_for 10 reaches "$NODE6"
    pings 192.0.2.1 -s 3000
    pings "$NODE6"
    node_load alpha --size 4M --bytes 4M
}

@test "every one of several addresses answers, and serves" {
    node_start --set "port.address=192.0.2.1/24, 198.51.100.1/24, $NODE6/64, 2001:db8:7::1/64"
    ip -n "$NS" address add 198.51.100.2/24 dev hg0
    ip -n "$NS" address add "$CLIENT6/64" dev hg0 nodad
    ip -n "$NS" address add 2001:db8:7::2/64 dev hg0 nodad
    local to
    for to in 192.0.2.1 198.51.100.1 "$NODE6" 2001:db8:7::1; do
        hg_wait_for 10 reaches "$to"
        node_serves_tls "$to"
    done
}

# A TLS handshake that ends in our certificate having been seen.
node_serves_tls() {
    local to=$1
    [[ $to != *:* ]] || to="[$to]"
    timeout 10 ip netns exec "$NS" openssl s_client -connect "$to:1500" -alpn headgate/1 \
        -cert "$HG_DIR/pki/alpha.crt" -key "$HG_DIR/pki/alpha.key" -CAfile "$HG_DIR/pki/ca.crt" \
        </dev/null 2>&1 | grep -q 'Verify return code: 0'
}

@test "other networks are reached by gateways and routes, and from there" {
    node_start --set "port.gateway=192.0.2.254, 2001:db8::fe" \
        --set "port.address=192.0.2.1/24, $NODE6/64" \
        --set "port.routes=198.51.100.0/24 via 192.0.2.2, 2001:db8:9::/48 via $CLIENT6"
    ip -n "$NS" address add "$CLIENT6/64" dev hg0 nodad
    hg_wait_for 10 reaches "$NODE6"
    ip -n "$NS" address add 198.51.100.7/32 dev lo
    ip -n "$NS" address add 2001:db8:9::7/128 dev lo
    timeout 10 ip netns exec "$NS" python3 - 198.51.100.7 192.0.2.1 2001:db8:9::7 "$NODE6" <<'PY'
import socket, sys
a = sys.argv[1:]
for source, to in ((a[0], a[1]), (a[2], a[3])):
    socket.create_connection((to, 1500), 5, (source, 0)).close()
PY
    ip -n "$NS" address add 192.0.2.254/24 dev hg0
    ip -n "$NS" address add 2001:db8::fe/64 dev hg0 nodad
    ip -n "$NS" address add 203.0.113.7/32 dev lo
    ip -n "$NS" address add 2001:db8:ffff::7/128 dev lo
    timeout 10 ip netns exec "$NS" python3 - 203.0.113.7 192.0.2.1 2001:db8:ffff::7 "$NODE6" <<'PY'
import socket, sys
a = sys.argv[1:]
for source, to in ((a[0], a[1]), (a[2], a[3])):
    socket.create_connection((to, 1500), 5, (source, 0)).close()
PY
}

@test "an address that another host has is not used, said in the log, and taken when it is free" {
    veth_prepare
    ip -n "$NS" address add 192.0.2.2/24 dev hg0
    ip -n "$NS" address add 198.51.100.2/24 dev hg0
    ip -n "$NS" address add "$CLIENT6/64" dev hg0 nodad
    veth_start --set port.detect-conflicts=yes \
        --set "port.address=192.0.2.2/24, 198.51.100.1/24, $CLIENT6/64, $NODE6/64"
    hg_wait_for 15 reaches 198.51.100.1
    hg_wait_for 5 reaches "$NODE6"
    [ "$(node_counter net.addr_duplicates)" -eq 2 ]
    node_log '192\.0\.2\.2: the address is NOT used here'
    node_log '2001:db8::2: the address is NOT used here'
    # After a minute it is tried again.
    ip -n "$NS" address del 192.0.2.2/24 dev hg0
    ip -n "$NS" address add 192.0.2.3/24 dev hg0
    hg_wait_for 80 reaches 192.0.2.2
}

@test "Linux notices that the node has an address already" {
    dual_start
    # Not "nodad": the kernel probes, and the node must object (RFC 4862 5.4.3).
    ip -n "$NS" address add "$NODE6/128" dev hg0
    hg_wait_for 5 kernel_gave_up
}

kernel_gave_up() {
    ip -n "$NS" -6 address show dev hg0 dadfailed | grep -q "$NODE6/128"
}

@test "the link that goes down and up again is counted, and the node announces itself" {
    dual_start
    local before
    before=$(node_counter net.tx_nd_advert)
    ip -n "$NS" link set hg0 down
    node_counts net.link_downs 1
    ip -n "$NS" link set hg0 up
    node_counts net.link_ups 1
    node_counts net.tx_nd_advert $((before + 1))
    node_log 'the link is up'
    pings 192.0.2.1
}

@test "mistakes in addresses, gateways and routes are named" {
    local row
    while IFS='|' read -r set want; do
        run "$HG_DAEMON" --check-config --config "$HG_TOP/config/demo.ini" --set "$set"
        [ "$status" -ne 0 ] || hg_die "$set passed"
        [[ $output == *"$want"* ]] || hg_die "$set said: $output"
    done <<'ROWS'
port.address=192.0.2.1/24, 2001:db8::1|[port] address = 2001:db8::1: write it like
port.address=2001:db8::1/129|[port] address = 2001:db8::1/129: write it like
port.address=|[port] address: at least one
port.gateway=192.0.2.254, 192.0.2.253|a second one of the same IP version
port.gateway=fe80::1%eth0|[port] gateway = fe80::1%eth0
port.routes=198.51.100.0/24|[port] routes = 198.51.100.0/24: write it like
port.routes=198.51.100.0/24 via 2001:db8::1|[port] routes = 198.51.100.0/24 via 2001:db8::1
port.vlan=4095|0 to 4094
ROWS
    # What does not fit a line of the INI reader must not be cut off without a word.
    printf '[port]\nroutes = %s\n' "$(for i in {1..12}; do printf '10.%d.0.0/16 via 192.0.2.2, ' "$i"; done)" |
        cat "$HG_TOP/config/demo.ini" - >"$HG_DIR/long.ini"
    run "$HG_DAEMON" --check-config --config "$HG_DIR/long.ini"
    [ "$status" -ne 0 ]
    [[ $output == *"longer than 255 characters"* ]]
    run "$HG_DAEMON" --check-config --config "$HG_TOP/config/demo.ini" \
        --set "port.address=192.0.2.1/24, 2001:db8::1/64" --set "port.gateway=192.0.2.254,2001:db8::fe"
    [ "$status" -eq 0 ]
}

# connects ADDRESS FROM: says "connected", "refused" or "silence".
connects() {
    hg_in "$NS" python3 - "$1" "$2" <<'PY'
import socket, sys
try:
    socket.create_connection((sys.argv[1], 1500), 3, (sys.argv[2], 0))
    print("connected")
except ConnectionRefusedError:
    print("refused")
except TimeoutError:
    print("silence")
PY
}

# strangers_get ANSWER: 192.0.2.3 and 2001:db8::3 get it, while .2 and ::2 connect, and a source works.
strangers_get() {
    local refused
    ip -n "$NS" address replace 192.0.2.3/24 dev hg0
    ip -n "$NS" address replace 2001:db8::3/64 dev hg0 nodad
    refused=$(node_counter tcp.rx_not_allowed)
    [ "$refused" -eq 0 ] || hg_die "$refused segments were not allowed before any stranger came"
    [ "$(connects "$HG_NODE_ADDR" 192.0.2.2)" = connected ]
    [ "$(connects "$NODE6" "$CLIENT6")" = connected ]
    [ "$(node_counter tcp.rx_not_allowed)" -eq 0 ]
    [ "$(connects "$HG_NODE_ADDR" 192.0.2.3)" = "$1" ]
    node_counts tcp.rx_not_allowed 1
    refused=$(node_counter tcp.rx_not_allowed)
    [ "$(connects "$NODE6" 2001:db8::3)" = "$1" ]
    node_counts tcp.rx_not_allowed $((refused + 1))
    node_load alpha --size 4M --bytes 4M
}

@test "a restricted port is closed to who is not in its list, an enumerated one silent" {
    local allow=192.0.2.2,2001:db8::2
    dual_start --set "ingest.allow=$allow"
    strangers_get refused
    hg_daemon_stop
    dual_start --set "ingest.allow=$allow" --set port.closed-ports=silent
    strangers_get silence
    hg_daemon_stop
    dual_start --set ingest.class=enumerated --set "ingest.allow=$allow"
    strangers_get silence
}

@test "a profile whose class asks for more than it sets is refused, with what to do" {
    local profile=$HG_TOP/config/test.ini
    run "$HG_DAEMON" --check-config --config "$profile" --set ingest.class=enumerated
    [ "$status" -eq 2 ]
    [[ $output == *"[ingest] class = enumerated: allow must name the nodes that may connect"* ]]
    run "$HG_DAEMON" --check-config --config "$profile" --set tls.client-certificate=off
    [ "$status" -eq 2 ]
    [[ $output == *"[ingest] class = restricted: needs a certificate of every client"* ]]
    run "$HG_DAEMON" --check-config --config "$profile" --set test.class=restricted
    [ "$status" -eq 2 ]
    [[ $output == *"[test] class = restricted: needs a certificate of every client, but echo is not over TLS"* ]]
    run "$HG_DAEMON" --check-config --config "$profile" --set ingest.allow=192.0.2.1/24
    [ "$status" -eq 2 ]
    [[ $output == *"[ingest] allow = 192.0.2.1/24: "*"write 192.0.2.0/24"* ]]
    run "$HG_DAEMON" --dump-config --config "$profile" --set ingest.allow=192.0.2.0/24
    [ "$status" -eq 0 ]
    [[ $output == *"class = restricted"*"allow = 192.0.2.0/24"*"class = public"* ]]
}
