#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The main job and what may go wrong on the way: capture, bad input, slow and lost sources, full pools.

load node.bash

setup() {
    node_prepare alpha beta gamma
}

teardown() {
    hg_end
}

# A second source that replicates all the while, and must not notice.
bystander_start() {
    node_load beta --volume calm --size 256M --bytes 64M --rate 60Mbit --resume-retry 1s \
        --json "$HG_DIR/calm.json" &
    bystander=$!
    node_counts ingest.frames_data 5
}

bystander_end() {
    wait $bystander
    python3 - "$HG_DIR/calm.json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["complete"] and j["cuts"] == 0 and j["resent"] == 0, j
PY
}

@test "an image arrives whole over TLS 1.3 and 1.2, stored and deflate" {
    node_start
    mkdir "$HG_DIR/files"
    cp -r "$HG_TOP/lib" "$HG_TOP/include" "$HG_DIR/files"
    mke2fs -q -F -d "$HG_DIR/files" "$HG_DIR/fs.img" 64M
    for tls in 1.2 1.3; do
        for codec in stored deflate; do
            node_load alpha --image "fs-$tls-$codec=$HG_DIR/fs.img" --tls $tls --codec $codec \
                --no-progress
            node_export "alpha/fs-$tls-$codec" "$HG_DIR/out"
            cmp "$HG_DIR/fs.img" "$HG_DIR/out"
        done
    done
}

@test "every suite works, with RSA, P-256 and Ed25519 certificates" {
    local suite
    node_start
    "$HG_PKI" source "$HG_DIR/pki" rsa --key rsa >/dev/null
    "$HG_PKI" source "$HG_DIR/pki" ed --key ed25519 >/dev/null
    for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
        node_load rsa --volume "$suite" --size 4M --bytes 4M --tls 1.3 --suite $suite
    done
    for suite in ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 \
        ECDHE-ECDSA-CHACHA20-POLY1305; do
        node_load ed --volume "$suite" --size 4M --bytes 4M --tls 1.2 --suite $suite
    done
    [ "$(node_counter tls.handshakes)" -eq 6 ]
}

# as_jobs: how many algorithms have their records opened as jobs.
as_jobs() {
    echo $(($(node_counter tls_batch.aes_128_gcm_as_jobs) + $(node_counter tls_batch.aes_256_gcm_as_jobs) + \
        $(node_counter tls_batch.chacha20_poly1305_as_jobs)))
}

@test "every suite works by direct calls, as jobs and as measured, and stats tell which" {
    local batch suite
    for batch in single batch auto; do
        node_start --set tls.batch=$batch
        for suite in TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 TLS_CHACHA20_POLY1305_SHA256; do
            node_load alpha --volume "$batch-$suite" --size 4M --bytes 4M --tls 1.3 --suite $suite
        done
        for suite in AES128-GCM-SHA256 AES256-GCM-SHA384 CHACHA20-POLY1305; do
            node_load alpha --volume "$batch-$suite" --size 4M --bytes 4M --tls 1.2 --suite ECDHE-ECDSA-$suite
        done
        case $batch in
        single) [ "$(as_jobs)" -eq 0 ] ;;
        batch) [ "$(as_jobs)" -eq 3 ] ;;
        esac
        if [ $batch = auto ]; then
            [ "$(node_counter tls_batch.aes_128_gcm_single)" -gt 1000000 ]
            [ "$(node_counter tls_batch.chacha20_poly1305_jobs)" -gt 1000000 ]
        else
            [ "$(node_counter tls_batch.aes_128_gcm_single)" -eq 0 ]
        fi
        [ "$(node_counter tls.bad_tag)" -eq 0 ]
        hg_stop headgate
    done
}

@test "a known pattern is never on the wire" {
    requires tcpdump
    node_start
    python3 -c "import sys; sys.stdout.buffer.write(b'HEADGATE-KNOWN-PATTERN-%08d-' % 7 * 131072)" \
        >"$HG_DIR/pattern.img"
    truncate -s 8M "$HG_DIR/pattern.img"
    hg_capture "$NS" hg0 "$HG_DIR/wire.pcap"
    node_load alpha --image "p=$HG_DIR/pattern.img" --codec stored --no-progress
    sleep 0.5
    hg_stop capture || true
    [ "$(stat -c %s "$HG_DIR/wire.pcap")" -gt 4000000 ] # the data did pass there
    [ "$(grep -c -a 'KNOWN-PATTERN' "$HG_DIR/pattern.img")" -ge 1 ]
    hg_refute grep -q -a 'KNOWN-PATTERN' "$HG_DIR/wire.pcap"
}

@test "what is no TLS is refused and counted" {
    node_start
    bystander_start
    run timeout 10 ip netns exec "$NS" curl -s -m 5 "http://$HG_NODE_ADDR:1500/"
    [ "$status" -ne 0 ]
    node_counts tls.not_tls 1
    node_log 'conn: 192.0.2.2:[0-9]+: TLS: .+'
    for i in 1 2 3 4 5; do
        head -c 3000 /dev/urandom | timeout 5 ip netns exec "$NS" \
            bash -c "exec 3<>/dev/tcp/$HG_NODE_ADDR/1500; cat >&3; cat <&3" >/dev/null 2>&1 || true
    done
    node_counts tls.handshake_failures 6
    bystander_end
}

@test "clients without the right certificate are refused, and the log says why" {
    node_start
    bystander_start
    node_s_client -tls1_2 >"$HG_DIR/none" || true
    grep -q 'alert' "$HG_DIR/none"
    node_counts tls.no_client_cert 1
    "$HG_PKI" ca "$HG_DIR/foreign" >/dev/null
    "$HG_PKI" source "$HG_DIR/foreign" mallory >/dev/null
    node_s_client -tls1_2 -cert "$HG_DIR/foreign/mallory.crt" -key "$HG_DIR/foreign/mallory.key" \
        >"$HG_DIR/foreign.out" || true
    grep -q 'alert' "$HG_DIR/foreign.out"
    node_counts tls.bad_client_cert 1
    node_log 'mallory'
    "$HG_PKI" source "$HG_DIR/pki" late --expired >/dev/null
    node_s_client -tls1_2 -cert "$HG_DIR/pki/late.crt" -key "$HG_DIR/pki/late.key" \
        >"$HG_DIR/late.out" || true
    grep -q 'expired' "$HG_DIR/late.out"
    node_counts tls.cert_expired 1
    node_log 'late.*expired'
    for version in -tls1 -tls1_1; do
        run node_s_client $version -cipher DEFAULT@SECLEVEL=0
        [[ $output == *'alert protocol version'* ]] || hg_die "said: $output"
    done
    bystander_end
}

# bad KIND CODE COUNTER: the node answers with that error, counts it, and names the source in its log.
bad() {
    local before
    before=$(node_counter "$3")
    run node_load alpha --volume "bad-$1" --size 16M --bad "$1"
    [[ $output == *"bad $1: node answered"*"$2"* ]] || hg_die "$1: said: $output"
    node_counts "$3" $((before + 1))
    node_log "source alpha at .*$2"
}

@test "frames that break the protocol get their error, and nobody else notices" {
    node_start
    local rss
    bystander_start
    rss=$(node_rss)
    bad header-crc header_crc ingest.err_header_crc
    bad payload-crc payload_crc ingest.err_payload_crc
    bad unknown-type unknown_type ingest.err_unknown_type
    bad over-length limit ingest.err_limit
    bad bomb limit ingest.err_limit
    bad bomb-hidden decompress ingest.err_decompress
    bad truncated-deflate decompress ingest.err_decompress
    bad trailing-deflate decompress ingest.err_decompress
    bad beyond-end bounds ingest.err_bounds
    bad seq-gap seq_gap ingest.err_seq_gap
    bad seq-replay seq_replay ingest.err_seq_replay
    bad credit credit ingest.err_credit
    [ $(($(node_rss) - rss)) -lt 32768 ] # KiB; what was touched for the first time, not growth
    bystander_end
}

@test "slow, deaf and vanished sources are ended in time, and nobody else notices" {
    node_start --set ingest.frame-timeout=2s --set ingest.write-timeout=2s --set ingest.idle=2s \
        --set ingest.hello-timeout=2s
    bystander_start
    bad slow too_slow ingest.err_too_slow
    run node_load gamma --volume deaf --size 16M --bad no-read
    node_counts ingest.err_not_reading 1 30
    run node_load gamma --volume gone --size 16M --bad vanish
    bystander_end
    hg_wait_for 30 only_sessions 0
}

only_sessions() {
    [ "$("$HG_CTL" --json conns | python3 -c \
        'import json,sys; print(len(json.load(sys.stdin)["conns"]))')" -eq "$1" ]
}

@test "a full pool says no space, loses nothing, and goes on when space is added" {
    NODE_DEVICES=2 NODE_DEVICE_SIZE=64M node_start --set ingest.no-space-retry=200ms
    node_load alpha --size 512M --bytes 192M --verify-manifest "$HG_DIR/manifest" \
        --json "$HG_DIR/load.json" --resume-retry 120s &
    local load=$!
    node_counts ingest.err_no_space 1 60
    kill -0 $load
    truncate -s 256M "$HG_DIR/pool/dev0.img" "$HG_DIR/pool/dev1.img"
    "$HG_CTL" grow
    wait $load
    node_export alpha/vol "$HG_DIR/out"
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" --image "vol=$HG_DIR/out"
}

@test "the steady state does not allocate, and memory is flat" {
    [ -e "$HG_TOP/build/tests/e2e/heapcount.so" ] || hg_skip "the heap counter is not built"
    export HEAPCOUNT_FILE=$HG_DIR/heap LD_PRELOAD=$HG_TOP/build/tests/e2e/heapcount.so
    node_start
    unset LD_PRELOAD
    local before after rss
    node_load alpha --volumes 4 --connections 2 --size 64M --duration 16s --overwrite 50 \
        --codec deflate --compress-ratio 2 --rate 400Mbit --barrier-every 1s \
        --levels received,durable,consistent --json "$HG_DIR/load.json" &
    local load=$!
    node_counts ingest.frames_data 2000
    sleep 1
    before=$(heap_calls)
    rss=$(node_rss)
    sleep 10
    after=$(heap_calls)
    [ "$(heap_calls_all)" -gt 0 ] # the counter works: control and start were counted
    [ "$before" -gt 0 ]           # and shard threads too: the handshakes were
    [ "$after" -eq "$before" ] || hg_die "$((after - before)) heap calls on shard threads in 10 s"
    [ $(($(node_rss) - rss)) -lt 16384 ] || hg_die "RSS grew from $rss to $(node_rss) KiB"
    wait $load
}

heap_calls() {
    od -A n -t u8 -N 8 "$HEAPCOUNT_FILE" | tr -d ' '
}

heap_calls_all() {
    od -A n -t u8 -j 8 -N 8 "$HEAPCOUNT_FILE" | tr -d ' '
}
