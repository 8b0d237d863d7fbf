#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest whose nv1n1 cannot read its sector 2048: what other tests take for granted, seen with
# the kernel's own NVMe driver. Namespaces of both formats, a virtual function that shares them, a
# medium error, complaints of QEMU's model when something is wrong, and a controller taken out.
. "$(dirname "$0")/inside.bash"

hg_begin
trap hg_end EXIT
block() {
    cat "/sys/block/$(basename "$1")/queue/logical_block_size"
}

vm_nvme_function
vm_bind "$VM_NVME_VF" nvme
[ "$(block "$(vm_block "$VM_PF" 1)")" -eq 512 ]
[ "$(block "$(vm_block "$VM_PF" 2)")" -eq 4096 ]
[ "$(vm_block "$VM_NVME_VF" 2)" = "$(vm_block "$VM_PF" 2)" ]
vm_step "VF $VM_NVME_VF shares the namespaces of $VM_PF"

head -c 3M /dev/urandom >"$HG_DIR/data"
for nsid in 1 2; do
    device=$(vm_block "$VM_NVME" "$nsid")
    before=$(vm_errors)
    dd if="$HG_DIR/data" of="$device" bs=64k oflag=direct seek=32 status=none
    dd if="$device" of="$HG_DIR/back" bs=64k iflag=direct skip=32 count=48 status=none
    cmp "$HG_DIR/data" "$HG_DIR/back"
    vm_no_errors "$before"
done
vm_step "data comes back, and nothing is complained of"

device=$(vm_block "$VM_NVME" 1)
before=$(vm_errors)
dd if="$device" of=/dev/null bs=64k count=16 iflag=direct status=none
hg_refute dd if="$device" of=/dev/null bs=512 count=1 skip=2048 iflag=direct status=none
grep -q 'pci_nvme_err_aio .*Input/output error' /run/vm/nvme-errors
hg_refute vm_no_errors "$before" 2>/dev/null
vm_step "sector 2048 cannot be read, and the model says so"

vm_bind "$VM_NVME" vfio-pci
vm_remove "$VM_NVME_ID"
[ ! -e "$VM_PCI/$VM_NVME" ]
vm_step "controller $VM_NVME_ID is gone"
