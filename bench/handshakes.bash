# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# TLS handshakes of kernel clients, full ones and resumed ones, with the daemon and, in turns, with openssl s_server.
# On top of host.bash; the caller sets TURNS and HANDSHAKES.

STORM=$HG_TOP/tests/e2e/storm.py

clients() {
    hg_in "$NS" "$STORM" "$@"
}

# handshakes COMMAND ADDRESS SOURCE: prints the rate.
handshakes() {
    clients "$1" "$2" 1007 $HANDSHAKES "$HG_DIR/pki/ca.crt" "$3"
}

# handshake_rows: starts the daemon for each kind, as s_server.
handshake_rows() {
    handshake_kind "TLS handshakes" churn-tls 0
    handshake_kind "resumed TLS handshakes" churn-tls-resumed 2
}

# handshake_kind WHAT COMMAND TICKETS
handshake_kind() {
    local what=$1 command=$2 tickets=$3 samples="" values before rate
    host_daemon --set test.tls-tickets="$tickets"
    hg_start openssl ip netns exec "$NS_LINUX" openssl s_server -accept 1007 -quiet -rev -num_tickets "$tickets" \
        -cert "$HG_DIR/pki/node.crt" -key "$HG_DIR/pki/node.key"
    hg_wait_for 10 serves_tls
    for _ in $(seq $TURNS); do
        host_pause
        before=$(ran openssl)
        rate=$(handshakes "$command" $HG_LINUX_ADDR 198.51.100.1)
        samples+="(1,$rate,$HANDSHAKES / ($(ran openssl) - $before)),"
        host_resume
        before=$(busy_mark)
        rate=$(handshakes "$command" $HG_NODE_ADDR $HG_CLIENT_ADDR)
        samples+="(0,$rate,$HANDSHAKES / $(busy_since "$before")),"
    done
    hg_kill openssl
    values=$(calc "*[median([s[i] for s in [$samples] if s[0] == host]) for i in (1, 2) for host in (0, 1)]")
    set -- $values
    bench_row "$BENCH_NAME" "$what, one after the other: Headgate" "$1" 1/s
    bench_row "$BENCH_NAME" "$what, one after the other: openssl s_server" "$2" 1/s
    bench_row "$BENCH_NAME" "$what per busy second: Headgate" "$3" 1/s
    bench_row "$BENCH_NAME" "$what per busy second: openssl s_server" "$4" 1/s
    bench_row P10 "$what per busy second: Headgate / openssl s_server" "$(calc "$3 / $4")" ratio
}

serves_tls() {
    hg_in "$NS_LINUX" bash -c 'exec 3<>/dev/tcp/127.0.0.1/1007'
}
