# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# bench/baseline: that what benches compare with does the same work, and does it right.

load lib.bash

setup() {
    requires ip openssl python3
    requires_root
    hg_begin
    NS=$(hg_namespace a)
    hg_certificates source1
    BASELINE=${HG_BASELINE:-$HG_TOP/build/bench/baseline}
}

teardown() {
    hg_end
}

# baseline OPTION...: starts it on loopback in the namespace.
baseline() {
    hg_start baseline ip netns exec "$NS" "$BASELINE" --cert "$HG_DIR/pki/node.crt" \
        --key "$HG_DIR/pki/node.key" --ca "$HG_DIR/pki/ca.crt" "$@"
    hg_wait_line baseline 10 '^baseline: ready'
}

# Runs the Python on stdin in the namespace; s() makes a session of source1.
source_script() {
    PYTHONPATH=$HG_TOP/tests/e2e PYTHONDONTWRITEBYTECODE=1 hg_in "$NS" timeout 60 python3 -c "
import sys
from source import *
def s(name='source1', **more):
    return Source('127.0.0.1', 1500, pki='$HG_DIR/pki', name=name, server_name='headgate.example', **more)
$(cat)"
}

@test "baseline: stored, deflated and zeroed blocks are written where they belong and acknowledged" {
    baseline --file "$HG_DIR/data" --once
    source_script <<'PY'
c = s()
c.hello()
c.open(7, "first", 1 << 20)
c.open(9, "second", 1 << 20)
text = b"replication " * 8192
c.data(7, 1, 0, text[:65536], DEFLATE)
c.data(9, 1, 4096, b"\xaa" * 8192)
c.data(9, 2, 8192, b"\xbb" * 4096, DEFLATE)
c.zero(9, 3, 4096, 4096)
c.wait_ack(7, 1)
c.wait_ack(9, 3)
c.bye()
PY
    hg_wait_exit baseline 10
    run python3 - "$HG_DIR/data" <<'PY'
import sys
d = open(sys.argv[1], "rb").read()
assert d[:65536] == (b"replication " * 8192)[:65536], "first volume"
second = d[1 << 20:]
assert second[:8192] == bytes(8192), "zeros"
assert second[8192:12288] == b"\xbb" * 4096, "overwritten"
PY
    [ "$status" -eq 0 ]
    run python3 -c "import json; r = json.loads(open('$HG_DIR/run/baseline.out').readlines()[-1]); print(
        r['sessions'], r['frames'], r['raw_bytes'], r['wire_bytes'] < r['raw_bytes'], r['cpu_seconds'] > 0)"
    [ "$output" = "1 3 77824 True True" ]
}

@test "baseline: a wrong payload, a gap and a replay are refused with their codes" {
    baseline --null
    source_script <<'PY'
def refused(code, *frames):
    c = s()
    c.hello()
    c.open(1, "v", 1 << 20)
    c.send(*frames)
    try:
        c.wait_ack(1, 99)
    except NodeError as e:
        assert e.code == code, e
    else:
        raise AssertionError("not refused")
raw = b"x" * 4096
refused(10, data_frame(1, 1, 0, raw, payload_crc=1))
refused(12, data_frame(1, 2, 0, raw))
refused(13, data_frame(1, 1, 0, raw), data_frame(1, 1, 0, raw))
refused(11, data_frame(1, 1, 1 << 20, raw))
refused(2, Frame(PING, header_crc=1))
refused(9, Frame(DATA, b"\xff" * 64, volume=1, seq=1, codec=DEFLATE, raw_len=4096))
PY
    hg_alive baseline
}

@test "baseline: a source without a certificate, or of another authority, gets no session" {
    baseline --null
    "$HG_PKI" ca "$HG_DIR/other" >/dev/null
    "$HG_PKI" source "$HG_DIR/other" source1 >/dev/null
    cp "$HG_DIR/pki/ca.crt" "$HG_DIR/other/ca.crt"
    source_script <<PY
for more in ({"name": None}, {"pki": "$HG_DIR/other"}):
    try:
        c = Source("127.0.0.1", 1500, **{"pki": "$HG_DIR/pki", "name": "source1",
                                         "server_name": "headgate.example", **more})
        c.hello()
    except (ssl.SSLError, ConnectionError, EOFError):
        continue
    raise AssertionError(f"accepted: {more}")
s().hello()
PY
    hg_stop baseline 10
}
