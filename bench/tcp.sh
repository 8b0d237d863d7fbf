#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What receiving costs: the TCP stack alone in one thread (build/bench/tcp_bench, whose head tells how),
# for 1 to 10,000 connections; and one plaintext connection of a kernel sender, to discard of the
# daemon over net_tap, and beside it to a Linux receiver over veth in packets of the same size.
#
# net_tap reads packet by packet from the kernel, which costs far more than TCP does: the rate of the
# daemon is that of its device. The rate per busy second leaves out turns that found nothing.
#
#     ./dev bench tcp [--json FILE] [--seconds N]
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/bench/host.bash"

TURNS=3

# receive_rows: from lines CONNECTIONS CYCLES NS-WITH-RECORD NS-RECORD-ALONE.
receive_rows() {
    local n cycles with alone first_cycles='' first_with=''
    while read -r n cycles with alone; do
        : "${first_cycles:=$cycles}" "${first_with:=$with}"
        bench_row R4 "cycles per segment, $n connections" "$cycles" cycles
        bench_row R4 "cycles per segment, $n connections / 1" "$(calc "$cycles / $first_cycles")" ratio
        bench_row R4 "16 KiB with its record opened, $n connections" "$with" ns
        bench_row R4 "throughput with the record, $n connections / 1" "$(calc "$first_with / $with")" ratio
        bench_row R5 "AES-128-GCM of the record alone / received and opened, $n connections" "$(calc "$alone / $with")" ratio
    done < <("$HG_TOP/build/bench/tcp_bench" --cpu 0 --seconds "$BENCH_SECONDS" receive)
}

push() {
    hg_in "$NS" taskset -c 1 "$HG_TOP/bench/wan.py" push "$1" cubic "$BENCH_SECONDS"
}

# one_connection: its rows. The Linux receiver has the daemon's CPU.
one_connection() {
    local samples="" before rate values
    hg_start linux ip netns exec "$NS_LINUX" taskset -c 0 "$HG_TOP/bench/wan.py" serve cubic
    hg_wait_line linux 10 '^ready'
    for _ in $(seq $TURNS); do
        host_pause
        samples+="(1,$(push $HG_LINUX_ADDR),0),"
        host_resume
        before=$(busy_mark)
        rate=$(push $HG_NODE_ADDR)
        samples+="(0,$rate,$rate * $BENCH_SECONDS / $(busy_since "$before")),"
    done
    values=$(calc "*[median([s[i] for s in [$samples] if s[0] == host]) for host, i in ((0, 1), (0, 2), (1, 1))]")
    set -- $values
    bench_row P6 "one plaintext connection: Headgate over net_tap" "$1" Mbit/s
    bench_row P6 "one plaintext connection: Headgate, per busy second" "$2" Mbit/s
    bench_row P6 "one plaintext connection: Linux over veth" "$3" Mbit/s
    bench_row P6 "one plaintext connection: Headgate / Linux" "$(calc "$1 / $3")" ratio
}

bench_begin tcp 1 "$@"
requires ip openssl python3 taskset
requires_root
receive_rows
host_network
host_daemon
one_connection
bench_end
