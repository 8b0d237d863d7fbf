#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: node.bash NSID. A node on a virtual function of the NIC, its pool on that namespace
# of two NVMe controllers, one of them a virtual function, all through VFIO. It is killed while a source
# replicates and once more at the end, and what it exports is the image. QEMU's NVMe model complains of
# nothing. Then the controllers go back to the kernel's driver, which reads the pool's superblock.
# Nothing but the functions is prepared: doctor says what is to be done for the profile.
. "$(dirname "$0")/inside.bash"

NSID=$1

node_prepare alpha
trap hg_end EXIT
umount /dev/hugepages
vm_nic_functions
vm_release "$VM_VF"
vm_nvme_function
vm_profile "nvme:$VM_NVME_VF/ns=$NSID" "nvme:serial=hg1/ns=$NSID" >"$HG_DIR/node.ini"
printf 'create = auto\n' >>"$HG_DIR/node.ini"
vm_image "$HG_DIR/source" 20
hg_refute "$HG_CTL" doctor --config "$HG_DIR/node.ini" --commands >"$HG_DIR/mend"
cat "$HG_DIR/mend"
bash -e "$HG_DIR/mend"
"$HG_CTL" doctor --config "$HG_DIR/node.ini"
vm_step "what doctor printed was run"

BEFORE=$(vm_errors)
vm_node
vm_step "the node is ready on $VM_VF, $VM_NVME_VF and $VM_NVME"
vm_replicate_through_kill "$HG_DIR/source"
vm_export_matches "$HG_DIR/source"
"$HG_CTL" devices
hg_daemon_stop 60
vm_no_errors "$BEFORE"

# Its magic number and the pool's UUID, which the node said when it was ready.
uuid=$(grep -Eo 'pool [0-9a-f-]{36}' "$HG_DIR/run/headgate.out" | tr -d 'pol -')
vm_give_back "$VM_NVME"
for device in "$(vm_block "$VM_PF" "$NSID")" "$(vm_block "$VM_NVME" "$NSID")"; do
    dd if="$device" of="$HG_DIR/super" bs=4k count=1 iflag=direct status=none
    [ "$(head -c 8 "$HG_DIR/super")" = HGSUPER1 ] || hg_die "$device does not begin with a superblock"
    grep -q "$uuid" <<<"$(od -An -v -tx1 "$HG_DIR/super" | tr -d ' \n')" ||
        hg_die "the superblock of $device is not of pool $uuid"
done
vm_step "the kernel's driver reads the superblocks of pool $uuid"
