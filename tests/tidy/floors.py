# SPDX-License-Identifier: BSD-3-Clause
"""Which room a file is in, on which floor that room is, and which floor owns a public header.

docs/ARCHITECTURE.md tells why. A file includes public headers of its own floor or of a lower one,
and private headers of its own room only. Drivers stand beside the libraries.
"""

from pathlib import PurePosixPath

FLOOR = {
    "lib/base": 0,
    "lib/codec": 1,
    "drivers/port": 1,
    "drivers/bdev": 1,
    "lib/net": 2,
    "lib/tcp": 2,
    "lib/stack": 3,
    "lib/tls": 3,
    "lib/store": 4,
    "lib/ingest": 5,
    "lib/nbd": 5,
    "lib/testsvc": 5,
    "lib/shard": 6,
    "app": 7,
    "bench": 8,
    "tests": 8,
}

# Public headers whose name is not their room's, alone or before a '_'.
HEADER_ROOM = {
    "arena": "lib/base",
    "base": "lib/base",
    "capture": "app/headgate",
    "counter": "lib/base",
    "endian": "lib/base",
    "export": "app/headgate",
    "helpers": "lib/shard",
    "impair": "drivers/port",
    "log": "lib/base",
    "proto": "lib/ingest",
    "source": "lib/ingest",
    "units": "lib/base",
    "wheel": "lib/base",
}


def room_of(path):
    """The room of a file by its path from the top, or None outside of all rooms."""
    parts = PurePosixPath(path).parts
    if not parts:
        return None
    if parts[0] in ("lib", "drivers", "app") and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if parts[0] in ("bench", "tests") else None


def floor_of(room):
    return FLOOR.get(room, FLOOR.get(room.split("/")[0]))


def header_room(stem):
    """The room that owns include/headgate/STEM.h, or None when its name does not tell."""
    if stem in HEADER_ROOM:
        return HEADER_ROOM[stem]
    word = stem.split("_")[0]
    for room in FLOOR:
        if room.split("/")[-1] == word and "/" in room:
            return room
    return None
