# SPDX-License-Identifier: BSD-3-Clause
"""Packets by hand: every header from its fields, any of them wrong on request, and a raw socket to send them.

Only for tests that must say what no kernel would. Addresses are text, payloads and MACs bytes. A length or
checksum that is not given is right.
"""

import fcntl
import ipaddress
import select
import socket
import struct
import time

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ETH_IP4, ETH_ARP, ETH_IP6 = 0x0800, 0x0806, 0x86DD
IP_ICMP, IP_TCP, IP_ICMP6 = 1, 6, 58
BROADCAST = b"\xff" * 6


def add16(data, start=0):
    """The one's complement sum of data as 16-bit words (RFC 1071), not complemented."""
    if len(data) % 2:
        data += b"\0"
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data, start=0):
    return ~add16(data, start) & 0xFFFF


def raw(address):
    return ipaddress.ip_address(address).packed


def mac_of(text):
    return bytes.fromhex(text.replace(":", ""))


def pseudo(src, dst, proto, length):
    """The sum of the pseudo header, the same for both IP versions (RFC 9293 3.1, RFC 8200 8.1)."""
    return add16(raw(src) + raw(dst)) + proto + length


def ipv4(payload, src, dst, proto=IP_TCP, *, first=None, length=None, ident=1, frag=0x4000, options=b"",
         wrong_sum=False):
    """frag: flags and offset as they stand in the header; 0x4000 is "don't fragment"."""
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | words if first is None else first, 0,
                       4 * words + len(payload) if length is None else length, ident, frag, 64, proto, 0,
                       raw(src), raw(dst)) + options
    value = checksum(head) ^ (0x5555 if wrong_sum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def ipv6(payload, src, dst, proto=IP_TCP, *, length=None, hops=64, first=0x60):
    return struct.pack("!BBHHBB16s16s", first, 0, 0, len(payload) if length is None else length, proto, hops,
                       raw(src), raw(dst)) + payload


def fragment6(payload, proto, offset, more, ident):
    return struct.pack("!BBHI", proto, 0, offset | more, ident) + payload


def ip(payload, src, dst, proto=IP_TCP):
    return (ipv6 if ":" in src else ipv4)(payload, src, dst, proto)


def tcp(src, dst, ports, flags, seq=0, ack=0, data=b"", *, window=8192, options=b"", offset=None, urgent=0,
        wrong_sum=False):
    """ports: (source, destination). offset: the data offset field, in words."""
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window, 0,
                       urgent) + options
    value = checksum(head + data, pseudo(src, dst, IP_TCP, len(head) + len(data))) ^ (0x5555 if wrong_sum else 0)
    return head[:16] + struct.pack("!H", value) + head[18:] + data


def timestamps(value, echo):
    return struct.pack("!BBBBII", 1, 1, 8, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def icmp(kind, code=0, rest=0, body=b"", *, wrong_sum=False):
    head = struct.pack("!BBHI", kind, code, 0, rest) + body
    return head[:2] + struct.pack("!H", checksum(head) ^ (0x5555 if wrong_sum else 0)) + head[4:]


def icmp6(src, dst, kind, code=0, rest=0, body=b""):
    head = struct.pack("!BBHI", kind, code, 0, rest) + body
    return head[:2] + struct.pack("!H", checksum(head, pseudo(src, dst, IP_ICMP6, len(head)))) + head[4:]


def arp(op, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH6s4s6s4s", 1, ETH_IP4, 6, 4, op, sender_mac, raw(sender), target_mac, raw(target))


def interface_mac(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, 0x8927, struct.pack("256s", name.encode()))[18:24]  # SIOCGIFHWADDR


class Seg:
    """A TCP segment as it was seen."""

    @staticmethod
    def parse(frame):
        """None for all other frames."""
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ETH_IP4 and frame[23] == IP_TCP:
            at, end = 14 + 4 * (frame[14] & 15), 14 + int.from_bytes(frame[16:18], "big")
            src, dst = frame[26:30], frame[30:34]
        elif kind == ETH_IP6 and frame[20] == IP_TCP:
            at, end = 54, 54 + int.from_bytes(frame[18:20], "big")
            src, dst = frame[22:38], frame[38:54]
        else:
            return None
        self = Seg()
        self.src, self.dst = str(ipaddress.ip_address(src)), str(ipaddress.ip_address(dst))
        self.sport, self.dport, self.seq, self.ack, off, self.flags, self.window = struct.unpack(
            "!HHIIBBH", frame[at:at + 16])
        self.data = frame[at + (off >> 4) * 4:end]
        self.ts = None
        self.options = frame[at + 20:at + (off >> 4) * 4]
        if self.options[:4] == b"\1\1\x08\x0a":
            self.ts = struct.unpack("!II", self.options[4:12])
        return self


class Wire:
    """A raw socket on an interface. Sends at most `rate` packets a second: a tap's ring is short, and what it
    drops has attacked nobody."""

    def __init__(self, name, rate=20000):
        self.name, self.gap, self.due = name, 1 / rate, 0
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.sock.bind((name, 0))
        self.sock.setblocking(False)
        self.sent = 0

    def send(self, dst, src, ethertype, payload):
        self.frame(dst + src + struct.pack("!H", ethertype) + payload)

    def frame(self, frame):
        now = time.monotonic()
        if self.due > now + 0.002:
            time.sleep(self.due - now)
        self.due = max(self.due, now - 0.01) + self.gap
        while True:
            try:
                self.sock.send(frame)
                self.sent += 1
                return
            except (BlockingIOError, OSError) as e:
                if not isinstance(e, BlockingIOError) and e.errno != 105:  # ENOBUFS
                    raise
                time.sleep(0.001)

    def forget(self):
        """What has come until now."""
        try:
            while True:
                self.sock.recv(1)
        except BlockingIOError:
            pass

    def frames(self, seconds):
        """Frames as they come, ours included, for so long."""
        end = time.monotonic() + seconds
        while True:
            try:
                yield self.sock.recv(70000)
            except BlockingIOError:
                left = end - time.monotonic()
                if left <= 0:
                    return
                select.select([self.sock], [], [], left)
            if time.monotonic() > end:
                return
