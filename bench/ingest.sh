#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# The whole pipeline over shared memory (net_memif): engine on CPU 0, generator on CPU 1 with our own
# TCP and TLS, 64 KiB blocks, devices of memory. For each row the engine's rate per busy core-second
# (turns of its loop that found nothing are not counted) stands beside the harmonic sum of the
# primitives it cannot do without:
#
#     1 / (wire/GCM + raw/CRC + raw/copy [+ raw/inflate])     per raw byte
#
# The primitives are measured on the engine's CPU before and after the rows; the better of both counts.
# The links cannot corrupt, so TCP/IP checksums are not computed in software on receive.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"

SUITE=TLS_AES_128_GCM_SHA256
RATIO=2.5

primitives() {
    "$HG_TOP/build/bench/primitives" --cpu 0 --ratio $RATIO --seconds 0.2 >>"$HG_DIR/primitives"
}

# engine CONNECTIONS: buffers and credit so that all of them get a share.
engine() {
    local credit=1M buffers=96M
    [ "$1" -lt 100 ] || { credit=128K buffers=256M; }
    [ "$1" -ne 1 ] || { credit=4M buffers=96M; }
    rm -f "$HG_DIR/memif.sock"
    hg_start headgate "$HG_DAEMON" -c "$HG_TOP/config/demo.ini" --set cpu.shards=0 --set cpu.control=1 \
        --set cpu.idle-sleep=0us --set "port.vdev=net_memif0,role=server,bsize=2048,rsize=12,socket-abstract=no,socket=$HG_DIR/memif.sock" \
        --set port.trust-checksums=yes --set port.rx-mbufs=16384 --set port.rx-descriptors=0 --set port.tx-descriptors=0 \
        --set ingest.connections=1200 --set ingest.buffers=$buffers --set ingest.credit=$credit \
        --set ingest.max-extent=64K --set store.device0=mem:512M --set store.device1=mem:512M \
        --set store.device2= --set store.device3= --set store.device-size=0 \
        --set "tls.certificate=$HG_DIR/pki/node.crt" --set "tls.key=$HG_DIR/pki/node.key" \
        --set "tls.ca=$HG_DIR/pki/ca.crt" --set "control.socket=$HEADGATE_SOCKET" \
        --set "eal.file-prefix=hg$HG_ID"
    hg_wait_line headgate 30 '^headgate: ready'
}

snapshot() {
    "$HG_CTL" --json stats | python3 -c '
import json, sys
s = json.load(sys.stdin)["shards"][0]
print(s["ingest"]["raw_bytes"], s["ingest"]["wire_bytes"], s["shard"]["busy_ns"], s["shard"]["idle_ns"],
      s["tcp"]["rx_segs"])'
}

# measure CODEC CONNECTIONS
measure() {
    local before after
    engine "$2"
    hg_start load "$HG_LOAD" --transport dpdk --cpu 1 --server "$HG_NODE_ADDR" --addr "$HG_CLIENT_ADDR/24" --port net_memif0 \
        --eal "--no-huge -m 1536 --no-pci --file-prefix=ld$HG_ID --vdev=net_memif0,role=client,bsize=2048,rsize=12,socket-abstract=no,socket=$HG_DIR/memif.sock" \
        --ca "$HG_DIR/pki/ca.crt" --cert "$HG_DIR/pki/source1.crt" --key "$HG_DIR/pki/source1.key" \
        --tls 1.3 --suite $SUITE --codec "$1" --replay --compress-ratio $RATIO --block 64K --size "$((64 / $2 > 0 ? 64 * 1024 / $2 / 64 * 64 : 64))K" \
        --volumes "$2" --connections "$2" --duration "$((BENCH_SECONDS + 30))s" --quiet --json "$HG_DIR/load.json"
    hg_wait_for 30 flowing
    before=$(snapshot)
    sleep "$BENCH_SECONDS"
    after=$(snapshot)
    hg_kill load
    hg_kill headgate
    printf '%s %s %s %s\n' "$1" "$2" "$before" "$after" >>"$HG_DIR/samples"
}

# Every page of the devices has been written twice: what the host takes to provide memory is not measured.
flowing() {
    [ "$(snapshot | cut -d' ' -f1)" -gt 1500000000 ]
}

bench_begin ingest 3 "$@"
export HEADGATE_SOCKET=$HG_DIR/control.sock
hg_certificates source1
printf '%s, %s s each; engine on CPU 0, generator on CPU 1, net_memif, 64 KiB blocks\n' "$SUITE" "$BENCH_SECONDS"
: >"$HG_DIR/primitives"
primitives
for codec in stored deflate; do
    for connections in ${HG_BENCH_CONNECTIONS:-1 64 1000}; do
        measure "$codec" "$connections"
    done
done
primitives
python3 - "$HG_DIR/primitives" "$HG_DIR/samples" >"$HG_DIR/result" <<'PY'
import json, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
best = {k: max(r[k] for r in runs) for k in runs[0]}
gcm, crc, copy, inflate = best["aes128_gcm_open_16k"], best["crc32c"], best["copy"], best["inflate"]
def row(*cells):
    print("\t".join(str(c) for c in cells))
row("-", "primitive: AES-128-GCM open of 16 KiB", gcm, "GB/s")
row("-", "primitive: CRC32C", crc, "GB/s")
row("-", "primitive: copy", copy, "GB/s")
row("-", "primitive: inflate, ratio %.2f" % best["inflate_ratio"], inflate, "GB/s of output")
for line in open(sys.argv[2]):
    codec, conns, *n = line.split()
    n = [int(x) for x in n]
    raw, wire, busy, idle, segs = (n[i + 5] - n[i] for i in range(5))
    bound = wire / raw / gcm + 1 / crc + 1 / copy + (1 / inflate if codec == "deflate" else 0)
    rate = raw / busy
    name = "%s, %s connection%s" % (codec, conns, "" if conns == "1" else "s")
    row("-", name + ": rate on the wire", wire / (busy + idle) * 8, "Gbit/s")
    row("-", name + ": rate per core-second", raw / (busy + idle), "GB/s")
    row("-", name + ": rate per busy core-second", rate, "GB/s")
    row("-", name + ": harmonic sum of the primitives", 1 / bound, "GB/s")
    row("R6" if codec == "stored" else "R11", name + ": rate / harmonic sum", rate * bound, "ratio")
PY
while IFS=$'\t' read -r id what value unit; do
    bench_row "$id" "$what" "$value" "$unit"
done <"$HG_DIR/result"
bench_end
