# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What end-to-end tests, the demo and benches stand on: namespaces, programs in the background,
# certificates, pool files, bounded waiting. Source it, call hg_begin first and hg_end last (in bats:
# from setup and teardown).
#
# 1. Everything a test makes is below $HG_DIR, a temporary directory, or in a network namespace whose
#    name starts with hg-$HG_ID-, where HG_ID is the process that made it. hg_end removes all of it.
# 2. hg_begin removes what a test that was killed left behind: namespaces whose process is gone.
# 3. Nothing waits without a limit; a limit that is reached fails and shows the program's output.
# 4. State is in files (NAME.pid, NAME.rc, NAME.out, NAME.err), so helpers work from subshells.

HG_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
HG_BIN=${HG_BIN:-$HG_TOP/build/app}
HG_DAEMON=$HG_BIN/headgate/headgate
HG_LOAD=$HG_BIN/load/headgate-load
HG_CTL=$HG_BIN/ctl/headgatectl
HG_PKI=$HG_TOP/app/ctl/headgate-pki

# The addresses of every test: the node's lives in user space behind the tap interface, the client's
# is the kernel's on the same interface (RFC 5737 documentation prefix).
HG_NODE_ADDR=192.0.2.1
HG_CLIENT_ADDR=192.0.2.2

hg_begin() {
    HG_ID=$$
    HG_DIR=$(mktemp -d "${TMPDIR:-/tmp}/headgate-$HG_ID-XXXXXX")
    mkdir "$HG_DIR/run"
    hg_remove_stale_namespaces
}

hg_end() {
    local pidfile ns
    [ -n "${HG_DIR:-}" ] && [ -d "$HG_DIR" ] || return 0
    for pidfile in "$HG_DIR"/run/*.pid; do
        [ -e "$pidfile" ] || continue
        hg_kill "$(basename "$pidfile" .pid)"
    done
    if [ -f "$HG_DIR/run/namespaces" ]; then
        while read -r ns; do
            hg_remove_namespace "$ns"
        done <"$HG_DIR/run/namespaces"
    fi
    rm -rf "$HG_DIR"
}

# hg_die TEXT...: fails the test, or the script, with one sentence.
hg_die() {
    printf '%s\n' "$*" >&2
    return 1
}

# hg_refute COMMAND...: succeeds when the command fails. A plain `! COMMAND` in a test asserts nothing:
# the shell's -e does not stop at it.
hg_refute() {
    if "$@"; then
        hg_die "should have failed: $*"
    fi
}

# --- what a test needs ---------------------------------------------------------------------------

hg_skip() {
    if declare -F skip >/dev/null; then
        skip "$*"
    fi
    hg_die "cannot run here: $*"
}

requires() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || hg_skip "needs $tool"
    done
}

requires_root() {
    [ "$(id -u)" -eq 0 ] || hg_skip "needs root, to make network namespaces"
}

# --- waiting -------------------------------------------------------------------------------------

# hg_wait_for SECONDS COMMAND...: tries the command until it succeeds; fails after SECONDS.
hg_wait_for() {
    local limit=$1 end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || hg_die "after $limit s still not: $*" || return 1
        sleep 0.05
    done
}

# --- programs in the background ------------------------------------------------------------------

# hg_start NAME COMMAND...: runs the command in the background; its pid is in NAME.pid, and when it
# has ended its exit status is in NAME.rc. Descriptors 3 and up are bats' own: a program that kept
# them would make bats wait for it.
hg_start() {
    local name=$1 run=$HG_DIR/run
    shift
    rm -f "$run/$name.rc" "$run/$name.pid"
    {
        "$@" >"$run/$name.out" 2>"$run/$name.err" </dev/null &
        printf '%s\n' $! >"$run/$name.pid.new"
        mv "$run/$name.pid.new" "$run/$name.pid"
        local rc=0
        wait $! || rc=$?
        [ ! -d "$run" ] || printf '%s\n' $rc >"$run/$name.rc"
    } 3>&- 4>&- 5>&- >/dev/null 2>&1 &
    hg_wait_for 5 test -e "$run/$name.pid"
}

hg_pid() {
    cat "$HG_DIR/run/$1.pid"
}

hg_alive() {
    [ ! -e "$HG_DIR/run/$1.rc" ] && kill -0 "$(hg_pid "$1")" 2>/dev/null
}

# hg_output NAME: the end of what the program said, for a failure's report.
hg_output() {
    local file
    for file in "$HG_DIR/run/$1.out" "$HG_DIR/run/$1.err"; do
        printf -- '--- %s\n' "$(basename "$file")"
        tail -n 40 "$file"
    done >&2
}

# hg_wait_line NAME SECONDS REGEX: waits until a line of the program's stdout matches; fails at once
# when the program ends before.
hg_wait_line() {
    local name=$1 limit=$2 regex=$3 end=$((SECONDS + $2)) out=$HG_DIR/run/$1.out
    until grep -Eq -- "$regex" "$out"; do
        if [ -e "$HG_DIR/run/$name.rc" ] && ! grep -Eq -- "$regex" "$out"; then
            hg_output "$name"
            hg_die "$name ended with status $(cat "$HG_DIR/run/$name.rc") before it said '$regex'"
            return 1
        fi
        if [ $SECONDS -ge $end ]; then
            hg_output "$name"
            hg_die "$name did not say '$regex' within $limit s"
            return 1
        fi
        sleep 0.05
    done
}

# hg_wait_exit NAME SECONDS: waits for the program's end and returns its exit status; 124 when it
# still runs (a signal N counts as 128 + N, as in the shell).
hg_wait_exit() {
    if ! hg_wait_for "$2" test -e "$HG_DIR/run/$1.rc"; then
        hg_output "$1"
        return 124
    fi
    return "$(cat "$HG_DIR/run/$1.rc")"
}

# hg_stop NAME [SECONDS]: SIGTERM, then as hg_wait_exit; what does not stop in time is killed.
hg_stop() {
    local rc=0
    kill -TERM "$(hg_pid "$1")" 2>/dev/null || true
    hg_wait_exit "$1" "${2:-20}" || rc=$?
    [ $rc -ne 124 ] || hg_kill "$1"
    return $rc
}

# hg_kill NAME: SIGKILL, as a power cut would; returns when the process is gone. Does nothing when it
# has ended before.
hg_kill() {
    [ -e "$HG_DIR/run/$1.pid" ] || return 0
    if [ ! -e "$HG_DIR/run/$1.rc" ]; then
        kill -KILL "$(hg_pid "$1")" 2>/dev/null || true
        hg_wait_for 60 test -e "$HG_DIR/run/$1.rc" # the kernel ends I/O in flight first
    fi
}

# --- namespaces ----------------------------------------------------------------------------------

# hg_namespace NAME: makes a network namespace with loopback up and prints its full name.
hg_namespace() {
    local ns=hg-$HG_ID-$1
    printf '%s\n' "$ns" >>"$HG_DIR/run/namespaces"
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    printf '%s\n' "$ns"
}

# The namespace was made by a test of ours, so what still runs in it is ours too.
hg_remove_namespace() {
    local pid
    for pid in $(ip netns pids "$1" 2>/dev/null); do
        kill -KILL "$pid" 2>/dev/null || true
    done
    ip netns del "$1" 2>/dev/null || true
}

hg_remove_stale_namespaces() {
    local ns pid
    [ "$(id -u)" -eq 0 ] || return 0
    for ns in $(ip netns list 2>/dev/null | awk '$1 ~ /^hg-[0-9]+-/ { print $1 }'); do
        pid=${ns#hg-}
        pid=${pid%%-*}
        kill -0 "$pid" 2>/dev/null || hg_remove_namespace "$ns"
    done
}

# hg_in NAMESPACE COMMAND...
hg_in() {
    ip netns exec "$@"
}

# hg_address NAMESPACE INTERFACE ADDRESS/LENGTH: waits for the interface, which the daemon makes, and
# gives it the kernel's address.
hg_address() {
    hg_wait_for 10 ip -n "$1" link show "$2"
    ip -n "$1" address replace "$3" dev "$2"
    ip -n "$1" link set "$2" up
}

# hg_capture NAMESPACE INTERFACE FILE: captures until the program `capture` is stopped.
hg_capture() {
    hg_start capture ip netns exec "$1" tcpdump -Z root -U -s 0 -i "$2" -w "$3"
    hg_wait_for 10 grep -q 'listening on' "$HG_DIR/run/capture.err"
}

# --- certificates and pools ----------------------------------------------------------------------

# hg_certificates SOURCE...: an authority, a node certificate `node` and one per source, in
# $HG_DIR/pki.
hg_certificates() {
    local name
    "$HG_PKI" ca "$HG_DIR/pki" >/dev/null
    "$HG_PKI" node "$HG_DIR/pki" node --ip "$HG_NODE_ADDR" --dns headgate.example >/dev/null
    for name in "$@"; do
        "$HG_PKI" source "$HG_DIR/pki" "$name" >/dev/null
    done
}

# hg_pool COUNT SIZE: makes sparse files for COUNT devices, and prints their paths.
hg_pool() {
    local i
    mkdir -p "$HG_DIR/pool"
    for ((i = 0; i < $1; i++)); do
        truncate -s "$2" "$HG_DIR/pool/dev$i.img"
        printf '%s\n' "$HG_DIR/pool/dev$i.img"
    done
}

# --- the daemon ----------------------------------------------------------------------------------

# hg_daemon NAMESPACE PROFILE [OPTION...]: starts headgate as the program `headgate`, waits until it
# serves, and gives the kernel's side of its interface ($HG_INTERFACE, or hg0) the client's address.
hg_daemon() {
    local ns=$1 profile=$2
    shift 2
    hg_start headgate ip netns exec "$ns" "$HG_DAEMON" -c "$profile" "$@"
    hg_wait_line headgate "${HG_READY_SECONDS:-60}" '^headgate: ready'
    hg_address "$ns" "${HG_INTERFACE:-hg0}" "$HG_CLIENT_ADDR/24"
}

# hg_daemon_stop [SECONDS]: drains and stops the daemon; fails unless it exits with 0.
hg_daemon_stop() {
    local rc=0
    hg_stop headgate "${1:-30}" || rc=$?
    if [ $rc -ne 0 ]; then
        hg_output headgate
        hg_die "headgate ended with status $rc on SIGTERM"
    fi
}
