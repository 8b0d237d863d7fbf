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
    output=$(timeout 20 ip netns exec "$NS" openssl s_client -connect "$HG_NODE_ADDR:$port" -alpn headgate/1 \
        -CAfile "$HG_DIR/pki/ca.crt" "$@" </dev/null 2>&1) || true
}

# ticket SOURCE VERSION: a session on the echo service that stays until it has its ticket, in $HG_DIR/SOURCEVERSION.
ticket() {
    # shellcheck disable=SC2046
    { echo; hg_wait_for 10 test -s "$HG_DIR/$1$2"; } |
        timeout 20 ip netns exec "$NS" openssl s_client -connect "$HG_NODE_ADDR:1007" "$2" $(as "$1") \
            -CAfile "$HG_DIR/pki/ca.crt" -sess_out "$HG_DIR/$1$2" >/dev/null 2>&1
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
    node_start --set test.tls-client-certificate=asked --set tls.client-certificate=off \
        --set ingest.class=public
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

# --- certificates made by hand --------------------------------------------------------------------

# authority NAME: another CA, $HG_DIR/pki/NAME.crt and .key.
authority() {
    "$HG_PKI" ca "$HG_DIR/$1" >/dev/null
    cp "$HG_DIR/$1/ca.crt" "$HG_DIR/pki/$1.crt"
    cp "$HG_DIR/$1/ca.key" "$HG_DIR/pki/$1.key"
}

# issue NAME CA USAGE FROM UNTIL [GENPKEY OPTION...]: by openssl itself; FROM and UNTIL as date(1) takes them.
# The name is the source's, and the address the node's.
issue() {
    local name=$1 ca=$2 usage=$3 from=$4 until=$5 dir=$HG_DIR/issue
    shift 5
    [ $# -gt 0 ] || set -- -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    mkdir -p "$dir"
    : >"$dir/index"
    cat >"$dir/config" <<TXT
[ca]
default_ca = ours
[ours]
database = $dir/index
new_certs_dir = $dir
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = empty
[empty]
[ext]
keyUsage = digitalSignature
extendedKeyUsage = $usage
subjectAltName = IP:$HG_NODE_ADDR
TXT
    openssl genpkey "$@" -out "$HG_DIR/pki/$name.key" 2>"$dir/log"
    openssl req -new -config "$dir/config" -key "$HG_DIR/pki/$name.key" -subj "/CN=$name" -out "$dir/csr"
    openssl ca -batch -notext -config "$dir/config" -extensions ext -cert "$HG_DIR/pki/$ca.crt" \
        -keyfile "$HG_DIR/pki/$ca.key" -in "$dir/csr" -out "$HG_DIR/pki/$name.crt" \
        -startdate "$(date -u -d "$from" +%Y%m%d%H%M%SZ)" -enddate "$(date -u -d "$until" +%Y%m%d%H%M%SZ)" \
        2>"$dir/log" || hg_die "$(cat "$dir/log")"
}

# pair NAME...: the options of a node that shows these, in this order.
pair() {
    local name certs=() keys=()
    for name in "$@"; do
        certs+=("$HG_DIR/pki/$name.crt")
        keys+=("$HG_DIR/pki/$name.key")
    done
    printf '%s\n' --set "tls.certificate=$(IFS=,; echo "${certs[*]}")" \
        --set "tls.key=$(IFS=,; echo "${keys[*]}")"
}

@test "of several certificates a client is shown one that it can use" {
    "$HG_PKI" node "$HG_DIR/pki" rsa --key rsa --ip $HG_NODE_ADDR >/dev/null
    "$HG_PKI" node "$HG_DIR/pki" ed25519 --key ed25519 --ip $HG_NODE_ADDR >/dev/null
    "$HG_PKI" node "$HG_DIR/pki" p384 --key p384 --ip $HG_NODE_ADDR >/dev/null
    local version
    node_start $(pair rsa node p384 ed25519)
    for version in -tls1_2 -tls1_3; do
        client 1007 $version
        says 'CN = node'
        client 1007 $version -sigalgs rsa_pss_rsae_sha256:ECDSA+SHA256 -cipher ECDHE-RSA-AES128-GCM-SHA256
        [ $version = -tls1_3 ] || says 'CN = rsa'
        client 1007 $version -sigalgs rsa_pss_rsae_sha256
        says 'subject=O = Headgate, CN = rsa'
        client 1007 $version -sigalgs ed25519
        says 'subject=O = Headgate, CN = ed25519'
        client 1007 $version -servername rsa
        says 'subject=O = Headgate, CN = node'
    done
    client 1007 -tls1_3 -sigalgs ECDSA+SHA384
    says 'subject=O = Headgate, CN = p384'
    client 1007 -tls1_2 -curves P-384
    says 'subject=O = Headgate, CN = p384'
    run "$HG_CTL" certificates
    [ "$(grep -c '^certificate' <<<"$output")" -eq 4 ]
    [[ $output == *"certificate CN=p384,O=Headgate, P-384"* ]]
}

@test "when a certificate ends the next one is shown, without anybody doing anything" {
    issue longer ca serverAuth yesterday '30 days'
    issue shorter ca serverAuth '1 hour ago' '20 seconds'
    node_start $(pair longer shorter)
    client 1007 -tls1_3
    says 'subject=CN = shorter'
    hg_wait_for 30 shown longer
    client 1007 -tls1_2
    says 'subject=CN = longer'
    says 'Verify return code: 0 (ok)'
    run "$HG_CTL" certificates
    [[ $output == *'certificate CN=shorter, P-256, not in use'* ]]
}

shown() {
    client 1007
    [[ $output == *"subject=CN = $1"* ]]
}

# fingerprint: of the certificate that a new session on the native port is shown.
fingerprint() {
    client 1500 $(as beta)
    openssl x509 -noout -fingerprint -sha256 <<<"$output"
}

@test "a reload during a transfer breaks no stream, and new sessions see all that is new" {
    "$HG_PKI" crl "$HG_DIR/pki" >/dev/null
    "$HG_PKI" pin "$HG_DIR/pki/alpha.crt" >"$HG_DIR/pins"
    node_start --set "tls.crl=$HG_DIR/pki/ca.crl" --set "tls.pins=$HG_DIR/pins"
    node_load alpha --size 96M --bytes 96M --rate 80Mbit --json "$HG_DIR/load.json" &
    local load=$! before after
    node_counts ingest.frames_data 10
    before=$(fingerprint)
    rm "$HG_DIR/pki/node.crt" "$HG_DIR/pki/node.key"
    "$HG_PKI" node "$HG_DIR/pki" node --ip $HG_NODE_ADDR --key rsa >/dev/null
    "$HG_PKI" revoke "$HG_DIR/pki" beta >/dev/null
    "$HG_PKI" source "$HG_DIR/pki" gamma >/dev/null
    "$HG_PKI" pin "$HG_DIR/pki/gamma.crt" >>"$HG_DIR/pins"
    "$HG_CTL" --json reload >"$HG_DIR/answer"
    python3 - "$HG_DIR/answer" <<'PY'
import json, sys, time
a = json.load(open(sys.argv[1]))
cert, = a["certificates"]
assert cert["subject"] == "CN=node,O=Headgate" and cert["key"] == "RSA" and cert["in_use"], cert
assert time.time() + 800 * 86400 < cert["not_after"] < time.time() + 830 * 86400, cert
assert len(a["cas"]) == 1 and len(a["crls"]) == 1 and a["pins"] == 2, a
PY
    client 1500 $(as beta) -ign_eof # the alert comes after TLS 1.3's handshake
    says 'SSL alert number 44'
    client 1500 $(as gamma)
    after=$(openssl x509 -noout -fingerprint -sha256 <<<"$output")
    [ "$before" != "$after" ]
    for _ in $(seq 25); do # more than are kept
        "$HG_CTL" reload >"$HG_DIR/answer"
    done
    # what is broken changes nothing, and says so
    printf 'gamma sha256/AAAA\n' >"$HG_DIR/pins"
    run "$HG_CTL" reload
    [ "$status" -eq 1 ]
    [[ $output == *"pins file $HG_DIR/pins, line 1: after the name gamma"* ]] || hg_die "said: $output"
    run "$HG_CTL" --json reload
    [ "$status" -eq 1 ]
    sed 1d <<<"$output" | python3 -c 'import json, sys
a = json.load(sys.stdin)
assert "line 1" in a["error"] and a["in_use"]["pins"] == 2, a'
    "$HG_PKI" pin "$HG_DIR/pki/gamma.crt" >"$HG_DIR/pins"
    cp "$HG_DIR/pki/alpha.key" "$HG_DIR/pki/node.key"
    kill -HUP "$(node_pid)"
    hg_wait_for 5 node_log 'reload failed, the old certificates stay: .*not the key of certificate'
    client 1500 $(as gamma)
    [ "$after" = "$(openssl x509 -noout -fingerprint -sha256 <<<"$output")" ]
    kill -0 $load # it was under way all the time
    wait $load
    [ "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["cuts"])' \
        "$HG_DIR/load.json")" -eq 0 ]
    node_log 'certificates reloaded'
}

@test "a reload of what is out of date is refused; a start warns and goes on" {
    issue old ca serverAuth '3 days ago' '1 day ago'
    "$HG_PKI" crl "$HG_DIR/pki" >/dev/null
    node_start --set "tls.crl=$HG_DIR/pki/ca.crl"
    openssl ca -gencrl -config "$HG_DIR/issue/config" -cert "$HG_DIR/pki/ca.crt" -keyfile "$HG_DIR/pki/ca.key" \
        -crlsec 1 -out "$HG_DIR/pki/ca.crl"
    hg_wait_for 5 out_of_date "$HG_DIR/pki/ca.crl"
    run "$HG_CTL" reload
    [ "$status" -eq 1 ]
    [[ $output == *"the list of CA \"CN=Headgate CA"*"was to be replaced by"* ]] || hg_die "said: $output"
    node_load alpha --size 4M --bytes 4M
    hg_daemon_stop
    node_start --set "tls.crl=$HG_DIR/pki/ca.crl"
    node_log 'no new session can begin: CRL file .*ca.crl: the list of CA'
    client 1500 $(as alpha) -ign_eof
    says 'SSL alert number 46'
    node_log 'the revocation list of CA "CN=Headgate CA .*was to be replaced by .*get a new list and load it'
    node_counts tls.no_crl 1
    "$HG_PKI" crl "$HG_DIR/pki" >/dev/null
    "$HG_CTL" reload
    node_load alpha --size 4M --bytes 4M
    hg_daemon_stop
    node_start $(pair old)
    node_log 'no new session can begin: no certificate of ours is valid now'
    run "$HG_CTL" stats
    [[ $output == *'WARNING: certificate "CN=old", P-256 in '*' expired 1 day ago'* ]] || hg_die "said: $output"
}

out_of_date() {
    [ "$(date -u -d "$(openssl crl -in "$1" -noout -nextupdate | cut -d= -f2)" +%s)" -lt "$(date +%s)" ]
}

@test "what ends within the time of warning is in the log, in stats and in the list of certificates" {
    issue soon ca serverAuth yesterday '12 days'
    issue later ca serverAuth yesterday '60 days'
    node_start $(pair soon)
    node_log 'identity: certificate "CN=soon", P-256 in .*soon.crt expires in 1[12] days, at 20.*headgatectl reload'
    run "$HG_CTL" stats
    [[ $output == *'WARNING: certificate "CN=soon"'* ]]
    run "$HG_CTL" certificates
    [[ $output == *'WARNING: certificate "CN=soon"'* ]]
    hg_daemon_stop
    node_start $(pair later)
    run "$HG_CTL" certificates
    [[ $output != *WARNING* ]]
    hg_daemon_stop
    node_start $(pair later) --set tls.expiry-warning=90
    run "$HG_CTL" certificates
    [[ $output == *'WARNING: certificate "CN=later", P-256 in '*'expires in 59 days'* ]] || hg_die "said: $output"
}

@test "who is revoked does not come in by a ticket of an earlier session" {
    "$HG_PKI" crl "$HG_DIR/pki" >/dev/null
    node_start --set "tls.crl=$HG_DIR/pki/ca.crl" --set test.tls-client-certificate=required
    local version
    for version in -tls1_2 -tls1_3; do
        ticket alpha $version
        ticket beta $version
        client 1007 $version $(as beta) -sess_in "$HG_DIR/beta$version"
        says 'Reused, TLSv1'
    done
    "$HG_PKI" revoke "$HG_DIR/pki" beta >/dev/null
    "$HG_CTL" reload
    for version in -tls1_2 -tls1_3; do
        client 1007 $version $(as beta) -sess_in "$HG_DIR/beta$version" -ign_eof
        says 'SSL alert number 44'
        client 1007 $version $(as alpha) -sess_in "$HG_DIR/alpha$version"
        says 'New, TLSv1'
        says 'Verify return code: 0 (ok)'
    done
}

# --- who is refused -------------------------------------------------------------------------------

# sources: one certificate for each row of the test below.
sources() {
    authority foreign
    issue foreigner foreign clientAuth yesterday tomorrow
    issue expired ca clientAuth '3 days ago' '2 days ago'
    issue just-expired ca clientAuth '3 days ago' '2 hours ago'
    issue future ca clientAuth '3 hours' '3 days'
    issue usage ca serverAuth yesterday tomorrow
    issue weak ca clientAuth yesterday tomorrow -algorithm RSA -pkeyopt rsa_keygen_bits:1024
    issue revoked ca clientAuth yesterday tomorrow
    issue swapped ca clientAuth yesterday tomorrow
    "$HG_PKI" revoke "$HG_DIR/pki" revoked >/dev/null
    printf 'swapped %s\n' "$("$HG_PKI" pin "$HG_DIR/pki/beta.crt" | cut -d' ' -f2)" >"$HG_DIR/pins"
}

@test "a client that may not come is told by its alert, the operator by name, and a stream is unharmed" {
    local name alert counter text version
    sources
    node_start --set "tls.crl=$HG_DIR/pki/ca.crl" --set "tls.pins=$HG_DIR/pins"
    node_load alpha --size 96M --bytes 96M --rate 40Mbit --json "$HG_DIR/load.json" &
    local load=$!
    node_counts ingest.frames_data 10
    while IFS='|' read -r name alert counter text; do
        for version in -tls1_2 -tls1_3; do
            before=$(node_counter "tls.$counter")
            # shellcheck disable=SC2046
            client 1500 $version $([ "$name" = none ] || as "$name") -cipher DEFAULT:@SECLEVEL=0 -ign_eof
            [ "$name" != none ] || [ $version = -tls1_3 ] || alert=40
            says "SSL alert number $alert"
            [ "$(node_counter "tls.$counter")" -eq $((before + 1)) ] || hg_die "$name: $counter did not count"
            [ "$name" != none ] || alert=116
        done
        node_log "$HG_CLIENT_ADDR:[0-9]+.*$text" || hg_die "$name"
    done <<'ROWS'
none|116|no_client_cert|the client sent no certificate: configure one on it
foreigner|48|unknown_ca|client certificate "CN=foreigner" is refused: its issuer is not in CA file .*ca.crt
expired|45|cert_expired|client certificate "CN=expired" is expired: .*issue a new certificate, or set the clock
just-expired|45|cert_expired|"CN=just-expired" is expired: .*a clock is probably wrong, by at least 2 h
future|45|cert_expired|"CN=future" is not valid yet: .*a clock is probably wrong, by at least [23] h
usage|43|cert_usage|client certificate "CN=usage" is refused: its extended key usage does not allow clientAuth
weak|42|cert_weak|certificate "CN=weak" of the client's chain is refused: .*RSA keys need 2048 bits
revoked|44|cert_revoked|certificate "CN=revoked" of the client's chain is refused: it is revoked by CRL file
swapped|49|pin_refused|source swapped is refused: its key is none of those in pins file
ROWS
    kill -0 $load
    wait $load
    [ "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["cuts"])' \
        "$HG_DIR/load.json")" -eq 0 ]
}

# impostor NAME: openssl's server at port 1600 of loopback with this certificate; what it says is in
# $HG_DIR/run/impostor.*.
impostor() {
    hg_start impostor ip netns exec "$NS" openssl s_server -accept 127.0.0.1:1600 -alpn headgate/1 \
        -cert "$HG_DIR/pki/$1.crt" -key "$HG_DIR/pki/$1.key" -Verify 1 -CAfile "$HG_DIR/pki/ca.crt" \
        -cipher DEFAULT:@SECLEVEL=0 -www
    hg_wait_line impostor 10 ACCEPT
}

# visit OPTION...: what headgate-load says of the impostor.
visit() {
    run timeout 20 ip netns exec "$NS" "$HG_LOAD" --server 127.0.0.1:1600 --cert "$HG_DIR/pki/alpha.crt" \
        --key "$HG_DIR/pki/alpha.key" --ca "$HG_DIR/pki/ca.crt" --size 4M --bytes 4M --resume-retry 2s "$@"
}

@test "a source refuses a node that is not the one it knows, and shows it no certificate" {
    local name alert text pin tls
    "$HG_PKI" node "$HG_DIR/pki" swapped --ip 127.0.0.1 >/dev/null
    authority foreign
    issue foreigner foreign serverAuth yesterday tomorrow
    issue expired ca serverAuth '3 days ago' '2 days ago'
    issue future ca serverAuth '3 hours' '3 days'
    issue usage ca clientAuth yesterday tomorrow
    issue weak ca serverAuth yesterday tomorrow -algorithm RSA -pkeyopt rsa_keygen_bits:1024
    pin=$("$HG_PKI" pin "$HG_DIR/pki/node.crt" | cut -d' ' -f2)
    while IFS='|' read -r name alert text; do
        for tls in 1.2 1.3; do
            impostor "$name"
            visit --tls $tls --pin "$pin"
            [ "$status" -eq 1 ]
            [[ $output =~ $text ]] || hg_die "$name said: $output"
            hg_wait_for 5 grep -q "SSL alert number $alert" "$HG_DIR/run/impostor.err" ||
                { hg_output impostor; hg_die "$name: not alert $alert"; }
            hg_refute grep -q 'CN = alpha' "$HG_DIR/run/impostor.out" "$HG_DIR/run/impostor.err"
            hg_kill impostor
        done
    done <<'ROWS'
foreigner|48|server certificate "CN=foreigner" is refused: its issuer is not in CA file .*ca.crt
expired|45|server certificate "CN=expired" is expired: its notAfter is 20
future|45|"CN=future" is not valid yet: .*a clock is probably wrong, by at least 2 h
usage|43|server certificate "CN=usage" is refused: its extended key usage does not allow serverAuth
weak|42|certificate "CN=weak" of the server's chain is refused: .*RSA keys need 2048 bits
swapped|46|server certificate "CN=swapped,O=Headgate" has key sha256/.*, which is not the pinned one
ROWS
}

@test "a node with the pinned key is let in, also with a new certificate" {
    local pin
    pin=$("$HG_PKI" pin "$HG_DIR/pki/node.crt" | cut -d' ' -f2)
    node_start
    node_load alpha --size 4M --bytes 4M --pin "$pin"
    # re-enrolled: the new key is pinned beside the old one
    rm "$HG_DIR/pki/node.crt" "$HG_DIR/pki/node.key"
    "$HG_PKI" node "$HG_DIR/pki" node --ip $HG_NODE_ADDR >/dev/null
    "$HG_CTL" reload
    run node_load alpha --size 4M --bytes 4M --pin "$pin" --resume-retry 2s
    [ "$status" -eq 1 ]
    node_load alpha --size 4M --bytes 4M \
        --pin "$pin,$("$HG_PKI" pin "$HG_DIR/pki/node.crt" | cut -d' ' -f2)"
}

@test "keys that are too weak, and pins for nobody, are refused at the start" {
    issue weak ca serverAuth yesterday tomorrow -algorithm RSA -pkeyopt rsa_keygen_bits:1024
    run timeout 30 ip netns exec "$NS" "$HG_DAEMON" --config "$HG_TOP/config/test.ini" $(pair weak) \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET"
    [ "$status" -eq 1 ]
    [[ $output == *"[tls]: certificate file $HG_DIR/pki/weak.crt: its RSA key has 1024 bits, and 2048"* ]]
    run "$HG_DAEMON" --check-config --config "$HG_TOP/config/test.ini" --set tls.pins-only=yes
    [ "$status" -eq 2 ]
    [[ $output == *"[tls] pins-only = yes: needs pins"* ]]
}
