# SPDX-License-Identifier: BSD-3-Clause
"""A TCP client by hand: an address that no kernel owns, and connections whose every segment the test chooses.

The Peer answers ARP and ND for its address whenever it listens. A Conn counts from its initial sequence number:
offset 0 is the first byte. Nothing is sent again, and nothing is acknowledged but by read() and send().
"""

import random
import struct
import time

import packets
from packets import ACK, FIN, RST, SYN, Seg


class Peer:
    def __init__(self, wire, address, node, node_mac):
        self.wire, self.address, self.node, self.node_mac = wire, address, node, node_mac
        self.mac = packets.mac_of("02:00:00:00:00:%02x" % (packets.raw(address)[-1] or 1))
        self.port = random.randrange(20000, 60000)
        if ":" not in address:  # heard as one that asks (RFC 826), so known
            wire.send(packets.BROADCAST, self.mac, packets.ETH_ARP, packets.arp(1, self.mac, address, bytes(6), node))

    def send_ip(self, payload, proto=packets.IP_TCP, **wrong):
        make = packets.ipv6 if ":" in self.address else packets.ipv4
        self.send_packet(make(payload, self.address, self.node, proto, **wrong))

    def send_packet(self, packet):
        self.wire.send(self.node_mac, self.mac, packets.ETH_IP6 if packet[0] >> 4 == 6 else packets.ETH_IP4, packet)

    def segments(self, seconds):
        """The node's segments to our address, for so long; meanwhile who asks for our MAC is told."""
        for frame in self.wire.frames(seconds):
            self.answer(frame)
            seg = Seg.parse(frame)
            if seg and seg.src == self.node and seg.dst == self.address:
                yield seg

    def answer(self, frame):
        us = packets.raw(self.address)
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] == us:
            if frame[28:32] != us:
                self.wire.send(frame[6:12], self.mac, packets.ETH_ARP,
                               packets.arp(2, self.mac, self.address, frame[22:28], self.node))
        elif frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 135 and frame[62:78] == us:
            na = packets.icmp6(self.address, self.node, 136, 0, 0x60000000, us + b"\2\1" + self.mac)
            self.wire.send(self.node_mac, self.mac, packets.ETH_IP6,
                           packets.ipv6(na, self.address, self.node, packets.IP_ICMP6, hops=255))

    def connect(self, port, *, isn=None, options=b"", window=60000):
        conn = Conn(self, port, random.getrandbits(32) if isn is None else isn, window)
        for _ in range(5):
            conn.segment(SYN, -1, options=options, ack=0)
            for seg in self.segments(1):
                if seg.dport == conn.sport and seg.flags & SYN:
                    conn.peer_next = seg.seq + 1
                    conn.segment(ACK, 0)
                    return conn
        raise AssertionError("the node does not answer a SYN")


class Conn:
    def __init__(self, peer, port, isn, window):
        self.peer, self.dport, self.window = peer, port, window
        peer.port += 1
        self.sport = peer.port
        self.first = isn + 1  # sequence number of the first byte
        self.peer_next = 0
        self.reset = False
        self.acked = 0  # by the node, as offset
        self.seen = 0  # segments

    def make(self, flags, at, data=b"", *, ack=None, **wrong):
        wrong.setdefault("window", self.window)
        return packets.tcp(self.peer.address, self.peer.node, (self.sport, self.dport), flags, self.first + at,
                           self.peer_next if ack is None else ack, data, **wrong)

    def segment(self, flags, at, data=b"", **wrong):
        self.peer.send_ip(self.make(flags, at, data, **wrong))

    def listen(self, seconds, done=lambda: False):
        """Yields the node's segments of this connection, and keeps its books; takes no data."""
        for seg in self.peer.segments(seconds):
            if (seg.sport, seg.dport) != (self.dport, self.sport):
                continue
            self.seen += 1
            if seg.flags & RST:
                self.reset = True
            elif seg.flags & ACK:
                behind = (seg.ack - self.first) & 0xFFFFFFFF
                self.acked = behind if behind < 1 << 31 else self.acked
            yield seg
            if done():
                return

    def read(self, n, seconds=5, sent=0):
        """What the node sends next, n bytes of it, each segment acknowledged; `sent` is our own offset."""
        got = b""
        for seg in self.listen(seconds, lambda: len(got) >= n or self.reset):
            if not seg.data and not seg.flags & FIN:
                continue
            old = (self.peer_next - seg.seq) & 0xFFFFFFFF
            if old < 1 << 31 and old < len(seg.data):
                got += seg.data[old:]
                self.peer_next += len(seg.data) - old
            self.segment(ACK, sent)
        return got

    def wait_acked(self, at, seconds=5):
        end = time.monotonic() + seconds
        while self.acked < at and not self.reset and time.monotonic() < end:
            for _ in self.listen(0.2, lambda: self.acked >= at):
                pass
        return self.acked >= at

    def end(self, at=0):
        """A reset that the node accepts, if `at` is where it is."""
        self.segment(RST, at)


def mss_option(value):
    return struct.pack("!BBH", 2, 4, value)
