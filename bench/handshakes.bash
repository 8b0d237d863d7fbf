# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# Full TLS handshakes of kernel clients with the daemon and, in turns, with openssl s_server. On top of host.bash;
# the caller sets TURNS and HANDSHAKES.

STORM=$HG_TOP/tests/e2e/storm.py

clients() {
    hg_in "$NS" "$STORM" "$@"
}

# handshakes ADDRESS SOURCE: prints the rate.
handshakes() {
    clients churn-tls "$1" 1007 $HANDSHAKES "$HG_DIR/pki/ca.crt" "$2"
}

handshake_rows() {
    local samples="" values before rate
    hg_start openssl ip netns exec "$NS_LINUX" openssl s_server -accept 1007 -quiet -num_tickets 0 \
        -cert "$HG_DIR/pki/node.crt" -key "$HG_DIR/pki/node.key"
    hg_wait_for 10 serves_tls
    for _ in $(seq $TURNS); do
        host_pause
        before=$(ran openssl)
        rate=$(handshakes $HG_LINUX_ADDR 198.51.100.1)
        samples+="(1,$rate,$HANDSHAKES / ($(ran openssl) - $before)),"
        host_resume
        before=$(busy_mark)
        rate=$(handshakes $HG_NODE_ADDR $HG_CLIENT_ADDR)
        samples+="(0,$rate,$HANDSHAKES / $(busy_since "$before")),"
    done
    hg_kill openssl
    values=$(calc "*[median([s[i] for s in [$samples] if s[0] == host]) for i in (1, 2) for host in (0, 1)]")
    set -- $values
    bench_row "$BENCH_NAME" "TLS handshakes, one after the other: Headgate" "$1" 1/s
    bench_row "$BENCH_NAME" "TLS handshakes, one after the other: openssl s_server" "$2" 1/s
    bench_row "$BENCH_NAME" "TLS handshakes per busy second: Headgate" "$3" 1/s
    bench_row "$BENCH_NAME" "TLS handshakes per busy second: openssl s_server" "$4" 1/s
    bench_row P10 "TLS handshakes per busy second: Headgate / openssl s_server" "$(calc "$3 / $4")" ratio
}

serves_tls() {
    hg_in "$NS_LINUX" bash -c 'exec 3<>/dev/tcp/127.0.0.1/1007'
}
