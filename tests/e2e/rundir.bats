#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# EAL's files below /run: none stay after a node, and those of killed nodes go at the next start.

load node.bash

setup() {
    node_prepare alpha
}

teardown() {
    [ -z "${LEFT:-}" ] || rm -rf /var/run/dpdk/hg99999990 /var/run/dpdk/hg99999991 /var/run/dpdk/other-99999990
    hg_end
}

# lock FILE: a process that holds EAL's lock on it, as a running node does.
lock() {
    hg_start lock python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)' "$1"
    hg_wait_line lock 10 '^locked'
}

@test "a node leaves nothing below /run, and clears what killed nodes left" {
    local name
    LEFT=yes
    for name in hg99999990 hg99999991 other-99999990; do
        mkdir -p "/var/run/dpdk/$name"
        echo >"/var/run/dpdk/$name/config"
        echo >"/var/run/dpdk/$name/fbarray_memzone"
        touch -d '2 minutes ago' "/var/run/dpdk/$name"
    done
    lock /var/run/dpdk/hg99999991/config
    node_start
    [ ! -e /var/run/dpdk/hg99999990 ]
    [ -e /var/run/dpdk/hg99999991/fbarray_memzone ] # somebody has it
    [ -e /var/run/dpdk/other-99999990/config ]      # not ours
    name=/var/run/dpdk/hg$HG_ID
    [ -d "$name" ] || name=/var/run/dpdk/hg$(node_pid)
    [ -d "$name" ]
    hg_stop headgate 10
    [ ! -e "$name" ]
}
