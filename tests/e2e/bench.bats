#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# That a bench runs through and writes the JSON it promises. What it measures is not judged here.

load lib.bash

setup() {
    requires ip openssl python3 taskset
    requires_root
    [ "$(nproc)" -ge 2 ] || hg_skip "needs two CPUs, for the node and the generator"
    hg_begin
}

teardown() {
    hg_end
}

@test "bench ingest: engine, primitives and kernel baseline from one run, and nothing is left behind" {
    local pages
    pages=$(cat /proc/sys/vm/nr_hugepages)
    HG_BENCH_CONNECTIONS=1 "$HG_TOP/bench/ingest.sh" --seconds 0.4 --json "$HG_DIR/bench.json"
    python3 - "$HG_DIR/bench.json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["bench"] == "ingest" and j["cpu"], j
rows = {}
for r in j["rows"]:
    rows.setdefault(r["id"], []).append(r)
    assert set(r) == {"id", "what", "value", "unit"} and r["value"] > 0, r
for ident, n in (("R6", 1), ("R7", 1), ("R11", 1), ("P3", 2)):
    assert len(rows[ident]) == n and all(r["unit"] == "ratio" for r in rows[ident]), ident
PY
    [ "$(cat /proc/sys/vm/nr_hugepages)" = "$pages" ]
    hg_refute compgen -G "/dev/shm/headgate-*"
}

@test "bench wan: both hosts in turns on the same path, and the ratio of each case" {
    "$HG_TOP/bench/wan.sh" --self --only 'cubic, MTU (1500|576), loss 1 %, reorder 0 %, 20 ms' --seconds 0.2 --json "$HG_DIR/bench.json"
    python3 - "$HG_DIR/bench.json" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
assert len(rows) == 12, rows
assert [r["unit"] for r in rows] == ["Mbit/s", "Mbit/s", "ratio"] * 4, rows
assert all(r["id"] == "wan" and r["value"] > 0 for r in rows), rows
PY
}

@test "bench tls: records on both providers, jobs, handshakes and ingest, from one run" {
    "$HG_TOP/bench/tls.sh" --quick --json "$HG_DIR/bench.json"
    python3 - "$HG_DIR/bench.json" <<'PY'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["bench"] == "tls" and j["cpu"], j
rows = {}
for r in j["rows"]:
    rows.setdefault(r["id"], []).append(r)
# Three suites, two providers; sealed, opened in one piece and in many; one size, and two; SSL_read in all sizes.
for ident, n in (("R1", 18), ("R2", 36), ("R3", 18), ("P10", 2), ("R6", 1)):
    assert len(rows[ident]) == n and all(r["unit"] == "ratio" and r["value"] > 0 for r in rows[ident]), ident
for suite in ("AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"):
    assert any(r["what"] == f"{suite}, 1460 bytes: burst 32" and r["value"] > 0 for r in rows["-"]), suite
PY
}

@test "bench tls-storm: the stream before and during, with helpers and without" {
    "$HG_TOP/bench/tls-storm.sh" --seconds 1 --json "$HG_DIR/bench.json"
    python3 - "$HG_DIR/bench.json" <<'PY'
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
assert len(rows) == 16, rows
assert all(r["id"] == "storm" and r["value"] > 0 for r in rows), rows
PY
}
