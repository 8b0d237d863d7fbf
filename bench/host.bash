# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The daemon on net_tap with its test services, and a Linux host in its place behind a veth pair, for
# benches of the stack: both are reached from the namespace $NS. On top of lib.bash.

HG_LINUX_ADDR=198.51.100.2

# host_network: the namespaces.
host_network() {
    NS=$(hg_namespace node) NS_LINUX=$(hg_namespace linux)
    export HEADGATE_SOCKET=$HG_DIR/control.sock
    "$HG_PKI" ca "$HG_DIR/pki" >/dev/null
    "$HG_PKI" node "$HG_DIR/pki" node --ip "$HG_NODE_ADDR" --ip $HG_LINUX_ADDR >/dev/null
    ip -n "$NS" link add k0 type veth peer name k1 netns "$NS_LINUX"
    ip -n "$NS" address add 198.51.100.1/24 dev k0
    ip -n "$NS_LINUX" address add $HG_LINUX_ADDR/24 dev k1
    # Packets of 1500 bytes, as on the other way: no cable carries aggregates.
    ip -n "$NS" link set k0 gso_max_segs 1 up
    ip -n "$NS_LINUX" link set k1 gso_max_segs 1 up
    hg_in "$NS" sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
}

# host_daemon [OPTION...]: starts the daemon, anew if it runs; it polls on CPU 0.
host_daemon() {
    hg_kill headgate
    HG_INTERFACE=hg0 hg_daemon "$NS" "$HG_TOP/config/test.ini" --set cpu.control=1 --set cpu.idle-sleep=0us \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" \
        --set "eal.file-prefix=hg$HG_ID" "$@"
}

# host_pause, host_resume: whose turn it is not stands still, since all share the CPUs.
host_pause() {
    kill -STOP "$(hg_pid headgate)"
}

host_resume() {
    kill -CONT "$(hg_pid headgate)"
}

# ran NAME: seconds of CPU time of a program that hg_start started.
ran() {
    cat "/proc/$(hg_pid "$1")"/task/*/schedstat | awk '{ sum += $1 } END { print sum / 1e9 }'
}

# ran_shard: seconds of CPU time of the thread that runs the shard, of the daemon's.
ran_shard() {
    local task
    for task in "/proc/$(hg_pid headgate)"/task/*; do
        case $(cat "$task/comm") in *worker*) awk '{ print $1 / 1e9 }' "$task/schedstat" ;; esac
    done
}

# busy_mark: the daemon's clocks: busy turns, turns that found nothing, CPU time of the shard and of all threads.
busy_mark() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
s = json.load(sys.stdin)["shards"][0]["shard"]
print(s["busy_ns"] / 1e9, s["idle_ns"] / 1e9, *sys.argv[1:], sep=",")' "$(ran_shard)" "$(ran headgate)"
}

# busy_since MARK: CPU seconds of busy turns, and of the other threads, which carry out handshakes. Turns are timed
# by the wall clock; as much of it as the shard had the CPU counts, since others use it too.
busy_since() {
    calc "(lambda b, i, s, c: b * s / (b + i) + c - s)(*(n - o for n, o in zip(($(busy_mark)), ($1))))"
}

resident() {
    awk '/^VmRSS/ { print $2 * 1024 }' "/proc/$(hg_pid headgate)/status"
}

# calc EXPRESSION: by Python.
calc() {
    python3 -c "import statistics; median = statistics.median; print($1)"
}
