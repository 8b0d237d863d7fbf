# SPDX-License-Identifier: BSD-3-Clause
"""The guest's initramfs: busybox, our init, and the modules it loads, in an order that works."""

import gzip
import lzma
import re
from pathlib import Path

# The devices of tests/vm/guest, the file systems of tests/vm/init, vfio, and the kernel's own
# drivers for the devices that we drive. A kernel that has one built in, or does not know it, has
# no such file.
WANTED = ("virtio_pci 9pnet_virtio 9p overlay vfio_iommu_type1 vfio_pci igb "
          "crc64_rocksoft_generic crc64_rocksoft nvme").split()
DIRS = "bin dev proc sys modules".split()


def plain(path):
    """Bytes of a module, whatever the distribution packs them with."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    return gzip.decompress(data) if path.suffix == ".gz" else data


def modules_of(tools):
    """Where each module of the unpacked kernel is, by its name."""
    found = {}
    for path in Path(tools, "lib/modules").glob("*/kernel/**/*.ko*"):
        found[path.name.split(".ko")[0].replace("-", "_")] = path
    for path in Path(tools, "usr/lib/modules").glob("*/kernel/**/*.ko*"):
        found[path.name.split(".ko")[0].replace("-", "_")] = path
    return found


def load_order(tools):
    """(name, bytes) of WANTED and all that they depend on, those first."""
    found, order = modules_of(tools), {}

    def add(name):
        if name in order or name not in found:
            return
        data = plain(found[name])
        depends = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in depends.group(1).decode().split(",") if depends else []:
            add(other.replace("-", "_"))
        order[name] = data

    for name in WANTED:
        add(name)
    return order


class Cpio:
    """The newc format, which is all that the kernel reads."""

    def __init__(self):
        self.parts = []
        self.inode = 0

    def add(self, name, mode, data=b""):
        self.inode += 1
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        head = b"070701" + b"".join(b"%08x" % f for f in fields) + raw
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def build(tools, out):
    busybox = next(p for p in (Path(tools, "bin/busybox"), Path(tools, "usr/bin/busybox")) if p.exists())
    cpio, order = Cpio(), load_order(tools)
    for name in DIRS:
        cpio.add(name, 0o040755)
    cpio.add("init", 0o100755, Path(__file__).with_name("init").read_bytes())
    cpio.add("bin/busybox", 0o100755, busybox.read_bytes())
    for applet in "sh mount mkdir insmod chroot sync poweroff echo ln".split():
        cpio.add(f"bin/{applet}", 0o120777, b"busybox")
    for name, data in order.items():
        cpio.add(f"modules/{name}.ko", 0o100644, data)
    cpio.add("modules/order", 0o100644, "".join(f"{name}.ko\n" for name in order).encode())
    out.write_bytes(gzip.compress(cpio.bytes(), 1))
    return order
