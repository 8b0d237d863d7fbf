#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Clients that begin a TLS handshake and go no further, for loris.bats.

    loris.py ADDRESS PORT COUNT

Opens COUNT connections, in turn: one that says nothing, one that says half a ClientHello, one that says all of it,
reads the answer and stops. Says "open" when all are; then how many the other side has ended, "closed N", whenever that
number has changed, and goes when all are.
"""

import select
import socket
import ssl
import sys


def hello():
    out = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["headgate/1"])
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="node")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("no hello")


def main():
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    said = hello()
    poll = select.poll()
    conns = {}
    for n in range(count):
        try:
            c = socket.create_connection((address, port), 30)
            c.sendall((b"", said[: len(said) // 2], said)[n % 3])
        except ConnectionError:
            continue  # refused
        c.setblocking(False)
        conns[c.fileno()] = c
        poll.register(c, select.POLLIN)
    print("open", flush=True)
    while conns:
        for fd, _ in poll.poll():
            try:
                ended = conns[fd].recv(65536) == b""
            except BlockingIOError:
                continue
            except OSError:
                ended = True
            if ended:
                poll.unregister(fd)
                conns.pop(fd).close()
                if len(conns) % 50 == 0:
                    print("closed", count - len(conns), flush=True)


if __name__ == "__main__":
    main()
