#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What block devices cost and give, one thread (build/bench/bdev_bench, whose head tells how):
#
#     uring         random requests to a file through io_uring beside fio's io_uring engine, in turns: same depth and
#                   batch, registered files and buffers, direct I/O, pages of 4 KiB; polled where the device can
#                   be (R15). Ours with huge pages beside it
#     driver        what the NVMe driver costs for each request, over an emulated controller that moves no data
#                   (build/bench/nvme_bench, whose head tells how; R13, R14)
#     stripe        sequential writes of 64 KiB to 1, 2 and 4 devices: memory, the NVMe driver on emulated
#                   controllers (whose hardware runs in the same thread), files
#
#     ./dev bench nvme [--json FILE] [--seconds N] [--quick] [--only PART]
#
# --quick shows that everything runs; its figures are of few turns. HG_BENCH_FILE: a file of at least 512 MiB or a
# block device to use instead of a new file in the temporary directory; its contents are lost.
set -euo pipefail
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.bash"

TURNS=9 ONLY=
OPTIONS=()
while [ $# -gt 0 ]; do
    case $1 in
    --quick) TURNS=1 OPTIONS+=(--seconds 0.3) ;;
    --only) ONLY=${2:?--only needs a part} && shift ;;
    *) OPTIONS+=("$1") ;;
    esac
    shift
done

DEPTH=128 BATCH=32
FILE_SIZE=$((512 << 20))

# wants PART: whether it shall run.
wants() {
    [ -z "$ONLY" ] || [ "$ONLY" = "$1" ]
}

# first COMMAND...: before all others on the machine, where that is allowed: who polls gets its CPU in slices when others
# want it too, who sleeps gets it when it wakes.
first() {
    nice -n -20 "$@" 2>"$HG_DIR/first.err" || {
        cat "$HG_DIR/first.err" >&2
        return 1
    }
}

# new_file PATH BYTES: one whose blocks are all written.
new_file() {
    dd if=/dev/zero of="$1" bs=1M count="$(($2 >> 20))" oflag=direct status=none
}

# ours OP BLOCK FILE [OPTION...]: requests a second.
ours() {
    local op=$1 block=$2 file=$3
    shift 3
    first "$HG_TOP/build/bench/bdev_bench" --cpu 1 --seconds "$BENCH_SECONDS" --op "$op" --block "$block" --depth $DEPTH \
        --batch $BATCH "$@" "$file" |
        awk -F'\t' '{ print $1 / $2 }'
}

# theirs OP BLOCK FILE: the same of fio's.
theirs() {
    first fio --name=bench --filename="$3" --size=$FILE_SIZE --allow_file_create=0 --ioengine=io_uring --direct=1 --fixedbufs=1 \
        --registerfiles=1 ${HIPRI:+--hipri=1} --rw="rand$1" --bs="$2" --norandommap --iodepth=$DEPTH \
        --iodepth_batch_submit=$BATCH --iodepth_batch_complete_min=1 --iodepth_batch_complete_max=$BATCH --thread \
        --cpus_allowed=1 --gtod_reduce=1 --time_based --runtime="${MILLISECONDS}ms" --output-format=json >"$HG_DIR/fio.json"
    python3 - "$1" "$HG_DIR/fio.json" <<'PY'
import json, sys
print(json.load(open(sys.argv[2]))["jobs"][0][sys.argv[1]]["iops"])
PY
}

uring_rows() {
    local file=${HG_BENCH_FILE:-$HG_DIR/file} op block turn access
    [ -n "${HG_BENCH_FILE:-}" ] || new_file "$file" $FILE_SIZE
    access=$("$HG_TOP/build/bench/bdev_bench" --seconds 0.05 "$file" | cut -f4)
    HIPRI=
    case $access in *polled*) HIPRI=yes ;; esac
    printf '%s: %s; depth %s, batches of %s, %s turns of %s s\n' "$file" "$access" $DEPTH $BATCH $TURNS "$BENCH_SECONDS"
    : >"$HG_DIR/samples"
    for op in read write; do
        for block in 4096 65536; do
            for turn in $(seq $TURNS); do
                printf '%s\t%s\t%s\t%s\t%s\n' $op $block "$(ours $op $block "$file")" "$(theirs $op $block "$file")" \
                    "$(ours $op $block "$file" --huge)" >>"$HG_DIR/samples"
            done
        done
    done
    bench_rows "$HG_TOP/bench/nvme.py" "$HG_DIR/samples"
    [ -n "${HG_BENCH_FILE:-}" ] || rm -f "$file"
}

driver_rows() {
    local depth bytes median submit complete best doorbells
    for depth in 32 128; do
        for bytes in 4096 65536; do
            read -r depth bytes median submit complete best doorbells < <(
                first "$HG_TOP/build/bench/nvme_bench" --cpu 1 --seconds "$BENCH_SECONDS" --depth $depth --bytes $bytes)
            bench_row R13 "driver, depth $depth, $bytes bytes: submit and complete" "$median" cycles
            bench_row - "  of that submit" "$submit" cycles
            bench_row - "  of that complete" "$complete" cycles
            bench_row - "  the best slice" "$best" cycles
            bench_row R14 "  doorbell writes a request" "$doorbells" ratio
        done
    done
}

# stripe DEVICE...: GB/s, the median of the turns.
stripe() {
    local turn
    for turn in $(seq $TURNS); do
        first "$HG_TOP/build/bench/bdev_bench" --cpu 1 --seconds "$BENCH_SECONDS" --op write --block 65536 --depth 32 --batch 8 --sequential "$@"
    done | awk -F'\t' '{ print $3 / $2 / 1e9 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

stripe_rows() {
    local kind n i devices
    for kind in mem emu file; do
        for n in 1 2 4; do
            devices=()
            for i in $(seq "$n"); do
                if [ $kind = file ]; then
                    [ -e "$HG_DIR/stripe$i" ] || new_file "$HG_DIR/stripe$i" $((128 << 20))
                    devices+=("$HG_DIR/stripe$i")
                else
                    devices+=("$kind:$((256 / n))M")
                fi
            done
            bench_row - "write, 64 KiB, $n x $kind" "$(stripe "${devices[@]}")" GB/s
        done
    done
    rm -f "$HG_DIR"/stripe?
}

bench_begin nvme 1 ${OPTIONS[@]+"${OPTIONS[@]}"}
requires fio python3
MILLISECONDS=$(python3 -c "print(round($BENCH_SECONDS * 1000))")
case "$ONLY" in '' | uring | driver | stripe) ;; *) hg_die "bench nvme: --only takes uring, driver or stripe" ;; esac
if wants uring; then uring_rows; fi
if wants driver; then driver_rows; fi
if wants stripe; then stripe_rows; fi
bench_end
