# SPDX-License-Identifier: BSD-3-Clause
"""Attacks on IP and below: fragments, impossible packets, and lies of neighbours.

Each function with one argument is one kind of attack.py and gets its Attack.
"""

import random
import struct

import packets
from packets import ACK, ETH_ARP, IP_ICMP, IP_ICMP6, IP_TCP, PSH, SYN, raw

PEER, PEER6 = "192.0.2.50", "2001:db8::50"
CLIENT, CLIENT6 = "192.0.2.2", "2001:db8::2"
LIAR = packets.mac_of("02:00:00:00:00:66")
ALL_NODES_MAC = packets.mac_of("33:33:00:00:00:01")


def both(a):
    """Who attacks whom, in both IP versions: addresses that nobody has."""
    return (PEER, a.node), (PEER6, a.node6)


def syn(src, dst, port=7, **wrong):
    return packets.tcp(src, dst, (4000, port), SYN, 1, **wrong)


# --- fragments -----------------------------------------------------------------------------------


def piece(part, src, dst, at, more, ident, proto=IP_TCP):
    if ":" in src:
        return packets.ipv6(packets.fragment6(part, proto, at, more, ident), src, dst, 44)
    return packets.ipv4(part, src, dst, proto, ident=ident & 0xFFFF, frag=at // 8 | (0x2000 if more else 0))


def pieces(payload, src, dst, size, ident):
    return [piece(payload[at:at + size], src, dst, at, at + size < len(payload), ident)
            for at in range(0, len(payload), size)]


def frag_tiny(a):
    """RFC 1858: a first fragment without the flags, and a second that would overwrite them."""
    for i in range(a.count):
        for src, dst in both(a):
            segment = packets.tcp(src, dst, (4000, 7), SYN, 1, data=bytes(40))
            a.send(piece(segment[:8], src, dst, 0, True, i))
            a.send(piece(segment[8:], src, dst, 8, False, i))


def frag_overlap(a):
    """RFC 5722: pieces that overlap, of content that differs; none may be joined."""
    for i in range(a.count):
        for src, dst in both(a):
            segment = packets.tcp(src, dst, (4000, 7), SYN, 1, data=bytes(60))
            a.send(piece(segment[:48], src, dst, 0, True, i))
            a.send(piece(b"\xff" * 24, src, dst, 24, True, i))
            a.send(piece(segment[48:], src, dst, 48, False, i))


def frag_never(a):
    for i in range(a.count):
        for src, dst in both(a):
            a.send(piece(bytes(1024), src, dst, 0, True, i))
            a.send(piece(bytes(1024), src, dst, 4096, i % 2, i + (1 << 15)))


def frag_proper(a):
    """Connections whose every data segment comes in pieces, in order and turned round."""
    for address in (PEER, PEER6):
        peer = a.peer(address)
        for i in range(a.count):
            c = peer.connect(7)
            data = random.Random(i).randbytes(1200)
            for n in range(4):
                parts = pieces(c.make(ACK | PSH, 1200 * n, data), address, peer.node, 504, 1000 * i + n)
                for part in parts if n % 2 else reversed(parts):
                    peer.send_packet(part)
                got = c.read(1200, sent=1200 * (n + 1))
                assert got == data, f"{address}, connection {i}: {len(got)} bytes of 1200 came back"
            c.end(4800)


# --- packets that cannot be ----------------------------------------------------------------------


def land(a):
    """From the node to the node."""
    for _ in range(a.count):
        for dst in (a.node, a.node6):
            for flags in (SYN, ACK):
                a.send(packets.ip(packets.tcp(dst, dst, (7, 7), flags, 1, 1), dst, dst))


def martians(a):
    for _ in range(a.count):
        for src in ("127.0.0.1", "127.255.0.9", "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.2.3", "240.0.0.1",
                    "255.255.255.255", "192.0.2.255"):
            a.send(packets.ip(syn(src, a.node), src, a.node))
        for src in ("::", "::1", "ff02::1", "ff0e::7"):
            a.send(packets.ip(syn(src, a.node6), src, a.node6))


def sums(a):
    """Wrong checksums, each of which must be seen: of IPv4, of TCP over both, of ICMP over both."""
    for _ in range(a.count):
        for src, dst in both(a):
            a.send(packets.ip(syn(src, dst, wrong_sum=True), src, dst))
        a.send(packets.ipv4(syn(PEER, a.node), PEER, a.node, wrong_sum=True))
        a.send(packets.ipv4(packets.icmp(8, body=bytes(32), wrong_sum=True), PEER, a.node, IP_ICMP))
        a.send(packets.ipv6(bytes((128, 0, 1, 2)) + bytes(32), PEER6, a.node6, IP_ICMP6))


def cuts(a):
    """A packet of each kind, cut off after each byte."""
    for src, dst in both(a):
        echo = packets.icmp(8) if ":" not in src else packets.icmp6(src, dst, 128)
        whole = (packets.ip(syn(src, dst, options=packets.timestamps(1, 2)), src, dst),
                 packets.ip(echo, src, dst, IP_ICMP6 if ":" in src else IP_ICMP),
                 piece(bytes(32), src, dst, 0, True, 1))
        for packet in whole:
            for n in range(1, len(packet)):
                a.send(packet[:n])
    request = packets.arp(1, LIAR, PEER, bytes(6), a.node)
    for n in range(1, len(request)):
        a.wire.send(packets.BROADCAST, LIAR, ETH_ARP, request[:n])


def lengths(a):
    """Length fields that say more or less than there is, jumbograms among them (RFC 2675)."""
    s4, s6 = syn(PEER, a.node), syn(PEER6, a.node6)
    jumbo = bytes((6, 0, 0xC2, 4)) + struct.pack("!I", 1 << 20)
    for _ in range(a.count):
        for length in (0, 19, 20, 21, 39, 41, 1500, 65535):
            a.send(packets.ipv4(s4, PEER, a.node, length=length))
        for first in (0x40, 0x44, 0x46, 0x4F, 0x55, 0x65):
            a.send(packets.ipv4(s4, PEER, a.node, first=first))
        for length in (0, 1, 19, 21, 1500, 65535):
            a.send(packets.ipv6(s6, PEER6, a.node6, length=length))
        a.send(packets.ipv6(jumbo + s6, PEER6, a.node6, 0, length=0))
        a.send(packets.ipv6(jumbo + s6, PEER6, a.node6, 0))


def routing(a):
    """IPv4 source routes, and routing headers of IPv6 with segments left, type 0 among them (RFC 5095)."""
    for _ in range(a.count):
        for kind in (131, 137):
            route = bytes((kind, 7, 4)) + raw("203.0.113.1") + b"\0"
            a.send(packets.ipv4(syn(PEER, a.node), PEER, a.node, options=route))
        for kind in (0, 1, 2, 4):
            header = struct.pack("!BBBBI", IP_TCP, 2, kind, 1, 0) + raw("2001:db8:bad::1")
            a.send(packets.ipv6(header + syn(PEER6, a.node6), PEER6, a.node6, 43))


# --- neighbours that lie -------------------------------------------------------------------------


def arp(a, to, op, claimed, target_mac, target):
    a.wire.send(to, LIAR, ETH_ARP, packets.arp(op, LIAR, claimed, target_mac, target))


def arp_claims(a):
    """Announcements for the client's address and for the node's own (RFC 5227)."""
    for _ in range(a.count):
        for claimed in (CLIENT, a.node):
            arp(a, packets.BROADCAST, 1, claimed, bytes(6), claimed)
            arp(a, packets.BROADCAST, 2, claimed, packets.BROADCAST, claimed)


def arp_replies(a):
    """Answers to the node that it did not ask for, or not of us."""
    for _ in range(a.count):
        arp(a, a.node_mac, 2, CLIENT, a.node_mac, a.node)


def advert(a, claimed, flags, *, to=None, hops=255, src=None):
    body = raw(claimed) + b"\2\1" + LIAR
    src = src or claimed
    dst = a.node6 if to is None else to
    message = packets.icmp6(src, dst, 136, 0, flags << 24, body)
    mac = a.node_mac if to is None else ALL_NODES_MAC
    a.wire.send(mac, LIAR, packets.ETH_IP6, packets.ipv6(message, src, dst, IP_ICMP6, hops=hops))


def nd_claims(a):
    """Advertisements with every flag, for the client's address and the node's own."""
    for _ in range(a.count):
        for claimed, src in ((CLIENT6, CLIENT6), (a.node6, "fe80::66")):
            advert(a, claimed, 0x20, to="ff02::1", src=src)
            advert(a, claimed, 0xA0, src=src)
            advert(a, claimed, 0x60, src=src)


def nd_far(a):
    """Neighbour discovery from off the link, as the hop limit tells (RFC 4861 7.1): of every type."""
    router = "fe80::66"
    option = b"\1\1" + LIAR
    for _ in range(a.count):
        advert(a, CLIENT6, 0x60, hops=254)
        for src, kind, rest, body in (
                (PEER6, 135, 0, raw(a.node6) + option),
                (router, 134, 0x40000708, bytes(8) + option),
                (router, 137, 0, raw(PEER6) + raw("2001:db8::66"))):
            message = packets.icmp6(src, a.node6, kind, 0, rest, body)
            a.send(packets.ipv6(message, src, a.node6, IP_ICMP6, hops=64))


def neighbours(a):
    """Solicitations for the node from ever other on-link addresses, and all of an IPv4 /24."""
    for i in range(a.count):
        src = f"2001:db8::{1 + i // 60000:x}:{i % 60000 + 1:x}"
        message = packets.icmp6(src, a.node6, 135, 0, 0, raw(a.node6) + b"\1\1" + LIAR)
        a.send(packets.ipv6(message, src, a.node6, IP_ICMP6, hops=255))
        if i < 200:
            arp(a, packets.BROADCAST, 1, f"192.0.2.{i + 50}", bytes(6), a.node)
