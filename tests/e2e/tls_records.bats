#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# What comes after the handshake, through the whole stack, with the tools of others as peers: session
# tickets, small records, key updates, and the end of a connection in every way.

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

# s_client PORT OPTION...: a line there and back (or, where nobody sends it back, the node's answer to
# it), then the end; what openssl says is in $HG_DIR/said.
s_client() {
    local port=$1
    shift
    : >"$HG_DIR/said"
    { printf '%-80s\n' 'once around' && hg_wait_for 10 grep -Eq '^once around|errno|^closed' "$HG_DIR/said" &&
        sleep 0.2 && printf 'Q\n'; } |
        peer openssl s_client -connect $HG_NODE_ADDR:"$port" "$@" >"$HG_DIR/said" 2>&1 || {
        cat "$HG_DIR/said" >&2
        return 1
    }
}

said() {
    grep -Eq -- "$1" "$HG_DIR/said" || { cat "$HG_DIR/said" >&2; hg_die "not said: $1"; }
}

@test "tickets: openssl resumes, and its data comes back" {
    local version
    node_start
    for version in tls1_2 tls1_3; do
        s_client 1007 -$version -sess_out "$HG_DIR/session"
        said '^New, TLS'
        s_client 1007 -$version -sess_in "$HG_DIR/session"
        said '^Reused, TLS'
        said '^once around'
    done
    [ "$(node_counter tls.resumed)" -eq 2 ]
    [ "$(node_counter tls.handshake_failures)" -eq 0 ]
}

@test "tickets: gnutls resumes" {
    local version
    requires gnutls-cli
    node_start
    for version in 1.2 1.3; do
        printf 'GET /1000 HTTP/1.0\r\n\r\n' | peer gnutls-cli --resume --waitresumption \
            --x509cafile "$HG_DIR/pki/ca.crt" --verify-hostname $HG_NODE_ADDR -p 443 \
            --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" $HG_NODE_ADDR >"$HG_DIR/said" 2>&1 || {
            cat "$HG_DIR/said" >&2
            hg_die "gnutls-cli failed with TLS $version"
        }
        said 'This is a resumed session'
    done
    [ "$(node_counter tls.resumed)" -eq 2 ]
}

@test "tickets: a source's session is bound to its certificate, off by default, void after a reload" {
    local cert=(-cert "$HG_DIR/pki/alpha.crt" -key "$HG_DIR/pki/alpha.key" -alpn headgate/1)
    node_start
    s_client 1500 "${cert[@]}" -tls1_3 -sess_out "$HG_DIR/session" || true
    [ ! -s "$HG_DIR/session" ] || s_client 1500 "${cert[@]}" -tls1_3 -sess_in "$HG_DIR/session"
    [ "$(node_counter tls.tickets_out)" -eq 0 ]
    [ "$(node_counter tls.resumed)" -eq 0 ]
    hg_daemon_stop

    node_start --set tls.tickets=1
    s_client 1500 "${cert[@]}" -tls1_3 -sess_out "$HG_DIR/session" || true
    s_client 1500 -alpn headgate/1 -tls1_3 -sess_in "$HG_DIR/session" || true
    said '^Reused, TLS' # without a certificate shown again: the ticket has it
    [ "$(node_counter tls.resumed)" -eq 1 ]
    # the other listener does not know it
    s_client 1007 -tls1_3 -sess_in "$HG_DIR/session"
    said '^New, TLS'
    node_counts tls.tickets_unknown 1
    kill -HUP "$(node_pid)"
    hg_wait_for 10 node_log 'reload'
    s_client 1500 "${cert[@]}" -tls1_3 -sess_in "$HG_DIR/session" || true
    said '^New, TLS'
    node_counts tls.tickets_unknown 2
    [ "$(node_counter tls.handshake_failures)" -eq 0 ]
}

@test "small records: openssl's fragment length and gnutls' record size limit" {
    local before size version
    requires gnutls-cli
    node_start
    for version in tls1_2 tls1_3; do
        for size in 512 4096; do
            s_client 1007 -$version -maxfraglen $size
            said '^once around'
        done
    done
    for version in 1.2 1.3; do
        for size in 512 1024; do # ours would be larger otherwise
            before=$(node_counter tls.records_out)
            printf 'GET /100000 HTTP/1.0\r\n\r\n' | peer gnutls-cli --recordsize $size \
                --x509cafile "$HG_DIR/pki/ca.crt" --verify-hostname $HG_NODE_ADDR -p 443 \
                --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" $HG_NODE_ADDR >"$HG_DIR/said" 2>&1 ||
                { tail -n 5 "$HG_DIR/said" >&2; hg_die "gnutls-cli failed: $version, $size"; }
            [ "$(stat -c %s "$HG_DIR/said")" -gt 100000 ]
            [ $((($(node_counter tls.records_out) - before) * size)) -ge 100000 ] ||
                hg_die "larger records than $size with TLS $version"
        done
    done
    [ "$(node_counter tls.handshake_failures)" -eq 0 ]
}

@test "small records of ours: curl and gnutls take them, and keep to the limit that they are asked for" {
    requires curl gnutls-cli
    node_start --set test.tls-max-fragment=512
    peer curl -s -o "$HG_DIR/body" --cacert "$HG_DIR/pki/ca.crt" https://$HG_NODE_ADDR/1000000
    [ "$(stat -c %s "$HG_DIR/body")" -eq 1000000 ]
    # gnutls-cli does not send all of it before it ends, but what it sends is in lines of 3000 bytes
    head -c 180000 /dev/urandom | base64 -w 3000 | peer gnutls-cli --insecure -p 1009 $HG_NODE_ADDR >/dev/null
    node_counts tls.bytes_in 20000
    [ "$(($(node_counter tls.records_in) * 512))" -ge "$(node_counter tls.bytes_in)" ]
    [ "$(node_counter tls.bad_record)" -eq 0 ]
}

@test "key updates after every few records: curl, gnutls and openssl follow" {
    local before
    requires curl gnutls-cli
    node_start --set test.tls-key-update-after=20
    peer curl -s -o "$HG_DIR/body" --tlsv1.3 --cacert "$HG_DIR/pki/ca.crt" https://$HG_NODE_ADDR/1000000
    [ "$(stat -c %s "$HG_DIR/body")" -eq 1000000 ]
    node_counts tls.key_updates 20
    before=$(node_counter tls.key_updates)
    # GnuTLS takes eight in a second and no more
    printf 'GET /200000 HTTP/1.0\r\n\r\n' | peer gnutls-cli --x509cafile "$HG_DIR/pki/ca.crt" \
        --verify-hostname $HG_NODE_ADDR -p 443 --priority NORMAL:-VERS-ALL:+VERS-TLS1.3 \
        $HG_NODE_ADDR >"$HG_DIR/said" 2>&1
    [ "$(stat -c %s "$HG_DIR/said")" -gt 200000 ]
    node_counts tls.key_updates $((before + 3))
    s_client 1007 -tls1_3
    said '^once around'
    # the service only sends: keys change all the same
    peer timeout 3 openssl s_client -tls1_3 -quiet -connect $HG_NODE_ADDR:1019 </dev/null 2>/dev/null |
        head -c 1000000 >"$HG_DIR/chars" || true
    [ "$(stat -c %s "$HG_DIR/chars")" -eq 1000000 ]
    [ "$(node_counter tls.alerts_in)" -eq 0 ]
}

@test "keys of a client that only sends are renewed, though the service never answers" {
    node_start --set test.tls-key-update-after=50
    head -c 3000000 /dev/zero | peer openssl s_client -quiet -no_ign_eof -tls1_3 -connect $HG_NODE_ADDR:1009 2>/dev/null
    node_counts tls.bytes_in 3000000
    [ "$(node_counter tls.records_in)" -gt 150 ]
    # ours, and the client's that each of them asks for
    [ "$(node_counter tls.key_updates)" -ge 4 ]
}

@test "renegotiation is declined, and who asks for it learns that" {
    requires gnutls-cli
    node_start
    { printf 'R\n' && sleep 0.7; } | peer openssl s_client -tls1_2 -connect $HG_NODE_ADDR:1007 >"$HG_DIR/said" 2>&1 || true
    said 'no renegotiation'
    # gnutls takes no for an answer
    printf 'hello\n' | peer gnutls-cli --rehandshake --insecure -p 1007 \
        --priority NORMAL:-VERS-ALL:+VERS-TLS1.2 $HG_NODE_ADDR >"$HG_DIR/said" 2>&1 || true
    said 'No renegotiation'
    [ "$(node_counter tls.alerts_out)" -ge 2 ] # gnutls asks more than once
}

@test "sources: an image arrives whole in small records whose keys change all the time" {
    local tls
    NODE_PROFILE=demo
    node_start --set tls.max-fragment=512 --set tls.key-update-after=64 --set tls.tickets=2
    head -c 16M /dev/urandom >"$HG_DIR/image"
    for tls in 1.2 1.3; do
        node_load alpha --image "small-$tls=$HG_DIR/image" --tls $tls --no-progress
        node_export alpha/small-$tls "$HG_DIR/back"
        cmp "$HG_DIR/image" "$HG_DIR/back"
    done
    [ "$(node_counter tls.key_updates)" -ge 8 ] # of 1024 records, asked for after each 64 of ours or theirs
    [ "$(node_counter tls.alerts_in)" -eq 0 ]
}

@test "sources: our own client sends the small records that a node asks for" {
    local memif="net_memif0,bsize=2048,rsize=9,socket-abstract=no,socket=$HG_DIR/memif.sock" i options=()
    for i in 0 1 2 3; do
        options+=(--set "store.device$i=mem:64M")
    done
    hg_start load ip netns exec "$NS" "$HG_LOAD" --transport dpdk --server "$HG_NODE_ADDR" \
        --addr "$HG_CLIENT_ADDR/24" --port net_memif0 --cert "$HG_DIR/pki/alpha.crt" --key "$HG_DIR/pki/alpha.key" \
        --ca "$HG_DIR/pki/ca.crt" --eal "--no-huge -m 512 --no-pci --file-prefix=ld$HG_ID --vdev=$memif,role=server" \
        --size 16M --bytes 16M --quiet
    hg_wait_for 10 test -S "$HG_DIR/memif.sock"
    hg_start headgate ip netns exec "$NS" "$HG_DAEMON" -c "$HG_TOP/config/demo.ini" "${options[@]}" \
        --set "port.vdev=$memif,role=client,zero-copy=yes" --set eal.args=--single-file-segments \
        --set port.rx-descriptors=0 --set port.tx-descriptors=0 --set store.device-size=0 \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" --set "eal.file-prefix=hg$HG_ID" \
        --set port.rx-mbufs=8192 --set ingest.buffers=48M --set ingest.credit=2M \
        --set tls.max-fragment=600 --set tls.key-update-after=500
    hg_wait_line headgate 30 '^headgate: ready'
    hg_wait_exit load 60
    [ "$(node_counter tls.bytes_in)" -gt 16777216 ]
    [ "$(($(node_counter tls.records_in) * 600))" -ge "$(node_counter tls.bytes_in)" ]
    [ "$(node_counter tls.key_updates)" -gt 10 ]
}

@test "half-close: after a client's close_notify all its data still comes back" {
    local version
    node_start
    for version in 1.2 1.3; do
        peer python3 "$HG_TOP/tests/e2e/tls_peer.py" half-close $HG_NODE_ADDR 1007 $version
    done
    [ "$(node_counter shard.cut)" -eq 0 ]
}

@test "the node's end: close_notify before FIN" {
    local version
    node_start
    for version in 1.2 1.3; do
        peer python3 "$HG_TOP/tests/e2e/tls_peer.py" node-first $HG_NODE_ADDR 443 $version
    done
    [ "$(node_counter shard.cut)" -eq 0 ]
}

@test "a cut stream is told from one that ended" {
    local version
    node_start
    for version in 1.2 1.3; do
        peer python3 "$HG_TOP/tests/e2e/tls_peer.py" truncate $HG_NODE_ADDR 1007 $version
    done
    node_counts shard.cut 2
}

@test "an alert arrives behind data that fills every buffer, and no reset destroys it" {
    local version
    node_start
    for version in 1.2 1.3; do
        peer python3 "$HG_TOP/tests/e2e/tls_peer.py" damage $HG_NODE_ADDR 1019 $version
    done
    [ "$(node_counter tls.bad_tag)" -eq 2 ]
}
