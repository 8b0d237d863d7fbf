# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# The frame of a bench script: options, rows, and the JSON that every bench writes:
#
#     {"bench": NAME, "cpu": MODEL, "rows": [{"id": ..., "what": ..., "value": N, "unit": ...}, ...]}
#
# On top of the end-to-end harness, whose namespaces and certificates benches use too.

source "$(dirname "${BASH_SOURCE[0]}")/../tests/e2e/lib.bash"

# bench_begin NAME SECONDS "$@": reads [--json FILE] [--seconds N]; sets BENCH_SECONDS, the time of one
# measurement.
bench_begin() {
    BENCH_NAME=$1 BENCH_SECONDS=$2 BENCH_JSON=
    shift 2
    while [ $# -gt 0 ]; do
        case $1 in
        --json) BENCH_JSON=${2:?--json needs a file} ;;
        --seconds) BENCH_SECONDS=${2:?--seconds needs a number} ;;
        *) hg_die "bench $BENCH_NAME: unknown option '$1'; there are --json FILE, --seconds N and what its head tells"; exit 2 ;;
        esac
        shift 2
    done
    trap bench_clean EXIT
    trap 'exit 130' INT TERM
    hg_begin
    : >"$HG_DIR/rows"
}

# bench_row ID WHAT VALUE UNIT: prints the row and keeps it for the JSON.
bench_row() {
    printf '%-5s %-66s %9.3f %s\n' "$1" "$2" "$3" "$4"
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$HG_DIR/rows"
}

# bench_rows SCRIPT SAMPLES: rows as the Python script makes them, ID WHAT VALUE UNIT by tabs.
bench_rows() {
    local id what value unit
    python3 "$1" "$2" >"$HG_DIR/made"
    while IFS=$'\t' read -r id what value unit; do
        bench_row "$id" "$what" "$value" "$unit"
    done <"$HG_DIR/made"
}

# bench_hugepages N: prints yes when N pages of 2 MiB are free, reserved now if need be (bench_end and
# every other way out give them back), and hugetlbfs is mounted; else no.
bench_hugepages() {
    local pool=/proc/sys/vm/nr_hugepages free
    free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
    if [ "$free" -lt "$1" ] && [ -w $pool ]; then
        [ -e "$HG_DIR/run/hugepages" ] || cat $pool >"$HG_DIR/run/hugepages"
        echo "$(($(cat $pool) + $1 - free))" >$pool 2>/dev/null || true
        free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
    fi
    if ! grep -q hugetlbfs /proc/mounts && [ "$free" -ge "$1" ]; then
        mkdir -p "$HG_DIR/huge"
        mount -t hugetlbfs none "$HG_DIR/huge" 2>/dev/null || free=0
    fi
    [ "$free" -ge "$1" ] && echo yes || echo no
}

bench_clean() {
    local pages=$HG_DIR/run/hugepages old=
    [ ! -e "$pages" ] || old=$(cat "$pages")
    [ -z "${BASELINE_FILE:-}" ] || rm -f "$BASELINE_FILE"
    hg_kill load
    hg_kill headgate # has the pages in use, if the bench was cut short
    mountpoint -q "$HG_DIR/huge" && umount "$HG_DIR/huge"
    hg_end
    [ -z "$old" ] || echo "$old" >/proc/sys/vm/nr_hugepages
}

bench_end() {
    [ -n "$BENCH_JSON" ] || return 0
    python3 - "$BENCH_NAME" "$HG_DIR/rows" >"$BENCH_JSON" <<'PY'
import json, sys
cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "")
rows = [dict(zip(("id", "what", "value", "unit"), line.rstrip("\n").split("\t"))) for line in open(sys.argv[2])]
for row in rows:
    row["value"] = float(row["value"])
json.dump({"bench": sys.argv[1], "cpu": cpu, "rows": rows}, sys.stdout, indent=1)
print()
PY
}
