#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-3-Clause
# What others have left on a device is not destroyed by making a pool, unless it was named and its
# refusal answered.

load node.bash

setup() {
    node_prepare alpha
    DEVICE=$HG_DIR/pool/dev1.img
    truncate -s 256M "$HG_DIR/pool/dev0.img" "$DEVICE"
}

teardown() {
    hg_end
}

# refused WORD...: the daemon does not start, says all of these, and leaves the devices as they are.
refused() {
    local word before after
    before=$(cat "$HG_DIR"/pool/dev*.img | sha256sum)
    run timeout 60 ip netns exec "$NS" "$HG_DAEMON" --config "$HG_TOP/config/demo.ini" \
        --set "store.device0=$HG_DIR/pool/dev0.img" --set "store.device1=$DEVICE" --set store.device2= \
        --set store.device3= --set "tls.certificate=$HG_DIR/pki/node.crt" \
        --set "tls.key=$HG_DIR/pki/node.key" --set "tls.ca=$HG_DIR/pki/ca.crt" \
        --set "control.socket=$HEADGATE_SOCKET" --set "eal.file-prefix=hg$HG_ID" "${OPTIONS[@]}"
    [ "$status" -eq 1 ] || hg_die "status $status: $output"
    for word; do
        [[ $output == *"$word"* ]] || hg_die "no \"$word\" in: $output"
    done
    after=$(cat "$HG_DIR"/pool/dev*.img | sha256sum)
    [ "$before" = "$after" ] || hg_die "the devices were written to"
}

blank() {
    truncate -s 0 "$DEVICE"
    truncate -s 256M "$DEVICE"
}

# token: what the last refusal says must be told to go on.
token() {
    grep -o 'store.overwrite=[0-9a-f]*' <<<"$output" | cut -d = -f 2
}

UUID=3c2f1c8e-9a52-4d0e-8f3e-0a1b2c3d4e5f

@test "a file system is named with its label and UUID" {
    OPTIONS=()
    mkfs.ext4 -q -F -L precious -U $UUID "$DEVICE"
    refused "device $DEVICE holds a file system: ext4, label precious, UUID $UUID;" \
        'a new pool would destroy it'
}

@test "a partition table is named, also when only the copy at the end is left" {
    OPTIONS=()
    sfdisk -q "$DEVICE" <<<$'label: gpt\nlabel-id: '$UUID$'\nsize=64M'
    refused "device $DEVICE holds a partition table: gpt, UUID $UUID"
    dd if=/dev/zero of="$DEVICE" bs=1M count=8 conv=notrunc status=none
    refused "device $DEVICE holds a partition table: gpt"
    blank
    fdisk -b 4096 "$DEVICE" <<<$'g\nn\n\n\n+64M\nw' >"$HG_DIR/fdisk" # sectors that are not ours
    refused "device $DEVICE holds a partition table: gpt, UUID "
    blank
    sfdisk -q "$DEVICE" <<<$'label: dos\nsize=64M'
    refused "device $DEVICE holds a partition table: dos"
}

@test "swap space, LVM, LUKS and RAID are named" {
    local kind
    OPTIONS=()
    mkswap -q -L pages -U $UUID "$DEVICE"
    refused "swap, label pages, UUID $UUID"
    for kind in lvm luks raid; do
        blank
        python3 "$BATS_TEST_DIRNAME/foreign.py" $kind "$DEVICE"
        case $kind in
        lvm) refused 'a member of a RAID or volume group: LVM2_member' ;;
        luks) refused "an encrypted volume: crypto_LUKS, UUID $UUID" ;;
        raid) refused 'a member of a RAID or volume group: linux_raid_member' 'label node:7' ;;
        esac
    done
}

@test "two things on a device are both named, and other devices are mentioned" {
    OPTIONS=()
    mkfs.ext4 -q -F "$HG_DIR/pool/dev0.img"
    python3 "$BATS_TEST_DIRNAME/foreign.py" raid "$DEVICE"
    python3 "$BATS_TEST_DIRNAME/foreign.py" luks "$DEVICE"
    refused "device $HG_DIR/pool/dev0.img holds a file system: ext4" 'and what is on other devices'
    truncate -s 0 "$HG_DIR/pool/dev0.img"
    truncate -s 256M "$HG_DIR/pool/dev0.img"
    refused 'a member of a RAID or volume group: linux_raid_member' '; an encrypted volume: crypto_LUKS'
}

@test "what is there is destroyed when the refusal is answered with its word, and only that" {
    local first second
    OPTIONS=()
    mkfs.ext4 -q -F -U $UUID "$DEVICE"
    refused ext4
    first=$(token)
    [ ${#first} -eq 8 ]
    mkfs.ext4 -q -F -U "${UUID/3c/4d}" "$DEVICE" # not what was read then
    OPTIONS=(--set "store.overwrite=$first")
    refused ext4 "${UUID/3c/4d}"
    second=$(token)
    [ "$first" != "$second" ]
    sfdisk -q --wipe always "$DEVICE" <<<$'label: gpt\nsize=64M'
    OPTIONS=()
    refused gpt
    NODE_DEVICES=2 node_start --set "store.overwrite=$(token)"
    hg_output headgate 2>&1 | grep "device $DEVICE held a partition table: gpt.*overwritten as told"
    node_load alpha --size 8M --bytes 8M
    hg_daemon_stop
    [ -z "$(blkid -p "$DEVICE")" ] # nothing is left for others to see, at either end
    # The word may stay in the profile: the pool is found and kept.
    NODE_DEVICES=2 node_start --set "store.overwrite=$(token)"
    node_export alpha/vol "$HG_DIR/out"
}
