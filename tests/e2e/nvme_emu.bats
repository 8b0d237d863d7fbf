#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The whole node on the NVMe driver, over emulated controllers: what a machine without NVMe can show.

load node.bash

setup() {
    node_prepare alpha
}

teardown() {
    hg_end
}

# emulated [OPTION...]: a node on two emulated controllers with images; the options go to the first.
emulated() {
    NODE_DEVICES=0 node_start --set node.profile=test \
        --set "store.device0=nvme-emu:256M,image=$HG_DIR/pool/nvme0,serial=EMU0$*" \
        --set "store.device1=nvme-emu:256M,image=$HG_DIR/pool/nvme1,serial=EMU1,block=512,shadow=yes"
}

# replicate SEED: one volume of 32 MiB, overwritten, with its manifest.
replicate() {
    node_load alpha --volumes 1 --size 32M --pattern random --overwrite 60 --zero 10 \
        --block 4K:30,64K:60,256K:10 --codec deflate --compress-ratio 2 \
        --barrier-every 50 --seed "$1" --verify-manifest "$HG_DIR/manifest" "${@:2}"
}

verify() {
    node_export alpha/vol "$HG_DIR/out"
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" --image "vol=$HG_DIR/out"
}

# device SERIAL EXPRESSION: the expression over the JSON of that device, `d`.
device() {
    "$HG_CTL" --json devices | python3 -c '
import json, sys
d = [d for d in json.load(sys.stdin)["devices"] if d["serial"] == sys.argv[1]][0]
print(eval(sys.argv[2]))' "$@"
}

@test "a production profile has no emulated controllers, and their names are checked" {
    run "$HG_DAEMON" --config "$HG_TOP/config/demo.ini" --check-config --set store.device0=nvme-emu:1G
    [ "$status" -ne 0 ]
    [[ $output == *"device0 is an emulated controller"*"profile = test"* ]]
    run "$HG_DAEMON" --config "$HG_TOP/config/demo.ini" --check-config --set node.profile=test \
        --set store.device0=nvme-emu:1G,block=1000
    [ "$status" -ne 0 ]
    [[ $output == *"block=1000"* ]]
}

@test "what was replicated to NVMe queues survives SIGKILL, and is exported" {
    emulated
    replicate 1
    hg_kill headgate
    emulated
    verify
}

@test "a controller with one I/O queue serves a node of one shard" {
    local i
    for i in 1 2; do
        emulated ,queues=1
        replicate $i
        verify
        hg_kill headgate
    done
}

@test "commands that are late, lost or refused, and a fatal status: replication goes on" {
    emulated ,timeout=1s,late=write:20:never,lose=write:60,fail=write:90-91:0/6,fatal=write:150
    replicate 2
    verify
    # one late, one lost; a reset each for the lost and the fatal one
    run device EMU0 'd["state"], d["errors"]["timeout"] >= 2, d["errors"]["aborted"] >= 1, d["errors"]["reset"] >= 2'
    [ "$output" = "('ok', True, True, True)" ]
    [ "$(device EMU1 'sum(d["errors"].values())')" = 0 ]
}

@test "a removed controller is told, the node lives, and what was acknowledged is there when it is back" {
    emulated ,remove=write:40
    run replicate 3 --resume-retry 3s
    [ "$status" -ne 0 ]
    [[ $output == *"writing to alpha/vol failed"* ]]
    [ "$(device EMU0 'd["state"]')" = dead ]
    [ "$(device EMU1 'd["state"]')" = ok ]
    node_log "gone from the bus"
    "$HG_CTL" stats | tee "$HG_DIR/stats"
    grep -q '1 of 1 shards write no more' "$HG_DIR/stats"
    grep -q 'is dead: is gone from the bus' "$HG_DIR/stats"
    # It comes back, and has all that was acknowledged.
    hg_kill headgate
    emulated
    verify
}
