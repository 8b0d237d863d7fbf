#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The TLS clients of others against the test services: what they negotiate, and what comes back.
# tls_table.py has the cases; a failure's line names tool, version, suite and group.

load node.bash
load tls.bash

setup() {
    requires curl gnutls-cli tstclnt certutil python3
    NODE_PROFILE=test
    node_prepare alpha
    tls_pki ecdsa rsa ed25519
    tls_nss ecdsa rsa
}

teardown() {
    hg_end
}

@test "ipsec-mb records, ECDSA certificate: every suite, group and size, key updates, and what is refused" {
    tls_start ipsec-mb ecdsa
    tls_everything ecdsa
}

@test "OpenSSL records, ECDSA certificate: every suite, group and size, key updates, and what is refused" {
    tls_start openssl ecdsa
    tls_everything ecdsa
}

@test "ipsec-mb records, RSA certificate: every suite and group, and what is refused" {
    tls_start ipsec-mb rsa
    tls_suites rsa openssl curl gnutls nss
    tls_refused refused rsa openssl curl gnutls nss
}

@test "OpenSSL records, RSA certificate: every suite and group, and what is refused" {
    tls_start openssl rsa
    tls_suites rsa openssl curl gnutls nss
    tls_refused refused rsa openssl curl gnutls nss
}

@test "ipsec-mb records, Ed25519 certificate: every suite and group" {
    tls_start ipsec-mb ed25519
    tls_suites ed25519 openssl curl gnutls # NSS has no Ed25519
}

@test "OpenSSL records, Ed25519 certificate: every suite and group" {
    tls_start openssl ed25519
    tls_suites ed25519 openssl curl gnutls # NSS has no Ed25519
}

@test "the ingest port takes sources of every key type that speak its protocol, and nobody else" {
    local SOURCE
    tls_start ipsec-mb ecdsa
    for SOURCE in source-ecdsa source-rsa source-ed25519; do
        tls_accepted ingest ecdsa openssl gnutls
    done
    tls_rose tls.handshake_failures 0 0
    tls_refused strangers ecdsa openssl curl gnutls
    [ "$(node_counter tls.no_client_cert)" -eq 4 ]
}

@test "the tables notice another suite, another group and another byte" {
    local table=$HG_TOP/tests/e2e/tls_table.py
    tls_start ipsec-mb ecdsa
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
