#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The transfer that must not notice: attack_victim.py ADDRESS PORT PROGRESS-FILE.

A connection of the kernel to an echo service, over which blocks go and come back, each compared. Says its local
port at the start; PROGRESS-FILE always holds the number of bytes that came back right. SIGTERM: sends FIN, waits
for the node's, and ends with 0. Whatever else happens ends it with 1.
"""

import os
import random
import signal
import socket
import sys
import time

BLOCK = 16384


def main():
    address, port, progress = sys.argv[1], int(sys.argv[2]), os.open(sys.argv[3], os.O_CREAT | os.O_WRONLY, 0o644)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    noise = random.Random(1).randbytes(1 << 20)
    conn = socket.create_connection((address, port), 10)
    conn.settimeout(30)
    print("port", conn.getsockname()[1], flush=True)
    total = 0
    while not stop:
        at = total * 7 % (len(noise) - BLOCK)
        block = total.to_bytes(8, "big") + noise[at:at + BLOCK - 8]
        conn.sendall(block)
        got = b""
        while len(got) < BLOCK:
            part = conn.recv(BLOCK)
            if not part:
                sys.exit(f"closed after {total} bytes")
            got += part
        if got != block:
            wrong = next(i for i in range(BLOCK) if got[i:i + 1] != block[i:i + 1])
            sys.exit(f"byte {total + wrong} came back changed")
        total += BLOCK
        os.pwrite(progress, b"%-20d\n" % total, 0)
        time.sleep(0.004)
    conn.shutdown(socket.SHUT_WR)
    if conn.recv(1) != b"":
        sys.exit("more came back than was sent")
    print("echoed", total, flush=True)


main()
