# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The receiver on kernel sockets for benches: CPU 0, generator on CPU 1, a veth pair between their
# namespaces, data written to a file in memory. CPU seconds are those of the receiver's process, which
# sleeps when it is idle; what the kernel does for it in soft interrupts on other CPUs is not in them.

# Makes the veth pair; the receiver gets the node's address.
baseline_prepare() {
    BASELINE_SERVER=$(hg_namespace server)
    BASELINE_CLIENT=$(hg_namespace client)
    BASELINE_FILE=$(mktemp "/dev/shm/headgate-$HG_ID-XXXXXX") # bench_clean removes it
    ip link add v0 netns "$BASELINE_SERVER" type veth peer name v1 netns "$BASELINE_CLIENT"
    ip -n "$BASELINE_SERVER" address add "$HG_NODE_ADDR/24" dev v0
    ip -n "$BASELINE_CLIENT" address add "$HG_CLIENT_ADDR/24" dev v1
    ip -n "$BASELINE_SERVER" link set v0 up
    ip -n "$BASELINE_CLIENT" link set v1 up
}

# baseline_measure CODEC CONNECTIONS MILLISECONDS: the receiver's own JSON.
baseline_measure() {
    local key=$HG_DIR/pki
    hg_start receiver ip netns exec "$BASELINE_SERVER" taskset -c 0 "$HG_TOP/build/bench/baseline" \
        --listen "$HG_NODE_ADDR" --cert "$key/node.crt" --key "$key/node.key" --ca "$key/ca.crt" \
        --file "$BASELINE_FILE"
    hg_wait_line receiver 10 '^baseline: ready'
    hg_in "$BASELINE_CLIENT" taskset -c 1 "$HG_LOAD" --server "$HG_NODE_ADDR" --ca "$key/ca.crt" --quiet \
        --cert "$key/source1.crt" --key "$key/source1.key" --tls 1.3 --suite "$SUITE" --codec "$1" --replay \
        --compress-ratio 2.5 --block 64K --size "$((64 / $2 > 0 ? 64 * 1024 / $2 / 64 * 64 : 64))K" \
        --volumes "$2" --connections "$2" --duration "${3}ms" >"$HG_DIR/load.log" 2>&1 || {
        tail -n 5 "$HG_DIR/load.log" >&2
        return 1
    }
    hg_stop receiver 20
    tail -n 1 "$HG_DIR/run/receiver.out"
}
