# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The tests' own source, against the protocol's vectors: two readings of docs/protocol.md agree.

load lib.bash

@test "source.py: reads and writes every valid vector of the protocol as it stands" {
    requires python3
    PYTHONPATH=$HG_TOP/tests/e2e run python3 -B - "$HG_TOP/tests/vectors/protocol" <<'PY'
import pathlib, sys, zlib
from source import *

count = 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.hex")):
    lines = [l for l in path.read_text().splitlines() if l and not l.startswith("#")]
    fields = dict(l.split(":", 1)[1].split() for l in lines if l.startswith("field:"))
    tags = {l.split(":", 1)[0]: l.split(":", 1)[1].strip() for l in lines if ":" in l and not l.startswith("field:")}
    data = bytes.fromhex("".join(l for l in lines if ":" not in l))
    if tags["expect"] != "ok":
        continue
    f = Frame.unpack(data[:64])
    f.payload = data[64:]
    for name, value in fields.items():
        assert getattr(f, name) == int(value), f"{path.name}: {name} is {getattr(f, name)}, not {value}"
    raw = zlib.decompress(f.payload, -15) if f.codec == DEFLATE else f.payload
    assert len(raw) == f.raw_len and (not raw or crc32c(raw) == f.payload_crc), f"{path.name}: payload"
    f.header_crc = None
    assert f.pack() == data, f"{path.name}: written otherwise"
    count += 1
print(count)
PY
    [ "$status" -eq 0 ]
    [ "$output" -gt 10 ]
}

@test "source.py: refuses headers with a wrong magic or CRC" {
    requires python3
    PYTHONPATH=$HG_TOP/tests/e2e run python3 -B - <<'PY'
from source import *
for bad in ({"header_crc": 1}, {"magic": b"HTTP"}):
    try:
        Frame.unpack(Frame(PING, **bad).pack())
    except ProtocolError:
        continue
    raise SystemExit(f"accepted {bad}")
PY
    [ "$status" -eq 0 ]
}
