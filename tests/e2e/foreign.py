#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes what makes a file a member of an LVM volume group, a LUKS volume or a member of a RAID to
other tools: the headers, as pvcreate, cryptsetup and mdadm would.

    foreign.py lvm|luks|raid FILE
"""

import os
import struct
import sys
import uuid

UUID = "3c2f1c8e-9a52-4d0e-8f3e-0a1b2c3d4e5f"


def lvm_crc(data):
    crc = 0xF597A6CF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc


def lvm(size):
    """The label is in the second sector; its checksum covers the sector from offset 20."""
    label = bytearray(512)
    label[0:8] = b"LABELONE"
    struct.pack_into("<Q", label, 8, 1)
    struct.pack_into("<I", label, 20, 32)
    label[24:32] = b"LVM2 001"
    label[32:64] = UUID.replace("-", "").encode()
    struct.pack_into("<I", label, 16, lvm_crc(label[20:]))
    return 512, bytes(label)


def luks(size):
    """LUKS 1."""
    header = bytearray(592)
    header[0:8] = b"LUKS\xba\xbe" + struct.pack(">H", 1)
    header[168:168 + len(UUID)] = UUID.encode()
    return 0, bytes(header)


def raid(size):
    """MD, version 1.0: at the end, 8 KiB or more before it, aligned to 4 KiB."""
    at = (size // 512 - 16 & ~7) * 512
    block = bytearray(256 + 2 * 2)
    struct.pack_into("<IIII", block, 0, 0xA92B4EFC, 1, 0, 0)
    block[16:32] = uuid.UUID(UUID).bytes
    block[32:38] = b"node:7"
    struct.pack_into("<IIQII", block, 72, 1, 0, at // 512, 0, 2)
    struct.pack_into("<QQQ", block, 128, 0, at // 512, at // 512)
    struct.pack_into("<I", block, 220, 2)
    total = sum(struct.unpack(f"<{len(block) // 4}I", block))
    struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
    return at, bytes(block)


def main():
    make, path = {"lvm": lvm, "luks": luks, "raid": raid}[sys.argv[1]], sys.argv[2]
    at, data = make(os.path.getsize(path))
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


main()
