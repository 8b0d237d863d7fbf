#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the test vectors of docs/protocol.md into a directory: make.py DIR.

An implementation of its own, so that a mistake in lib/ingest/proto.c cannot hide in the vectors.
"""
import os
import struct
import sys
import zlib

HEADER = struct.Struct("<4sBBHIIIIIBBHQQQQ")
NAMES = ("minor", "type", "flags", "payload_len", "raw_len", "payload_crc", "volume", "codec",
         "level", "seq", "epoch", "offset", "arg")
SESSION = bytes(range(16))


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def deflate(data, level=9):
    c = zlib.compressobj(level, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


def too_far():
    """A fixed block (RFC 1951, 3.2.6): literal "a", a match of length 3 at distance 5, the end."""
    bits = "1" + "10" + "10010001" + "0000001" + "00100" + "0" + "0000000"
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, len(bits), 8))


def frame(payload=b"", magic=b"HGR1", spoil_crc=0, **f):
    f.setdefault("payload_len", len(payload))
    f.setdefault("raw_len", len(payload))
    f.setdefault("payload_crc", crc32c(payload) if payload else 0)
    g = {name: f.get(name, 0) for name in NAMES}

    def pack(crc):
        return HEADER.pack(magic, g["minor"], g["type"], g["flags"], crc, g["payload_len"],
                           g["raw_len"], g["payload_crc"], g["volume"], g["codec"], g["level"], 0,
                           g["seq"], g["epoch"], g["offset"], g["arg"])
    return pack(crc32c(pack(0)) ^ spoil_crc) + payload, g


class Writer:
    def __init__(self, directory):
        self.directory = directory

    def write(self, name, about, expect, made, raw=None):
        data, fields = made
        lines = ["# " + about, "expect: " + expect]
        if expect == "ok":
            lines += ["field: %s %d" % (k, fields[k]) for k in NAMES]
        if raw is not None:
            lines.append("raw: %08x" % crc32c(raw))
        lines += [data[i:i + 32].hex() for i in range(0, len(data), 32)]
        with open(os.path.join(self.directory, name + ".hex"), "w") as f:
            f.write("\n".join(lines) + "\n")


def data_frame(raw, wire=None, **f):
    base = dict(type=5, volume=1, seq=1, raw_len=len(raw), payload_crc=crc32c(raw))
    if wire is not None:
        base["codec"] = 1
    base.update(f)
    return frame(raw if wire is None else wire, **base)


def valid(w):
    hello = struct.pack("<IIII", 3, 1 << 20, 4, 8 << 20) + SESSION
    welcome = struct.pack("<IIIIIIQ", 3, 1 << 20, 4, 4096, 64, 10000, 4 << 20) + SESSION
    w.write("hello", "HELLO with an agent text", "ok", frame(hello + b"example 1.0", type=1))
    w.write("welcome", "WELCOME without agent text", "ok", frame(welcome, type=2))
    w.write("open", "OPEN of a volume of 1 GiB", "ok",
            frame(b"disk0", type=3, volume=7, arg=1 << 30))
    w.write("opened", "OPENED: 41 frames are durable, epoch 3 is closed", "ok",
            frame(type=4, volume=7, arg=1 << 30, seq=41, epoch=3))
    text = b"Headgate " * 57
    w.write("data-stored", "DATA, stored, 513 bytes at a volume's end", "ok",
            data_frame(text, offset=1 << 20, arg=1700000000000000000), text)
    zeros = bytes(65536)
    w.write("data-deflate", "DATA, raw deflate, 64 KiB of zeros", "ok",
            data_frame(zeros, deflate(zeros), seq=2, offset=65536), zeros)
    step = bytes(((i * i >> 11) & 0x1F) + 64 for i in range(4096))
    w.write("data-deflate-dynamic", "DATA, raw deflate with a dynamic block", "ok",
            data_frame(step, deflate(step), seq=(1 << 63) + 5, offset=(1 << 40) - 4096), step)
    w.write("data-retransmit", "DATA with RETRANSMIT set", "ok",
            data_frame(text, flags=2, seq=9), text)
    w.write("zero", "ZERO of 1 GiB", "ok", frame(type=6, volume=7, seq=43, offset=4096, arg=1 << 30))
    w.write("trim", "TRIM of 512 bytes at a volume's end", "ok",
            frame(type=7, volume=7, seq=44, offset=8192, arg=512))
    w.write("barrier", "BARRIER: 4 frames, 66049 raw bytes", "ok",
            frame(type=8, volume=7, seq=45, epoch=4, arg=4, offset=66049))
    w.write("ack", "ACK durable", "ok", frame(type=9, volume=7, level=2, seq=45, epoch=3))
    w.write("credit", "CREDIT of the session", "ok", frame(type=10, arg=12 << 20))
    w.write("ping", "PING", "ok", frame(type=11, arg=0x1122334455667788))
    w.write("pong", "PONG", "ok", frame(type=12, arg=0x1122334455667788))
    error = struct.pack("<HBBI", 14, 2, 2, 5000) + b"the pool is full"
    w.write("error", "ERROR no_space, scope volume, retry after 5 s", "ok",
            frame(error, type=13, volume=7, seq=46))
    w.write("bye", "BYE", "ok", frame(type=14))
    w.write("unknown-ignorable", "a type of a later version that may be skipped", "ok",
            frame(b"later", type=77, flags=1))
    w.write("unused-fields", "fields that a type does not use are not checked", "ok",
            frame(type=11, minor=9, level=200, seq=5, epoch=6, offset=7, volume=3))


def bad_header(w):
    w.write("bad-magic", "magic of another protocol", "bad_magic", frame(magic=b"HGR2", type=11))
    w.write("bad-magic-and-crc", "magic comes before the CRC", "bad_magic",
            frame(magic=b"GET ", type=11, spoil_crc=1))
    w.write("bad-header-crc", "one bit of the header CRC wrong", "header_crc",
            frame(type=11, spoil_crc=0x10))
    w.write("bad-type", "unknown type, not ignorable", "unknown_type", frame(type=77))
    w.write("bad-type-zero", "type 0", "unknown_type", frame(type=0))
    w.write("bad-ignorable-long", "ignorable, but longer than any control frame", "limit",
            frame(type=77, flags=1, payload_len=4097))
    w.write("bad-control-long", "PING with 4097 bytes of payload", "limit",
            frame(type=11, payload_len=4097, raw_len=4097))
    w.write("bad-control-codec", "OPEN, deflate", "bad_field",
            frame(b"disk0", type=3, volume=7, codec=1))
    w.write("bad-control-raw", "OPEN whose two lengths differ", "bad_field",
            frame(b"disk0", type=3, volume=7, raw_len=6))
    w.write("bad-open-handle", "OPEN with handle 0", "bad_field", frame(b"disk0", type=3))
    w.write("bad-zero-length", "ZERO of nothing", "bad_field", frame(type=6, volume=7, seq=1))
    w.write("bad-zero-offset", "ZERO at an offset between blocks", "bad_field",
            frame(type=6, volume=7, seq=1, offset=512, arg=4096))
    w.write("bad-trim-payload", "TRIM with a payload", "bad_field",
            frame(b"x", type=7, volume=7, seq=1, arg=4096))
    w.write("bad-barrier-volume", "BARRIER for the session", "bad_field", frame(type=8, epoch=1))


def bad_data(w):
    block = bytes(range(256)) * 2
    zeros = bytes(65536)
    squeezed = deflate(zeros)
    w.write("bad-data-empty", "DATA without a byte", "limit", data_frame(b""))
    w.write("bad-data-max-raw", "raw_len over max_raw", "limit",
            data_frame(block, raw_len=(1 << 20) + 1, codec=1, payload_len=512))
    w.write("bad-data-grew", "payload_len over raw_len", "limit", data_frame(block, raw_len=511))
    w.write("bad-data-both-huge", "lengths of 4 GiB - 1", "limit",
            data_frame(block, raw_len=0xFFFFFFFF, payload_len=0xFFFFFFFF))
    w.write("bad-data-codec", "codec 2", "codec", data_frame(block, codec=2))
    w.write("bad-data-codec-255", "codec 255", "codec", data_frame(block, codec=255))
    w.write("bad-data-stored-lengths", "stored, but the lengths differ", "bad_field",
            data_frame(block, raw_len=4096))
    w.write("bad-data-expansion", "claims more than deflate can reach", "limit",
            data_frame(zeros, squeezed[:63]))
    w.write("bad-data-volume", "DATA for the session", "bad_field", data_frame(block, volume=0))
    w.write("bad-data-offset", "offset between blocks", "bad_field", data_frame(block, offset=512))
    w.write("bad-payload-crc", "stored payload with one bit flipped", "payload_crc",
            data_frame(block, payload_crc=crc32c(block) ^ 1))
    w.write("bad-payload-crc-deflate", "inflates well, to other bytes", "payload_crc",
            data_frame(zeros, squeezed, payload_crc=crc32c(zeros[1:] + b"\1")))
    w.write("bad-deflate-truncated", "deflate stream without its end", "decompress",
            data_frame(zeros, squeezed[:-2]))
    w.write("bad-deflate-trailing", "bytes after the deflate stream", "decompress",
            data_frame(zeros, squeezed + b"\0\0\0"))
    w.write("bad-deflate-more", "holds one byte more than raw_len", "decompress",
            data_frame(zeros, deflate(zeros + b"\0")))
    w.write("bad-deflate-less", "holds one byte less than raw_len", "decompress",
            data_frame(zeros, deflate(zeros[1:])))
    w.write("bad-deflate-bomb", "claims 64 KiB and holds 1 MiB", "decompress",
            data_frame(zeros, deflate(bytes(1 << 20))))
    w.write("bad-deflate-type", "block type 3, which RFC 1951 reserves", "decompress",
            data_frame(block, b"\x07" + bytes(100)))
    w.write("bad-deflate-distance", "refers to bytes before the beginning", "decompress",
            data_frame(block, too_far()))


def main():
    w = Writer(sys.argv[1])
    valid(w)
    bad_header(w)
    bad_data(w)


if __name__ == "__main__":
    main()
