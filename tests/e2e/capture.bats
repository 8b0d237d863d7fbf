#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# headgatectl capture: what is on the wire of a running node, in a file that others' tools read.

load node.bash

setup() {
    requires tshark capinfos
    node_prepare alpha
    FILE=$HG_DIR/wire.pcapng
}

teardown() {
    hg_end
}

# capture_begin NAME OPTION...: starts a capture as the program NAME, returns when packets are being captured.
capture_begin() {
    local name=$1
    shift
    hg_start "$name" "$HG_CTL" capture "$@"
    hg_wait_for 10 test -s "${*: -1}"
}

# What the node said at the end of the capture NAME: one number of its totals.
capture_total() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' \
        "$HG_DIR/run/$1.out" "$2"
}

# packets [DISPLAY-FILTER]: how many packets of the file pass; tshark fails on a damaged file.
packets() {
    tshark -r "$FILE" ${1:+-Y "$1"} -T fields -e frame.number | wc -l
}

replicate() {
    node_load alpha --size 8M --bytes 8M "$@"
}

@test "a capture during a replication has both directions, times, the interface's name and whole packets" {
    local before after first last
    node_start
    before=$(date +%s)
    capture_begin wire "$FILE"
    replicate
    kill -INT "$(hg_pid wire)"
    hg_wait_exit wire 10
    after=$(date +%s)
    capinfos "$FILE"
    [ "$(packets 'frame.packet_flags_direction == 1 && tcp.dstport == 1500')" -gt 100 ]
    [ "$(packets 'frame.packet_flags_direction == 2 && tcp.srcport == 1500')" -gt 20 ]
    [ "$(packets 'frame.packet_flags_direction == 1 && tcp.srcport == 1500')" -eq 0 ]
    [ "$(packets 'frame.interface_name == "net_tap0"')" -eq "$(packets)" ]
    [ "$(packets 'frame.len != frame.cap_len')" -eq 0 ]
    # Nothing is missing between SYN and the last FIN.
    [ "$(packets 'tcp.flags.syn == 1')" -eq 2 ]
    [ "$(packets 'tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment')" -eq 0 ]
    first=$(tshark -r "$FILE" -c 1 -T fields -e frame.time_epoch)
    last=$(tshark -r "$FILE" -T fields -e frame.time_epoch | tail -n 1)
    [ "${first%.*}" -ge "$before" ]
    [ "${last%.*}" -le "$after" ]
    # tcpdump reads it too.
    tcpdump -nr "$FILE" 'tcp port 1500' 2>/dev/null | grep -q '192.0.2.1.1500'
}

@test "a filter lets through what it says and nothing else" {
    node_start
    capture_begin wire --filter "tcp port 1500 and host $HG_CLIENT_ADDR" "$FILE"
    hg_in "$NS" ping -c 3 -i 0.2 $HG_NODE_ADDR
    replicate
    kill -INT "$(hg_pid wire)"
    hg_wait_exit wire 10
    [ "$(packets)" -gt 100 ]
    [ "$(packets 'tcp.port == 1500 && ip.addr == 192.0.2.2')" -eq "$(packets)" ]
    [ "$(packets 'frame.packet_flags_direction == 2')" -gt 0 ]
}

@test "a filter that looks into payload works on our own packets, which are made of several buffers" {
    node_start
    # The first byte of a TLS record of application data, behind a TCP header of 32 bytes.
    capture_begin wire --filter 'tcp[32] = 23 and tcp src port 1500' "$FILE"
    replicate
    kill -INT "$(hg_pid wire)"
    hg_wait_exit wire 10
    [ "$(packets)" -gt 0 ]
    [ "$(packets 'tcp.payload[0] == 17 && tcp.srcport == 1500')" -eq "$(packets)" ]
}

@test "packets, seconds and snaplen end and cut it" {
    node_start
    capture_begin wire --packets 3 --snaplen 64 --filter icmp "$FILE"
    hg_in "$NS" ping -c 5 -i 0.2 -s 1000 $HG_NODE_ADDR
    hg_wait_exit wire 10
    [ "$(packets)" -eq 3 ]
    [ "$(packets 'frame.cap_len == 64 && frame.len == 1042')" -eq 3 ]
    "$HG_CTL" capture --seconds 1 --filter icmp "$FILE"
    [ "$(packets)" -eq 0 ]
}

@test "what is wrong is refused with a sentence, and no file is made" {
    node_start
    local row options want
    while IFS='|' read -r options want; do
        eval "set -- $options"
        run "$HG_CTL" capture "$@" "$HG_DIR/not.pcapng"
        [ "$status" -ne 0 ]
        [[ $output == *"$want"* ]] || hg_die "said: $output"
        [ ! -e "$HG_DIR/not.pcapng" ]
    done <<'ROWS'
--filter 'tcp prot 1500'|filter "tcp prot 1500": 
--filter 'host 300.1.1.1'|filter "host 300.1.1.1": 
--snaplen 10|snaplen 10: from 64 to 65535 is allowed
--packets none|--packets none: a whole number above 0 is wanted
--seconds 0|--seconds 0: a whole number above 0 is wanted
ROWS
    run "$HG_CTL" capture /nowhere/file.pcapng
    [ "$status" -ne 0 ]
    [[ $output == *"/nowhere/file.pcapng: No such file"* ]]
    # None of these has left a capture behind, and neither does one that ended.
    "$HG_CTL" capture --seconds 1 "$FILE"
    "$HG_CTL" capture --seconds 1 "$FILE"
}

@test "a second capture at once is refused, and the first goes on" {
    node_start
    capture_begin wire --filter icmp "$FILE"
    run "$HG_CTL" capture "$HG_DIR/second.pcapng"
    [ "$status" -ne 0 ]
    [[ $output == *"a capture is running already"* ]]
    [ ! -e "$HG_DIR/second.pcapng" ]
    hg_in "$NS" ping -c 1 $HG_NODE_ADDR
    kill -INT "$(hg_pid wire)"
    hg_wait_exit wire 10
    [ "$(packets)" -eq 2 ]
}

@test "a node that stops ends the capture with its totals, behind the connections' end" {
    node_start
    capture_begin wire "$FILE"
    replicate --rate 100Mbit --size 256M --bytes 256M --resume-retry 1s &
    local load=$!
    node_counts ingest.frames_data 10
    hg_daemon_stop
    hg_wait_exit wire 10
    grep -q 'packets written' "$HG_DIR/run/wire.err"
    [ "$(packets 'tcp.flags.fin == 1 && tcp.srcport == 1500')" -ge 1 ]
    wait $load || true
}

@test "a node that is killed leaves a file that can be read, and the capture says so" {
    node_start
    capture_begin wire "$FILE"
    replicate --resume-retry 1s
    hg_kill headgate
    local rc=0
    hg_wait_exit wire 10 || rc=$?
    [ $rc -eq 1 ]
    grep -q 'headgate went away' "$HG_DIR/run/wire.err"
    [ "$(packets 'tcp.port == 1500')" -gt 100 ]
}

@test "a disk that stands still costs packets of the capture, counted, and never the replication" {
    node_start
    # A pipe that nobody reads for a while stands for the disk.
    mkfifo "$HG_DIR/pipe"
    exec 9<>"$HG_DIR/pipe"
    hg_start wire "$HG_CTL" --json capture --snaplen 1500 "$HG_DIR/pipe"
    node_load alpha --size 64M --bytes 64M --json "$HG_DIR/load.json"
    [ "$(python3 -c 'import json, sys; j = json.load(open(sys.argv[1])); print(j["cuts"] + j["resent"])' \
        "$HG_DIR/load.json")" -eq 0 ]
    kill -INT "$(hg_pid wire)"
    cat <&9 >"$FILE" 9>&- &
    local reader=$!
    hg_wait_exit wire 20
    [ "$(capture_total wire dropped)" -gt 0 ]
    [ "$(capture_total wire accepted)" -eq \
        $(($(capture_total wire packets) + $(capture_total wire dropped))) ]
    exec 9>&-
    kill $reader
    [ "$(tshark -r "$FILE" -T fields -e frame.number 2>/dev/null | wc -l)" -gt 1000 ]
}

# decrypted FILE KEYS: the first bytes that the source and the node said inside TLS, in hexadecimal.
decrypted() {
    tshark -r "$1" -o "tls.keylog_file:$2" -d tcp.port==1500,tls -q -z follow,tls,raw,0
}

@test "with the key log a capture can be read down to HELLO, TLS 1.3 and 1.2" {
    local tls
    node_start --set "tls.keylog=$HG_DIR/keys" --set debug.allow-keylog=yes
    node_log 'TLS traffic secrets are written to .*NOT private'
    "$HG_CTL" stats | grep -q 'WARNING: TLS traffic secrets are written to'
    for tls in 1.3 1.2; do
        rm -f "$FILE"
        capture_begin wire --filter 'tcp port 1500' "$FILE"
        node_load alpha --size 1M --bytes 1M --tls $tls --volume "v$tls"
        kill -INT "$(hg_pid wire)"
        hg_wait_exit wire 10
        decrypted "$FILE" "$HG_DIR/keys" >"$HG_DIR/plain"
        # Frame headers begin with HGR1, minor version 0 and the type: HELLO is 1, WELCOME 2.
        grep -Eq '^\s*484752310001' "$HG_DIR/plain"
        grep -Eq '^\s*484752310002' "$HG_DIR/plain"
        hg_refute grep -q 48475231 <(decrypted "$FILE" /dev/null)
    done
    [ "$(stat -c %a "$HG_DIR/keys")" = 600 ]
}

@test "a key log without its debug switch is refused by name" {
    run "$HG_DAEMON" --check-config --config "$HG_TOP/config/demo.ini" --set "tls.keylog=$HG_DIR/keys"
    [ "$status" -eq 2 ]
    [[ $output == *"[tls] keylog = $HG_DIR/keys"*"[debug] allow-keylog = yes"* ]]
}

@test "a capture works on net_memif with zero copy as well" {
    local memif="net_memif0,bsize=2048,rsize=9,socket-abstract=no,socket=$HG_DIR/memif.sock" i options=()
    for i in 0 1 2 3; do
        options+=(--set "store.device$i=mem:64M")
    done
    hg_start load ip netns exec "$NS" "$HG_LOAD" --transport dpdk --server "$HG_NODE_ADDR" \
        --addr "$HG_CLIENT_ADDR/24" --port net_memif0 --cert "$HG_DIR/pki/alpha.crt" --key "$HG_DIR/pki/alpha.key" \
        --ca "$HG_DIR/pki/ca.crt" --eal "--no-huge -m 512 --no-pci --file-prefix=ld$HG_ID --vdev=$memif,role=server" \
        --size 64M --bytes 64M --rate 100Mbit --quiet
    hg_wait_for 10 test -S "$HG_DIR/memif.sock"
    hg_start headgate ip netns exec "$NS" "$HG_DAEMON" -c "$HG_TOP/config/demo.ini" "${options[@]}" \
        --set "port.vdev=$memif,role=client,zero-copy=yes" --set eal.args=--single-file-segments \
        --set port.rx-descriptors=0 --set port.tx-descriptors=0 --set store.device-size=0 \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" --set "eal.file-prefix=hg$HG_ID" \
        --set port.rx-mbufs=8192 --set ingest.buffers=48M --set ingest.credit=2M
    hg_wait_line headgate 30 '^headgate: ready'
    node_counts ingest.frames_data 10
    capture_begin wire --packets 500 --filter 'tcp port 1500' "$FILE"
    hg_wait_exit wire 20
    [ "$(packets 'frame.interface_name == "net_memif0"')" -eq 500 ]
    [ "$(packets 'frame.packet_flags_direction == 1 && tcp.dstport == 1500')" -gt 50 ]
    [ "$(packets 'frame.packet_flags_direction == 2 && tcp.srcport == 1500')" -gt 5 ]
    [ "$(packets 'tcp.analysis.lost_segment')" -eq 0 ]
}
