#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# A core dump of a node that serves holds no key: neither what protects connections, nor its private key.

load node.bash

setup() {
    NODE_PROFILE=test
    node_prepare alpha
}

teardown() {
    hg_end
}

# client NAME OPTION...: openssl s_client that stays, as the program NAME.
client() {
    local name=$1
    shift
    mkfifo "$HG_DIR/$name.in"
    hg_start "$name" bash -c "exec ip netns exec $NS openssl s_client -quiet -alpn headgate/1 -connect $* <>$HG_DIR/$name.in"
}

# greeted NAME: it says a line, which the echo service sends back.
greeted() {
    echo "hello $1" >"$HG_DIR/$1.in"
    hg_wait_line "$1" 10 "^hello $1"
}

# half_handshake: a client that says hello and nothing more.
half_handshake() {
    hg_start half ip netns exec "$NS" python3 -c '
import socket, ssl, sys, time
out = ssl.MemoryBIO()
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), out, server_hostname="node")
try:
    tls.do_handshake()
except ssl.SSLWantReadError:
    pass
s = socket.create_connection((sys.argv[1], 1007))
s.sendall(out.read())
print("answered", len(s.recv(1)), flush=True)
time.sleep(60)' $HG_NODE_ADDR
    hg_wait_line half 10 '^answered 1'
}

# dumped: the core file is there and does not grow any more.
dumped() {
    [ -e "$HG_DIR/run/headgate.rc" ] && ls "$HG_DIR"/core* >/dev/null
}

# serve PROVIDER HELPERS: clients of both versions and all suites on the test services, and the native protocol.
serve() {
    local suite
    node_start --set tls.provider="$1" --set tls.handshake-helpers="$2" --set tls.handshake-timeout=60s \
        --set ingest.hello-timeout=60s --set port.rx-mbufs=4096 --set test.connections=64 --set ingest.connections=64 --set debug.allow-keylog=yes --set tls.keylog="$HG_DIR/keys.log"
    for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
        client "$suite" $HG_NODE_ADDR:1007 -tls1_3 -ciphersuites "$suite"
        greeted "$suite"
    done
    client tls12 $HG_NODE_ADDR:1007 -tls1_2
    greeted tls12
    client native $HG_NODE_ADDR:1500 -cert "$HG_DIR/pki/alpha.crt" -key "$HG_DIR/pki/alpha.key"
    node_counts tls.handshakes 5
}

# no_secret_in_core PROVIDER HELPERS
no_secret_in_core() {
    local core
    case $(cat /proc/sys/kernel/core_pattern) in
    '|'*) hg_skip "core dumps go to a program here, /proc/sys/kernel/core_pattern" ;;
    esac
    ulimit -c unlimited || hg_skip "may not dump core here, ulimit -c"
    cd "$HG_DIR"
    serve "$1" "$2"
    "$HG_TOP/tests/e2e/secrets.py" live "$(node_pid)" keys.log pki/node.key
    half_handshake
    "$HG_CTL" --json stats >stats.json
    kill -ABRT "$(node_pid)"
    hg_wait_for 60 dumped
    core=$(echo core*)
    echo "# $(stat -c %b "$core") blocks of core" >&3
    "$HG_TOP/tests/e2e/secrets.py" core "$core" keys.log pki/node.key "$HG_DIR/pool/dev0.img"
    python3 -c '
import json
s = json.load(open("stats.json"))
assert s["secrets"]["mapped"] > 0
assert s["secrets"]["unlocked"] == 0 or any("swapped" in w for w in s["warnings"]), s["warnings"]'
}

@test "no key is in a core dump: records by ipsec-mb, handshakes by helpers" {
    no_secret_in_core ipsec-mb 2
}

@test "no key is in a core dump: records by OpenSSL, handshakes by the shard" {
    no_secret_in_core openssl 0
}


@test "a limit of locked memory that is too low is told, and the node serves all the same" {
    requires setpriv prlimit curl
    local real=$HG_DAEMON
    cat >"$HG_DIR/daemon" <<SH
#!/bin/sh
exec prlimit --memlock=65536:65536 setpriv --inh-caps -ipc_lock --bounding-set -ipc_lock "$real" "\$@"
SH
    chmod +x "$HG_DIR/daemon"
    HG_DAEMON=$HG_DIR/daemon node_start
    node_log 'secrets may be swapped out.*LimitMEMLOCK'
    "$HG_CTL" stats >"$HG_DIR/stats"
    grep -q 'WARNING.*swapped out' "$HG_DIR/stats"
    timeout 20 ip netns exec "$NS" curl -s -o /dev/null --cacert "$HG_DIR/pki/ca.crt" https://$HG_NODE_ADDR/1000
    HG_DAEMON=$real
    hg_daemon_stop
    node_start
    hg_refute node_log 'swapped out' 2>/dev/null
    hg_daemon_stop
}
