#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The bad cable between two kernels: that it carries, that it does what it was told, and that its
# counters are what happened.

load lib.bash
source "$BATS_TEST_DIRNAME/forward.bash"

setup() {
    requires ip ping python3
    requires_root
    hg_begin
}

teardown() {
    hg_end
}

# datagrams N: sends N UDP datagrams from a to b, and prints how many arrived.
datagrams() {
    cat >"$HG_DIR/receiver.py" <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE: all of them, however slow we are
s.bind(("0.0.0.0", 4000))
print("ready", flush=True)
n = 0
while s.recv(100) != b"end":
    n += 1
print(n)
PY
    hg_start receiver ip netns exec "$NS_B" python3 "$HG_DIR/receiver.py"
    hg_wait_line receiver 10 '^ready'
    hg_in "$NS_A" python3 - "$1" $HG_B_ADDR <<'PY'
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[2], 4000))
for i in range(int(sys.argv[1])):
    s.send(b"x" * 50)
    if i % 50 == 0:
        time.sleep(0.001)
time.sleep(0.5)
PY
    hg_in "$NS_B" python3 -c 'import socket; socket.socket(2, 2).sendto(b"end", ("127.0.0.1", 4000))'
    hg_wait_exit receiver 10
    tail -n 1 "$HG_DIR/run/receiver.out"
}

# transfer ADDRESS MEGABYTES: a TCP transfer from a to b that must arrive unchanged.
transfer() {
    cat >"$HG_DIR/sink.py" <<'PY'
import hashlib, socket
s = socket.create_server(("::", 4001), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
c, _ = s.accept()
h = hashlib.sha256()
while data := c.recv(1 << 16):
    h.update(data)
print(h.hexdigest())
PY
    hg_start sink ip netns exec "$NS_B" python3 "$HG_DIR/sink.py"
    hg_wait_line sink 10 '^ready'
    hg_in "$NS_A" timeout 60 python3 - "$1" "$2" >"$HG_DIR/sent" <<'PY'
import hashlib, random, socket, sys
data = random.Random(1).randbytes(int(sys.argv[2]) << 20)
with socket.create_connection((sys.argv[1], 4001)) as s:
    s.sendall(data)
print(hashlib.sha256(data).hexdigest())
PY
    hg_wait_exit sink 20
    [ "$(tail -n 1 "$HG_DIR/run/sink.out")" = "$(cat "$HG_DIR/sent")" ]
}

# check EXPRESSION: a Python expression over the counters that must hold.
check() {
    [ "$(forward_count "$1")" = True ] || {
        tail -n 1 "$HG_DIR/run/forward.out" >&2
        hg_die "does not hold: $1"
    }
}

# Whatever entered either came out or is counted, and what came out was given to the interface.
check_books() {
    check 'all(p["packets_in"] + p["duplicated"] == p["packets_out"] + p["too_big"] + p["lost"]
        + p["burst_lost"] + p["queue_full"] + p["queue_active"] + p["path_full"] for p in (ab, ba))'
    check 'a["rx_packets"] + ba["answered"] == ab["packets_in"] and b["rx_packets"] + ab["answered"] == ba["packets_in"]'
    check 'b["tx_packets"] == ab["packets_out"] and a["tx_packets"] == ba["packets_out"]'
    check 'a["rx_kernel_drops"] + b["rx_kernel_drops"] + a["tx_refused"] + b["tx_refused"] == 0'
}

@test "forward: a perfect cable carries both versions both ways, and every frame is counted" {
    forward_path 1500
    forward_start
    hg_in "$NS_A" ping -q -c 5 -i 0.05 $HG_B_ADDR
    hg_in "$NS_B" ping -q -c 5 -i 0.05 $HG_A_ADDR
    kill -USR1 "$(hg_pid forward)"
    hg_wait_line forward 5 '^[{]'
    check 'ab["packets_out"] >= 10 and ba["packets_out"] >= 10'
    transfer $HG_B_ADDR 4
    [ ! -e /proc/net/if_inet6 ] || transfer $HG_B_ADDR6 4
    forward_stop
    check_books
    check 'ab["bytes_in"] > 4 << 20'
}

@test "forward: 1 % loss loses about 1 %, exactly what it counts, and the same again with the same seed" {
    local round arrived lost=
    forward_path 1500
    forward_ipv4_only
    for round in 1 2; do
        forward_start --ab loss=1% --seed 5
        arrived=$(datagrams 20000)
        forward_stop
        check_books
        check "ab['packets_in'] == 20000 and ab['packets_out'] == $arrived"
        check '140 < ab["lost"] < 260'
        [ -z "$lost" ] || check "ab['lost'] == $lost"
        lost=$(forward_count 'ab["lost"]')
    done
}

@test "forward: the round trip is as long as was asked" {
    forward_path 1500
    forward_start --ab delay=30ms --ba delay=20ms
    hg_in "$NS_A" ping -q -c 10 -i 0.1 $HG_B_ADDR | tee "$HG_DIR/ping"
    forward_stop
    # The quickest of ten: delays are never cut short, and hardly any is longer on a busy machine too.
    python3 - "$HG_DIR/ping" <<'PY'
import re, sys
quickest = float(re.search(r"= ([\d.]+)/", open(sys.argv[1]).read()).group(1))
assert 50 <= quickest < 60, quickest
PY
}

@test "forward: TCP gets every byte through all layers at once" {
    local layers=burst-enter=0.1%,burst-leave=30%,burst-loss=50%,dup=1%,corrupt=1%,delay=2ms
    layers+=,jitter=1ms,reorder=1%,late=3ms,late-packets=3,rate=200Mbit,queue=200K
    forward_path 1500
    forward_start --both $layers
    transfer $HG_B_ADDR 4
    sleep 1 # the last acknowledgements are on their way for milliseconds after the last byte is there
    forward_stop
    check_books
    check 'all(ab[k] > 0 for k in ("burst_lost", "duplicated", "corrupted", "late"))'
}

@test "forward: what is too long for the cable is answered with ICMP, or not if it is a black hole" {
    forward_path 1500
    forward_start --ab mtu=1400 --icmp
    hg_in "$NS_A" ping -M do -s 1372 -c 1 -W 5 $HG_B_ADDR
    hg_in "$NS_A" ping -M do -s 1373 -c 1 -W 1 $HG_B_ADDR >"$HG_DIR/ping" 2>&1 || true
    grep -q 'mtu *= *1400' "$HG_DIR/ping"
    transfer $HG_B_ADDR 1
    forward_stop
    check_books
    check 'ab["too_big"] >= 1 and ab["answered"] == ab["too_big"]'
    hg_in "$NS_A" ip route flush cache
    forward_start --ab mtu=1400
    hg_in "$NS_A" ping -M do -s 1373 -c 1 -W 1 $HG_B_ADDR >"$HG_DIR/ping" 2>&1 || true
    hg_refute grep -q 'mtu *= *1400' "$HG_DIR/ping"
    forward_stop
    check 'ab["too_big"] == 1 and ab["answered"] == 0'
}

@test "forward: a queue over its mark marks ECN connections and drops nothing of theirs" {
    forward_path 1500
    hg_in "$NS_A" sysctl -qw net.ipv4.tcp_ecn=1 net.ipv4.tcp_congestion_control=reno
    hg_in "$NS_B" sysctl -qw net.ipv4.tcp_ecn=1
    forward_start --ab rate=50Mbit,queue=8M,mark=60K --both delay=5ms
    transfer $HG_B_ADDR 4
    forward_stop
    check_books
    check 'ab["marked"] > 0 and ab["queue_full"] == 0'
    # The receiver told the sender of it (RFC 3168 section 6.1.2).
    [ "$(hg_in "$NS_A" nstat -asz TcpExtTCPDeliveredCE | awk '/CE/ { print $2 }')" -gt 0 ]
}

@test "forward: aggregates are refused by name" {
    forward_path 1500
    ip -n "$NS_A" link set a0 gso_max_segs 65535
    forward_start
    transfer $HG_B_ADDR 1
    forward_stop
    check 'a["rx_aggregates"] > 0'
}

@test "forward: one end may be a TAP of its own" {
    forward_path 1500
    hg_start forward ip netns exec "$NS_M" "$HG_FORWARD" --both delay=1ms f0 tap:t1
    hg_wait_line forward 10 '^hg-forward: ready'
    ip -n "$NS_M" link set t1 address $HG_B_MAC up
    ip -n "$NS_M" address add $HG_B_ADDR/24 dev t1
    hg_in "$NS_A" ping -q -c 3 -i 0.1 $HG_B_ADDR
    forward_stop
    check 'ab["packets_out"] >= 3'
    hg_refute ip -n "$NS_M" link show t1
}

@test "forward: mistakes in its arguments are told" {
    local args
    for args in "" "f0" "--ab loss=5 f0 f1" "--ab rate=1Mbit f0 f1" "--frames 1 f0 f1" "--colour f0 f1"; do
        # shellcheck disable=SC2086 # several arguments
        hg_refute "$HG_FORWARD" $args >"$HG_DIR/out" 2>&1
        grep -q . "$HG_DIR/out"
    done
    hg_refute "$HG_FORWARD" no-such-if no-such-if 2>"$HG_DIR/out"
    grep -q 'no-such-if.*No such device' "$HG_DIR/out"
}
