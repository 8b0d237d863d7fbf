#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: the kernel's NVMe driver, with queues to be polled, under io_uring. The promises of a block device
# (tests/unit/bdev) on the namespaces of controller hg2, of 512 and of 4096 bytes a block: through /dev/ngXnY by NVMe
# commands, and as block devices whose completions are polled for. A block of namespace 1 of hg1 cannot be read, either way.
. "$(dirname "$0")/inside.bash"

VM_SMALL=0000:00:06.0 # NVMe, serial hg2, two namespaces of 4 MiB
BUILD=$VM_HERE/../../build/tests/unit/bdev

# promises PATH ACCESS: on one device, which must be reached in the way that is named.
promises() {
    "$BUILD/test_bdev" 1 "$1" >/tmp/promises 2>&1 || {
        cat /tmp/promises
        hg_die "$1 does not keep what a block device promises"
    }
    grep -E 'skipped|^  Test:.*FAILED' /tmp/promises && hg_die "$1 was not tested"
    grep -F "[$2" /tmp/promises || hg_die "$1 is not reached by: $2"
    vm_step "$1 keeps all promises"
}

echo 1 >/sys/module/nvme/parameters/poll_queues
vm_bind $VM_SMALL vfio-pci # so that the driver asks for queues anew
vm_give_back $VM_SMALL
complaints=$(vm_errors)
name=$(basename "$VM_PCI/$VM_SMALL"/nvme/nvme*)
for namespace in 1 2; do
    hg_wait_for 20 test -b "/dev/${name}n$namespace"
    promises "/dev/ng${name#nvme}n$namespace" "NVMe commands, interrupts"
    promises "/dev/${name}n$namespace" "direct I/O, polled"
done
vm_no_errors "$complaints"

name=$(basename "$VM_PCI/$VM_NVME"/nvme/nvme*)
for device in "/dev/ng${name#nvme}n1" "/dev/${name}n1"; do
    "$BUILD/test_uring" "$device" $((2048 * 512)) || hg_die "a medium error on $device is not told as such"
done
vm_step "medium errors are told as such"
