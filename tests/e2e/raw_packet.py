#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends one packet, usually a wrong one, from an interface to the node: raw_packet.py INTERFACE KIND [PORT].

Each kind is right in everything but what its name says. PORT is the source port of TCP kinds.
"""

import fcntl
import socket
import struct
import sys

NODE, CLIENT = "192.0.2.1", "192.0.2.2"
SYN, RST, ACK, NONE = 0x02, 0x04, 0x10, 0x00


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def interface_mac(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return fcntl.ioctl(s, 0x8927, struct.pack("256s", name.encode()))[18:24]  # SIOCGIFHWADDR


def neighbour_mac(name):
    """The node's MAC as the kernel has learnt it; the test has pinged before."""
    for line in open("/proc/net/arp", encoding="ascii"):
        field = line.split()
        if field[0] == NODE and field[5] == name:
            return bytes.fromhex(field[3].replace(":", ""))
    sys.exit("the node's MAC is not known: ping it first")


def ipv4(payload, proto=6, src=CLIENT, dst=NODE, first=0x45, wrong_sum=False):
    head = struct.pack("!BBHHHBBH4s4s", first, 0, 20 + len(payload), 1, 0x4000, 64, proto, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    value = checksum(head) ^ (0x5555 if wrong_sum else 0)
    return head[:10] + struct.pack("!H", value) + head[12:] + payload


def tcp(flags, sport=40000, dport=1500, options=b"", offset=None, wrong_sum=False):
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000 if flags & ACK else 0, words << 4, flags,
                       8192, 0, 0) + options
    pseudo = socket.inet_aton(CLIENT) + socket.inet_aton(NODE) + struct.pack("!BBH", 0, 6, len(head))
    value = checksum(pseudo + head) ^ (0x5555 if wrong_sum else 0)
    return head[:16] + struct.pack("!H", value) + head[18:]


def icmp(kind, body=bytes(32), wrong_sum=False):
    head = struct.pack("!BBHHH", kind, 0, 0, 0, 1) + body
    value = checksum(head) ^ (0x5555 if wrong_sum else 0)
    return head[:2] + struct.pack("!H", value) + head[4:]


def packet(kind, port):
    """The Ethernet type and what follows it."""
    ip = {
        "other-ip": lambda: ipv4(tcp(SYN), dst="192.0.2.77"),
        "ip-checksum": lambda: ipv4(tcp(SYN), wrong_sum=True),
        "ip-version": lambda: ipv4(tcp(SYN), first=0x65),
        "martian": lambda: ipv4(tcp(SYN), src="127.0.0.1"),
        "ip-proto": lambda: ipv4(bytes(20), proto=99),
        "tcp-checksum": lambda: ipv4(tcp(SYN, wrong_sum=True)),
        "tcp-short": lambda: ipv4(tcp(SYN, offset=15)),
        "tcp-option": lambda: ipv4(tcp(SYN, options=b"\x02\x28\x05\xb4")),
        "tcp-no-listener": lambda: ipv4(tcp(SYN, dport=9)),
        "tcp-no-conn": lambda: ipv4(tcp(ACK)),
        "tcp-flags": lambda: ipv4(tcp(NONE)),
        "stray-rst": lambda: ipv4(tcp(RST)),
        "rst": lambda: ipv4(tcp(RST, sport=port)),
        "icmp-checksum": lambda: ipv4(icmp(8, wrong_sum=True), proto=1),
        "icmp-forged": lambda: ipv4(icmp(3, ipv4(tcp(ACK, sport=1500, dport=40000), src=NODE, dst=CLIENT)),
                                    proto=1),
        "icmp-type": lambda: ipv4(icmp(42), proto=1),
        "other-mac": lambda: ipv4(tcp(SYN)),
    }
    if kind == "short":
        return 0x0800, ipv4(tcp(SYN))[:18]
    if kind == "ethertype":
        return 0x88B5, bytes(46)
    return 0x0800, ip[kind]()


def main():
    name, kind = sys.argv[1:3]
    port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    to = b"\x02\x00\x00\x00\x00\x77" if kind == "other-mac" else neighbour_mac(name)
    ethertype, payload = packet(kind, port)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((name, 0))
        s.send(to + interface_mac(name) + struct.pack("!H", ethertype) + payload)


main()
