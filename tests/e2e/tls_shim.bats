#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# lib/tls alone, without our TCP and DPDK (tests/shim), against the servers and the clients of others;
# both sides show certificates. tls_shim.py has the cases.

load node.bash
load tls.bash

SHIM=$HG_TOP/build/tests/shim/tls_shim

setup() {
    requires gnutls-cli gnutls-serv tstclnt selfserv certutil python3 readelf
    node_prepare
    tls_pki ecdsa rsa ed25519
    tls_nss ecdsa rsa
}

teardown() {
    hg_end
}

# shim_cases ROLE PEER...: every suite and group, with every key type the peer has, on both providers.
shim_cases() {
    local role=$1 peer key records
    shift
    for peer in "$@"; do
        for key in ecdsa rsa ed25519; do
            [ "$peer-$key" != nss-ed25519 ] || continue # not with Debian's NSS
            for records in ipsec-mb openssl; do
                hg_in "$NS" "$HG_TOP/tests/e2e/tls_shim.py" "$role" "$peer" --shim "$SHIM" --pki "$HG_DIR/pki" \
                    --key $key --records $records >"$HG_DIR/cases" 2>&1 ||
                    { cat "$HG_DIR/cases" >&2; return 1; }
            done
        done
    done
}

@test "as client of openssl s_server: every suite and group, and its key updates" {
    shim_cases client openssl
}

@test "as client of gnutls-serv: every suite and group" {
    shim_cases client gnutls
}

@test "as client of NSS selfserv: every suite and group" {
    shim_cases client nss
}

@test "as server of openssl, gnutls-cli and NSS with client certificates: every suite and group" {
    shim_cases server openssl gnutls nss
}

@test "the TLS library links without DPDK" {
    readelf -d "$SHIM" >"$HG_DIR/dynamic"
    grep -q 'NEEDED.*libssl' "$HG_DIR/dynamic"
    hg_refute grep 'NEEDED.*librte' "$HG_DIR/dynamic"
}
