# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The harness itself: that it waits, fails and cleans up as it promises.

load lib.bash

setup() {
    hg_begin
}

teardown() {
    hg_end
}

namespace_exists() {
    ip netns list | grep -qw "$1"
}

@test "harness: a program's ready line is waited for and its exit status is known" {
    hg_start prog bash -c 'sleep 0.2; echo "prog: ready on 1500"; trap "exit 7" TERM; while :; do sleep 0.05; done'
    hg_wait_line prog 10 '^prog: ready'
    hg_alive prog
    local rc=0
    hg_stop prog 10 || rc=$?
    [ "$rc" -eq 7 ]
    hg_refute hg_alive prog
}

@test "harness: a program that ends before its ready line fails at once" {
    hg_start prog bash -c 'echo starting; echo "no such profile" >&2; exit 3'
    local begin=$SECONDS
    run hg_wait_line prog 30 '^prog: ready'
    [ "$status" -ne 0 ]
    [[ $output == *"no such profile"*"ended with status 3"* ]]
    [ $((SECONDS - begin)) -lt 10 ]
}

@test "harness: a program that never gets ready fails after the limit" {
    hg_start prog sleep 60
    run hg_wait_line prog 1 '^prog: ready'
    [ "$status" -ne 0 ]
    [[ $output == *"within 1 s"* ]]
}

@test "harness: a program that ignores SIGTERM is killed and reported" {
    hg_start prog bash -c 'trap "" TERM; echo up; while :; do sleep 0.05; done'
    hg_wait_line prog 10 '^up'
    local pid rc=0
    pid=$(hg_pid prog)
    hg_stop prog 1 || rc=$?
    [ "$rc" -eq 124 ]
    hg_refute kill -0 "$pid" 2>/dev/null
}

@test "harness: hg_kill ends a program as a crash does" {
    hg_start prog sleep 60
    hg_kill prog
    [ "$(cat "$HG_DIR/run/prog.rc")" -eq 137 ]
}

@test "harness: hg_end leaves no process, no namespace and no file" {
    requires ip
    requires_root
    local ns pid dir=$HG_DIR
    ns=$(hg_namespace a)
    hg_start prog ip netns exec "$ns" sleep 60
    pid=$(hg_pid prog)
    [ "$(ip netns pids "$ns")" = "$pid" ]
    hg_end
    hg_refute kill -0 "$pid" 2>/dev/null
    hg_refute namespace_exists "$ns"
    [ ! -e "$dir" ]
}

@test "harness: namespaces of a test that was killed are removed by the next one" {
    requires ip
    requires_root
    local gone ns
    gone=$(bash -c 'echo $$')
    ns=hg-$gone-left
    ip netns add "$ns"
    hg_remove_stale_namespaces
    hg_refute namespace_exists "$ns"
}

@test "harness: namespaces of a test that still runs stay" {
    requires ip
    requires_root
    local ns
    ns=$(hg_namespace mine)
    hg_remove_stale_namespaces
    namespace_exists "$ns"
    hg_in "$ns" ip link show lo | grep -q 'UP'
}

@test "harness: pool files have the size asked for and are sparse" {
    local paths
    mapfile -t paths < <(hg_pool 3 64M)
    [ ${#paths[@]} -eq 3 ]
    [ "$(stat -c %s "${paths[2]}")" -eq $((64 << 20)) ]
    [ "$(stat -c %b "${paths[2]}")" -eq 0 ]
}

@test "harness: hg_refute fails when the command succeeds" {
    run hg_refute true
    [ "$status" -ne 0 ]
    hg_refute false
}

@test "harness: a missing tool skips with its name" {
    skip() { echo "skipped: $*"; exit 0; }
    run requires no-such-tool
    [ "$status" -eq 0 ]
    [ "$output" = "skipped: needs no-such-tool" ]
}
