#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# What needs devices that the machine has not: each test boots a guest of its own (tests/vm/guest) and
# runs a program in it. Where no guest can be had every test is skipped, with the reason.

setup() {
    GUEST=$BATS_TEST_DIRNAME/guest
    DIR=$BATS_TEST_TMPDIR/guest
}

# in_guest SECONDS OPTION... PROGRAM [ARGUMENT...]: its output is in $DIR/job/output, and shown when the
# test fails; skips where there are no guests.
in_guest() {
    local rc=0
    "$GUEST" --dir "$DIR" --seconds "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || rc=$?
    tail -n 60 "$BATS_TEST_TMPDIR/out"
    [ $rc -ne 77 ] || skip "$(tail -n 1 "$BATS_TEST_TMPDIR/err")"
    tail -n 60 "$BATS_TEST_TMPDIR/err" >&2
    return $rc
}

@test "a guest runs a program on the host's files and gives its output and status back" {
    local rc=0
    in_guest 120 sh -c "grep -c . '$BATS_TEST_FILENAME' && uname -n && exit 7" || rc=$?
    [ $rc -eq 7 ]
    [ "$(cat "$BATS_TEST_TMPDIR/out")" = "$(grep -c . "$BATS_TEST_FILENAME")"$'\nheadgate-guest' ]
}

@test "a guest that does not end is ended, and its QEMU is gone" {
    local rc=0
    in_guest 15 sh -c 'sleep 1000' || rc=$?
    [ $rc -eq 124 ]
    [ -s "$DIR/console" ] # it did run
    [ -z "$(pgrep -f "qemu-system-x86_64.*$DIR/ask")" ]
}

@test "where packages cannot be had there is no guest, and a sentence says why" {
    local rc=0
    printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n' >"$BATS_TEST_TMPDIR/apt.conf"
    HEADGATE_VM_CACHE=$BATS_TEST_TMPDIR/none APT_CONFIG=$BATS_TEST_TMPDIR/apt.conf \
        "$BATS_TEST_DIRNAME/fetch" 2>"$BATS_TEST_TMPDIR/err" || rc=$?
    [ $rc -eq 77 ]
    grep -Eq '^no guest: apt' "$BATS_TEST_TMPDIR/err"
}

@test "a node on a virtual function of a NIC survives SIGKILL, and exports what was replicated" {
    in_guest 300 bash tests/vm/port.bash
}

@test "doctor's commands, run as printed, make a node start, with its memory on the nodes of its CPUs" {
    local word words=()
    truncate -s 256M "$BATS_TEST_TMPDIR/disk.img"
    for word in -object memory-backend-ram,id=m0,size=1280M -object memory-backend-ram,id=m1,size=1280M \
        -numa node,nodeid=0,cpus=0,memdev=m0 -numa node,nodeid=1,cpus=1,memdev=m1 \
        -numa dist,src=0,dst=1,val=21 -numa dist,src=1,dst=0,val=21 \
        -device pxb-pcie,id=pxb1,bus_nr=128,bus=pcie.0,numa_node=1 \
        -device pcie-root-port,id=slot9,bus=pxb1,chassis=9,slot=9 \
        -netdev user,id=u9,restrict=on -device igb,bus=slot9,netdev=u9 \
        -device pcie-root-port,id=slot10,bus=pxb1,chassis=10,slot=10 \
        -drive "file=$BATS_TEST_TMPDIR/disk.img,if=none,id=d10,format=raw" \
        -device nvme,serial=hg10,drive=d10,bus=slot10; do
        words+=("--qemu=$word")
    done
    in_guest 400 "${words[@]}" bash tests/vm/numa.bash
}

@test "the guest's NVMe controllers: both formats, a virtual function, medium errors, removal" {
    in_guest 180 --bad nv1n1:2048 bash tests/vm/reference.bash
}

# The seed fixes how the data is cut into requests; a failure's is HG_SEED=N.
@test "what our NVMe driver writes the kernel's reads, and the other way round, in both formats" {
    local seed=${HG_SEED:-$RANDOM}
    printf '# seed %s\n' "$seed" >&3
    in_guest 240 bash tests/vm/data.bash "$seed"
}

@test "a node on functions of a NIC and of NVMe controllers, as doctor prepares them, survives SIGKILL (512-byte blocks)" {
    in_guest 360 bash tests/vm/node.bash 1
}

@test "a node on functions of a NIC and of NVMe controllers, as doctor prepares them, survives SIGKILL (4096-byte blocks)" {
    in_guest 360 bash tests/vm/node.bash 2
}

@test "io_uring keeps a block device's promises on the kernel's NVMe driver, polled and by NVMe commands" {
    local i size word words=(--qemu=-device --qemu=nvme,id=nv2,addr=6,serial=hg2)
    for i in 1 2; do
        size=$((i == 1 ? 512 : 4096))
        truncate -s 4M "$BATS_TEST_TMPDIR/small$i"
        for word in -blockdev "driver=file,node-name=small$i,filename=$BATS_TEST_TMPDIR/small$i,discard=unmap" \
            -device "nvme-ns,drive=small$i,bus=nv2,nsid=$i,logical_block_size=$size,physical_block_size=$size"; do
            words+=("--qemu=$word")
        done
    done
    in_guest 300 --bad nv1n1:2048 "${words[@]}" bash tests/vm/kernel-nvme.bash
}

@test "a medium error under an NVMe device is told with volume, device and place, and the node goes on" {
    local mib bad=()
    for ((mib = 4; mib < 120; mib++)); do
        bad+=(--bad "nv1n1:$((mib * 2048 + 1024))")
    done
    in_guest 300 "${bad[@]}" bash tests/vm/medium.bash
}

@test "a controller that is taken out is let go at once; the source is told, and the node stops as it should" {
    in_guest 300 bash tests/vm/removal.bash
}

@test "what keeps a node from its NVMe controllers is told, and mended by the commands it prints" {
    in_guest 400 bash tests/vm/attach.bash
}
