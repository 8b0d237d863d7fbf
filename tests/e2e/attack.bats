#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The attack set: raw packets against a node of the test profile, beside an echo connection of the kernel's, every
# byte of which is compared. attack.py makes the packets and asserts what its own client must still be given.

load node.bash

NODE6=2001:db8::1
CLIENT6=2001:db8::2
RSS_BOUND=16384 # KiB by which an attack may make the daemon grow

setup() {
    NODE_PROFILE=test
    node_prepare alpha
}

teardown() {
    hg_end
}

# node_attacked [OPTION...]: the node in both IP versions, the client as its gateway, and a victim over IPv4.
node_attacked() {
    node_start --set "port.address=192.0.2.1/24, $NODE6/64" --set "port.gateway=192.0.2.2, $CLIENT6" "$@"
    ip -n "$NS" address replace "$CLIENT6/64" dev hg0 nodad
    hg_wait_for 10 hg_in "$NS" ping -q -c 1 -W 1 $NODE6
    victim v4 $HG_NODE_ADDR
    victim v6 $NODE6
}

# victim NAME ADDRESS: an echo connection, as the program NAME.
victim() {
    hg_start "$1" ip netns exec "$NS" python3 "$HG_TOP/tests/e2e/attack_victim.py" "$2" 7 "$HG_DIR/$1.bytes"
    hg_wait_line "$1" 10 '^port'
}

victim_port() {
    awk '$1 == "port" { print $2 }' "$HG_DIR/run/$1.out"
}

# moves SECONDS BYTES: so much more comes back on both victims' connections.
moves() {
    local name
    for name in v4 v6; do
        hg_wait_for "$1" reached "$HG_DIR/$name.bytes" $(($(cat "$HG_DIR/$name.bytes") + $2)) ||
            { node_show; hg_output $name; hg_die "$name stands still"; }
    done
}

reached() {
    [ "$(cat "$1")" -ge "$2" ]
}

# counters: all of them as lines AREA.NAME VALUE, summed over shards.
counters() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
total = {}
for shard in json.load(sys.stdin)["shards"]:
    for area, names in shard.items():
        for name, value in names.items():
            total[area + "." + name] = total.get(area + "." + name, 0) + value
for name in sorted(total):
    print(name, total[name])'
}

# rise NAME: by how much a counter is higher in the file `after` than in `before`.
rise() {
    awk -v n="$1" '$1 == n { print FILENAME == ARGV[1] ? -$2 : $2 }' "$HG_DIR/before" "$HG_DIR/after" |
        awk '{ s += $1 } END { if (NR != 2) exit 1; print s }'
}

# quiet COUNTER...: while nobody attacks and data moves, none of them rises. Without this, a rise would show nothing.
quiet() {
    local name
    counters >"$HG_DIR/before"
    moves 10 300000
    counters >"$HG_DIR/after"
    for name; do
        [ "$(rise "$name")" -eq 0 ] || hg_die "$name rises without an attack"
    done
}

# attack KIND [OPTION...]: afterwards both victims go on, and the daemon has not grown.
attack() {
    local rss
    rss=$(node_rss)
    counters >"$HG_DIR/before"
    timeout 100 ip netns exec "$NS" python3 "$HG_TOP/tests/e2e/attack.py" "$@" ||
        { node_show; hg_die "attack $* failed"; }
    moves 20 100000
    counters >"$HG_DIR/after"
    hg_alive headgate || { hg_output headgate; hg_die "the daemon is gone"; }
    echo "$1: RSS $rss KiB, then $(node_rss)"
    [ "$(node_rss)" -le $((rss + RSS_BOUND)) ] || hg_die "$1: grew from $rss KiB to $(node_rss)"
}

# rose COUNTER MINIMUM [MAXIMUM]: by the attack before.
rose() {
    local by
    by=$(rise "$1")
    echo "$1 +$by"
    [ "$by" -ge "$2" ] && [ "$by" -le "${3:-$((1 << 62))}" ] ||
        hg_die "$1 rose by $by, expected $2 to ${3:-any number}"
}

# unharmed: both victims end as they wish, with every byte the same.
unharmed() {
    local name
    for name in v4 v6; do
        hg_stop $name 20 || { hg_output $name; hg_die "$name was harmed"; }
        grep -q '^echoed' "$HG_DIR/run/$name.out"
    done
    hg_daemon_stop
}

# challenges: how many may be sent to both victims since `before`, at 10 a second and connection (docs/tcp.md).
challenges() {
    echo $((20 * (SECONDS - BEGAN + 2)))
}

@test "a SYN flood from 24,000 sources: both connections go on, new ones get in by cookies, memory stays" {
    node_attacked
    quiet tcp.syncookies_sent tcp.syncookies_ok tcp.conn_limit_drop tcp.half_open_drop
    hg_start flood ip netns exec "$NS" python3 "$HG_TOP/tests/e2e/attack.py" flood --count 60000 --rate 8000
    node_counts tcp.syncookies_sent 1000
    probes=$(window_probes)
    connects 20
    hg_alive flood || hg_die "the flood ended before the connections were made"
    # A cookie's SYN-ACK closes the window. If only a probe opened it, each connection would send one.
    [ "$(window_probes)" -lt $((probes + 10)) ] || hg_die "$(($(window_probes) - probes)) windows asked for"
    moves 10 100000
    hg_wait_exit flood 60
    counters >"$HG_DIR/after"
    rose tcp.syncookies_ok 20
    rose tcp.conn_limit_drop 0 0
    rose tcp.half_open_drop 0 0
    attack flood --count 24000
    rose tcp.syncookies_sent 15000
    connects 20
    unharmed
}

# window_probes: how often the client's kernel has asked for a window, as its TcpExt counters say.
window_probes() {
    hg_in "$NS" awk '$1 == "TcpExt:" && !n { n = split($0, name); next }
        $1 == "TcpExt:" { for (i = 2; i <= n; i++) if (name[i] == "TCPWinProbe") print $i }' /proc/net/netstat
}

# connects N: so many new connections of the kernel's, one after the other, have a line echoed.
connects() {
    timeout 60 ip netns exec "$NS" python3 - $HG_NODE_ADDR "$1" <<'PY'
import socket, sys
for i in range(int(sys.argv[2])):
    with socket.create_connection((sys.argv[1], 7), 20) as c:
        c.sendall(b"line %d\n" % i)
        assert c.recv(100) == b"line %d\n" % i
PY
}

@test "blind RST, SYN, FIN and data with guessed numbers change nothing, and are answered within RFC 5961's bound" {
    local name
    node_attacked
    quiet tcp.rx_rst_ignored tcp.rx_syn_in_conn tcp.rx_bad_ack tcp.rx_paws tcp.rx_out_of_window tcp.challenge_acks
    for name in v4 v6; do
        BEGAN=$SECONDS
        attack blind --victim "$(victim_port $name)" --count 300
        rose tcp.rx_rst_ignored 300
        rose tcp.rx_syn_in_conn 500
        rose tcp.rx_bad_ack 300
        rose tcp.rx_paws 100
        rose tcp.rx_out_of_window 100
        rose tcp.challenge_acks 1 "$(challenges)"
        rose tcp.rx_rst 0 0
    done
    unharmed
}

@test "a forged timestamp does not make the peer's own look old" {
    local name
    node_attacked
    quiet tcp.rx_bad_ack tcp.rx_paws
    for name in v4 v6; do
        attack poison --victim "$(victim_port $name)" --count 30
        rose tcp.rx_bad_ack 5
        rose tcp.rx_paws 0 0
    done
    unharmed
}

@test "10,000 ACKs, acceptable and not, get ten answers a second" {
    node_attacked
    quiet tcp.challenge_acks tcp.rx_bad_ack tcp.rx_out_of_window
    BEGAN=$SECONDS
    attack acks --victim "$(victim_port v4)" --count 10000
    rose tcp.rx_bad_ack 5000
    rose tcp.rx_out_of_window 2500
    rose tcp.challenge_acks 1 $(($(challenges) + 100))
    unharmed
}

@test "of overlapping data the first copy stays; holes, urgent data, tiny segments and wraps change no byte" {
    node_attacked
    quiet tcp.rx_overlap_diff tcp.rx_ooo tcp.rx_ooo_drop tcp.rx_out_of_window
    attack overlap
    rose tcp.rx_overlap_diff 1
    attack gaps
    rose tcp.rx_ooo_drop 50
    rose tcp.rx_out_of_window 2
    attack disorder
    rose tcp.rx_ooo 1000
    attack wrap
    attack urgent
    attack tinygrams --count 3000
    rose tcp.rx_segs 3000
    unharmed
}

@test "a client that shrinks its window gets its bytes; one that keeps it closed is asked now and then, and let go" {
    node_attacked --set ingest.write-timeout=3s
    quiet tcp.zero_window_probes
    attack shrink
    attack closed-window
    rose tcp.zero_window_probes 1 60
    unharmed
}

@test "options and offsets that lie, and every combination of flags, are counted and leave the connection alone" {
    node_attacked
    quiet tcp.rx_bad_option tcp.rx_short tcp.rx_bad_flags tcp.rx_no_listener tcp.rx_no_conn
    attack lies --count 20
    rose tcp.rx_bad_option 300
    rose tcp.rx_short 60
    attack flags
    rose tcp.rx_bad_flags 30
    rose tcp.rx_no_listener 16
    rose tcp.rx_no_conn 100
    unharmed
}

@test "a FIN flood, and clients that have forgotten their connections, leave nothing behind" {
    node_attacked
    quiet tcp.rx_no_conn tcp.rx_rst
    attack fins --count 3000
    rose tcp.rx_no_conn 3000
    attack forgets --count 100
    rose tcp.rx_rst 100
    hg_wait_for 10 only_victims
    unharmed
}

only_victims() {
    [ "$("$HG_CTL" --json conns | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["conns"]))')" -eq 2 ]
}

@test "fragments: tiny and overlapping ones are refused, unfinished ones bounded, proper ones put together" {
    node_attacked
    quiet net.rx_ip_fragment net.rx_ip_fragment_bad net.frag_dropped net.frag_reassembled
    attack frag-proper --count 8
    rose net.frag_reassembled 64
    attack frag-tiny --count 100
    rose net.rx_ip_fragment_bad 400
    attack frag-overlap --count 100
    rose net.frag_dropped 300
    rose net.frag_reassembled 0 0
    attack frag-never --count 1000
    rose net.rx_ip_fragment 4000
    rose net.frag_dropped 3000
    unharmed
}

@test "fragments reach their connection whichever of two shards has it" {
    node_attacked --set cpu.shards=0,1 --set port.spread=software
    quiet shard.strays_passed net.frag_reassembled
    attack frag-proper --count 8
    rose net.frag_reassembled 64
    rose shard.strays_passed 4
    rose shard.strays_dropped 0 0
    unharmed
}

@test "land, martians, wrong sums, cut packets, lying lengths and source routes are dropped by name" {
    node_attacked
    quiet net.rx_ip_martian net.rx_ip_csum net.rx_tcp_csum net.rx_icmp_bad net.rx_short net.rx_ip_header \
        net.rx_ip6_option net.rx_ip6_routing tcp.tx_rst
    attack land
    rose net.rx_ip_martian 400
    rose tcp.tx_rst 0 0
    attack martians
    rose net.rx_ip_martian 1300
    rose tcp.tx_rst 0 0
    attack sums
    rose net.rx_tcp_csum 200
    rose net.rx_ip_csum 100
    rose net.rx_icmp_bad 200
    attack cuts
    rose net.rx_short 200
    attack lengths
    rose net.rx_ip_header 500
    rose net.rx_short 500
    rose net.rx_ip6_option 100
    attack routing
    rose net.rx_ip_header 200
    rose net.rx_ip6_routing 400
    unharmed
}

@test "forged ICMP: no error ends a connection, and no MTU makes segments smaller than 536 bytes" {
    local name
    node_attacked
    quiet tcp.rx_icmp_ignored net.rx_icmp_bad net.rx_icmp_other net.rx_nd_redirect tcp.pmtu_reduced
    for name in v4 v6; do
        attack icmp --victim "$(victim_port $name)" --count 50
        rose tcp.rx_icmp_ignored 500
        rose net.rx_icmp_bad 100
        [ $name = v6 ] || rose net.rx_icmp_other 100
    done
    attack icmp-floor
    rose tcp.pmtu_reduced 1
    unharmed
}

@test "lies about who has which address: the neighbours that are known stay, and so does our own address" {
    node_attacked
    quiet net.rx_arp_unsolicited net.rx_arp_bad net.addr_conflicts net.rx_nd_unsolicited net.rx_nd_bad
    attack arp-claims --count 1000
    rose net.rx_arp_unsolicited 1000
    rose net.rx_arp_bad 2000
    rose net.addr_conflicts 2000
    attack arp-replies --count 20000 --rate 5000
    rose net.rx_arp_unsolicited 10000
    attack nd-claims --count 1000
    rose net.rx_nd_unsolicited 2000
    rose net.rx_nd_bad 3000
    rose net.addr_conflicts 3000
    attack nd-far --count 1000
    rose net.rx_nd_bad 4000
    unharmed
}

@test "50,000 neighbours that do not exist: the known ones stay, and a new one still gets in" {
    node_attacked
    quiet tcp.rx_bad_ack net.tx_arp_wait_drop
    attack neighbours --count 50000
    rose net.rx_nd_solicit 40000
    ip -n "$NS" address add 2001:db8::77/64 dev hg0 nodad
    timeout 20 ip netns exec "$NS" python3 -c "
import socket
with socket.create_connection(('$NODE6', 7), 10, ('2001:db8::77', 0)) as c:
    c.sendall(b'hello')
    assert c.recv(9) == b'hello'"
    unharmed
}
