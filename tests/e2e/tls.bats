#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The TLS clients of others against the test services: what they negotiate, and what comes back.
# tls_table.py has the cases; a failure's line names tool, version, suite and group.

load node.bash
load tls.bash

ALL="openssl curl gnutls nss"

setup() {
    requires curl gnutls-cli tstclnt certutil python3
    NODE_PROFILE=test
    node_prepare
}

teardown() {
    hg_end
}

# tls_node PROVIDER KEY: the node and its clients have certificates of this key type.
tls_node() {
    tls_pki "$2"
    [ "$2" = ed25519 ] || tls_nss "$2"
    tls_start "$1" "$2"
}

@test "ipsec-mb records, ECDSA certificate: every suite, group and size, tickets, key updates" {
    tls_node ipsec-mb ecdsa
    tls_records ecdsa $ALL
}

@test "OpenSSL records, ECDSA certificate: every suite, group and size, tickets, key updates" {
    tls_node openssl ecdsa
    tls_records ecdsa $ALL
}

@test "RSA certificate: every suite and group, on both record providers" {
    tls_node ipsec-mb rsa
    tls_suites rsa $ALL
    hg_daemon_stop
    tls_start openssl rsa
    tls_suites rsa $ALL
}

@test "Ed25519 certificate: every suite and group, on both record providers" {
    tls_node ipsec-mb ed25519
    tls_suites ed25519 openssl curl gnutls # NSS has no Ed25519
    hg_daemon_stop
    tls_start openssl ed25519
    tls_suites ed25519 openssl curl gnutls
}

@test "TLS 1.3 with and without HelloRetryRequest and compatibility mode" {
    tls_node ipsec-mb ecdsa
    tls_compat ecdsa $ALL
}

@test "what is too old or too weak is refused by name and counted" {
    tls_node ipsec-mb ecdsa
    tls_refused refused ecdsa $ALL
    hg_daemon_stop
    tls_pki rsa
    tls_start ipsec-mb rsa
    tls_refused refused rsa $ALL
}

@test "the ingest port takes sources of every key type that speak its protocol, and nobody else" {
    local SOURCE
    tls_pki ecdsa rsa ed25519
    tls_start ipsec-mb ecdsa
    for SOURCE in source-ecdsa source-rsa source-ed25519; do
        tls_accepted ingest ecdsa openssl gnutls
    done
    tls_rose tls.handshake_failures 0 0
    tls_refused strangers ecdsa openssl curl gnutls
    [ "$(node_counter tls.no_client_cert)" -eq 4 ]
}

@test "services that require certificates, with three of the server at once: every tool and type" {
    local key
    tls_pki ecdsa rsa ed25519
    tls_nss ecdsa rsa
    tls_start ipsec-mb ecdsa,rsa,ed25519 --set test.tls-client-certificate=required
    for key in ecdsa rsa; do # a suite of TLS 1.2 chooses the server's
        tls_accepted suites $key $ALL
    done
    tls_accepted suites ed25519 openssl curl gnutls
    tls_rose tls.handshake_failures 0 0
    tls_refused nameless ecdsa $ALL
    [ "$(node_counter tls.no_client_cert)" -eq 8 ]
}

@test "the tables notice another suite, another group and another byte" {
    local table=$HG_TOP/tests/e2e/tls_table.py
    tls_node ipsec-mb ecdsa
    run hg_in "$NS" "$table" suites openssl --host $HG_NODE_ADDR --pki "$HG_DIR/pki" --key rsa
    [ "$status" -eq 1 ]
    [[ $output == *"rsa certificate, TLS 1.2 ECDHE-RSA-AES128-GCM-SHA256 X25519: "* ]] || hg_die "said: $output"
    mkdir "$HG_DIR/wrong"
    cp "$HG_TOP"/tests/e2e/tls_*.py "$HG_DIR/wrong"
    sed -i 's/2654435761/2654435763/' "$HG_DIR/wrong/tls_table.py"
    sed -i 's/"x25519", "255"/"x25519", "254"/; s/"AES-256-GCM", "any"/"AES-257-GCM", "any"/' "$HG_DIR/wrong/tls_names.py"
    run hg_in "$NS" "$HG_DIR/wrong/tls_table.py" sizes curl --host $HG_NODE_ADDR --pki "$HG_DIR/pki" --key ecdsa
    [ "$status" -eq 1 ]
    [[ $output == *"another SHA-256"* ]] || hg_die "said: $output"
    run hg_in "$NS" "$HG_DIR/wrong/tls_table.py" suites nss --host $HG_NODE_ADDR --pki "$HG_DIR/pki" --key ecdsa
    [ "$status" -eq 1 ]
    [[ $output == *"group='255'), expected "*"group='254')"* ]] || hg_die "said: $output"
    [[ $output == *"cipher='AES-256-GCM'"*"cipher='AES-257-GCM'"* ]] || hg_die "said: $output"
}
