# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What a test inside a guest stands on, beside tests/e2e/node.bash: devices by what they are, drivers
# bound and unbound, hugepages, and the rig's help. Source it first; it ends with the shell.

set -euo pipefail
VM_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$VM_HERE/../e2e/node.bash"

# The devices of tests/vm/guest.
VM_NIC=0000:00:03.0  # igb, the physical function
VM_PF=0000:00:05.0   # NVMe, serial hg0, with virtual functions
VM_NVME=0000:01:00.0 # NVMe, serial hg1, in a slot it can be taken out of
VM_IO=$HG_TOP/build/tests/vm/hg-bdev-io
VM_NVME_ID=nv1       # what QEMU calls it
VM_PCI=/sys/bus/pci/devices
VM_VF_MAC=02:00:00:00:00:01 # as the physical function's owner gives it
VM_NODE_ADDR6=2001:db8::1
VM_CLIENT_ADDR6=2001:db8::2

# vm_step TEXT...: says where the test is, with the seconds since boot.
vm_step() {
    printf '[%4.0f] %s\n' "$(cut -d ' ' -f 1 /proc/uptime)" "$*"
}

# --- the rig's help ------------------------------------------------------------------------------

# vm_ask JSON: a request of QEMU's QMP, or {"removed": ID}; prints the answer and fails on an error.
vm_ask() {
    local answer
    exec {VM_PORT}<>/dev/ttyS1
    stty -F /dev/ttyS1 raw -echo
    printf '%s\n' "$1" >&"$VM_PORT"
    read -r -t 120 answer <&"$VM_PORT" || hg_die "the rig did not answer: $1"
    exec {VM_PORT}>&-
    printf '%s\n' "$answer"
    [[ $answer != *'"error"'* ]]
}

# vm_remove ID: takes a device out of its slot (the guest's kernel is asked first, as by the button
# beside a slot), and returns when it is gone.
vm_remove() {
    vm_ask "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"$1\"}}" >/dev/null
    vm_ask "{\"removed\": \"$1\"}" >/dev/null
}

# vm_errors: how often QEMU's NVMe model has complained of a driver so far.
vm_errors() {
    wc -l </run/vm/nvme-errors
}

# vm_no_errors SINCE: fails, and shows them, when there are complaints after the first SINCE.
vm_no_errors() {
    [ "$(vm_errors)" -eq "$1" ] || {
        tail -n "+$(($1 + 1))" /run/vm/nvme-errors >&2
        hg_die "QEMU's NVMe model complains of what the driver did"
    }
}

# --- devices -------------------------------------------------------------------------------------

# vm_driver ADDRESS: the driver that a PCI device is bound to, or nothing.
vm_driver() {
    basename "$(readlink "$VM_PCI/$1/driver")" 2>/dev/null
}

# vm_bind ADDRESS DRIVER: takes the device from its driver and gives it to another.
vm_bind() {
    [ ! -e "$VM_PCI/$1/driver" ] || printf '%s' "$1" >"$VM_PCI/$1/driver/unbind"
    printf '%s' "$2" >"$VM_PCI/$1/driver_override"
    printf '%s' "$1" >/sys/bus/pci/drivers_probe
    [ "$(vm_driver "$1")" = "$2" ] || hg_die "$1 is bound to '$(vm_driver "$1")', not to $2"
}

# vm_release ADDRESS: the device has no driver, and none is preferred.
vm_release() {
    [ ! -e "$VM_PCI/$1/driver" ] || printf '%s' "$1" >"$VM_PCI/$1/driver/unbind"
    printf '\n' >"$VM_PCI/$1/driver_override"
}

# vm_give_back ADDRESS: the device goes to the driver that the kernel chooses for it.
vm_give_back() {
    vm_release "$1"
    printf '%s' "$1" >/sys/bus/pci/drivers_probe
    [ -e "$VM_PCI/$1/driver" ] || hg_die "no driver of the kernel took $1 back"
}

# vm_virtual ADDRESS N: the address of virtual function N of a physical one.
vm_virtual() {
    basename "$(readlink "$VM_PCI/$1/virtfn$2")"
}

# vm_interface ADDRESS: the kernel's network interface of a PCI device.
vm_interface() {
    basename "$VM_PCI/$1"/net/*
}

# vm_hugepages MEBIBYTES
vm_hugepages() {
    echo $(($1 / 2)) >/proc/sys/vm/nr_hugepages
    [ "$(cat /proc/sys/vm/nr_hugepages)" -eq $(($1 / 2)) ] ||
        hg_die "only $(cat /proc/sys/vm/nr_hugepages) hugepages of $(($1 / 2)) can be had"
}

# vm_nic_functions: two virtual functions of the NIC; the first, $VM_VF, goes to vfio-pci, and the
# physical function's interface, $VM_CLIENT, to the namespace $NS as the client.
vm_nic_functions() {
    VM_CLIENT=$(vm_interface "$VM_NIC")
    echo 0 >"$VM_PCI/$VM_NIC/sriov_drivers_autoprobe"
    ip link set "$VM_CLIENT" up
    echo 2 >"$VM_PCI/$VM_NIC/sriov_numvfs"
    VM_VF=$(vm_virtual "$VM_NIC" 0)
    ip link set "$VM_CLIENT" vf 0 mac "$VM_VF_MAC"
    vm_bind "$VM_VF" vfio-pci
    ip link set "$VM_CLIENT" netns "$NS"
    ip -n "$NS" link set "$VM_CLIENT" up
    ip -n "$NS" address add "$HG_CLIENT_ADDR/24" dev "$VM_CLIENT"
    ip -n "$NS" address add "$VM_CLIENT_ADDR6/64" dev "$VM_CLIENT" nodad
}

# nvme ARGUMENT...: nvme-cli, as the rig got it.
nvme() {
    LD_LIBRARY_PATH=$VM_TOOLS/usr/lib/x86_64-linux-gnu "$VM_TOOLS/usr/sbin/nvme" "$@"
}

# vm_controller ADDRESS: the kernel's name of an NVMe controller that it drives: nvme0.
vm_controller() {
    basename "$VM_PCI/$1"/nvme/nvme*
}

# vm_block ADDRESS NSID: the kernel's block device of a namespace of that controller. Controllers of one
# subsystem share it: nvme0c1n2 is the way of controller 1 to nvme0n2.
vm_block() {
    local path
    hg_wait_for 30 vm_has_block "$1" "$2" || return 1
    path=$(basename "$VM_PCI/$1"/nvme/nvme*/nvme*n"$2")
    printf '/dev/%s\n' "$(sed -E 's/c[0-9]+n/n/' <<<"$path")"
}

vm_has_block() {
    compgen -G "$VM_PCI/$1/nvme/nvme*/nvme*n$2" && compgen -G "/dev/nvme*n$2"
}

# vm_nvme_function: brings virtual function 1 of the NVMe controller $VM_PF online, with an admin queue,
# three I/O queues (a shard's, the pool's, and one for opening) and one interrupt; its address is in
# VM_NVME_VF. The physical function stays with the kernel's driver.
vm_nvme_function() {
    local control
    control=/dev/$(vm_controller "$VM_PF")
    echo 0 >"$VM_PCI/$VM_PF/sriov_drivers_autoprobe"
    echo 1 >"$VM_PCI/$VM_PF/sriov_numvfs"
    VM_NVME_VF=$(vm_virtual "$VM_PF" 0)
    nvme virt-mgmt "$control" -c 1 -r 0 -n 4 -a 8 >/dev/null
    nvme virt-mgmt "$control" -c 1 -r 1 -n 1 -a 8 >/dev/null
    nvme virt-mgmt "$control" -c 1 -a 9 >/dev/null
}

# --- the node ------------------------------------------------------------------------------------

# vm_profile DEVICE...: a profile for a node on $VM_VF; its last section is [store].
vm_profile() {
    local i=0 device
    cat <<INI
[eal]
huge = yes
pci = yes
args = -a $VM_VF
file-prefix = hg-vm
[cpu]
control = 0
shards = 1
idle-sleep = 50us
[port]
device = $VM_VF
address = $HG_NODE_ADDR/24, $VM_NODE_ADDR6/64
detect-conflicts = no
rx-mbufs = 8192
[tls]
certificate = $HG_DIR/pki/node.crt
key = $HG_DIR/pki/node.key
ca = $HG_DIR/pki/ca.crt
[ingest]
buffers = 48M
credit = 2M
[control]
socket = $HEADGATE_SOCKET
[store]
INI
    for device; do
        printf 'device%d = %s\n' $((i++)) "$device"
    done
}

# vm_node: starts the daemon on $HG_DIR/node.ini.
vm_node() {
    hg_start headgate "$HG_DAEMON" -c "$HG_DIR/node.ini"
    hg_wait_line headgate 120 '^headgate: ready'
}

# vm_image FILE MEBIBYTES: an ext4 file system, half full of programs of ours and of noise.
vm_image() {
    mkdir "$HG_DIR/files"
    cp "$HG_DAEMON" "$HG_LOAD" "$HG_CTL" "$HG_DIR/files"
    head -c "$(($2 / 2))M" /dev/urandom >"$HG_DIR/files/noise"
    truncate -s "$2M" "$1"
    mkfs.ext4 -q -F -d "$HG_DIR/files" "$1"
}

# vm_replicate_through_kill FILE: replicates it as alpha/root; the node dies of SIGKILL on the way, is
# started again, and dies once more when all is durable.
vm_replicate_through_kill() {
    local load rc=0
    node_load alpha --image "root=$1" --tls 1.3 --rate 8Mbit --resume-retry 120s >"$HG_DIR/load.out" 2>&1 &
    load=$!
    node_counts ingest.frames_data 10 60
    hg_kill headgate
    kill -0 "$load" || hg_die "the source was done before the node was killed"
    vm_step "killed on the way"
    vm_node
    wait "$load" || rc=$?
    cat "$HG_DIR/load.out"
    [ $rc -eq 0 ] || { hg_output headgate; hg_die "the source ended with status $rc"; }
    grep -Eq 'resumes [1-9]' "$HG_DIR/load.out" || hg_die "the source never had to resume"
    vm_step "replicated"
    hg_kill headgate
    vm_node
    vm_step "the node is ready again"
}

# vm_export_matches FILE
vm_export_matches() {
    local want got
    node_export alpha/root "$HG_DIR/copy"
    want=$(sha256sum <"$1")
    got=$(sha256sum <"$HG_DIR/copy")
    [ "$want" = "$got" ] || hg_die "the export differs from the image: $got, not $want"
    vm_step "the export matches: SHA-256 ${got%% *}"
}
