#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""TLS clients that behave as tools do not: one function each, named on the command line.

    tls_odd_clients.py KIND --host A --pki DIR --version 1.2|1.3

OpenSSL's records are made in memory, so that what goes to the socket, and when, is ours to choose.
"""

import argparse
import asyncio
import hashlib
import os
import socket
import ssl
import struct
import sys
import time

ECHO, DISCARD, HTTP = 1007, 1009, 443
SECONDS = 60
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(a):
    c = ssl.create_default_context(cafile=f"{a.pki}/ca.crt")
    c.minimum_version = c.maximum_version = VERSIONS[a.version]
    return c


class Peer:
    """A connection whose records can be held back."""

    def __init__(self, a, port):
        self.inbox, self.outbox = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context(a).wrap_bio(self.inbox, self.outbox, server_hostname=a.host)
        self.sock = socket.create_connection((a.host, port), SECONDS)
        self.step(self.tls.do_handshake)

    def step(self, what, *args):
        """Repeats what OpenSSL wants more input for; sends what it makes."""
        while True:
            try:
                result = what(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.more()

    def more(self):
        data = self.sock.recv(65536)
        if data:
            self.inbox.write(data)
        else:
            self.inbox.write_eof()

    def flush(self):
        if self.outbox.pending:
            self.sock.sendall(self.outbox.read())

    def record(self, data):
        """One sealed record, not sent."""
        self.tls.write(data)
        return self.outbox.read()

    def hear(self, n):
        got = bytearray()
        while len(got) < n:
            part = self.step(self.tls.read, n - len(got))
            assert part, f"ended after {len(got)} of {n} bytes"
            got += part
        return bytes(got)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def records(a):
    """Records of 1 byte and of 2^14, alone, together in one segment, and cut anywhere."""
    peer = Peer(a, ECHO)
    tiny = os.urandom(3000)
    for at in range(0, 200):  # one by one
        peer.sock.sendall(peer.record(tiny[at:at + 1]))
        assert peer.hear(1) == tiny[at:at + 1]
    peer.sock.sendall(b"".join(peer.record(tiny[i:i + 1]) for i in range(len(tiny))))
    assert peer.hear(len(tiny)) == tiny
    full = os.urandom(16384)
    for cut in (1, 4, 5, 6, 13, 1448, 16384, 16389, 16400):
        record = peer.record(full)
        peer.sock.sendall(record[:cut])
        if cut < 1448:
            asyncio.run(asyncio.sleep(0.02))  # so that they are segments of their own
        peer.sock.sendall(record[cut:])
        assert peer.hear(len(full)) == full
    mixed = [full, tiny[:1], b"", full, tiny[:2], full[:16383]]
    peer.sock.sendall(b"".join(peer.record(m) for m in mixed if m))
    assert peer.hear(sum(map(len, mixed))) == b"".join(mixed)


def half_close(a):
    """close_notify and FIN after the last byte; all of the answer comes, and the node's close_notify."""
    sent = os.urandom(300000)
    peer = Peer(a, ECHO)
    out = b"".join(peer.record(sent[i:i + 16384]) for i in range(0, len(sent), 16384))
    try:
        peer.tls.unwrap()
    except ssl.SSLWantReadError:
        pass
    peer.sock.sendall(out + peer.outbox.read())
    peer.sock.shutdown(socket.SHUT_WR)
    assert peer.hear(len(sent)) == sent
    try:
        more = peer.step(peer.tls.read, 1)
    except ssl.SSLZeroReturnError:  # close_notify; a FIN without it is another error
        return
    raise AssertionError(f"after the last byte: {more}")


def deaths(a):
    """Clients that end in the middle of a record, of its header, or of a handshake: by FIN and by RST."""
    for n in range(100):
        peer = Peer(a, ECHO)
        record = peer.record(os.urandom(16384))
        peer.sock.sendall(record[:(1, 4, 5, 9, 1000, 16000)[n % 6]])
        if n % 2:
            peer.reset()
        else:
            peer.sock.close()
    for n in range(100):
        tls = ssl.MemoryBIO()
        hello = context(a).wrap_bio(ssl.MemoryBIO(), tls, server_hostname=a.host)
        try:
            hello.do_handshake()
        except ssl.SSLWantReadError:
            pass
        with socket.create_connection((a.host, ECHO), SECONDS) as sock:
            sock.sendall(tls.read()[:(1, 5, 50, 100)[n % 4]])


async def one_of_many(a, n):
    reader, writer = await asyncio.open_connection(a.host, ECHO, ssl=context(a))
    for i in range(20):
        line = b"%d of client %d %s\n" % (i, n, b"x" * (n * 37 % 3000))
        writer.write(line)
        assert await reader.readexactly(len(line)) == line
    writer.close()
    reader, writer = await asyncio.open_connection(a.host, HTTP, ssl=context(a))
    writer.write(b"GET /%d HTTP/1.0\r\n\r\n" % (n * 1000))
    head, body = (await reader.read(-1)).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.0 200 ") and len(body) == n * 1000
    writer.close()
    return hashlib.sha256(body[:1000]).digest() if n else None


def many(a):
    """200 clients at a time: lines back and forth, then a body each."""
    async def all_of_them():
        return await asyncio.wait_for(asyncio.gather(*(one_of_many(a, n) for n in range(200))), SECONDS)

    asyncio.run(all_of_them())


def upload(a):
    """8 MiB to echo and back, in records as OpenSSL makes them, while it still comes back."""
    async def both_ways():
        data = os.urandom(8 << 20)
        reader, writer = await asyncio.open_connection(a.host, ECHO, ssl=context(a))

        async def send():
            for i in range(0, len(data), 65536):
                writer.write(data[i:i + 65536])
                await writer.drain()

        sender = asyncio.create_task(send())
        back = await reader.readexactly(len(data))
        await sender
        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
        reader, writer = await asyncio.open_connection(a.host, DISCARD, ssl=context(a))
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    asyncio.run(asyncio.wait_for(both_ways(), SECONDS))


def slow_reader(a):
    """Reads 20 KB at a time, with pauses, until the file --until is there; then the rest."""
    n = 64 << 20
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.settimeout(SECONDS)
        sock.connect((a.host, HTTP))
        tls = context(a).wrap_socket(sock, server_hostname=a.host)
        tls.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % n)
        got = bytearray()
        while not os.path.exists(a.until):
            got += tls.recv(20000)
            time.sleep(0.1)
        assert len(got) < n // 2, "it was not slow"
        while part := tls.recv(1 << 20):
            got += part
    period = bytes((i * 2654435761 >> 24) & 255 for i in range(65521))  # include/headgate/testsvc.h
    body = got.split(b"\r\n\r\n", 1)[1]
    assert len(body) == n and body == (period * (n // 65521 + 2))[n % 65521:][:n]


KINDS = {f.__name__.replace("_", "-"): f for f in (records, half_close, deaths, many, upload, slow_reader)}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("kind", choices=KINDS)
    p.add_argument("--host", required=True)
    p.add_argument("--pki", required=True)
    p.add_argument("--version", choices=VERSIONS, required=True)
    p.add_argument("--until", help="file")
    a = p.parse_args()
    KINDS[a.kind](a)
    return 0


if __name__ == "__main__":
    sys.exit(main())
