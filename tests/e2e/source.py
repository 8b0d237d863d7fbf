# SPDX-License-Identifier: BSD-3-Clause
"""A source of the native protocol, written from docs/protocol.md alone.

For tests that say what no real source would say: every field of every frame can be set wrong. It is
slow and does what it is told; it keeps no copy for a resume and no promise about credit.

    s = Source("192.0.2.1", 1500, pki="/tmp/x/pki", name="source1")
    s.hello()
    s.open(1, "disk", 1 << 20)
    s.data(1, seq=1, offset=0, raw=b"x" * 4096, codec=DEFLATE)
    s.wait_ack(1, 1)
    s.bye()
"""

import os
import socket
import ssl
import struct
import zlib
from dataclasses import dataclass

HELLO, WELCOME, OPEN, OPENED, DATA, ZERO, TRIM, BARRIER, ACK, CREDIT, PING, PONG, ERROR, BYE = range(1, 15)
NAMES = ["", "HELLO", "WELCOME", "OPEN", "OPENED", "DATA", "ZERO", "TRIM", "BARRIER", "ACK", "CREDIT",
         "PING", "PONG", "ERROR", "BYE"]
IGNORABLE, RETRANSMIT = 1, 2
STORED, DEFLATE = 0, 1
RECEIVED, DURABLE, CONSISTENT = 1, 2, 3
HEADER = struct.Struct("<4sBBHIIIIIBBHQQQQ")  # section 2
ERROR_FIXED = struct.Struct("<HBBI")  # section 6
SECONDS = 30  # to wait for a frame


def _crc_table():
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        yield n


_TABLE = tuple(_crc_table())


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def deflate(raw, level=6):
    """Raw deflate, RFC 1951."""
    z = zlib.compressobj(level, zlib.DEFLATED, -15)
    return z.compress(raw) + z.flush()


@dataclass
class Frame:
    """A frame; what is None is worked out from the payload when it is packed."""
    type: int
    payload: bytes = b""
    magic: bytes = b"HGR1"
    minor: int = 0
    flags: int = 0
    header_crc: int = None
    payload_len: int = None
    raw_len: int = None
    payload_crc: int = None
    volume: int = 0
    codec: int = STORED
    level: int = 0
    reserved: int = 0
    seq: int = 0
    epoch: int = 0
    offset: int = 0
    arg: int = 0

    def pack(self):
        length = len(self.payload) if self.payload_len is None else self.payload_len
        raw_len = length if self.raw_len is None else self.raw_len
        crc = self.payload_crc
        if crc is None:
            crc = crc32c(self.payload) if self.payload else 0

        def header(header_crc):
            return HEADER.pack(self.magic, self.minor, self.type, self.flags, header_crc, length, raw_len,
                               crc, self.volume, self.codec, self.level, self.reserved, self.seq,
                               self.epoch, self.offset, self.arg)

        own = crc32c(header(0)) if self.header_crc is None else self.header_crc
        return header(own) + self.payload

    @classmethod
    def unpack(cls, head):
        (magic, minor, kind, flags, header_crc, payload_len, raw_len, payload_crc, volume, codec, level,
         reserved, seq, epoch, offset, arg) = HEADER.unpack(head)
        if magic != b"HGR1" or crc32c(head[:8] + b"\0\0\0\0" + head[12:]) != header_crc:
            raise ProtocolError(f"the node sent a bad header: {head.hex()}")
        return cls(kind, b"", magic, minor, flags, header_crc, payload_len, raw_len, payload_crc, volume,
                   codec, level, reserved, seq, epoch, offset, arg)


class ProtocolError(Exception):
    """The node did not do what the specification says."""


class NodeError(Exception):
    """The node sent ERROR."""

    def __init__(self, frame):
        self.code, self.scope, self.retry, self.retry_ms = ERROR_FIXED.unpack_from(frame.payload)
        self.volume, self.seq = frame.volume, frame.seq
        self.text = frame.payload[ERROR_FIXED.size:].decode("ascii", "replace")
        super().__init__(f"ERROR {self.code}, scope {self.scope}, retry {self.retry} after "
                         f"{self.retry_ms} ms, volume {self.volume}, seq {self.seq}: {self.text}")


def data_frame(volume, seq, offset, raw, codec=STORED, **fields):
    """DATA; codec DEFLATE compresses raw, and stores it when that does not make it smaller."""
    payload = deflate(raw) if codec == DEFLATE else raw
    if len(payload) >= len(raw):
        payload, codec = raw, STORED
    fields = {"payload_crc": crc32c(raw), "raw_len": len(raw), "codec": codec, **fields}
    return Frame(DATA, payload, volume=volume, seq=seq, offset=offset, **fields)


class Source:
    def __init__(self, host, port, pki=None, name=None, alpn="headgate/1", tls=None, server_name=None):
        """pki: directory of headgate-pki; name: whose certificate, None: none at all. tls: "1.2", "1.3"
        or None for what both can do."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH,
                                             cafile=os.path.join(pki, "ca.crt") if pki else None)
        context.check_hostname = pki is not None
        if pki is None:
            context.verify_mode = ssl.CERT_NONE
        if name is not None:
            context.load_cert_chain(os.path.join(pki, name + ".crt"), os.path.join(pki, name + ".key"))
        if alpn is not None:
            context.set_alpn_protocols([alpn])
        if tls is not None:
            version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[tls]
            context.minimum_version = context.maximum_version = version
        self.acked = {}  # (volume, level) -> seq
        self.credit = {}  # volume, or 0 for the session -> limit
        self.welcome = None
        raw = socket.create_connection((host, port), SECONDS)
        try:
            self.socket = context.wrap_socket(raw, server_hostname=server_name or host)
        except BaseException:
            raw.close()
            raise

    def send(self, *frames):
        self.socket.sendall(b"".join(f.pack() for f in frames))

    def send_bytes(self, data):
        self.socket.sendall(data)

    def _exactly(self, length):
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError(f"the node closed the session, {len(data)} of {length} bytes read")
            data += more
        return data

    def receive(self):
        """The next frame, whatever it is. ACK and CREDIT are noted."""
        f = Frame.unpack(self._exactly(HEADER.size))
        f.payload = self._exactly(f.payload_len)
        if f.payload and crc32c(f.payload) != f.payload_crc:
            raise ProtocolError("the node sent a payload that does not match its CRC")
        if f.type == ACK:
            self.acked[f.volume, f.level] = f.seq
        elif f.type == CREDIT:
            self.credit[f.volume] = f.arg
        return f

    def expect(self, *types):
        """The next frame of one of these types; ACK, CREDIT and PING before it are passed over."""
        while True:
            f = self.receive()
            if f.type in types:
                return f
            if f.type == ERROR:
                raise NodeError(f)
            if f.type == PING:
                self.send(Frame(PONG, arg=f.arg))
            elif f.type not in (ACK, CREDIT):
                raise ProtocolError(f"the node sent {f}, and {[NAMES[t] for t in types]} was due")

    def hello(self, codecs=3, max_raw=1 << 20, levels=1 << DURABLE, want_credit=0, agent=b"tests/e2e/source.py"):
        session = os.urandom(16)
        self.send(Frame(HELLO, struct.pack("<IIII", codecs, max_raw, levels, want_credit) + session + agent))
        f = self.expect(WELCOME)
        names = ("codecs", "max_raw", "levels", "block", "max_volumes", "idle_ms", "credit")
        self.welcome = dict(zip(names, struct.unpack_from("<IIIIIIQ", f.payload)))
        if f.payload[32:48] != session:
            raise ProtocolError("WELCOME does not repeat the session's id")
        self.credit[0] = self.welcome["credit"]
        return self.welcome

    def open(self, volume, name, size):
        """OPENED: arg is the size, seq what is durable, epoch the last closed one."""
        self.send(Frame(OPEN, name.encode(), volume=volume, arg=size))
        return self.expect(OPENED)

    def data(self, volume, seq, offset, raw, codec=STORED, **fields):
        self.send(data_frame(volume, seq, offset, raw, codec, **fields))

    def zero(self, volume, seq, offset, length, type=ZERO):
        self.send(Frame(type, volume=volume, seq=seq, offset=offset, arg=length))

    def barrier(self, volume, seq, epoch, frames, raw_bytes):
        self.send(Frame(BARRIER, volume=volume, seq=seq, epoch=epoch, arg=frames, offset=raw_bytes))

    def wait_ack(self, volume, seq, level=DURABLE):
        while self.acked.get((volume, level), 0) < seq:
            self.expect(ACK)

    def bye(self):
        """Ends the session in order: BYE, the node's BYE, close_notify."""
        self.send(Frame(BYE))
        self.expect(BYE)
        self.close()

    def close(self):
        try:
            self.socket.unwrap().close()
        except (OSError, ValueError):
            self.socket.close()

    def cut(self):
        """Ends the connection as a crash does: a reset, no close_notify."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
