#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# headgatectl doctor: on the machine that runs this, and on folders that look like another.

load lib.bash

setup() {
    hg_begin
    doctor=("$HG_CTL" doctor)
}

teardown() {
    hg_end
}

# A server in $1: IOMMU on, vfio-pci loaded, a free NVMe controller and a free NIC, both with the kernel's
# drivers; no hugepages, no hugetlbfs.
fake_server() {
    local root=$1 dev
    mkdir -p "$root"/sys/devices/system/{cpu,node/node0/hugepages/hugepages-2048kB} \
        "$root"/sys/kernel/{iommu_groups/{1,2},mm/hugepages/hugepages-2048kB} \
        "$root"/sys/bus/pci/{devices,drivers/{vfio-pci,nvme,ixgbe}} \
        "$root"/sys/module/vfio_iommu_type1 "$root"/proc/self "$root"/proc/net "$root"/dev
    echo 0-3 | tee "$root"/sys/devices/system/cpu/{present,online} \
        "$root/sys/devices/system/node/node0/cpulist" >/dev/null
    echo 0 | tee "$root/sys/devices/system/node/online" \
        "$root"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/{nr,free}_hugepages \
        "$root"/sys/kernel/mm/hugepages/hugepages-2048kB/{nr,free}_hugepages >/dev/null
    echo 'Hugepagesize: 2048 kB' >"$root/proc/meminfo"
    printf 'Uid:\t0\t0\t0\t0\nCapEff:\tffffffffffffffff\n' >"$root/proc/self/status"
    : >"$root/proc/mounts" >"$root/proc/self/mountinfo" >"$root/sys/bus/pci/drivers_probe"
    mkdir -p "$root"/sys/bus/pci/devices/0000:04:00.0/net/eth1 "$root/sys/class/net/eth1"
    for dev in 0000:03:00.0=0x010802=nvme=1 0000:04:00.0=0x020000=ixgbe=2; do
        IFS='=' read -r addr class driver group <<<"$dev"
        mkdir -p "$root/sys/bus/pci/devices/$addr"
        echo "$class" >"$root/sys/bus/pci/devices/$addr/class"
        echo 0 >"$root/sys/bus/pci/devices/$addr/numa_node"
        : >"$root/sys/bus/pci/devices/$addr/driver_override" >"$root/sys/bus/pci/drivers/$driver/unbind"
        ln -s "../../drivers/$driver" "$root/sys/bus/pci/devices/$addr/driver"
        ln -s "../../../../kernel/iommu_groups/$group" "$root/sys/bus/pci/devices/$addr/iommu_group"
    done
}

# What the kernel makes of the writes that the commands did in a tree.
kernel_follows() {
    local root=$1 dev
    for dev in "$root"/sys/bus/pci/devices/*; do
        [ "$(cat "$dev/driver_override")" != vfio-pci ] || ln -sfn ../../drivers/vfio-pci "$dev/driver"
    done
    mkdir "$root/dev/vfio"
    : >"$root/dev/vfio/1" >"$root/dev/vfio/2"
    cp "$root"/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages \
        "$root"/sys/kernel/mm/hugepages/hugepages-2048kB/
    cp "$root"/sys/kernel/mm/hugepages/hugepages-2048kB/{nr,free}_hugepages
}

@test "doctor tells of this machine what its /sys says, without a daemon" {
    run "${doctor[@]}" --json
    [ "$status" -le 1 ]
    printf '%s' "$output" >"$HG_DIR/doctor.json"
    python3 - "$HG_DIR/doctor.json" "$status" <<'PY'
import glob, json, os, sys
said, status = json.load(open(sys.argv[1])), int(sys.argv[2])
assert status == (1 if said["missing"] else 0), (status, said["missing"])
machine = {f["check"]: f for f in said["machine"]}
has_vfio = os.path.isdir("/sys/bus/pci/drivers/vfio-pci") and os.path.isdir("/sys/module/vfio_iommu_type1")
assert (machine["vfio"]["level"] == "fine") == has_vfio, machine["vfio"]
has_iommu = bool(os.path.isdir("/sys/kernel/iommu_groups") and os.listdir("/sys/kernel/iommu_groups"))
assert (machine["iommu"]["level"] == "fine") == has_iommu, machine["iommu"]
def of_class(prefix):
    return sorted(os.path.basename(os.path.dirname(p)) for p in glob.glob("/sys/bus/pci/devices/*/class")
                  if open(p).read().startswith(prefix))
assert [d["address"] for d in said["devices"] if d["kind"] == "nvme"] == of_class("0x010802")
assert [d["address"] for d in said["devices"] if d["kind"] == "nic"] == of_class("0x0200")
assert ("nvme" in machine) == (not of_class("0x010802"))
routes = [l.split() for l in open("/proc/net/route")][1:]
for iface in {r[0] for r in routes if r[1] == "00000000" and r[7] == "00000000"}:
    for d in said["devices"]:
        if d.get("interfaces") == iface:
            assert "default route" in d["in_use"], d
            assert not any(f["commands"] for f in d["findings"]), d
PY
}

@test "a profile without devices of its own lacks nothing" {
    run "${doctor[@]}" --config "$HG_TOP/config/demo.ini"
    [ "$status" -eq 0 ]
    [[ $output == *"Nothing is missing"* ]]
    hg_refute grep -q vfio <<<"$output"
}

@test "what doctor prints, run as printed, is what is missing" {
    local root=$HG_DIR/server
    fake_server "$root"
    run "${doctor[@]}" --root "$root"
    [ "$status" -eq 1 ]
    [[ $output == *"0000:03:00.0  NVMe"*"0000:04:00.0  NIC"* ]]
    "${doctor[@]}" --root "$root" --commands 03:00.0 04:00.0 >"$HG_DIR/commands" || true
    grep -q '^echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override$' "$HG_DIR/commands"
    # the same, on the tree: it has no kernel that mounts
    grep '^mount -t hugetlbfs -o pagesize=2M hugetlbfs /dev/hugepages$' "$HG_DIR/commands"
    sed -e "s# /sys/# $root/sys/#g; s# /dev/# $root/dev/#g; s#^mount #: #" "$HG_DIR/commands" >"$HG_DIR/script"
    sh -e "$HG_DIR/script"
    [ "$(cat "$root/sys/bus/pci/drivers/nvme/unbind")" = 0000:03:00.0 ]
    [ "$(cat "$root/sys/bus/pci/drivers/ixgbe/unbind")" = 0000:04:00.0 ]
    [ "$(cat "$root/sys/bus/pci/drivers_probe")" = 0000:04:00.0 ]
    kernel_follows "$root"
    echo 'hugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0' >"$root/proc/mounts"
    run "${doctor[@]}" --root "$root"
    [ "$status" -eq 0 ] || hg_die "said: $output"
    [[ $output == *"Nothing is missing"* ]]
}

@test "commands are given only for devices that somebody named" {
    run "${doctor[@]}" --commands
    [ "$status" -eq 2 ]
    [[ $output == *"needs a profile or devices"* ]]
    run "${doctor[@]}" --config /nowhere.ini
    [ "$status" -eq 2 ]
    [[ $output == *"/nowhere.ini: No such file"* ]]
    run "${doctor[@]}" eth0
    [ "$status" -eq 2 ]
    [[ $output == *"write a PCI address"* ]]
    run "${doctor[@]}" --colour
    [ "$status" -eq 2 ]
}
