#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Attacks the node at 192.0.2.1 and 2001:db8::1 with raw packets: attack.py KIND [--victim PORT] [--count N].

The kinds are the functions of attack_tcp.py and attack_ip.py. PORT is the local port of the kernel's connection that is
attacked, or must not notice. It runs in the network namespace of the interface. Its exit status is not 0 when the node answers
what it should not, or does not give a client what it should.
"""

import argparse

import attack_ip
import attack_tcp
import packets
from attack_peer import Peer
from packets import ACK, Seg

LIAR = packets.mac_of("02:00:00:00:00:66")


class Flow:
    """The victim's connection as of now: snd is the client's next sequence number, rcv the node's."""

    def __init__(self, node, client):
        self.src, self.sport, self.dst, self.dport = client.src, client.sport, client.dst, client.dport
        self.snd, self.rcv, self.ts = node.ack, client.ack, client.ts


class Attack:
    def __init__(self, args):
        self.wire = packets.Wire(args.interface, args.rate)
        self.count, self.victim = args.count, args.victim
        self.node, self.node6 = "192.0.2.1", "2001:db8::1"
        # The kernel's end of a tap has the MAC that the node has on its own.
        self.node_mac = packets.interface_mac(args.interface)

    def send(self, packet, src=LIAR):
        self.wire.send(self.node_mac, src, packets.ETH_IP6 if packet[0] >> 4 == 6 else packets.ETH_IP4, packet)

    def peer(self, address="192.0.2.50"):
        return Peer(self.wire, address, self.node6 if ":" in address else self.node, self.node_mac)

    def spy(self):
        """What is on the wire of the victim's connection just now."""
        self.wire.forget()
        node = client = None
        for frame in self.wire.frames(5):
            seg = Seg.parse(frame)
            if seg and seg.flags & ACK and seg.dport == self.victim:
                node = seg
            elif seg and seg.flags & ACK and seg.sport == self.victim and frame[6:12] != LIAR:
                client = seg
            if node and client:
                return Flow(node, client)
        raise AssertionError("the victim's connection is not to be seen")


KINDS = ((attack_tcp, "flood blind poison acks overlap shrink closed_window gaps wrap lies flags urgent tinygrams "
                      "disorder fins forgets icmp icmp_floor"),
         (attack_ip, "frag_tiny frag_overlap frag_never frag_proper land martians sums cuts lengths routing arp_claims "
                     "arp_replies nd_claims nd_far neighbours"))


def main():
    kinds = {name.replace("_", "-"): getattr(module, name) for module, names in KINDS for name in names.split()}
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--victim", type=int)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--rate", type=int, default=20000, help="packets a second")
    parser.add_argument("--interface", default="hg0")
    args = parser.parse_args()
    attack = Attack(args)
    kinds[args.kind](attack)
    print(f"{args.kind}: {attack.wire.sent} packets")


main()
