#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The load generator against a small node of the tests' own, which cuts connections, asks for frames
# again, runs out of space and is killed: whatever it does, the bytes are right in the end.

load lib.bash

setup() {
    requires python3 openssl
    hg_begin
    HG_NODE_ADDR=127.0.0.1 hg_certificates alpha beta
    mkdir "$HG_DIR/volumes"
}

teardown() {
    hg_end
}

# fake_node PORT OPTION...: PORT 0 picks a free one; $PORT is it.
fake_node() {
    local port=$1
    shift
    hg_start node python3 -B "$HG_TOP/tests/e2e/fake_node.py" --port "$port" --dir "$HG_DIR/volumes" \
        --cert "$HG_DIR/pki/node.crt" --key "$HG_DIR/pki/node.key" --ca "$HG_DIR/pki/ca.crt" "$@"
    hg_wait_line node 10 '^ready'
    PORT=$(sed -n 's/^ready //p' "$HG_DIR/run/node.out")
}

send() {
    timeout 120 "$HG_LOAD" --server "127.0.0.1:$PORT" --ca "$HG_DIR/pki/ca.crt" \
        --cert-dir "$HG_DIR/pki" --quiet "$@"
}

# Compares what the node holds with the manifest: every volume that it names.
check() {
    local file images=()
    for file in "$HG_DIR"/volumes/*; do
        [[ $file == *.state ]] || images+=(--image "$(basename "$file" | cut -d. -f2-)=$file")
    done
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" "${images[@]}"
}

@test "load: an image with holes arrives whole through cuts and rewinds" {
    fake_node 0 --cut-every 300 --rewind-every 60
    head -c 9000000 /dev/urandom >"$HG_DIR/disk"
    truncate -s 40000512 "$HG_DIR/disk"
    printf 'the end' | dd of="$HG_DIR/disk" bs=1 seek=39999999 conv=notrunc status=none
    send --image "$HG_DIR/disk" --image "other=$HG_DIR/disk" --codec deflate --block 16K \
        --barrier-every 40 --no-progress --json "$HG_DIR/json"
    cmp "$HG_DIR/disk" "$HG_DIR/volumes/alpha.disk"
    cmp "$HG_DIR/disk" "$HG_DIR/volumes/alpha.other"
    python3 - "$HG_DIR/json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["complete"] and j["cuts"] > 0 and j["rewinds"] > 0, j
assert j["durable_bytes"] == 2 * 40000512 and j["data_bytes"] < 2 * 10000000, j
PY
}

@test "load: a mixed load of many volumes is what its manifest says" {
    fake_node 0 --cut-every 500 --rewind-every 150 --wait-every 400 --check-crc
    send --sources 2 --volumes 3 --connections 2 --size 6M --bytes 48M --block 4K:20,64K:80 \
        --overwrite 30 --zero 10 --codec deflate --compress-ratio 3 --barrier-every 30 \
        --levels received,durable,consistent --threads 2 --verify-manifest "$HG_DIR/manifest"
    run check
    [ "$status" -eq 0 ]
    [[ $output == *"match: 6 volumes"*" 0 in doubt"* ]]
}

@test "load: a check that cannot pass does not" {
    fake_node 0
    send --size 4M --verify-manifest "$HG_DIR/manifest"
    check
    printf 'x' | dd of="$HG_DIR/volumes/alpha.vol" bs=1 seek=1234567 conv=notrunc status=none
    run check
    [ "$status" -eq 1 ]
    [[ $output == *"not the bytes that were acknowledged durable"* ]]
}

@test "load: a killed node is waited for, and only what it did not hold is sent again" {
    fake_node 0 --credit 1048576
    hg_start load "$HG_LOAD" --server "127.0.0.1:$PORT" --ca "$HG_DIR/pki/ca.crt" \
        --cert-dir "$HG_DIR/pki" --quiet --sources 2 --size 32M --pattern random --duration 4s \
        --rate 200Mbit --verify-manifest "$HG_DIR/manifest" --json "$HG_DIR/json"
    for _ in 1 2 3; do
        sleep 1
        hg_kill node
        fake_node "$PORT" --credit 1048576
    done
    hg_wait_for 60 test -e "$HG_DIR/run/load.rc"
    [ "$(cat "$HG_DIR/run/load.rc")" -eq 0 ]
    check
    python3 - "$HG_DIR/json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
# At most what is in flight, one credit per source, for each of the three crashes.
assert j["resumes"] >= 3 and j["resent"] <= 3 * 2 * (1048576 // 65536), j
PY
}

@test "load: data that a node acknowledged and lost is noticed" {
    fake_node 0
    hg_start load "$HG_LOAD" --server "127.0.0.1:$PORT" --ca "$HG_DIR/pki/ca.crt" \
        --cert-dir "$HG_DIR/pki" --quiet --size 64M --rate 100Mbit
    sleep 1
    hg_kill node
    rm "$HG_DIR/volumes/"*
    fake_node "$PORT"
    hg_wait_for 60 test -e "$HG_DIR/run/load.rc"
    [ "$(cat "$HG_DIR/run/load.rc")" -eq 1 ]
    grep -q 'the node lost data' "$HG_DIR/run/load.err"
}

@test "load: a node that is not there, or not the right one, is said so" {
    fake_node 0
    run send --size 4M --resume-retry 1s --server 127.0.0.1:9
    [ "$status" -eq 1 ]
    [[ $output == *"Connection refused"* ]]
    "$HG_PKI" ca "$HG_DIR/foreign" >/dev/null
    run send --size 4M --ca "$HG_DIR/foreign/ca.crt"
    [ "$status" -eq 1 ]
    [[ $output == *"is not in CA file $HG_DIR/foreign/ca.crt"*"trying again would not help"* ]]
    run send --sise 4M
    [ "$status" -eq 2 ]
    [[ $output == *"--sise is not an option"* ]]
}

@test "load: bad input is sent, and the answer told" {
    fake_node 0 --check-crc
    bad() {
        run send --size 16M --bad "$1"
        [[ $output == "bad $1: node answered"*"$2"* ]] || hg_die "$1: said: $output"
    }
    bad http TCP
    bad no-cert 'alert'
    bad header-crc 'ERROR header_crc (2) scope session'
    bad payload-crc 'ERROR payload_crc (10) scope frame retry now'
    [[ $output == *"took the right frame after it"* ]]
    bad unknown-type unknown_type
    bad over-length limit
    bad bomb-hidden decompress
    bad truncated-deflate decompress
    bad trailing-deflate decompress
    bad beyond-end bounds
    bad seq-gap seq_gap
    bad seq-replay seq_replay
}
