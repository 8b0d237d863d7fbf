#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What TLS costs:
#
#     records       opened and sealed through the TLS library, beside the calls of its AEAD library alone and
#                   OpenSSL's SSL_read (build/bench/tls_bench, whose head tells how)
#     jobs          the job interface of ipsec-mb beside its direct calls (build/bench/tls_jobs, likewise)
#     handshakes    full and resumed ones, the daemon on net_tap beside openssl s_server, in turns (handshakes.bash)
#     ingest        stored blocks over net_memif beside the harmonic sum of the primitives (bench/ingest.sh)
#
#     ./dev bench tls [--json FILE] [--seconds N] [--quick] [--only PART]
#
# --quick shows that everything runs; its figures are of few turns. --only: one of the four parts.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"
source "$HG_TOP/bench/host.bash"
source "$HG_TOP/bench/handshakes.bash"

TURNS=5 HANDSHAKES=800 RECORD_TURNS=15 CONNECTIONS="1 64 1000" ONLY=
OPTIONS=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) TURNS=1 HANDSHAKES=50 RECORD_TURNS=1 CONNECTIONS=1 OPTIONS+=(--seconds 0.4) ;;
    --only) ONLY=${2:?--only needs a part} && shift ;;
    *) OPTIONS+=("$1") ;;
    esac
    shift
done

# wants PART: whether it shall run.
wants() {
    [ -z "$ONLY" ] || [ "$ONLY" = "$1" ]
}

record_rows() {
    "$HG_TOP/build/bench/tls_bench" --cpu 1 --turns $RECORD_TURNS --cert "$HG_DIR/pki/node.crt" \
        --key "$HG_DIR/pki/node.key" --ca "$HG_DIR/pki/ca.crt" >"$HG_DIR/records"
    bench_rows "$HG_TOP/bench/tls.py" "$HG_DIR/records"
}

job_rows() {
    local alg len form rate
    while IFS=$'\t' read -r alg len form rate; do
        bench_row - "$alg, $len bytes: $form" "$rate" GB/s
    done < <("$HG_TOP/build/bench/tls_jobs" --cpu 1 --turns $RECORD_TURNS)
}

# ingest_rows: what bench/ingest.sh says of TLS, of its rows for stored blocks.
ingest_rows() {
    HG_BENCH_CODECS=stored HG_BENCH_CONNECTIONS=$CONNECTIONS "$HG_TOP/bench/ingest.sh" \
        --seconds "$BENCH_SECONDS" --json "$HG_DIR/ingest.json" >/dev/null
    python3 - "$HG_DIR/ingest.json" >"$HG_DIR/ingest" <<'PY'
import json, sys
for r in json.load(open(sys.argv[1]))["rows"]:
    if r["what"].startswith("stored") or "GCM" in r["what"]:
        print(r["id"], r["what"], r["value"], r["unit"], sep="\t")
PY
    local id what value unit
    while IFS=$'\t' read -r id what value unit; do
        bench_row "$id" "ingest: $what" "$value" "$unit"
    done <"$HG_DIR/ingest"
}

bench_begin tls 1.2 ${OPTIONS[@]+"${OPTIONS[@]}"}
requires ip openssl python3 taskset
requires_root
case "$ONLY" in '' | records | jobs | handshakes | ingest) ;; *) hg_die "bench tls: --only takes records, jobs, handshakes or ingest" ;; esac
host_network
if wants records; then record_rows; fi
if wants jobs; then job_rows; fi
if wants handshakes; then
    handshake_rows
    hg_kill headgate
fi
if wants ingest; then ingest_rows; fi
bench_end
