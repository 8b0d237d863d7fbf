#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Inside a guest: what stands between a profile that names NVMe controllers and a node that runs on
# them. Each refusal names its reason, the commands it prints mend it when run as printed, what the
# kernel's tools left on a namespace is found through our driver, and a killed owner leaves nothing
# that keeps the next one out.
. "$(dirname "$0")/inside.bash"

node_prepare alpha
trap hg_end EXIT
NOBODY=65534

# profile STORE-LINE...: a node without a network; its last section is [store].
profile() {
    cat >"$HG_DIR/node.ini" <<INI
[eal]
huge = ${HUGE:-yes}
file-prefix = hg-vm
[cpu]
control = 0
shards = 1
idle-sleep = 100us
[port]
vdev = net_null0
detect-conflicts = no
rx-mbufs = 4096
[tls]
certificate = $HG_DIR/pki/node.crt
key = $HG_DIR/pki/node.key
ca = $HG_DIR/pki/ca.crt
handshake-helpers = 0
[ingest]
buffers = 16M
credit = 1M
max-extent = 256K
connections = 64
[control]
socket = $HEADGATE_SOCKET
[store]
chunk = 1M
create = auto
$(printf '%s\n' "$@")
INI
}

# refused WORDS [COMMAND...]: the daemon (or COMMAND, which starts it) ends at once and its last line has WORDS.
refused() {
    local words=$1 rc=0
    shift
    timeout 90 "${@:-$HG_DAEMON}" -c "$HG_DIR/node.ini" >"$HG_DIR/refusal" 2>&1 || rc=$?
    [ $rc -eq 1 ] || hg_die "status $rc: $(tail -n 5 "$HG_DIR/refusal")"
    said=$(tail -n 1 "$HG_DIR/refusal")
    [[ $said == *"$words"* ]] || hg_die "no \"$words\" in: $(tail -n 8 "$HG_DIR/refusal")"
    vm_step "refused: $words"
}

vm_hugepages 320
mkfs.ext4 -q -F -L precious "$(vm_block "$VM_NVME" 1)"
sfdisk -q "$(vm_block "$VM_PF" 2)" <<<$'label: gpt\nsize=64M' # sectors of 4096 bytes
vm_has_block "$VM_PF" 2 >/dev/null

# Bound to the kernel's driver: by serial number and by address, and the commands help.
BOTH=('device0 = nvme:serial=hg1/ns=1' "device1 = nvme:$VM_PF/ns=2")
profile 'device0 = nvme:serial=nobodys' "device1 = nvme:$VM_PF/ns=2"
refused "(nvme, serial hg0), $VM_NVME (nvme, serial hg1)"
profile 'device0 = nvme:0000:07:00.0' "device1 = nvme:$VM_PF/ns=2"
refused "there is no such PCI function; NVMe controllers are: $VM_PF (nvme, serial hg0)"
profile "${BOTH[@]}"
for address in "$VM_NVME" "$VM_PF"; do
    refused "nvme $address: the driver nvme has it"
    # The module is in the initramfs, not where modprobe looks.
    bash -ec "${said##*then run modprobe vfio-pci;}"
    [ "$(vm_driver "$address")" = vfio-pci ]
done
before=$(vm_errors)

# What was left on the namespaces, in both formats.
refused 'holds a file system: ext4, label precious, UUID'
[[ $said == *"device $VM_NVME "*'and what is on other devices'* ]]
profile 'device0 = mem:256M' "device1 = nvme:serial=hg0/ns=2"
refused "device $VM_PF holds a partition table: gpt, UUID"
profile "device0 = nvme:$VM_NVME" "device1 = nvme:$VM_PF/ns=2"
refused 'several namespaces'
profile 'device0 = nvme:serial=hg1/ns=1' "device1 = nvme:$VM_NVME/ns=2"
refused "nvme $VM_NVME: this process has it open already"
profile "${BOTH[@]}"
refused 'start once with --set store.overwrite='
profile "${BOTH[@]}" "overwrite = $(grep -o 'store.overwrite=[0-9a-f]*' <<<"$said" | cut -d = -f 2)"
vm_node
vm_step "a pool is made where the refusal was answered"

# One owner at a time; one that is killed keeps nobody out.
sed -i 's/^huge.*/huge = no/; s/^file-prefix.*//' "$HG_DIR/node.ini"
refused "nvme $VM_NVME: another process has it"
profile "${BOTH[@]}"
hg_kill headgate
vm_node
vm_step "ready again after SIGKILL"
hg_daemon_stop 60

# An ordinary user, without hugepages: permissions and locked memory.
HUGE=no profile "${BOTH[@]}"
sed -i "s/^file-prefix.*//" "$HG_DIR/node.ini"
chmod -R a+rX "$HG_DIR"
as_nobody() {
    ulimit -l "$1"
    shift
    exec env XDG_RUNTIME_DIR="$HG_DIR/nobody" setpriv --reuid $NOBODY --regid $NOBODY --clear-groups "$HG_DAEMON" "$@"
}
export -f as_nobody
export HG_DAEMON HG_DIR NOBODY
install -d -o $NOBODY "$HG_DIR/nobody"
group() {
    basename "$(readlink "$VM_PCI/$1/iommu_group")"
}
refused "no permission for /dev/vfio/$(group "$VM_NVME")" bash -c 'as_nobody unlimited "$@"' as_nobody
chown $NOBODY "/dev/vfio/$(group "$VM_NVME")" "/dev/vfio/$(group "$VM_PF")"
refused 'this process may lock 32 MiB' bash -c 'as_nobody 32768 "$@"' as_nobody
vm_no_errors "$before"
