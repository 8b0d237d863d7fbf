#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# headgatectl devices: what the pool's devices are, do and suffer.

load node.bash

setup() {
    NODE_DEVICES=2 node_up alpha
    head -c 8M /dev/urandom >"$HG_DIR/disk0.img"
    node_load alpha --image disk0="$HG_DIR/disk0.img"
}

teardown() {
    hg_end
}

# of_device N EXPRESSION: the expression over the JSON of device N, `d`.
of_device() {
    "$HG_CTL" --json devices | python3 -c '
import json, sys
d = json.load(sys.stdin)["devices"][int(sys.argv[1])]
print(eval(sys.argv[2]))' "$@"
}

@test "every device of the pool is there, with what it is and what it did" {
    [ "$("$HG_CTL" --json devices | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["devices"]))')" -eq 2 ]
    for i in 0 1; do
        [ "$(of_device $i 'd["name"]')" = "$HG_DIR/pool/dev$i.img" ]
        [ "$(of_device $i 'd["kind"], d["state"], d["size"], d["health"]')" = "('uring', 'ok', 268435456, None)" ]
        [ "$(of_device $i 'd["latency"]["other"]["count"] > 10 and d["queues"] >= 1')" = True ]
        # quantiles and buckets are of the same requests
        [ "$(of_device $i 'all(l["count"] == sum(b["count"] for b in l["buckets"]) and
            l["p50_ns"] <= l["p99_ns"] <= l["max_ns"] for l in d["latency"].values())')" = True ]
        [ "$(of_device $i 'sum(d["errors"].values()), d["events"]')" = "(0, [])" ]
    done
    run "$HG_CTL" devices --histogram
    [ "$status" -eq 0 ]
    [[ $output == *"$HG_DIR/pool/dev0.img: uring, ok"*"256.0 MiB in blocks of"*"99 % within"*"#"*"errors: none"* ]]
    hg_daemon_stop
}

@test "reads count as reads" {
    local before after
    before=$(of_device 0 'd["latency"]["read"]["count"]')
    "$HG_CTL" export alpha/disk0 "$HG_DIR/back.img"
    cmp "$HG_DIR/disk0.img" "$HG_DIR/back.img"
    after=$(of_device 0 'd["latency"]["read"]["count"]')
    [ "$after" -gt "$before" ]
    hg_daemon_stop
}

@test "counters of each device are in stats and in rte_telemetry, with their sentences" {
    requires dpdk-telemetry.py
    "$HG_CTL" --json stats >"$HG_DIR/stats.json"
    python3 - "$HG_DIR/stats.json" <<'PY'
import json, sys
stats = json.load(open(sys.argv[1]))
assert [d["name"].rsplit("/", 1)[1] for d in stats["devices"]] == ["dev0.img", "dev1.img"]
for d in stats["devices"]:
    assert d["others"] > 0 and d["errors_media"] == 0
    for name in set(d) - {"name"}:
        assert len(stats["help"]["device." + name]) > 10, name
PY
    "$HG_CTL" stats | grep -q "^device $HG_DIR/pool/dev1.img"
    run bash -c "printf '/headgate/devices\n/headgate/device,$HG_DIR/pool/dev0.img\nquit\n' |
        dpdk-telemetry.py -f hg$HG_ID"
    [[ $output =~ \"others\":\ [1-9] ]] || hg_die "said: $output"
    [[ $output == *"pool/dev1.img"* ]]
    hg_daemon_stop
}

# What the daemon has logged about device 0 so far.
logged() {
    grep -E "headgate: node: device $HG_DIR/pool/dev0.img: " "$HG_DIR/run/headgate.err"
}

@test "a device that loses data is told of: errors by kind, an event, a line in the log" {
    hg_refute logged
    truncate -s 1M "$HG_DIR/pool/dev0.img" # reads beyond come back short
    run "$HG_CTL" export alpha/disk0 "$HG_DIR/back.img"
    [ "$status" -ne 0 ]
    hg_wait_for 5 logged
    logged | grep -Eq ' [0-9]+ requests that (failed for another reason|found the medium.s data lost); [0-9]+ since the start'
    [ "$(of_device 0 'sum(d["errors"].values()) > 0')" = True ]
    [ "$(of_device 0 'd["events"][0]["level"], d["events"][0]["ago_s"] < 30')" = "('warning', True)" ]
    [ "$(of_device 1 'd["events"]')" = "[]" ]
    run "$HG_CTL" devices
    [[ $output == *"errors: "[mo]*" s ago: "*"since the start"* ]]
    "$HG_CTL" stats | grep -Eq 'device.errors_(other|media) +[1-9]'
}
