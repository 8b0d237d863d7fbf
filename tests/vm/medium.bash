#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest whose nv1n1 cannot read a sector in every MiB of its data: what is written there is
# taken and made durable; an export says where it cannot go on and names the place on the device; the
# errors are counted, the other device has none, and the node goes on.
. "$(dirname "$0")/inside.bash"

node_prepare alpha
trap hg_end EXIT
vm_hugepages 320
vm_nic_functions
vm_nvme_function
vm_bind "$VM_NVME_VF" vfio-pci
vm_bind "$VM_NVME" vfio-pci
vm_profile "nvme:$VM_NVME_VF/ns=1" "nvme:$VM_NVME/ns=1" >"$HG_DIR/node.ini"
printf 'create = auto\n' >>"$HG_DIR/node.ini"
vm_image "$HG_DIR/source" 20
vm_node
node_load alpha --image "root=$HG_DIR/source" --tls 1.3
vm_step "replicated"

rc=0
node_export alpha/root "$HG_DIR/copy" 2>"$HG_DIR/said" || rc=$?
[ $rc -ne 0 ] || hg_die "the export found nothing wrong"
cat "$HG_DIR/said"
grep -Eq 'export of alpha/root .*: Input/output error at offset [0-9]+' "$HG_DIR/said"
node_log "nvme: NVMe device $VM_NVME: read at byte [0-9]+, .*: the medium cannot be read"
node_log "store: device $VM_NVME: read at offset [0-9]+ failed"
"$HG_CTL" devices >"$HG_DIR/devices"
grep -A9 "^$VM_NVME: nvme, ok" "$HG_DIR/devices" | grep -Eq 'errors: media [1-9]'
grep -A9 "^$VM_NVME_VF: nvme, ok" "$HG_DIR/devices" | grep -q 'errors: none'
node_load alpha --volume other --size 4M --tls 1.3 # the node still works
vm_step "the place is named, and the node goes on"
hg_daemon_stop 60
