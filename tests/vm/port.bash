#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: a node on a virtual function of the NIC, its pool in files. A source behind the
# physical function's interface replicates an ext4 image over TLS, the node is killed on the way and
# once more at the end, and what it exports is the image.
. "$(dirname "$0")/inside.bash"

node_prepare alpha
trap hg_end EXIT
vm_hugepages 640
vm_nic_functions
vm_step "VF $VM_VF is bound to vfio-pci"
vm_profile "$HG_DIR/pool/dev0" "$HG_DIR/pool/dev1" >"$HG_DIR/node.ini"
cat >>"$HG_DIR/node.ini" <<INI
create = auto
device-size = 128M
INI
vm_image "$HG_DIR/source" 20

vm_node
hg_in "$NS" ping -q -c 3 -W 5 "$HG_NODE_ADDR"
# A VF's wish for all multicast is granted, but the emulated switch looks at the hash filter only: the
# client cannot ask for its neighbour. The other direction is asked for and answered.
ip -n "$NS" neigh add "$VM_NODE_ADDR6" lladdr "$VM_VF_MAC" dev "$VM_CLIENT"
hg_in "$NS" ping -6 -q -c 3 -W 5 "$VM_NODE_ADDR6"
vm_step "the node answers on IPv4 and IPv6"
vm_replicate_through_kill "$HG_DIR/source"
vm_export_matches "$HG_DIR/source"
hg_daemon_stop 60
