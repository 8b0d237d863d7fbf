# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A node of the test profile and the TLS clients of others. On top of node.bash.

# tls_pki KEY...: certificates server-KEY and source-KEY of these key types: ecdsa, rsa, ed25519.
tls_pki() {
    local key
    for key in "$@"; do
        "$HG_PKI" node "$HG_DIR/pki" "server-$key" --key "${key/ecdsa/p256}" --ip "$HG_NODE_ADDR" --ip 127.0.0.1 \
            --dns headgate.example >/dev/null
        "$HG_PKI" source "$HG_DIR/pki" "source-$key" --key "${key/ecdsa/p256}" >/dev/null
    done
}

# tls_nss KEY...: the same and the authority in NSS's own database, pki/nss, and one without any
# certificate of ours, pki/nss-nobody. Debian's NSS has no Ed25519.
tls_nss() {
    local name pki=$HG_DIR/pki
    for name in nss nss-nobody; do
        mkdir "$pki/$name"
        certutil -N --empty-password -d "sql:$pki/$name"
        certutil -A -d "sql:$pki/$name" -n ca -t CT,, -i "$pki/ca.crt"
    done
    for name in "${@/#/server-}" "${@/#/source-}"; do
        openssl pkcs12 -export -in "$pki/$name.crt" -inkey "$pki/$name.key" -name "$name" -out "$HG_DIR/p12" \
            -passout pass:
        pk12util -i "$HG_DIR/p12" -d "sql:$pki/nss" -W '' >/dev/null
    done
}

# tls_start PROVIDER KEYS [OPTION...]: the node with a certificate of each of these key types (a list with
# commas).
tls_start() {
    local provider=$1 key certs='' keys=''
    for key in ${2//,/ }; do
        certs+=,$HG_DIR/pki/server-$key.crt
        keys+=,$HG_DIR/pki/server-$key.key
    done
    shift 2
    node_start --set "tls.provider=$provider" --set "tls.certificate=${certs#,}" --set "tls.key=${keys#,}" "$@"
}

# tls_table TABLE TOOL KEY [OPTION...]: runs the table; $cases is how many cases it had.
tls_table() {
    local table=$1 tool=$2 key=$3
    shift 3
    if ! hg_in "$NS" "$HG_TOP/tests/e2e/tls_table.py" "$table" "$tool" --host "$HG_NODE_ADDR" \
        --pki "$HG_DIR/pki" --key "$key" "$@" >"$HG_DIR/table" 2>&1; then
        cat "$HG_DIR/table" >&2
        hg_output headgate
        hg_die "$table with $tool failed"
        return 1
    fi
    cases=$(awk '$1 == "cases" { print $2 }' "$HG_DIR/table")
    [ "$cases" -gt 0 ] || hg_die "$table with $tool has no cases"
}

# tls_rose COUNTER BEFORE BY: it has risen by exactly so much.
tls_rose() {
    local now
    now=$(node_counter "$1")
    [ "$now" -eq $(($2 + $3)) ] || hg_die "$1 rose from $2 to $now, expected $3 more"
}

# tls_suites KEY TOOL...: every case is a handshake that the node counted, and none failed.
tls_suites() {
    tls_accepted suites "$@"
    tls_rose tls.handshake_failures 0 0
}

# tls_accepted TABLE KEY TOOL...: every case is a handshake that the node counted. The client's certificate
# is $SOURCE, or one of the same key type.
tls_accepted() {
    local table=$1 key=$2 tool before cases
    shift 2
    for tool in "$@"; do
        before=$(node_counter tls.handshakes)
        tls_table "$table" "$tool" "$key" --cert "${SOURCE:-source-$key}"
        tls_rose tls.handshakes "$before" "$cases"
    done
}

# tls_refused TABLE KEY TOOL...: every case is a failure that the node counted.
tls_refused() {
    local table=$1 key=$2 tool before cases
    shift 2
    for tool in "$@"; do
        before=$(node_counter tls.handshake_failures)
        tls_table "$table" "$tool" "$key" --cert "${SOURCE:-source-$key}"
        tls_rose tls.handshake_failures "$before" "$cases"
    done
}

# tls_records KEY TOOL...: all that exercises records: suites, sizes, tickets, key updates.
tls_records() {
    local key=$1 tool before cases
    shift
    tls_suites "$key" "$@"
    for tool in "$@"; do
        tls_table sizes "$tool" "$key"
        before=$(node_counter tls.resumed)
        tls_table resumed "$tool" "$key"
        tls_rose tls.resumed "$before" "$cases"
    done
    for tool in openssl gnutls; do
        before=$(node_counter tls.key_updates)
        tls_table updates $tool "$key"
        # half of the cases: 5 of the client; the others: 5 of the client, each answered
        tls_rose tls.key_updates "$before" $((cases / 2 * 15))
    done
}

# tls_compat KEY TOOL...: the handshake of TLS 1.3 in its forms.
tls_compat() {
    tls_accepted compat "$@"
    tls_rose tls.handshake_failures 0 0
}
