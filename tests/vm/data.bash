#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: data.bash SEED. What our NVMe driver writes the kernel's reads, and the other way
# round, in both formats, on a plain controller and on a virtual function whose physical function the
# kernel's driver has. Write zeroes and deallocate too. QEMU's model is the judge of every command.
. "$(dirname "$0")/inside.bash"

SEED=$1
MIB=1048576

hg_begin
trap hg_end EXIT
vm_hugepages 256
head -c 6M /dev/urandom >"$HG_DIR/ours"
head -c 6M /dev/urandom >"$HG_DIR/theirs"

# io DEVICE COMMAND...
io() {
    local device=$1
    shift
    "$VM_IO" --seed "$SEED" "$device" "$@" >/dev/null
}

# blocks FILE FIRST COUNT: those MiB of it.
blocks() {
    dd if="$1" bs=1M skip="$2" count="$3" status=none
}

# on BLOCK FIRST COUNT: those MiB of a block device, into $HG_DIR/back.
on() {
    dd if="$1" of="$HG_DIR/back" bs=1M iflag=direct skip="$2" count="$3" status=none
}

# is WHAT FILE: $HG_DIR/back has the bytes of the file (or of the standard input, -).
is() {
    cmp "$2" "$HG_DIR/back" || hg_die "$1"
}

# zeroed WHAT: $HG_DIR/back has nothing but zeroes.
zeroed() {
    [ "$(tr -d '\000' <"$HG_DIR/back" | wc -c)" -eq 0 ] || hg_die "$1"
}

# both_ways ADDRESS KERNEL NSID: our driver drives ADDRESS. The kernel's sees the same namespace through
# KERNEL, which is the same controller (given back in between) or its physical function.
#
#   MiB      8..14   theirs                 read by us
#           16..22   zeroed by them         read by us
#           24..30   theirs, in it 25..27 zeroed and 28..29 deallocated by us
#           40..46   ours                   read by them
both_ways() {
    local device=nvme:$1/ns=$3 block before at
    [ "$(vm_driver "$2")" = nvme ] || vm_give_back "$2"
    block=$(vm_block "$2" "$3")
    for at in 8 16 24; do
        dd if="$HG_DIR/theirs" of="$block" bs=1M oflag=direct seek=$at status=none
    done
    blkdiscard -z -o $((16 * MIB)) -l $((6 * MIB)) "$block"
    vm_bind "$1" vfio-pci

    before=$(vm_errors)
    io "$device" "read=$HG_DIR/back@$((8 * MIB))+$((6 * MIB))"
    is "$device: we do not read what the kernel's driver wrote" "$HG_DIR/theirs"
    io "$device" "read=$HG_DIR/back@$((16 * MIB))+$((6 * MIB))"
    zeroed "$device: we do not read zeroes where the kernel's driver wrote them"
    io "$device" "write=$HG_DIR/ours@$((40 * MIB))" "zeroes=$((25 * MIB))+$((2 * MIB))" \
        "deallocate=$((28 * MIB))+$MIB" flush
    io "$device" "read=$HG_DIR/back@$((40 * MIB))+$((6 * MIB))"
    is "$device: we do not read what we wrote" "$HG_DIR/ours"
    vm_no_errors "$before"

    [ "$2" != "$1" ] || vm_give_back "$1"
    block=$(vm_block "$2" "$3")
    on "$block" 40 6
    is "$device: the kernel's driver does not read what we wrote" "$HG_DIR/ours"
    on "$block" 25 2
    zeroed "$device: the kernel's driver does not read the zeroes that we wrote"
    on "$block" 28 1
    zeroed "$device: what we deallocated does not read as zeroes, as QEMU's does"
    for at in 0 3 5; do
        on "$block" $((24 + at)) 1
        is "$device: more was zeroed or deallocated than asked for" <(blocks "$HG_DIR/theirs" $at 1)
    done
    vm_step "$device agrees with the kernel's driver"
}

vm_nvme_function
for nsid in 1 2; do
    both_ways "$VM_NVME" "$VM_NVME" $nsid
    both_ways "$VM_NVME_VF" "$VM_PF" $nsid
done
