#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest with two NUMA nodes, a CPU on each, and a NIC and an NVMe controller on node 1: nothing is
# prepared. What doctor prints, run as printed, makes a node start, whose memory is on the nodes of its CPUs; it
# warns of the port and the device on the other node, and does not where there is none. A drive in
# use is in no command.
. "$(dirname "$0")/inside.bash"

node_prepare alpha
trap hg_end EXIT

# on_node1 CLASS: the address of the device there whose class begins so.
on_node1() {
    local dev
    for dev in "$VM_PCI"/*; do
        [ "$(cat "$dev/numa_node")" -ne 1 ] || [[ $(cat "$dev/class") != "$1"* ]] || basename "$dev"
    done
}
VM_VF=$(on_node1 0x0200)
FAR_NVME=$(on_node1 0x010802)
[ -d "$VM_PCI/$VM_VF" ] && [ -d "$VM_PCI/$FAR_NVME" ] || hg_die "node 1 has no NIC or no NVMe controller"
umount /dev/hugepages

# numa_profile CPU: the shard's.
numa_profile() {
    vm_profile "$HG_DIR/pool/dev0" "nvme:$FAR_NVME" | sed "s/^shards = .*/shards = $1/" >"$HG_DIR/node.ini"
    printf 'create = auto\ndevice-size = 128M\n' >>"$HG_DIR/node.ini"
}

# doctor STATUS ARGUMENT...: its text in $HG_DIR/said.
doctor() {
    local want=$1 rc=0
    shift
    "$HG_CTL" doctor "$@" >"$HG_DIR/said" || rc=$?
    [ $rc -eq "$want" ] || { cat "$HG_DIR/said"; hg_die "doctor $*: status $rc, not $want"; }
}

# mended ARGUMENT...: runs what doctor prints; then nothing is missing.
mended() {
    doctor 1 "$@" --commands
    cat "$HG_DIR/said"
    bash -e "$HG_DIR/said"
    doctor 0 "$@"
}

# pages NODE: huge pages of the daemon there.
pages() {
    awk -v node="N$1=" '/huge/ { for (i = 1; i <= NF; i++) if (index($i, node) == 1) n += substr($i, 4) }
        END { print n + 0 }' "/proc/$(hg_pid headgate)/numa_maps"
}

vm_step "a drive that is swap space, and a NIC with the default route"
mkswap -q /dev/nvme1n1
swapon /dev/nvme1n1
doctor 1 "$VM_NVME" --commands
hg_refute grep -q unbind "$HG_DIR/said"
grep -q 'nvme1n1 is swap space' "$HG_DIR/said"
# what leaves no trace in /proc (a mount in another mount namespace) the kernel still knows
mkdir -p "$HG_DIR/root/sys" "$HG_DIR/root/dev" "$HG_DIR/root/proc"
mount --bind /sys "$HG_DIR/root/sys"
mount --bind /dev "$HG_DIR/root/dev"
doctor 1 --root "$HG_DIR/root" "$VM_NVME" --commands
hg_refute grep -q unbind "$HG_DIR/said"
grep -q 'nvme1n1 is claimed in the kernel' "$HG_DIR/said"
umount "$HG_DIR/root/sys" "$HG_DIR/root/dev"
swapoff /dev/nvme1n1
ip link set "$(vm_interface "$VM_VF")" up
ip route add default dev "$(vm_interface "$VM_VF")"
doctor 1 "$VM_VF" --commands
hg_refute grep -q unbind "$HG_DIR/said"
ip link set "$(vm_interface "$VM_VF")" down # with it goes the IPv6 route that QEMU may have announced

vm_step "a shard on the other node than the NIC"
numa_profile 0
mended --config "$HG_DIR/node.ini"
grep -q "port $VM_VF is on NUMA node 1, but shard 0 (CPU 0) is on node 0 (distance 21" "$HG_DIR/said"
vm_node
grep "port $VM_VF is on NUMA node 1, but shard 0 (CPU 0) is on node 0" "$HG_DIR/run/headgate.err"
grep "device $FAR_NVME is on NUMA node 1, but shard 0 (CPU 0) is on node 0" "$HG_DIR/run/headgate.err"
"$HG_CTL" --json devices | python3 -c '
import json, sys
d = {d["kind"]: d for d in json.load(sys.stdin)["devices"]}["nvme"]
print("device", d["model"], d["serial"], d["numa_node"], d["health"]["temperature"])
assert (d["serial"], d["numa_node"], d["state"], d["block"]) == ("hg10", 1, "ok", 512), d
assert d["latency"]["other"]["count"] > 0 and d["depth"] > 0 and d["health"]["warnings"] == [], d'
vm_step "pages: $(pages 0) on node 0, $(pages 1) on node 1"
[ "$(pages 0)" -gt $((4 * $(pages 1))) ]
hg_daemon_stop 60

vm_step "a shard beside it"
numa_profile 1
mended --config "$HG_DIR/node.ini"
hg_refute grep -q 'but shard' "$HG_DIR/said"
vm_node
hg_refute grep 'but shard' "$HG_DIR/run/headgate.err"
vm_step "pages: $(pages 0) on node 0, $(pages 1) on node 1"
[ "$(pages 1)" -gt "$(pages 0)" ]
hg_daemon_stop 60

vm_step "an NVMe controller"
mended "$VM_NVME"
[ "$(vm_driver "$VM_NVME")" = vfio-pci ]
