#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: a controller is taken out of its slot while a source replicates. The kernel asks for it,
# gets it at once, and it is gone; the source and the operator are told what happened, nothing hangs, and
# the node stops as it should.
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

node_load alpha --image "root=$HG_DIR/source" --tls 1.3 --rate 2Mbit --resume-retry 5s >"$HG_DIR/load.out" 2>&1 &
load=$!
node_counts ingest.frames_data 10 60
vm_remove "$VM_NVME_ID"
[ ! -e "$VM_PCI/$VM_NVME" ]
vm_step "controller $VM_NVME_ID is gone"

rc=0
wait "$load" || rc=$?
[ $rc -eq 1 ] || { cat "$HG_DIR/load.out"; hg_die "the source ended with status $rc"; }
grep -q 'writing to alpha/root failed' "$HG_DIR/load.out" || { cat "$HG_DIR/load.out"; hg_die "the source was not told why"; }
node_log "nvme $VM_NVME: the machine wants it back"
node_log "$VM_NVME is gone from the bus"
"$HG_CTL" devices >"$HG_DIR/devices"
grep -Eq "^$VM_NVME: nvme, dead, is gone from the bus" "$HG_DIR/devices"
grep -Eq "^$VM_NVME_VF: nvme, ok" "$HG_DIR/devices"
"$HG_CTL" volumes | grep -q '^alpha/root'
vm_step "the source and the operator know"
hg_daemon_stop 60
vm_step "the node has stopped"
