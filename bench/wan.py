#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's ends of bench/wan.sh: the peer that measures, and the Linux host under test.

    wan.py serve CONTROL                  discard on port 9, GET /<n> on port 8080
    wan.py push ADDRESS CONTROL SECONDS   sends to discard, prints Mbit/s that were acknowledged
    wan.py pull ADDRESS SECONDS           reads from GET, prints Mbit/s that arrived
    wan.py rows FILE                      medians and ratios of lines ID WHAT HOST MBIT, by tabs
"""

import select
import socket
import statistics
import struct
import sys
import threading
import time

DISCARD, HTTP = 9, 8080
PIECE = bytes(1 << 18)
BODY = 64 << 20  # what the HTTP responders send at most
BYTES_ACKED = 120  # offset of tcpi_bytes_acked in struct tcp_info


def discard(conn):
    room = bytearray(len(PIECE))
    with conn:
        while conn.recv_into(room):
            pass


def respond(conn):
    with conn:
        n = int(conn.recv(4096).split()[1][1:])
        conn.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
        while n > 0:
            n -= conn.send(PIECE[: min(n, len(PIECE))])


def quietly(handler, conn):
    try:
        handler(conn)
    except OSError:
        pass  # the peer has measured enough


def serve(control):
    listeners = {}
    six = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if six else socket.AF_INET
    for port, handler in ((DISCARD, discard), (HTTP, respond)):
        listener = socket.create_server(("", port), family=family, backlog=64, dualstack_ipv6=six)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        listeners[listener] = handler
    print("ready", flush=True)
    while True:
        for listener in select.select(list(listeners), [], [])[0]:
            conn = listener.accept()[0]
            threading.Thread(target=quietly, args=(listeners[listener], conn), daemon=True).start()


def connect(address, port, control=None):
    socket.create_connection((address, port), timeout=20).close()  # whoever needs ARP has done it
    conn = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if control:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    # What is left when the time is up is thrown away, on both sides.
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.settimeout(20)
    conn.connect((address, port))
    return conn


def push(address, control, seconds):
    with connect(address, DISCARD, control) as conn:
        begin = time.monotonic()
        while (left := begin + seconds - time.monotonic()) > 0:
            conn.settimeout(left)
            try:
                conn.send(PIECE)
            except TimeoutError:
                break
        info = conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        took = time.monotonic() - begin
        return struct.unpack_from("Q", info, BYTES_ACKED)[0] * 8e-6 / took


def pull(address, seconds):
    room, got = bytearray(len(PIECE)), 0
    with connect(address, HTTP) as conn:
        begin = time.monotonic()
        conn.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % BODY)
        while (left := begin + seconds - time.monotonic()) > 0:
            conn.settimeout(left)
            try:
                n = conn.recv_into(room)
            except TimeoutError:
                break
            if n == 0:
                break
            got += n
        if got == 0:
            raise SystemExit("wan: nothing arrived")
        return got * 8e-6 / (time.monotonic() - begin)


def rows(path):
    cases = {}
    for line in open(path, encoding="utf-8"):
        ident, what, host, rate = line.rstrip("\n").split("\t")
        cases.setdefault((ident, what), {}).setdefault(host, []).append(float(rate))
    for (ident, what), hosts in cases.items():
        medians = {host: statistics.median(rates) for host, rates in hosts.items()}
        for host, rate in medians.items():
            print(ident, f"{what}: {host}", rate, "Mbit/s", sep="\t")
        first, second = medians
        print(ident, f"{what}: {second} / {first}", medians[second] / medians[first], "ratio", sep="\t")


def main(command, *args):
    if command == "serve":
        serve(args[0])
    elif command == "push":
        print(f"{push(args[0], args[1], float(args[2])):.3f}")
    elif command == "pull":
        print(f"{pull(args[0], float(args[1])):.3f}")
    elif command == "rows":
        rows(args[0])
    else:
        raise SystemExit(__doc__)


main(*(sys.argv[1:] or ["help"]))
