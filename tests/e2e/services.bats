#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The services of the test profile, with the kernel's TCP and the tools of others as peers.

load node.bash

setup() {
    NODE_PROFILE=test
    node_prepare alpha
}

teardown() {
    hg_end
}

# peer COMMAND...: in the node's namespace, bounded.
peer() {
    timeout 60 ip netns exec "$NS" "$@"
}

# ask PATH [OPTION...]: what curl gets, into $HG_DIR/body; prints the status.
ask() {
    local url=$1
    shift
    peer curl -s -o "$HG_DIR/body" -w '%{http_code}' --cacert "$HG_DIR/pki/ca.crt" "$@" "$url"
}

@test "echo: every byte comes back, also after the client's FIN" {
    requires socat
    node_start
    head -c 20M /dev/urandom >"$HG_DIR/sent"
    peer socat -t 20 - TCP:$HG_NODE_ADDR:7 <"$HG_DIR/sent" >"$HG_DIR/back"
    cmp "$HG_DIR/sent" "$HG_DIR/back"
    peer socat -t 20 - OPENSSL:$HG_NODE_ADDR:1007,cafile="$HG_DIR/pki/ca.crt" \
        <"$HG_DIR/sent" >"$HG_DIR/back.tls"
    cmp "$HG_DIR/sent" "$HG_DIR/back.tls"
}

@test "echo: a line comes back before the next is sent, from many at once" {
    node_start
    peer python3 - $HG_NODE_ADDR <<'PY'
import socket, sys
conns = [socket.create_connection((sys.argv[1], 7), 10) for _ in range(200)]
for i in range(20):
    for n, c in enumerate(conns):
        line = b"line %d of %d\r\n" % (i, n)
        c.sendall(line)
        got = b""
        while len(got) < len(line):
            got += c.recv(100)
        assert got == line, (got, line)
for c in conns:
    c.shutdown(socket.SHUT_WR)
for c in conns:
    assert c.recv(1) == b""
PY
    hg_wait_for 10 conns_gone
}

conns_gone() {
    [ "$("$HG_CTL" --json conns | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["conns"]))')" -eq 0 ]
}

@test "echo: a peer that does not read is held back, disturbs nobody, and is let go" {
    node_start --set ingest.write-timeout=3s
    peer python3 - $HG_NODE_ADDR <<'PY' &
import select, socket, sys
c = socket.create_connection((sys.argv[1], 7), 30)
sent = 0
c.settimeout(1.5)
try:
    while sent < 1 << 30:
        sent += c.send(bytes(65536))
except socket.timeout:
    pass
assert 1 << 16 < sent < 64 << 20, sent
p = select.poll()
p.register(c, 0)  # the reset, without reading
assert p.poll(15000), "never let go"
PY
    local writer=$!
    sleep 0.5
    [ "$(ask http://$HG_NODE_ADDR/1000000)" = 200 ]
    wait $writer
}

@test "http and https: the same 64 MiB each time, byte for byte what the header says" {
    local url
    node_start
    for url in http://$HG_NODE_ADDR https://$HG_NODE_ADDR; do
        [ "$(ask "$url/67108864")" = 200 ]
        mv "$HG_DIR/body" "$HG_DIR/first"
        [ "$(ask "$url/67108864")" = 200 ]
        cmp "$HG_DIR/first" "$HG_DIR/body"
    done
    python3 - "$HG_DIR/first" <<'PY'
import sys
n = 67108864
period = bytes((i * 2654435761 >> 24) & 255 for i in range(65521))
at = n % 65521
want = (period * (n // 65521 + 2))[at:at + n]
assert open(sys.argv[1], "rb").read() == want
PY
    [ "$(node_counter test.http_200)" -eq 4 ]
}

@test "http: sizes of all kinds, HEAD, and every refusal" {
    local n
    node_start
    for n in 0 1 1447 1448 1449 32768 65521 65522 1000003; do
        [ "$(ask http://$HG_NODE_ADDR/$n)" = 200 ]
        [ "$(stat -c %s "$HG_DIR/body")" -eq $n ]
        [ "$(ask https://$HG_NODE_ADDR/$n)" = 200 ]
        [ "$(stat -c %s "$HG_DIR/body")" -eq $n ]
    done
    peer curl -s -I http://$HG_NODE_ADDR/12345 | grep -q 'Content-Length: 12345'
    [ "$(ask http://$HG_NODE_ADDR/67108865)" = 404 ]
    [ "$(ask http://$HG_NODE_ADDR/index.html)" = 404 ]
    [ "$(ask http://$HG_NODE_ADDR/1 -X POST -d data)" = 405 ]
    [ "$(ask "http://$HG_NODE_ADDR/$(printf '%01100d' 1)")" = 414 ]
    printf 'nonsense\r\n' | peer socat -t 10 - TCP:$HG_NODE_ADDR:80 | grep -q '^HTTP/1.0 400 '
    printf 'GET /5 HTTP/2.0\r\n\r\n' | peer socat -t 10 - TCP:$HG_NODE_ADDR:80 | grep -q '^HTTP/1.0 400 '
}

@test "http: a slow reader gets all of it" {
    node_start
    peer python3 - $HG_NODE_ADDR <<'PY'
import socket, sys, time
n = 6 << 20
c = socket.socket()
c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
c.settimeout(20)
c.connect((sys.argv[1], 80))
c.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % n)
got = b""
while True:
    part = c.recv(65536)
    if not part:
        break
    got += part
    time.sleep(0.1 * len(part) / 65536)
head, body = got.split(b"\r\n\r\n", 1)
assert len(body) == n, len(body)
PY
}

@test "http: a request that is never finished does not last" {
    node_start
    peer python3 - $HG_NODE_ADDR <<'PY'
import socket, sys, time
c = socket.create_connection((sys.argv[1], 80), 20)
c.sendall(b"GET /1 HTTP/1.0\r\n")
end = time.monotonic() + 20
try:
    for i in range(40):
        c.sendall(b"X: y\r\n")
        time.sleep(0.5)
        c.setblocking(False)
        try:
            if c.recv(100) == b"":
                sys.exit(0)
        except BlockingIOError:
            pass
        c.setblocking(True)
except ConnectionError:
    sys.exit(0)
sys.exit("still open after 20 s")
PY
    node_counts test.late 1
}

@test "TLS 1.2 and 1.3 from OpenSSL and GnuTLS, without a client certificate" {
    local v priority
    requires gnutls-cli
    node_start
    for v in 1_2 1_3; do
        run bash -c "(echo hello over $v; sleep 2) | timeout 20 ip netns exec '$NS' \
            openssl s_client -quiet -verify_return_error -CAfile '$HG_DIR/pki/ca.crt' \
            -tls$v -connect $HG_NODE_ADDR:1007 2>&1"
        [[ $output == *"hello over $v"* ]] || hg_die "said: $output"
    done
    for priority in NORMAL:-VERS-ALL:+VERS-TLS1.2 NORMAL:-VERS-ALL:+VERS-TLS1.3; do
        run bash -c "(echo hello from $priority; sleep 2) | timeout 20 ip netns exec '$NS' \
            gnutls-cli --x509cafile '$HG_DIR/pki/ca.crt' --priority '$priority' \
            -p 1007 $HG_NODE_ADDR 2>&1"
        [[ $output == *"hello from $priority"* ]] || hg_die "said: $output"
        [[ $output == *"certificate is trusted"* ]] || hg_die "said: $output"
    done
    [ "$(node_counter tls.handshakes)" -eq 4 ]
}

@test "the native protocol still asks for a certificate, and works beside the services" {
    node_start
    run node_s_client -CAfile "$HG_DIR/pki/ca.crt" -ign_eof
    node_counts tls.no_client_cert 1
    [ "$(node_counter ingest.sessions)" -eq 0 ]
    ask http://$HG_NODE_ADDR/67108864 >"$HG_DIR/code" &
    local curl=$!
    node_load alpha --size 16M --bytes 16M
    wait $curl
    [ "$(cat "$HG_DIR/code")" = 200 ]
}

@test "discard takes 200 MB, plain and over TLS" {
    requires socat
    node_start
    head -c 200000000 /dev/zero | peer socat -u - TCP:$HG_NODE_ADDR:9
    hg_wait_for 10 taken 200000000
    head -c 200000000 /dev/zero |
        peer socat -u - OPENSSL:$HG_NODE_ADDR:1009,cafile="$HG_DIR/pki/ca.crt"
    hg_wait_for 10 taken 400000000
}

taken() {
    [ "$(node_counter test.bytes_in)" -eq "$1" ]
}

@test "chargen sends the pattern of RFC 864, plain and over TLS" {
    requires socat
    node_start
    python3 - >"$HG_DIR/want" <<'PY'
import sys
ring = "".join(chr(c) for c in range(32, 127))
lines = [(ring * 2)[i:i + 72] + "\r\n" for i in range(95)]
sys.stdout.write("".join(lines) * 1500)
PY
    head -c 10000000 "$HG_DIR/want" >"$HG_DIR/want.10M"
    peer socat -u TCP:$HG_NODE_ADDR:19 - 2>/dev/null | head -c 10000000 | cmp - "$HG_DIR/want.10M"
    peer socat -u OPENSSL:$HG_NODE_ADDR:1019,cafile="$HG_DIR/pki/ca.crt" - 2>/dev/null |
        head -c 10000000 | cmp - "$HG_DIR/want.10M"
}

@test "a closed port resets, or is silent when the profile says so" {
    node_start
    run peer python3 -c "import socket; socket.create_connection(('$HG_NODE_ADDR', 4711), 5)"
    [[ $output == *ConnectionRefusedError* ]] || hg_die "said: $output"
    hg_daemon_stop
    node_start --set port.closed-ports=silent
    run peer python3 -c "import socket; socket.create_connection(('$HG_NODE_ADDR', 4711), 2)"
    [[ $output == *imeout* ]] || hg_die "said: $output"
    node_counts tcp.rx_closed_silent 1
    [ "$(ask http://$HG_NODE_ADDR/10)" = 200 ]
}

@test "the services' list of addresses is theirs alone" {
    local from
    node_start --set test.class=restricted --set test.allow=192.0.2.2 \
        --set test.tls-client-certificate=required --set test.echo=0 --set test.discard=0 \
        --set test.chargen=0 --set test.http=0
    ip -n "$NS" address replace 192.0.2.3/24 dev hg0
    for from in 192.0.2.2 192.0.2.3; do
        peer python3 -c "
import socket
socket.create_connection(('$HG_NODE_ADDR', 1500), 5, ('$from', 0))"
    done
    [ "$(ask https://$HG_NODE_ADDR/10 --interface 192.0.2.2 --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key")" = 200 ]
    [ "$(node_counter tcp.rx_not_allowed)" -eq 0 ]
    run peer curl -sv --interface 192.0.2.3 https://$HG_NODE_ADDR/10
    [[ $output == *'Connection refused'* ]] || hg_die "said: $output"
    node_counts tcp.rx_not_allowed 1
}

@test "a production profile refuses the services, and so does one that does not ask for them" {
    local profile=$HG_TOP/config/bare-metal-25g.ini
    run "$HG_DAEMON" --check-config --config "$profile" --set test.services=yes
    [ "$status" -ne 0 ]
    [[ $output == *"a production profile has no test services"* ]] || hg_die "said: $output"
    for option in echo discard-tls chargen http-tls; do
        run "$HG_DAEMON" --check-config --config "$profile" --set test.$option=4711
        [ "$status" -ne 0 ]
        [[ $output == *"refused without [test] services = yes"* ]] || hg_die "said: $output"
    done
    run "$HG_DAEMON" --check-config --config "$profile" --set node.profile=test --set test.echo=7
    [ "$status" -ne 0 ]
    "$HG_DAEMON" --check-config --config "$profile" --set node.profile=test --set test.services=yes \
        --set test.echo=7
}

@test "SIGHUP gives the services the new certificates too" {
    node_start
    rm "$HG_DIR/pki/node.crt" "$HG_DIR/pki/node.key"
    "$HG_PKI" node "$HG_DIR/pki" node --ip $HG_NODE_ADDR --dns other.example >/dev/null
    kill -HUP "$(node_pid)"
    hg_wait_for 5 node_log 'certificates reloaded'
    [ "$(ask https://other.example/10 --resolve other.example:443:$HG_NODE_ADDR)" = 200 ]
}

@test "SIGTERM ends the services' connections" {
    node_start
    hg_start chargen ip netns exec "$NS" socat -u TCP:$HG_NODE_ADDR:19 /dev/null
    node_counts test.chargen_conns 1
    hg_daemon_stop
    hg_wait_exit chargen 10
}

@test "10,000 connections each get their own bytes back, and one more is refused" {
    [ "$(ulimit -Hn)" -ge 11000 ] || hg_skip "may not open 10,000 sockets here"
    ulimit -n "$(ulimit -Hn)"
    node_start --set test.connections=10000
    peer python3 - $HG_NODE_ADDR <<'PY'
import socket, sys
conns = [socket.create_connection((sys.argv[1], 7), 20) for _ in range(10000)]
for round in range(2):
    lines = [b"%d of %d %s\n" % (n, round, b"x" * 1000) for n in range(len(conns))]
    for c, line in zip(conns, lines):
        c.sendall(line)
    for c, line in zip(conns, lines):
        got = b""
        while len(got) < len(line):
            part = c.recv(4096)
            assert part, "closed"
            got += part
        assert got == line, (got, line)
try:
    assert socket.create_connection((sys.argv[1], 7), 5).recv(1) == b""
except ConnectionError:
    pass
PY
    [ "$(node_counter test.refused)" -eq 1 ]
    hg_wait_for 20 conns_gone
}
