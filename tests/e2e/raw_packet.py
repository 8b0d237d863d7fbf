#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sends one packet, usually a wrong one, from an interface to the node: raw_packet.py INTERFACE KIND [PORT].

Each kind is right in everything but what its name says. PORT is the source port of TCP kinds.
"""

import socket
import sys

import packets
from packets import ACK, RST, SYN, interface_mac

NODE, CLIENT = "192.0.2.1", "192.0.2.2"
NONE = 0


def neighbour_mac(name):
    """The node's MAC as the kernel has learnt it; the test has pinged before."""
    for line in open("/proc/net/arp", encoding="ascii"):
        field = line.split()
        if field[0] == NODE and field[5] == name:
            return bytes.fromhex(field[3].replace(":", ""))
    sys.exit("the node's MAC is not known: ping it first")


def ipv4(payload, proto=6, src=CLIENT, dst=NODE, **wrong):
    return packets.ipv4(payload, src, dst, proto, **wrong)


def tcp(flags, sport=40000, dport=1500, **wrong):
    return packets.tcp(CLIENT, NODE, (sport, dport), flags, 1000, 2000 if flags & ACK else 0, **wrong)


def icmp(kind, body=bytes(32), **wrong):
    return packets.icmp(kind, rest=1, body=body, **wrong)


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
        s.send(to + interface_mac(name) + ethertype.to_bytes(2, "big") + payload)


main()
