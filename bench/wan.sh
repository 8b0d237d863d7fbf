#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# One plaintext connection at defaults over a bad path: how much a host receives, or sends, and beside
# it what Linux does in its place. The peer is Linux, the path is hg-forward at 200 Mbit/s with a queue
# of 500 KB or one round trip, whichever is more; only the host at its far end changes:
#
#     namespace a: peer --- hg-forward --- namespace b: Linux
#                                    \---- Headgate, services of config/test.ini: on net_tap; with MTU
#                                          9000, which that does not take, on net_af_packet and a veth pair
#
# "receives": the peer pushes to discard (port 9) and tells what was acknowledged. "sends": the peer
# reads GET /<n> from port 8080. Hosts take turns, each turn meets the same losses (seed), medians count.
# The host whose turn it is not stands still (SIGSTOP), since all share the CPUs.
#
#     ./dev bench wan [--json FILE] [--seconds N]    a few cases, in about a minute
#     ./dev bench wan --all                          every MTU, loss, reordering and round trip
#     ./dev bench wan --only 'receives.*100 ms'      those of all whose name matches
#     ./dev bench wan --set tcp.receive-buffer=8M    Headgate with other settings than its defaults
#     ./dev bench wan --ipv6                         the same over IPv6 (not with MTU 576)
#     ./dev bench wan --turns N                      more turns, for paths that lose: chance weighs less
#     ./dev bench wan --self                         Linux against Linux: what the ratio is worth
#
# A turn of less than a second is mostly slow start. For figures to be held against each other, --seconds 10 on
# a machine that does nothing else.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/tests/e2e/forward.bash"

RATE=200 # Mbit/s
TURNS=3
WAN_PY=$HG_TOP/bench/wan.py

# all_cases: ID MODE CONTROL MTU LOSS REORDER RTT, loss and reordering in percent, RTT in ms. CONTROL is
# that of the Linux sender: the peer's, or the Linux host's, which is always CUBIC.
all_cases() {
    local mode control mtu path rtt
    for mtu in 1500 576 9000; do
        for mode in "receives cubic" "receives bbr" "sends cubic"; do
            for path in "0 0" "0.1 0" "1 0" "5 0" "0 1"; do
                for rtt in 0 20 100; do
                    echo "wan $mode $mtu $path $rtt"
                done
            done
            [ $mtu -ne 1500 ] || printf 'P9 %s\n' "$mode 1500 0.1 1 50" "$mode 1500 1 1 50"
        done
    done
}

few_cases() {
    cat <<'TXT'
wan receives cubic 1500 0 0 20
P9 receives cubic 1500 0.1 1 50
P9 receives bbr 1500 1 1 50
wan sends cubic 1500 0 0 20
P9 sends cubic 1500 0.1 1 50
P9 sends cubic 1500 1 1 50
TXT
}

# name MODE CONTROL MTU LOSS REORDER RTT: the case as its rows call it.
name() {
    echo "$1, $2, MTU $3, loss $4 %, reorder $5 %, $6 ms"
}

# cases: those that were asked for.
cases() {
    local id rest
    case $ONLY in
    few) few_cases ;;
    all) all_cases ;;
    *)
        all_cases | while read -r id rest; do
            # shellcheck disable=SC2086 # the fields of the case
            if name $rest | grep -Eq -- "$ONLY"; then echo "$id $rest"; fi
        done
        ;;
    esac
}

# has_control NAME: whether the kernel has the congestion control.
has_control() {
    hg_in "$NS_A" sysctl -n net.ipv4.tcp_available_congestion_control | grep -qw "$1"
}

# Headgate as it is built here, if it has the services; else Linux again in its place, so that what is
# not compared is at least seen to work.
choose_second() {
    headgate_command --check-config
    SECOND=Headgate
    if $SELF; then
        SECOND="Linux again"
    elif ! "${HEADGATE[@]}" >/dev/null 2>&1; then
        SECOND="Linux again"
        echo "this build has no test services: Linux stands in for Headgate"
    fi
}

# is_jumbo: whether the path's packets are too large for net_tap.
is_jumbo() {
    [ "${MTU:-1500}" -gt 1500 ]
}

# headgate_command [OPTION...]: sets HEADGATE.
headgate_command() {
    HEADGATE=("$HG_DAEMON" -c "$HG_TOP/config/test.ini" --set "port.vdev=net_tap0,iface=h0,mac=$HG_B_MAC"
        --set "port.address=$HG_B_ADDR/24$ADDRESS6" --set "port.mtu=${MTU:-1500}"
        "${FORWARD_JUMBO[@]}" --set test.services=yes
        --set test.discard=9 --set test.http=8080 --set "eal.file-prefix=hg$HG_ID"
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key"
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" "${SETTINGS[@]}" "$@")
}

start_headgate() {
    FORWARD_JUMBO=()
    ip -n "$NS_M" link delete h0 2>/dev/null || true # of a run before
    ! is_jumbo || forward_jumbo "$MTU"
    headgate_command
    hg_start headgate ip netns exec "$NS_M" "${HEADGATE[@]}"
    hg_wait_line headgate 30 '^headgate: ready' >/dev/null 2>&1 || return 1
    hg_wait_for 10 ip -n "$NS_M" link show h0
    # The ring of this NIC: room for the time in which the daemon shares its CPU.
    is_jumbo || ip -n "$NS_M" link set h0 txqueuelen 4000 arp off up
}

# set_mtu MTU: of the whole path; Headgate starts anew with it, or fails if its device cannot.
set_mtu() {
    MTU=$1
    ip -n "$NS_A" link set a0 mtu "$MTU"
    ip -n "$NS_B" link set b0 mtu "$MTU"
    ip -n "$NS_M" link set f0 mtu "$MTU"
    ip -n "$NS_M" link set f1 mtu "$MTU"
    [ "$SECOND" = Headgate ] || return 0
    hg_kill headgate
    if ! start_headgate; then
        echo "MTU $MTU is left out: $(grep '^headgate: ' "$HG_DIR/run/headgate.err" | tail -n 1)"
        return 1
    fi
    kill -STOP "$(hg_pid headgate)"
}

# layers LOSS REORDER RTT: of the direction in which the data goes.
layers() {
    local queue=$((RATE * 125 * $3)) late=$(($3 * 100))
    printf 'rate=%sMbit,queue=%s,loss=%s%%,reorder=%s%%,late=%sus,delay=%sus\n' $RATE \
        $((queue > 500000 ? queue : 500000)) "$1" "$2" $((late > 1000 ? late : 1000)) $(($3 * 500))
}

# lost_beside: what the forwarder lost beside what it was told to lose, which counts against the host.
lost_beside() {
    grep -Eo '"(rx_aggregates|rx_oversize|rx_no_frame|rx_kernel_drops|tx_refused)": [1-9][0-9]*' "$HG_DIR/run/forward.out" |
        xargs || true
}

# turn HOST SEED MODE CONTROL MTU LOSS REORDER RTT: prints Mbit/s.
turn() {
    local host=$1 seed=$2 mode=$3 control=$4 rtt=$8 data rate lost
    data=$(layers "$6" "$7" "$rtt")
    FORWARD_B=f1
    if [ "$host" = Headgate ]; then
        FORWARD_B=h0
        kill -CONT "$(hg_pid headgate)"
    fi
    if [ "$mode" = receives ]; then
        forward_start --seed "$seed" --ab "$data" --ba "delay=$((rtt * 500))us"
        rate=$(hg_in "$NS_A" "$WAN_PY" push "$ADDRESS" "$control" "$BENCH_SECONDS")
    else
        forward_start --seed "$seed" --ba "$data" --ab "delay=$((rtt * 500))us"
        rate=$(hg_in "$NS_A" "$WAN_PY" pull "$ADDRESS" "$BENCH_SECONDS")
    fi
    forward_stop
    [ "$host" != Headgate ] || kill -STOP "$(hg_pid headgate)"
    lost=$(lost_beside)
    [ -z "$lost" ] || echo "$(name "${@:3}"): $host: the forwarder could not keep up: $lost" >&2
    printf '%s\n' "$rate"
}

# measure ID MODE CONTROL MTU LOSS REORDER RTT: its rows.
measure() {
    local id=$1 seed host
    shift
    : >"$HG_DIR/samples"
    for seed in $(seq $TURNS); do
        for host in Linux "$SECOND"; do
            printf '%s\t%s\t%s\t%s\n' "$id" "$(name "$@")" "$host" "$(turn "$host" "$seed" "$@")" >>"$HG_DIR/samples"
        done
    done
    "$WAN_PY" rows "$HG_DIR/samples" >"$HG_DIR/made"
    while IFS=$'\t' read -r id what value unit; do
        bench_row "$id" "$what" "$value" "$unit"
    done <"$HG_DIR/made"
}

ONLY=few SELF=false ADDRESS=$HG_B_ADDR ADDRESS6='' SETTINGS=() FORWARD_JUMBO=() options=()
while [ $# -gt 0 ]; do
    case $1 in
    --all) ONLY=all ;;
    --only) ONLY=${2:?--only needs a regular expression} && shift ;;
    --self) SELF=true ;;
    --ipv6) ADDRESS=$HG_B_ADDR6 ADDRESS6=,$HG_B_ADDR6/64 ;;
    --turns) TURNS=${2:?--turns needs a number} && shift ;;
    --set) SETTINGS+=(--set "${2:?--set needs SECTION.KEY=VALUE}") && shift ;;
    *) options+=("$1") ;;
    esac
    shift
done
[ -n "$(cases)" ] || { hg_die "bench wan: no case matches '$ONLY'"; exit 2; }
bench_begin wan 0.8 "${options[@]}"
requires ip python3
requires_root
export HEADGATE_SOCKET=$HG_DIR/control.sock
forward_path 1500
[ "$ADDRESS" != $HG_B_ADDR ] || forward_ipv4_only
for ns in "$NS_A" "$NS_B"; do # no turn learns from the one before
    hg_in "$ns" sysctl -qw net.ipv4.tcp_no_metrics_save=1
done
hg_certificates
choose_second
hg_start linux ip netns exec "$NS_B" "$WAN_PY" serve cubic
hg_wait_line linux 10 '^ready'
has_control bbr || echo "this kernel has no BBR: its cases are left out"
MTU='' failed=''
while read -r id mode control mtu rest; do
    has_control "$control" || continue
    [ "$mtu" != "$failed" ] || continue
    if [ "$mtu" != "$MTU" ] && ! set_mtu "$mtu"; then
        failed=$mtu
        continue
    fi
    # shellcheck disable=SC2086 # the rest of the fields
    measure "$id" "$mode" "$control" "$mtu" $rest </dev/null
done < <(cases)
bench_end
