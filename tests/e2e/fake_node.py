#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A small node for tests of the source side, written from docs/protocol.md with the standard library.

It keeps each volume in a sparse file DIR/NAME.VOLUME, acknowledges what it wrote, and can misbehave
in ways that a real node may: cut connections, ask for frames again, be out of space, be slow.
It does not fsync: "durable" outlives a SIGKILL of this program, not of the machine. Not a reference
for speed.
"""
import argparse
import json
import os
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

HEADER = struct.Struct("<4sBBHIIIIIBBHQQQQ")
(HELLO, WELCOME, OPEN, OPENED, DATA, ZERO, TRIM, BARRIER, ACK, CREDIT, PING, PONG, ERROR,
 BYE) = range(1, 15)
RETRANSMIT = 2
MAX_RAW = 1 << 20
BLOCK = 4096


def make_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = make_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = TABLE[(crc ^ b) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Cut(Exception):
    """The session ends; args: code, sentence (or none: just close)."""


class Volume:
    """State that outlives sessions. seq and epoch are kept beside the data."""

    def __init__(self, path, size):
        self.path = path
        self.state_path = path + ".state"
        if os.path.exists(self.state_path):
            with open(self.state_path) as f:
                state = json.load(f)
            self.size, self.seq, self.epoch = state["size"], state["seq"], state["epoch"]
        else:
            self.size, self.seq, self.epoch = size, 0, 0
        self.file = open(path, "r+b" if os.path.exists(path) else "w+b")
        self.file.truncate(self.size)
        self.owner = None
        self.lock = threading.Lock()

    def save(self):
        with open(self.state_path + ".new", "w") as f:
            json.dump({"size": self.size, "seq": self.seq, "epoch": self.epoch}, f)
        os.replace(self.state_path + ".new", self.state_path)

    def zero(self, offset, length):
        if offset == 0 and length == self.size:
            self.file.truncate(0)
            self.file.truncate(self.size)
            return
        self.file.seek(offset)
        while length:
            n = min(length, MAX_RAW)
            self.file.write(bytes(n))
            length -= n


class Handle:
    """A volume within one session."""

    def __init__(self, volume):
        self.volume = volume
        self.frames = 0
        self.bytes = 0
        self.rewinding = False
        self.fails = 0


class Session(threading.Thread):
    def __init__(self, node, sock):
        super().__init__(daemon=True)
        self.node = node
        self.sock = sock
        self.handles = {}
        self.spent = 0
        self.limit = node.args.credit
        self.frames = 0
        self.dirty = set()

    # -- bytes --

    def read(self, n):
        out = bytearray()
        while len(out) < n:
            piece = self.sock.recv(n - len(out))
            if not piece:
                raise Cut()
            out += piece
        return bytes(out)

    def send(self, kind, payload=b"", **f):
        head = [b"HGR1", 0, kind, 0, 0, len(payload), len(payload),
                crc32c(payload) if payload else 0, f.get("volume", 0), 0, f.get("level", 0), 0,
                f.get("seq", 0), f.get("epoch", 0), f.get("offset", 0), f.get("arg", 0)]
        head[4] = crc32c(HEADER.pack(*head))
        self.sock.sendall(HEADER.pack(*head) + payload)

    def error(self, code, scope, retry, text, retry_ms=0, **f):
        self.send(ERROR, struct.pack("<HBBI", code, scope, retry, retry_ms) + text.encode(), **f)

    # -- the session --

    def run(self):
        try:
            self.sock = self.node.tls.wrap_socket(self.sock, server_side=True)
            self.name = self.peer_name()
            self.serve()
        except Cut as end:
            if end.args:
                try:
                    self.error(end.args[0], 3, end.args[2] if len(end.args) > 2 else 0, end.args[1])
                except OSError:
                    pass
        except (OSError, ssl.SSLError) as e:
            self.node.log("connection: %s" % e)
        finally:
            for h in self.handles.values():
                with h.volume.lock:
                    h.volume.file.flush()
                    h.volume.save()
            try:
                self.sock.close()
            except OSError:
                pass

    def peer_name(self):
        cert = self.sock.getpeercert()
        for kind, value in cert.get("subjectAltName", ()):
            if kind == "URI" and value.startswith("headgate:source/"):
                return value[16:]
        for rdn in cert["subject"]:
            for key, value in rdn:
                if key == "commonName":
                    return value
        raise Cut(5, "certificate without a name")

    def frame(self):
        raw = self.read(HEADER.size)
        f = dict(zip(("magic", "minor", "type", "flags", "header_crc", "payload_len", "raw_len",
                      "payload_crc", "volume", "codec", "level", "reserved", "seq", "epoch",
                      "offset", "arg"), HEADER.unpack(raw)))
        if f["magic"] != b"HGR1":
            raise Cut(1, "not a frame header")
        if crc32c(raw[:8] + bytes(4) + raw[12:]) != f["header_crc"]:
            raise Cut(2, "header CRC", 1)
        if not HELLO <= f["type"] <= BYE and not f["flags"] & 1:
            raise Cut(4, "unknown type")
        limit = MAX_RAW if f["type"] == DATA else 4096
        if f["payload_len"] > limit or f["raw_len"] > MAX_RAW:
            raise Cut(6, "too long")
        return f, self.read(f["payload_len"])

    def serve(self):
        f, payload = self.frame()
        if f["type"] != HELLO:
            raise Cut(5, "HELLO comes first")
        codecs, max_raw, levels, want = struct.unpack_from("<IIII", payload)
        self.levels = levels or 4
        self.send(WELCOME, struct.pack("<IIIIIIQ", codecs & 3 | 1, min(max_raw, MAX_RAW),
                                       self.levels, BLOCK, 1024, 10000, self.limit)
                  + payload[16:32] + b"fake node")
        while True:
            f, payload = self.frame()
            kind = f["type"]
            if kind == OPEN:
                self.open(f, payload)
            elif DATA <= kind <= BARRIER:
                self.sequenced(f, payload)
            elif kind == PING:
                self.send(PONG, arg=f["arg"])
            elif kind == BYE:
                self.acknowledge()
                self.send(BYE)
                self.sock = self.sock.unwrap()
                return
            elif kind == ERROR:
                self.node.log("source says: %s" % payload[8:].decode("ascii", "replace"))
                raise Cut()
            if not self.sock.pending():
                self.acknowledge()

    def open(self, f, payload):
        name = payload.decode("ascii", "replace")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,127}", name):
            self.error(18, 2, 0, "bad name", volume=f["volume"])
            return
        volume, code = self.node.volume(self.name, name, f["arg"], self)
        if volume is None:
            self.error(code, 2, 0, "size differs" if code == 16 else "no such volume",
                       volume=f["volume"])
            return
        self.handles[f["volume"]] = Handle(volume)
        self.send(OPENED, volume=f["volume"], arg=volume.size, seq=volume.seq, epoch=volume.epoch)

    def rewind(self, handle, f, code, retry, text, retry_ms=0):
        handle.rewinding = True
        handle.fails += 1
        if handle.fails > 3:
            raise Cut(code, "three times", 1)
        self.error(code, 1 if code < 11 else 2, retry, text, retry_ms, volume=f["volume"],
                   seq=f["seq"])

    def sequenced(self, f, payload):
        args = self.node.args
        handle = self.handles.get(f["volume"])
        if handle is None:
            raise Cut(5, "volume not open")
        cost = BLOCK
        while f["type"] == DATA and cost < f["raw_len"]:
            cost *= 2
        self.spent += cost
        if self.spent > self.limit:
            raise Cut(19, "more than granted")
        self.frames += 1
        if args.cut_every and self.frames % args.cut_every == 0:
            raise Cut()
        v = handle.volume
        if v.owner is not self:
            raise Cut(27, "superseded")
        if handle.rewinding and not (f["seq"] == v.seq + 1 and f["flags"] & RETRANSMIT):
            return
        handle.rewinding = False
        if f["seq"] != v.seq + 1:
            raise Cut(12 if f["seq"] > v.seq else 13, "sequence", 1)
        if args.rewind_every and random.randrange(args.rewind_every) == 0 and handle.fails == 0:
            self.rewind(handle, f, 10, 1, "made up CRC error")
            return
        if args.wait_every and random.randrange(args.wait_every) == 0 and handle.fails == 0:
            self.rewind(handle, f, 14, 2, "made up lack of space", 300)
            return
        self.take(handle, f, payload)

    def take(self, handle, f, payload):
        v = handle.volume
        args = self.node.args
        length = f["raw_len"] if f["type"] == DATA else f["arg"]
        if f["type"] != BARRIER and f["offset"] + length > v.size:
            del self.handles[f["volume"]]
            self.error(11, 2, 0, "beyond the end", volume=f["volume"], seq=f["seq"])
            return
        if f["type"] == DATA:
            if f["codec"] == 1:
                try:
                    d = zlib.decompressobj(-15)
                    payload = d.decompress(payload, f["raw_len"] + 1)
                    whole = d.eof and not d.unused_data
                except zlib.error:
                    whole = False
                if not whole or len(payload) != f["raw_len"]:
                    self.rewind(handle, f, 9, 1, "does not decompress")
                    return
            if args.check_crc and crc32c(payload) != f["payload_crc"]:
                self.rewind(handle, f, 10, 1, "payload CRC")
                return
            v.file.seek(f["offset"])
            v.file.write(payload)
            handle.bytes += length
        elif f["type"] == BARRIER:
            if (f["arg"], f["offset"]) != (handle.frames, handle.bytes) or f["epoch"] <= v.epoch:
                del self.handles[f["volume"]]
                self.error(24, 2, 0, "counted %d frames %d bytes" % (handle.frames, handle.bytes),
                           volume=f["volume"], seq=f["seq"])
                return
            v.epoch = f["epoch"]
            handle.frames, handle.bytes = -1, 0
        else:
            v.zero(f["offset"], length)
        handle.frames += 1
        handle.fails = 0
        v.seq = f["seq"]
        self.dirty.add(f["volume"])
        if len(self.dirty) > 1 or self.spent + args.credit // 2 > self.limit:
            self.acknowledge()

    def acknowledge(self):
        """Everything taken is durable; the credit it took is free again."""
        for number in self.dirty:
            if number not in self.handles:
                continue
            v = self.handles[number].volume
            v.file.flush()
            v.save()
            for level in (1, 2, 3):
                if self.levels & 1 << level:
                    self.send(ACK, volume=number, level=level, seq=v.seq, epoch=v.epoch)
        self.dirty.clear()
        if self.limit != self.spent + self.node.args.credit:
            self.limit = self.spent + self.node.args.credit
            self.send(CREDIT, arg=self.limit)
        if self.node.args.delay:
            time.sleep(self.node.args.delay)


class Node:
    def __init__(self, args):
        self.args = args
        self.volumes = {}
        self.lock = threading.Lock()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(args.cert, args.key)
        self.tls.load_verify_locations(args.ca)
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.set_alpn_protocols(["headgate/1"])

    def log(self, text):
        print("fake node: " + text, file=sys.stderr, flush=True)

    def volume(self, source, name, size, session):
        """The volume, or None and the error code."""
        path = os.path.join(self.args.dir, "%s.%s" % (source, name))
        with self.lock:
            v = self.volumes.get(path)
            if v is None:
                if size == 0 and not os.path.exists(path):
                    return None, 17
                v = self.volumes[path] = Volume(path, size)
            if size not in (0, v.size):
                return None, 16
            v.owner = session
            return v, 0

    def run(self):
        listener = socket.create_server((self.args.host, self.args.port), backlog=512)
        print("ready %d" % listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Session(self, sock).start()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=1500)
    p.add_argument("--cert", required=True)
    p.add_argument("--key", required=True)
    p.add_argument("--ca", required=True)
    p.add_argument("--dir", required=True, help="where volumes are kept")
    p.add_argument("--credit", type=int, default=4 << 20, help="bytes in flight per session")
    p.add_argument("--check-crc", action="store_true", help="check payload CRCs (slow)")
    p.add_argument("--cut-every", type=int, default=0, help="close after so many frames")
    p.add_argument("--rewind-every", type=int, default=0, help="1 frame in N is asked for again")
    p.add_argument("--wait-every", type=int, default=0, help="1 frame in N meets a full pool")
    p.add_argument("--delay", type=float, default=0, help="seconds before each acknowledgement")
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    random.seed(args.seed)
    Node(args).run()


if __name__ == "__main__":
    main()
