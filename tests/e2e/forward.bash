# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A bad cable between two namespaces, for tests and benches. On top of lib.bash.
#
#     namespace a            namespace m             namespace b
#     a0 198.51.100.1  ---  f0  hg-forward  f1  ---  b0 198.51.100.2
#        2001:db8::1                                    2001:db8::2
#
# Addresses of the other end are known from the start: no ARP and no neighbour discovery. What IPv6 says
# of its own accord (multicast reports) is gone after forward_ipv4_only.

HG_FORWARD=${HG_FORWARD:-$HG_TOP/build/tests/e2e/hg-forward}
HG_A_ADDR=198.51.100.1 HG_A_ADDR6=2001:db8::1 HG_A_MAC=02:00:00:00:00:0a
HG_B_ADDR=198.51.100.2 HG_B_ADDR6=2001:db8::2 HG_B_MAC=02:00:00:00:00:0b

# forward_path MTU: makes the namespaces and the interfaces; sets NS_A, NS_M and NS_B.
forward_path() {
    NS_A=$(hg_namespace a) NS_M=$(hg_namespace m) NS_B=$(hg_namespace b)
    forward_side "$NS_A" a0 f0 "$1" $HG_A_MAC
    forward_side "$NS_B" b0 f1 "$1" $HG_B_MAC
    forward_host "$NS_A" a0 $HG_A_ADDR $HG_A_ADDR6
    forward_host "$NS_B" b0 $HG_B_ADDR $HG_B_ADDR6
    forward_know "$NS_A" a0 $HG_B_MAC $HG_B_ADDR $HG_B_ADDR6
    forward_know "$NS_B" b0 $HG_A_MAC $HG_A_ADDR $HG_A_ADDR6
}

# forward_ipv4_only: only what a test sends is on the cable.
forward_ipv4_only() {
    [ -e /proc/net/if_inet6 ] || return 0
    hg_in "$NS_A" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
    hg_in "$NS_B" sysctl -qw net.ipv6.conf.all.disable_ipv6=1
}

# forward_side NAMESPACE INTERFACE PEER MTU MAC: a pair from a host to the forwarder. The host must not
# send aggregates, which no cable carries.
forward_side() {
    local ns=$1 dev=$2 peer=$3 mtu=$4 mac=$5
    ip -n "$ns" link add "$dev" address "$mac" mtu "$mtu" type veth peer name "$peer" netns "$NS_M" mtu "$mtu"
    if [ -e /proc/net/if_inet6 ]; then # not every kernel has IPv6
        ip -n "$ns" link set "$dev" addrgenmode none
        ip -n "$NS_M" link set "$peer" addrgenmode none
    fi
    ip -n "$ns" link set "$dev" gso_max_segs 1 up
    ip -n "$NS_M" link set "$peer" arp off up
}

# forward_host NAMESPACE INTERFACE ADDRESS ADDRESS6
forward_host() {
    ip -n "$1" address add "$3/24" dev "$2"
    ip -n "$1" address add "$4/64" dev "$2" nodad 2>/dev/null || true # not below an MTU of 1280
}

# forward_know NAMESPACE INTERFACE MAC ADDRESS...
forward_know() {
    local ns=$1 dev=$2 mac=$3 address
    shift 3
    for address in "$@"; do
        ip -n "$ns" neighbour replace "$address" lladdr "$mac" dev "$dev" nud permanent 2>/dev/null || true
    done
}

# forward_jumbo MTU: h0 and h1 in namespace m, a pair for a daemon that sits on h1 with packet sockets, since
# net_tap takes 1504 bytes at most. Sets FORWARD_JUMBO, the daemon's options.
forward_jumbo() {
    local dev
    ip -n "$NS_M" link add h0 mtu "$1" type veth peer name h1 address $HG_B_MAC mtu "$1"
    for dev in h0 h1; do
        [ ! -e /proc/net/if_inet6 ] || ip -n "$NS_M" link set $dev addrgenmode none
        ip -n "$NS_M" link set $dev arp off up
    done
    # A frame of the ring holds one of the network and a buffer one of the ring; blocks are whole pages.
    FORWARD_JUMBO=(--set port.vdev=net_af_packet0,iface=h1,framesz=10240,blocksz=40960,framecnt=2048
        --set port.rx-buffer=10240 --set "port.mtu=$1")
}

# forward_start [OPTION...]: starts the program `forward` between f0 and f1, or $FORWARD_B.
forward_start() {
    hg_start forward ip netns exec "$NS_M" "$HG_FORWARD" "$@" f0 "${FORWARD_B:-f1}"
    hg_wait_line forward 10 '^hg-forward: ready'
}

# forward_stop: ends it; its counters are the last line of its output.
forward_stop() {
    hg_stop forward 10
}

# forward_count EXPRESSION...: prints Python expressions over the counters: ab, ba (paths), a, b
# (interfaces), each a dictionary.
forward_count() {
    python3 - "$HG_DIR/run/forward.out" "$@" <<'PY'
import json, sys
counters = json.loads(open(sys.argv[1]).read().splitlines()[-1])
print(*(eval(e, counters) for e in sys.argv[2:]))
PY
}
