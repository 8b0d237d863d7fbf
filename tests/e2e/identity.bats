#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# Who may speak to the node, and with what: what listeners accept, which certificate is shown, who is refused
# and with which alert, and loading all of it anew under way.

load node.bash

setup() {
    NODE_PROFILE=test
    node_prepare alpha beta
}

teardown() {
    hg_end
}

# client PORT OPTION...: openssl s_client; its output is in $output, without failing the test.
client() {
    local port=$1
    shift
    output=$(timeout 20 ip netns exec "$NS" openssl s_client -connect "$HG_NODE_ADDR:$port" \
        -CAfile "$HG_DIR/pki/ca.crt" "$@" </dev/null 2>&1) || true
}

# says TEXT: the last client's output has it.
says() {
    [[ $output == *"$1"* ]] || hg_die "not said: $1; but: $output"
}

# as SOURCE: the options that show a source's certificate.
as() {
    printf '%s\n' -cert "$HG_DIR/pki/$1.crt" -key "$HG_DIR/pki/$1.key"
}

@test "the test services accept the versions, suites and groups that the profile says, and no others" {
    node_start --set test.tls-min-version=1.3 --set test.tls-suites=TLS_AES_128_GCM_SHA256 \
        --set test.tls-groups=P-384 --set "tls.groups=P-256, X25519" \
        --set tls.suites=ECDHE-ECDSA-CHACHA20-POLY1305,TLS_CHACHA20_POLY1305_SHA256
    client 1007
    says 'New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256'
    says 'ECDH, secp384r1'
    client 1007 -tls1_2
    says 'SSL alert number 70'
    client 1007 -ciphersuites TLS_AES_256_GCM_SHA384
    says 'SSL alert number 40'
    client 1007 -groups X25519
    says 'SSL alert number 40'
    client 1500 $(as alpha) -tls1_2
    says 'Cipher is ECDHE-ECDSA-CHACHA20-POLY1305'
    says 'ECDH, prime256v1'
    client 1500 $(as alpha) -tls1_3
    says 'Cipher is TLS_CHACHA20_POLY1305_SHA256'
    node_load alpha --size 4M --bytes 4M
}

@test "client certificates: off, asked and required, and a session is for sources with a name only" {
    local version
    node_start --set test.tls-client-certificate=asked --set tls.client-certificate=off
    for version in -tls1_2 -tls1_3; do
        client 1007 $version
        says 'Verify return code: 0 (ok)'
        client 1007 $version $(as alpha)
        says 'Acceptable client certificate CA names'
        says 'Verify return code: 0 (ok)'
        client 1500 $version
        says 'No client certificate CA names sent'
    done
    node_counts shard.no_source 2
    node_log 'session refused: the client showed no certificate'
    hg_daemon_stop
    node_start --set test.tls-client-certificate=required
    client 1007 -tls1_2
    says 'SSL alert number 40'
    client 1007 $(as alpha)
    says 'Verify return code: 0 (ok)'
}

@test "a production profile with less than required client certificates is refused" {
    local less
    for less in asked off; do
        run "$HG_DAEMON" --check-config --config "$HG_TOP/config/demo.ini" \
            --set "tls.client-certificate=$less"
        [ "$status" -eq 2 ]
        [[ $output == *"[tls] client-certificate = $less: a production profile lets in only"* ]]
    done
}
