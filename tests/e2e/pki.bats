# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# headgate-pki: its certificates are accepted by OpenSSL, GnuTLS and QEMU for what they are meant for
# and for nothing else, and it never destroys a file.

load lib.bash

setup() {
    requires openssl
    hg_begin
    PKI=$HG_DIR/pki
}

teardown() {
    hg_end
}

# make_all KEY_TYPE: an authority, the node `node` and the source `src`.
make_all() {
    "$HG_PKI" ca "$PKI" --key "$1"
    "$HG_PKI" node "$PKI" node --key "$1" --ip 192.0.2.1 --ip 2001:db8::1 --dns headgate.example
    "$HG_PKI" source "$PKI" src --key "$1"
}

check_openssl() {
    openssl verify -x509_strict -purpose sslserver -CAfile "$PKI/ca.crt" -verify_ip 192.0.2.1 "$PKI/node.crt"
    openssl verify -x509_strict -purpose sslserver -CAfile "$PKI/ca.crt" -verify_ip 2001:db8::1 "$PKI/node.crt"
    openssl verify -x509_strict -purpose sslserver -CAfile "$PKI/ca.crt" -verify_hostname headgate.example "$PKI/node.crt"
    openssl verify -x509_strict -purpose sslclient -CAfile "$PKI/ca.crt" "$PKI/src.crt"
    # and for nothing else
    hg_refute openssl verify -purpose sslclient -CAfile "$PKI/ca.crt" "$PKI/node.crt"
    hg_refute openssl verify -purpose sslserver -CAfile "$PKI/ca.crt" "$PKI/src.crt"
    hg_refute openssl verify -CAfile "$PKI/ca.crt" -verify_ip 192.0.2.9 "$PKI/node.crt"
}

check_gnutls() {
    requires certtool
    certtool --verify --verify-profile medium --load-ca-certificate "$PKI/ca.crt" --infile "$PKI/node.crt" \
        --verify-hostname headgate.example --verify-purpose 1.3.6.1.5.5.7.3.1
    certtool --verify --verify-profile medium --load-ca-certificate "$PKI/ca.crt" --infile "$PKI/src.crt" \
        --verify-purpose 1.3.6.1.5.5.7.3.2
    hg_refute certtool --verify --verify-profile medium --load-ca-certificate "$PKI/ca.crt" --infile "$PKI/src.crt" \
        --verify-purpose 1.3.6.1.5.5.7.3.1
}

@test "pki: P-256 certificates are valid for OpenSSL and GnuTLS, for their purpose only" {
    make_all p256
    check_openssl
    check_gnutls
}

@test "pki: RSA certificates are valid for OpenSSL and GnuTLS, for their purpose only" {
    make_all rsa
    check_openssl
    check_gnutls
}

@test "pki: Ed25519 certificates are valid for OpenSSL and GnuTLS, for their purpose only" {
    make_all ed25519
    check_openssl
    check_gnutls
}

# QEMU looks at certificates when it loads them and again as peer: so a server and a client of it talk
# to each other. Its directory has fixed file names.
qemu_creds() {
    mkdir "$HG_DIR/$1"
    cp "$PKI/ca.crt" "$HG_DIR/$1/ca-cert.pem"
    cp "$PKI/$2.crt" "$HG_DIR/$1/$1-cert.pem"
    cp "$PKI/$2.key" "$HG_DIR/$1/$1-key.pem"
}

check_qemu() {
    requires qemu-nbd qemu-img
    qemu_creds server node
    qemu_creds client src
    truncate -s 1M "$HG_DIR/disk"
    hg_start nbd qemu-nbd -k "$HG_DIR/nbd.sock" -t -f raw -x disk \
        --object "tls-creds-x509,id=tls,endpoint=server,dir=$HG_DIR/server,verify-peer=on" \
        --tls-creds tls "$HG_DIR/disk"
    hg_wait_for 10 test -S "$HG_DIR/nbd.sock"
    qemu-img info --object "tls-creds-x509,id=tls,endpoint=client,dir=$HG_DIR/client" --image-opts \
        "driver=nbd,path=$HG_DIR/nbd.sock,export=disk,tls-creds=tls,tls-hostname=headgate.example"
}

@test "pki: QEMU accepts P-256 certificates as server and as client" {
    make_all p256
    check_qemu
}

@test "pki: QEMU accepts RSA certificates as server and as client" {
    make_all rsa
    check_qemu
}

@test "pki: the source's name is in a URI, and nothing else is" {
    make_all p256
    run openssl x509 -in "$PKI/src.crt" -noout -ext subjectAltName
    [[ $output == *"URI:headgate:source/src" ]]
    run openssl x509 -in "$PKI/src.crt" -noout -subject
    [[ $output == *"CN = src" ]] || [[ $output == *"CN=src" ]]
}

@test "pki: the authority may sign certificates and lists, and nothing else" {
    "$HG_PKI" ca "$PKI"
    run openssl x509 -in "$PKI/ca.crt" -noout -ext keyUsage,basicConstraints
    [[ $output == *"Key Usage: critical"*"Certificate Sign, CRL Sign"* ]]
    [[ $output == *"Basic Constraints: critical"*"CA:TRUE"* ]]
}

@test "pki: keys belong to their owner alone, and no other file is left" {
    umask 000
    make_all p256
    local key
    for key in ca node src; do
        [ "$(stat -c %a "$PKI/$key.key")" = 600 ]
        [ "$(stat -c %h "$PKI/$key.key")" = 1 ]
    done
    [ "$(ls -A "$PKI" | xargs)" = "ca.crt ca.key node.crt node.key src.crt src.key" ]
}

@test "pki: an expired certificate is expired, and was valid before" {
    make_all p256
    "$HG_PKI" source "$PKI" old --expired
    run openssl verify -purpose sslclient -CAfile "$PKI/ca.crt" "$PKI/old.crt"
    [ "$status" -ne 0 ]
    [[ $output == *"certificate has expired"* ]]
    openssl verify -no_check_time -purpose sslclient -CAfile "$PKI/ca.crt" "$PKI/old.crt"
}

@test "pki: --days is the validity" {
    "$HG_PKI" ca "$PKI" --days 2
    openssl x509 -in "$PKI/ca.crt" -noout -checkend 86400
    hg_refute openssl x509 -in "$PKI/ca.crt" -noout -checkend $((3 * 86400))
}

@test "pki: a certificate of another authority is refused" {
    make_all p256
    "$HG_PKI" ca "$HG_DIR/other"
    hg_refute openssl verify -CAfile "$HG_DIR/other/ca.crt" "$PKI/src.crt"
}

@test "pki: P-384 certificates are valid for OpenSSL and GnuTLS, for their purpose only" {
    make_all p384
    check_openssl
    check_gnutls
}

@test "pki: who is revoked stays on the list, and nobody else comes on it" {
    make_all p256
    "$HG_PKI" source "$PKI" gone
    "$HG_PKI" source "$PKI" later
    "$HG_PKI" crl "$PKI"
    cat "$PKI/ca.crt" "$PKI/ca.crl" >"$HG_DIR/trust"
    openssl verify -crl_check -CAfile "$HG_DIR/trust" "$PKI/gone.crt"
    "$HG_PKI" revoke "$PKI" gone
    "$HG_PKI" revoke "$PKI" later --days 2
    cat "$PKI/ca.crt" "$PKI/ca.crl" >"$HG_DIR/trust"
    local name
    for name in gone later; do
        run openssl verify -crl_check -CAfile "$HG_DIR/trust" "$PKI/$name.crt"
        [ "$status" -ne 0 ]
        [[ $output == *"certificate revoked"* ]]
    done
    openssl verify -crl_check_all -x509_strict -CAfile "$HG_DIR/trust" "$PKI/src.crt"
    run openssl crl -in "$PKI/ca.crl" -noout -crlnumber
    [[ $output == *0x03 ]] || [[ $output == *=03 ]]
    "$HG_PKI" source "$PKI" after # the authority goes on
    openssl verify -crl_check -CAfile "$HG_DIR/trust" "$PKI/after.crt"
    run "$HG_PKI" revoke "$PKI" nobody
    [ "$status" -ne 0 ]
    [[ $output == *"nobody.crt to revoke"* ]]
    [ "$(ls -A "$PKI" | grep -c new)" -eq 0 ]
}

@test "pki: a pin is the SHA-256 of the public key, under the source's name" {
    make_all p256
    run "$HG_PKI" pin "$PKI/src.crt" "$PKI/node.crt"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "src sha256/$(openssl pkey -in "$PKI/src.key" -pubout -outform DER |
        openssl dgst -sha256 -binary | base64 -w 0)" ]
    [[ ${lines[1]} == "node sha256/"* ]]
    run "$HG_PKI" pin "$PKI/src.key"
    [ "$status" -ne 0 ]
}

@test "pki: nothing is overwritten" {
    make_all p256
    local before again
    before=$(cd "$PKI" && sha256sum ./*)
    run "$HG_PKI" ca "$PKI"
    [ "$status" -ne 0 ]
    [[ $output == *"ca.key exists"* ]]
    run "$HG_PKI" source "$PKI" src
    [ "$status" -ne 0 ]
    run "$HG_PKI" node "$PKI" src --dns a.example
    [ "$status" -ne 0 ]
    rm "$PKI/src.key" # half of a pair is enough to refuse
    run "$HG_PKI" source "$PKI" src
    [ "$status" -ne 0 ]
    [ ! -e "$PKI/src.key" ]
    again=$(cd "$PKI" && sha256sum ./*)
    [ "$(grep -v src.key <<<"$before")" = "$again" ]
}

@test "pki: bad names, options and values are refused by name" {
    "$HG_PKI" ca "$PKI"
    local args
    for args in "source $PKI ../x" "source $PKI ca" "source $PKI a/b" "source $PKI a,URI:b" \
        "source $PKI x --key dsa" "source $PKI x --days 0" "source $PKI x --days 99999" \
        "source $PKI x --ip 192.0.2.1" "source $PKI x --days" "source $PKI x --force" \
        "node $PKI x" "node $PKI x --ip host" "node $PKI x --dns a,b" "node $PKI" "source $HG_DIR/none x" \
        "sign $PKI x"; do
        # shellcheck disable=SC2086 # several arguments
        run "$HG_PKI" $args
        [ "$status" -ne 0 ]
        [[ $output == *"headgate-pki: "* ]]
    done
    [ "$(ls -A "$PKI" | xargs)" = "ca.crt ca.key" ]
}
