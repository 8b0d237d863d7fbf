#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# The daemon's life: profiles, start and its refusals, reload, drain, telemetry, users without rights.

load node.bash

setup() {
    node_prepare alpha beta
}

teardown() {
    hg_end
}

check() {
    run "$HG_DAEMON" --check-config --config "$@"
}

@test "every profile that is shipped is good" {
    for profile in "$HG_TOP"/config/*.ini; do
        check "$profile"
        [ "$status" -eq 0 ]
    done
}

@test "the effective profile can be loaded again and is the same" {
    "$HG_DAEMON" --dump-config --config "$HG_TOP/config/demo.ini" >"$HG_DIR/a.ini"
    "$HG_DAEMON" --dump-config --config "$HG_DIR/a.ini" >"$HG_DIR/b.ini"
    cmp "$HG_DIR/a.ini" "$HG_DIR/b.ini"
}

@test "the reference of options in the docs is the program's" {
    "$HG_DAEMON" --config-reference >"$HG_DIR/reference"
    grep -F -x -f "$HG_DIR/reference" "$HG_TOP/docs/configuration.md" >"$HG_DIR/found"
    cmp "$HG_DIR/reference" "$HG_DIR/found"
}

@test "mistakes in a profile are named: file, section, key and what is allowed" {
    local row
    while IFS='|' read -r text want; do
        cp "$HG_TOP/config/demo.ini" "$HG_DIR/bad.ini"
        printf '%b' "$text" >>"$HG_DIR/bad.ini"
        check "$HG_DIR/bad.ini"
        [ "$status" -ne 0 ]
        [[ $output == *"$HG_DIR/bad.ini"* ]]
        [[ $output == *"$want"* ]] || hg_die "said: $output"
    done <<'ROWS'
[stores]\nx = 1\n|section [stores] is unknown
[cpu]\nshard = 1\n|[cpu] shard is unknown; known are control shards
[ingest]\nbuffers = 128\n|a size with its unit
[ingest]\nbuffers = 1M\n|from 4M to 1T is allowed
[ingest]\nport = 70000\n|from 1 to 65535
[ingest]\nidle = 60\n|a time with its unit
[eal]\nhuge = maybe\n|yes or no
[store]\ncreate = always\n|allowed are no|auto
ROWS
    check /nowhere.ini
    [[ $output == *"/nowhere.ini: No such file"* ]]
    check "$HG_TOP/config/demo.ini" --set port.address=300.1.1.1/24
    [[ $output == *"[port] address = 300.1.1.1/24"* ]]
}

@test "SIGTERM finishes what is in flight, with exit status 0; the source goes on after a restart" {
    node_start
    node_load alpha --size 64M --bytes 64M --rate 200Mbit --verify-manifest "$HG_DIR/manifest" \
        --resume-retry 60s &
    local load=$!
    node_counts ingest.frames_data 20
    hg_daemon_stop
    node_start
    wait $load
    node_export alpha/vol "$HG_DIR/out"
    "$HG_LOAD" --check-manifest "$HG_DIR/manifest" --image "vol=$HG_DIR/out"
}

@test "SIGHUP loads new certificates for new sessions and disturbs no stream" {
    node_start
    node_load alpha --size 64M --bytes 64M --rate 100Mbit --json "$HG_DIR/load.json" &
    local load=$!
    node_counts ingest.frames_data 10
    node_s_client -showcerts >"$HG_DIR/before" || true
    rm "$HG_DIR/pki/node.crt" "$HG_DIR/pki/node.key"
    "$HG_PKI" node "$HG_DIR/pki" node --ip $HG_NODE_ADDR --dns other.example >/dev/null
    kill -HUP "$(node_pid)"
    hg_wait_for 5 node_log 'certificates reloaded'
    node_s_client -showcerts >"$HG_DIR/after" || true
    wait $load
    hg_refute cmp -s <(sed -n '/BEGIN/,/END/p' "$HG_DIR/before") \
        <(sed -n '/BEGIN/,/END/p' "$HG_DIR/after")
    [ "$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["cuts"])' \
        "$HG_DIR/load.json")" -eq 0 ]
    printf 'not a certificate\n' >"$HG_DIR/pki/node.crt"
    kill -HUP "$(node_pid)"
    hg_wait_for 5 node_log 'reload failed, the old certificates stay: .*node.crt'
    node_load beta --size 4M --bytes 4M
}

# refused TEXT OPTION...: the daemon does not start and says TEXT.
refused() {
    local want=$1
    shift
    run timeout 30 ip netns exec "$NS" "$HG_DAEMON" --config "$HG_TOP/config/demo.ini" \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" "$@"
    [ "$status" -eq 1 ]
    [[ $output == *"$want"* ]] || hg_die "said: $output"
}

devices() {
    local i=0 device
    for device in "$@"; do
        printf '%s\n' --set "store.device$i=$HG_DIR/pool/$device"
        i=$((i + 1))
    done
}

@test "a missing, foreign, reordered or too small device is refused by name" {
    local pool=$HG_DIR/pool
    node_start
    node_load alpha --size 8M --bytes 8M
    hg_daemon_stop
    refused dev1.img $(devices dev1.img dev0.img dev2.img dev3.img)
    refused 'index 3' $(devices dev0.img dev1.img dev2.img) --set store.device3=
    mv "$pool/dev1.img" "$pool/away.img"
    refused dev1.img $(devices dev0.img dev1.img dev2.img dev3.img) --set store.create=no
    truncate -s 256M "$pool/dev1.img"
    refused dev1.img $(devices dev0.img dev1.img dev2.img dev3.img)
    mv "$pool/away.img" "$pool/dev1.img"
    cp "$pool/dev3.img" "$pool/copy.img"
    truncate -s 64M "$pool/copy.img"
    refused copy.img $(devices dev0.img dev1.img dev2.img copy.img)
    node_start
    node_export alpha/vol "$HG_DIR/out"
}

@test "a device with a file system is not made into a pool" {
    truncate -s 256M "$HG_DIR/pool/dev0.img" "$HG_DIR/pool/dev1.img"
    mke2fs -q -F "$HG_DIR/pool/dev1.img"
    refused dev1.img $(devices dev0.img dev1.img) --set store.device2= --set store.device3=
}

@test "a second daemon on the same devices is refused" {
    node_start
    refused dev0.img $(devices dev0.img dev1.img dev2.img dev3.img) --set port.vdev=net_tap1,iface=hg1 \
        --set eal.file-prefix=other --set "control.socket=$HG_DIR/other.sock"
}

@test "starting the same profile again is refused and leaves the running node alone" {
    node_start
    refused dev0.img $(devices dev0.img dev1.img dev2.img dev3.img)
    node_load alpha --size 4M --bytes 4M --resume-retry 5s
}

@test "a profile with a line that means nothing is refused by file and line" {
    printf '[cpu]\nshards = 1\nfoo\n' >"$HG_DIR/bad.ini"
    run "$HG_DAEMON" --check-config --config "$HG_DIR/bad.ini"
    [ "$status" -ne 0 ]
    [[ $output == *"bad.ini, line 3"*foo* ]]
    printf '[strore]\n' >"$HG_DIR/bad.ini"
    run "$HG_DAEMON" --check-config --config "$HG_DIR/bad.ini"
    [ "$status" -ne 0 ]
    [[ $output == *"[strore] is unknown"* ]]
}

@test "counters are in rte_telemetry" {
    requires dpdk-telemetry.py
    node_start
    node_load alpha --size 4M --bytes 4M
    run bash -c "printf '/headgate/counters,0,ingest\n/headgate/volumes\nquit\n' |
        dpdk-telemetry.py -f hg$HG_ID"
    [[ $output == *'"frames_data": 64'* ]] || hg_die "said: $output"
    [[ $output == *alpha/vol* ]]
}

@test "an ordinary user runs it inside unshare -rnm" {
    requires setpriv unshare
    local user=(setpriv --reuid 65534 --regid 65534 --clear-groups unshare -rnm)
    "${user[@]}" true || hg_skip "ordinary users may not make namespaces here (a chroot, or a container)"
    chmod 755 "$HG_DIR"
    mkdir "$HG_DIR/user"
    # The tree may be below a directory that is root's alone.
    cp -r "$HG_DIR/pki" "$HG_DAEMON" "$HG_LOAD" "$HG_TOP/config/demo.ini" "$HG_DIR/user"
    chown -R 65534:65534 "$HG_DIR/user"
    cat >"$HG_DIR/user/run" <<TXT
set -e
cd $HG_DIR/user
mount -t tmpfs tmpfs /run
./headgate --config demo.ini --set store.device-size=64M \\
    --set store.device0=./d0 --set store.device1=./d1 --set store.device2=./d2 --set store.device3=./d3 \\
    --set tls.certificate=pki/node.crt --set tls.key=pki/node.key --set tls.ca=pki/ca.crt \\
    --set control.socket=control.sock --set ingest.buffers=32M --set ingest.credit=1M >out 2>err &
daemon=\$!
for i in \$(seq 200); do grep -q '^headgate: ready' out && break; sleep 0.1; done
ip address add $HG_CLIENT_ADDR/24 dev hg0
ip link set hg0 up
./headgate-load --server $HG_NODE_ADDR --cert pki/alpha.crt --key pki/alpha.key --ca pki/ca.crt --quiet \\
    --size 16M --bytes 16M
kill -TERM \$daemon
wait \$daemon
echo all went well
TXT
    run timeout 90 "${user[@]}" bash "$HG_DIR/user/run"
    [[ $output == *'all went well'* ]] || { tail -n 20 "$HG_DIR/user/err"; hg_die "said: $output"; }
}
