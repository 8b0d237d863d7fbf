#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# SIGKILL at random moments under load, again and again: everything acknowledged durable is there.
# HG_CRASHES and HG_SEED change how often and when.

load node.bash

setup() {
    node_prepare alpha
}

teardown() {
    hg_end
}

@test "everything acknowledged durable survives SIGKILL at random moments" {
    local crashes=${HG_CRASHES:-50} seed=${HG_SEED:-$RANDOM} i
    printf '# seed %s, %s crashes\n' "$seed" "$crashes" >&3
    RANDOM=$seed
    NODE_DEVICE_SIZE=512M node_start
    node_load alpha --volumes 3 --size 64M --duration 600s --pattern random --overwrite 60 --zero 10 \
        --block 4K:30,64K:60,256K:10 --codec deflate --compress-ratio 2 --rate 500Mbit \
        --barrier-every 50 --seed "$seed" --verify-manifest "$HG_DIR/manifest" \
        --resume-retry 60s >"$HG_DIR/load.out" 2>&1 &
    local load=$!
    for ((i = 1; i <= crashes; i++)); do
        # The source's kernel finds out when it next sends again, seconds after a restart.
        node_counts ingest.frames_data 20 45
        sleep "0.$((RANDOM % 9))$((RANDOM % 10))"
        hg_kill headgate
        NODE_DEVICE_SIZE=512M node_start
        kill -0 $load || { cat "$HG_DIR/load.out"; hg_die "the source ended after crash $i"; }
    done
    node_counts ingest.frames_data 20 45
    pkill -INT -P $load # of the shell that runs it: itself it would ignore the signal
    wait $load || true
    hg_kill headgate
    NODE_DEVICE_SIZE=512M node_start
    local images=()
    for i in 0 1 2; do
        node_export "alpha/vol-0-$i" "$HG_DIR/out$i"
        images+=(--image "vol-0-$i=$HG_DIR/out$i")
    done
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" "${images[@]}"
}
