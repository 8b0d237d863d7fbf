#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""One established connection with and without a SYN flood: attack.py NODE INTERFACE ELSEWHERE SECONDS RATE MBIT.

Pushes to the discard service (port 9) for 21 slices of SECONDS, in turns: alone; with the same flood sent to the
interface ELSEWHERE, so that what the sender of the flood costs this machine is not counted; with RATE SYNs a
second at the node. MBIT paces the connection, 0 does not. Prints rows for bench_rows: medians, and the flooded
slices over those beside a flood elsewhere.
"""

import mmap
import os
import random
import select
import socket
import statistics
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
import packets  # noqa: E402

MODES = ("alone", "elsewhere", "flooded")
TURNS = 7
MAX_PACING_RATE = 47


def flood(shared, interface, elsewhere, node, rate):
    """Until killed: what the mode says, SYNs from 508 addresses."""
    mac = packets.interface_mac(interface)
    wires = {1: packets.Wire(elsewhere, rate), 2: packets.Wire(interface, rate)}
    for wire in wires.values():
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    rng, i = random.Random(1), 0
    while True:
        wire = wires.get(shared[0])
        if wire is None:
            time.sleep(0.001)
            continue
        src = ("198.51.100.", "203.0.113.")[i % 2] + str(1 + i // 2 % 254)
        syn = packets.tcp(src, node, (1024 + i % 60000, 7), packets.SYN, rng.getrandbits(32))
        wire.send(mac, mac, packets.ETH_IP4, packets.ipv4(syn, src, node))
        i += 1
        if i % 64 == 0:
            shared[8:16] = struct.pack("Q", i)


def acked(conn):
    return struct.unpack_from("Q", conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 120)[0]


def push(conn, seconds):
    """Mbit/s that the node acknowledged."""
    block = bytes(65536)
    begin, before = time.monotonic(), acked(conn)
    while time.monotonic() - begin < seconds:
        select.select([], [conn], [], 0.01)
        try:
            conn.send(block)
        except BlockingIOError:
            pass
    return (acked(conn) - before) * 8e-6 / (time.monotonic() - begin)


def main():
    node, interface, elsewhere = sys.argv[1:4]
    seconds, rate, mbit = float(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
    shared = mmap.mmap(-1, 4096)
    child = os.fork()
    if child == 0:
        flood(shared, interface, elsewhere, node, rate)
    conn = socket.create_connection((node, 9), 10)
    if mbit:
        conn.setsockopt(socket.SOL_SOCKET, MAX_PACING_RATE, mbit * 125000)
    conn.setblocking(False)
    got, sent = {mode: [] for mode in MODES}, []
    push(conn, 1)
    for _ in range(TURNS):
        for number, mode in enumerate(MODES):
            shared[0] = number
            before = struct.unpack("Q", shared[8:16])[0]
            got[mode].append(push(conn, seconds))
            if number == 2:
                sent.append((struct.unpack("Q", shared[8:16])[0] - before) / seconds)
    os.kill(child, 9)
    os.waitpid(child, 0)
    median = {mode: statistics.median(values) for mode, values in got.items()}
    what = f"paced to {mbit} Mbit/s" if mbit else "as fast as it goes"
    for mode, words in (("alone", "alone"), ("elsewhere", "beside a flood at another interface"),
                        ("flooded", "in a SYN flood")):
        print(f"attack\t{what}, {words}\t{median[mode]:.3f}\tMbit/s")
    print(f"attack\t{what}, SYNs\t{statistics.median(sent):.0f}\t/s")
    print(f"attack\t{what}, in a flood / beside one\t{median['flooded'] / median['elsewhere']:.3f}\tratio")


main()
