#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Looks for a node's secrets in its memory and in its core dumps.

    secrets.py live PID KEYLOG KEY         must find in the running process: the traffic keys of each TLS 1.3 connection
                                           of the key log whose application secrets are there, and the private key
    secrets.py core CORE KEYLOG KEY TEXT   must find TEXT in the core, and no secret at all

KEYLOG is in the format of SSLKEYLOGFILE, KEY a PEM file with a P-256 key. A secret is looked for as it is and in
hexadecimal; keys are derived by the key schedule of RFC 8446 section 7, for every length a suite may want.
"""

import hashlib
import hmac
import mmap
import re
import subprocess
import sys


def expand_label(secret, label, length):
    digest = {32: hashlib.sha256, 48: hashlib.sha384}[len(secret)]
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    out, block, n = b"", b"", 1
    while len(out) < length:
        block = hmac.new(secret, block + info + bytes([n]), digest).digest()
        out, n = out + block, n + 1
    return out[:length]


def logged(path):
    """Yields (name, secret, live): live are traffic keys that an open connection must have."""
    for line in open(path):
        label, client_random, secret = line.split()
        secret = bytes.fromhex(secret)
        name = f"{label} of {client_random[:8]}"
        yield name, secret, False
        if "TRAFFIC_SECRET" not in label:
            continue
        updated = expand_label(secret, b"traffic upd", len(secret))
        yield name + ", updated", updated, False
        for length in (16, 32):
            live = label.endswith("_TRAFFIC_SECRET_0")
            yield f"{name}, key of {length}", expand_label(secret, b"key", length), live
        yield name + ", finished", expand_label(secret, b"finished", len(secret)), False


def private_key(path):
    """The number, both ways round, and the PEM file's lines."""
    text = subprocess.run(["openssl", "pkey", "-in", path, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    number = bytes.fromhex(re.search(r"priv:\s*((?:[0-9a-f]{2}[:\s]*)+)", text).group(1).replace(":", "").replace("\n", "").replace(" ", ""))
    number = number[-32:]
    yield "private key", number, False
    yield "private key, least byte first", number[::-1], False
    for n, line in enumerate(open(path).read().split("\n")[1:-2]):
        yield f"private key file, line {n + 2}", line.encode(), False


def everything(keylog, key):
    for name, secret, live in [*logged(keylog), *private_key(key)]:
        yield name, secret, live
        yield name + " in hexadecimal", secret.hex().encode(), False


def mappings(pid):
    for line in open(f"/proc/{pid}/maps"):
        span, rights = line.split()[:2]
        if rights.startswith("rw"):
            yield tuple(int(x, 16) for x in span.split("-"))


def live(pid, keylog, key):
    found = set()
    wanted = list(everything(keylog, key))
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end in mappings(pid):
            for at in range(start, end, 1 << 16):
                try:
                    mem.seek(at)
                    data = mem.read(min(end - at, (1 << 16) + 128))
                except OSError:
                    continue
                if data.count(0) != len(data):
                    found |= {name for name, secret, _ in wanted if secret in data}
    lines = {re.sub(", key of .*", "", name) for name, _, must in wanted if must}
    keyed = {re.sub(", key of .*", "", name) for name, _, must in wanted if must and name in found}
    missing = sorted(lines - keyed)
    if not any("private key" in name for name in found):
        missing.append("the private key")
    print(f"{len(found)} of {len(wanted)} in the process")
    return [f"not found in the process, so the test shows nothing: {name}" for name in missing]


def segments(data):
    """Yields (offset, address, length) of what an ELF core dump holds of the process."""
    at = int.from_bytes(data[32:40], "little")
    for n in range(int.from_bytes(data[56:58], "little")):
        h = data[at + 56 * n : at + 56 * n + 56]
        kind, offset, address, length = (int.from_bytes(h[i:j], "little") for i, j in ((0, 4), (8, 16), (16, 24), (32, 40)))
        if kind == 1 and length != 0:
            yield offset, address, length


def runs(data):
    """Yields (offset, bytes) of what is not zero, in runs that no secret spans."""
    block, zero = 1 << 16, bytes(1 << 16)
    start, parts = 0, []
    for at in range(0, len(data), block):
        piece = data[at : at + block]
        if piece != zero[: len(piece)]:
            start = at if not parts else start
            parts.append(piece)
        elif parts:
            yield start, b"".join(parts) + bytes(128)
            parts = []
    if parts:
        yield start, b"".join(parts)


def place(data, offset):
    for start, address, length in segments(data):
        if start <= offset < start + length:
            return f"address {address + offset - start:#x}"
    return "outside of the process's memory (registers)"


def core(path, keylog, key, text):
    wanted = list(everything(keylog, key))
    faults, seen = [], False
    with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start, piece in runs(data):
            seen = seen or text.encode() in piece
            faults += [f"in the core dump, {place(data, start + piece.find(secret))}: {name}" for name, secret, _ in wanted if secret in piece]
        print(f"looked for {len(wanted)} in {len(data) >> 20} MiB")
    if not seen:
        faults.append(f"not in the core dump, so it proves nothing: {text}")
    return faults


def main():
    what, *args = sys.argv[1:]
    faults = {"live": live, "core": core}[what](*args)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
