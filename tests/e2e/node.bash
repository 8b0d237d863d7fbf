# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# A whole node for a test: certificates, a namespace, a pool of files, the daemon on a tap interface.
# After node_up, $NS is the namespace, and the helpers below talk to the node.

. "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# node_prepare SOURCE...: everything but the daemon.
node_prepare() {
    requires_root
    requires ip openssl
    hg_begin
    export HEADGATE_SOCKET=$HG_DIR/control.sock
    hg_certificates "$@"
    mkdir -p "$HG_DIR/pool"
    NS=$(hg_namespace node)
}

# node_start [OPTION...]: starts the daemon on what node_prepare made; more options override. The pool
# has $NODE_DEVICES (4) devices of $NODE_DEVICE_SIZE (256M), the profile is $NODE_PROFILE (demo). Buffers are small: a virtual machine may take
# seconds to give a daemon memory that its host has not backed yet, and tests start many.
node_start() {
    local i options=()
    for ((i = 0; i < ${NODE_DEVICES:-4}; i++)); do
        options+=(--set "store.device$i=$HG_DIR/pool/dev$i.img")
    done
    for (( ; i < 4; i++)); do # the profile's own
        options+=(--set "store.device$i=")
    done
    HG_INTERFACE=hg0 hg_daemon "$NS" "$HG_TOP/config/${NODE_PROFILE:-demo}.ini" "${options[@]}" \
        --set "store.device-size=${NODE_DEVICE_SIZE:-256M}" \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" \
        --set "eal.file-prefix=hg$HG_ID" --set ingest.buffers=48M --set ingest.credit=2M \
        --set port.rx-mbufs=8192 "$@"
}

# node_up SOURCE...: node_prepare and node_start.
node_up() {
    node_prepare "$@"
    node_start
}

# node_load SOURCE OPTION...: the load generator in the node's namespace, with the source's certificate.
node_load() {
    local source=$1
    shift
    hg_in "$NS" "$HG_LOAD" --server "$HG_NODE_ADDR" --cert "$HG_DIR/pki/$source.crt" \
        --key "$HG_DIR/pki/$source.key" --ca "$HG_DIR/pki/ca.crt" --quiet "$@"
}

# node_counter AREA.NAME: sum over shards.
node_counter() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
area, name = sys.argv[1].split(".")
print(sum(s[area][name] for s in json.load(sys.stdin)["shards"]))' "$1"
}

# node_counts AREA.NAME MINIMUM: waits until the counter has reached it.
node_counts() {
    hg_wait_for "${3:-10}" node_counter_reached "$1" "$2" ||
        { node_show; hg_die "$1 is $(node_counter "$1"), expected at least $2"; }
}

# node_show: both ends as they are now, for a failure's report.
node_show() {
    {
        "$HG_CTL" conns
        ip netns exec "$NS" ss -tinpo
        ip -n "$NS" neigh
        [ ! -e "$HG_DIR/load.out" ] || tail -n 20 "$HG_DIR/load.out"
    } >&2
    hg_output headgate
}

node_counter_reached() {
    [ "$(node_counter "$1")" -ge "$2" ]
}

# node_log REGEX: the daemon's log has a line that matches.
node_log() {
    grep -Eq -- "$1" "$HG_DIR/run/headgate.err" "$HG_DIR/run/headgate.out" ||
        { hg_output headgate; hg_die "no line in the log matches: $1"; }
}

# node_rss: resident memory of the daemon, KiB.
node_rss() {
    awk '/^VmRSS/ { print $2 }' "/proc/$(node_pid)/status"
}

# The daemon's own pid: `ip netns exec` becomes the program, so it is the one that was started.
node_pid() {
    hg_pid headgate
}

# node_export VOLUME FILE
node_export() {
    "$HG_CTL" export "$1" "$2" >/dev/null
}

# node_s_client OPTION...: openssl s_client against the node, bounded; its output is in $output.
node_s_client() {
    timeout 10 ip netns exec "$NS" openssl s_client -connect "$HG_NODE_ADDR:1500" -alpn headgate/1 "$@" </dev/null 2>&1
}
