#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# What headgatectl shows of a running node: connections, their traces, and every discarded packet by its name.

load node.bash

setup() {
    node_prepare alpha beta
}

teardown() {
    hg_end
}

# stream SOURCE [FRAMES]: a replication in the background that lasts longer than the test, until the node has
# taken so many frames; hg_end ends it with its namespace.
stream() {
    hg_start "load-$1" node_load "$1" --size 512M --bytes 512M --rate 100Mbit --resume-retry 1s
    node_counts ingest.frames_data "${2:-5}"
}

@test "conns shows a connection in ss's own words, on a line for its addresses and one for its numbers" {
    node_start
    run "$HG_CTL" conns
    [ "$output" = "There are no connections." ]
    stream alpha
    "$HG_CTL" conns >"$HG_DIR/conns"
    cat "$HG_DIR/conns"
    grep -Eq '^ESTABLISHED +[0-9]+ +[0-9]+ 192\.0\.2\.1:1500 +192\.0\.2\.2:[0-9]+ +alpha$' "$HG_DIR/conns"
    local ms='[0-9.]+' n='[0-9]+'
    grep -Eq "^ +ts sack cubic wscale:$n,$n rto:$ms rtt:$ms/$ms ato:$ms mss:$n pmtu:1500 rcvmss:$n advmss:1460 cwnd:$n " \
        "$HG_DIR/conns"
    grep -Eq " bytes_sent:$n bytes_acked:$n bytes_received:$n segs_out:$n segs_in:$n data_segs_out:$n data_segs_in:$n" \
        "$HG_DIR/conns"
    grep -Eq " lastsnd:$n lastrcv:$n .*rcv_space:$n .*send ${n}bps" "$HG_DIR/conns"
    grep -Eq '^ +tls: TLSv1.3 ' "$HG_DIR/conns"
    # The kernel at the other end counts the same: it cannot have sent less than we received.
    local sent received
    received=$("$HG_CTL" conns --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["conns"][0]["tcp"]["bytes_in"])')
    sent=$(ip netns exec "$NS" ss -tinH dst 192.0.2.1:1500 | sed -n 's/.*bytes_sent:\([0-9]*\).*/\1/p')
    [ "$received" -gt 1000000 ]
    [ "$sent" -ge "$received" ]
}

@test "conns shows all fields of every row in JSON and picks by state, source and peer" {
    node_start
    stream alpha
    stream beta 100
    [ "$("$HG_CTL" conns state established | grep -c ^ESTABLISHED)" -eq 2 ]
    [ "$("$HG_CTL" conns src beta | grep -c ^ESTABLISHED)" -eq 1 ]
    [ "$("$HG_CTL" conns peer 192.0.2.2 | grep -c ^ESTABLISHED)" -eq 2 ]
    run "$HG_CTL" conns peer 192.0.2.20
    [ "$output" = "None of the 2 connections is like that." ]
    run "$HG_CTL" conns source beta
    [ "$status" -eq 2 ]
    "$HG_CTL" --json conns src alpha | python3 -c '
import json, re, sys
(c,) = json.load(sys.stdin)["conns"]
assert c["source"] == "alpha" and c["session"]["frames"] > 0, c
t = c["tcp"]
assert t["srtt_us"] > 0 and t["cwnd"] > 0 and t["segs_in"] > 0 and t["sack"] is True, c
assert t["state"] == "ESTABLISHED" and t["cc"] == "cubic" and t["ca_state"] == "open", c
# One row for each field of struct hg_tcp_info but the flow.
fields = open(sys.argv[1]).read().split("struct hg_tcp_info {")[1].split("};")[0]
names = set(re.findall(r"[ *]([a-z0-9_]+)(?=[,;])", re.sub(r"/\*.*?\*/", "", fields, flags=re.S))) - {"flow"}
assert names == set(t), names ^ set(t)' "$HG_TOP/include/headgate/tcp.h"
}

@test "conns --trace tells what a connection went through" {
    local peer
    node_start
    stream alpha
    peer=$("$HG_CTL" --json conns | python3 -c 'import json, sys; print(json.load(sys.stdin)["conns"][0]["peer"])')
    "$HG_CTL" conns --trace "$peer" >"$HG_DIR/trace"
    cat "$HG_DIR/trace"
    grep -q 's ago  SYN received .*mss:1460 window:' "$HG_DIR/trace"
    grep -q 's ago  state .*SYN-RECEIVED -> ESTABLISHED' "$HG_DIR/trace"
    hg_refute grep -q 'retransmission time-out' "$HG_DIR/trace"
    # A reset from outside the window is no news to the stream, but it is in the trace.
    inject rst "${peer##*:}"
    "$HG_CTL" conns --trace "$peer" | grep -q 'RST received'
    run "$HG_CTL" conns --trace 192.0.2.2:1
    [ "$status" -eq 1 ]
    [[ $output == *"there is no connection with this peer"* ]]
    run "$HG_CTL" conns --trace nonsense
    [[ $output == *"write the peer as"* ]]
}

@test "every number that stats shows has a sentence" {
    node_start
    "$HG_CTL" stats --explain >"$HG_DIR/explain"
    "$HG_CTL" --json stats | python3 -c '
import json, sys
j = json.load(sys.stdin)
shown = {"port." + n for n, v in j["port"].items() if type(v) is int}
shown |= {"device." + n for d in j["devices"] for n, v in d.items() if type(v) is int}
for shard in j["shards"]:
    shown |= {a + "." + n for a, area in shard.items() for n in area}
areas = {name.split(".")[0] for name in shown}
assert areas >= {"port", "device", "shard", "net", "tcp", "tls", "ingest", "store"}, areas
for name in sorted(shown):
    text = j["help"].get(name, "")
    assert len(text) > 5 and " " in text, name + " has no sentence"
lines = {w[0]: w[2] for w in (l.split(None, 2) for l in open(sys.argv[1]) if l.startswith("  "))}
assert set(lines) == shown, set(lines) ^ shown
for name in shown:
    assert lines[name].strip() == j["help"][name], name' "$HG_DIR/explain"
}

# inject KIND [PEER-PORT]: one packet from the client's interface, as raw_packet.py makes it.
inject() {
    ip netns exec "$NS" python3 "$HG_TOP/tests/e2e/raw_packet.py" hg0 "$@"
}

# All counters of areas net and tcp that count what was discarded, as NAME VALUE lines.
discards() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
quiet = {"net.rx_packets", "net.tx_packets", "tcp.rx_segs", "tcp.tx_segs", "net.rx_arp_request",
         "net.rx_arp_reply", "net.tx_arp_request", "net.rx_arp_unsolicited", "net.rx_icmp_error", "tcp.tx_rst"}
s = json.load(sys.stdin)["shards"][0]
for area in "net", "tcp":
    for name, value in sorted(s[area].items()):
        if area + "." + name not in quiet:
            print(area + "." + name, value)'
}

@test "a discarded packet raises the counter that names the reason, and no other" {
    node_start
    # What the kernel says by itself about IPv6 is not part of the play.
    hg_in "$NS" sysctl -qw net.ipv6.conf.hg0.disable_ipv6=1
    hg_in "$NS" ping -c 1 -W 5 $HG_NODE_ADDR
    local kind counter
    while read -r kind counter; do
        discards >"$HG_DIR/before"
        inject "$kind"
        node_counts "$counter" $(($(awk -v n="$counter" '$1 == n { print $2 }' "$HG_DIR/before") + 1)) 5
        discards >"$HG_DIR/after"
        [ "$(diff "$HG_DIR/before" "$HG_DIR/after" | grep -c '^>')" -eq 1 ] ||
            hg_die "$kind: $(diff "$HG_DIR/before" "$HG_DIR/after")"
    done <<'ROWS'
short net.rx_short
other-mac net.rx_not_ours
other-ip net.rx_not_ours
ethertype net.rx_ethertype
ip-checksum net.rx_ip_csum
ip-version net.rx_ip_header
martian net.rx_ip_martian
ip-proto net.rx_ip_proto
tcp-checksum net.rx_tcp_csum
tcp-short tcp.rx_short
tcp-option tcp.rx_bad_option
tcp-no-listener tcp.rx_no_listener
tcp-no-conn tcp.rx_no_conn
tcp-flags tcp.rx_bad_flags
stray-rst tcp.rx_rst_ignored
icmp-checksum net.rx_icmp_bad
icmp-type net.rx_icmp_other
icmp-forged tcp.rx_icmp_ignored
ROWS
}

@test "the commands of docs/inside.md work as they stand there" {
    requires tshark
    node_start
    stream alpha
    awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$HG_TOP/docs/inside.md" >"$HG_DIR/script"
    grep -q 'headgatectl capture' "$HG_DIR/script"
    cd "$HG_DIR"
    run env PATH="$(dirname "$HG_CTL"):$PATH" timeout 60 bash -e "$HG_DIR/script"
    [ "$status" -eq 0 ] || hg_die "said: $output"
    [[ $output == *'SYN-RECEIVED -> ESTABLISHED'* ]]
    [ -s wire.pcapng ]
}
