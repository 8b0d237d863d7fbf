#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Kernel clients in great number, for storm.bats and bench/conns.sh.

    storm.py churn ADDRESS PORT END COUNT FROM...       COUNT connections, WIDTH at once, each opened, used and
                                                   closed; prints connections per second
    storm.py churn-tls ADDRESS PORT COUNT CA FROM...    as many TLS handshakes; prints handshakes per second
    storm.py churn-tls-resumed ADDRESS PORT COUNT CA FROM...    the same, all resumed from one session before them
    storm.py hold ADDRESS PORT COUNT BYTES FROM...      opens all, says "open", and on each line of stdin sends BYTES
                                                   on all at once and awaits them back, says "done"
    storm.py hold-tls ADDRESS PORT COUNT BYTES CA FROM...   the same over TLS
    storm.py serve PORT                                 Linux in the node's place: echo, as storms need it

END: reset (linger 0 after an echo), fin (we close first after an echo), theirs (HTTP: they close first), none
(closed by reset as soon as it is open). FROM: source addresses, taken in turn. A connection that fails ends the program with an error.
"""

import select
import socket
import ssl
import struct
import sys
import time

WIDTH = 200
NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: ports are unique per connection, not per address
RESET = struct.pack("ii", 1, 0)
LINE = b"storm\r\n"
REQUEST = b"GET /1 HTTP/1.0\r\n\r\n"
LIMIT = 60  # seconds without any progress


def fresh(source, limit):
    sock = socket.socket()
    sock.settimeout(limit)
    sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
    sock.bind((source, 0))
    return sock


def begin(address, port, source):
    sock = fresh(source, 0)
    sock.connect_ex((address, port))
    return sock


def said(sock, end):
    """Reads what there is: True when the connection has had its answer."""
    data = sock.recv(4096)
    if end == "theirs":
        return data == b""
    if data != LINE:
        raise SystemExit(f"storm: {data!r} came back")
    return True


def finish(sock, end):
    if end in ("reset", "none"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()


class Churn:
    def __init__(self, address, port, end, count, sources):
        self.to, self.end, self.left, self.sources = (address, port), end, count, sources
        self.poll, self.socks = select.epoll(), {}

    def open_some(self):
        while self.left and len(self.socks) < WIDTH:
            sock = begin(*self.to, self.sources[self.left % len(self.sources)])
            self.left -= 1
            self.socks[sock.fileno()] = sock
            self.poll.register(sock, select.EPOLLOUT)

    def close(self, sock):
        del self.socks[sock.fileno()]
        finish(sock, self.end)

    def opened(self, sock):
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise SystemExit(f"storm: a connection failed: {error}")
        if self.end == "none":
            self.close(sock)
            return
        sock.send(REQUEST if self.end == "theirs" else LINE)
        self.poll.modify(sock, select.EPOLLIN)

    def run(self):
        while self.left or self.socks:
            self.open_some()
            ready = self.poll.poll(LIMIT)
            if not ready:
                raise SystemExit("storm: nothing moves")
            for fd, what in ready:
                sock = self.socks[fd]
                if what & select.EPOLLOUT:
                    self.opened(sock)
                elif said(sock, self.end):
                    self.close(sock)


def churn(address, port, end, count, *sources):
    started = time.monotonic()
    Churn(address, int(port), end, int(count), sources).run()
    print(f"{int(count) / (time.monotonic() - started):.1f}")


def context(ca):
    return ssl.create_default_context(cafile=ca)


def connected(address, port, source, tls, session=None):
    sock = fresh(source, LIMIT)
    sock.connect((address, port))
    return tls.wrap_socket(sock, server_hostname=address, session=session) if tls else sock


def first_session(address, port, source, tls):
    """Tickets come before the answer to what is sent."""
    sock = connected(address, port, source, tls)
    sock.sendall(LINE)
    sock.recv(len(LINE))
    session = sock.session
    finish(sock, "reset")
    return session


def churn_tls(address, port, count, ca, *sources, resume=False):
    tls = context(ca)
    session = first_session(address, int(port), sources[0], tls) if resume else None
    started = time.monotonic()
    for i in range(int(count)):
        sock = connected(address, int(port), sources[i % len(sources)], tls, session)
        if sock.session_reused != resume:
            raise SystemExit(f"storm: session_reused is {sock.session_reused}")
        finish(sock, "reset")
    print(f"{int(count) / (time.monotonic() - started):.1f}")


def exchange(conns, size, number):
    """All send at once, then all is awaited."""
    parts = [(b"%d of %d " % (i, number)).ljust(size, b"x")[:size] for i in range(len(conns))]
    for sock, part in zip(conns, parts):
        sock.sendall(part)
    for sock, part in zip(conns, parts):
        got = b""
        while len(got) < size:
            more = sock.recv(size - len(got))
            if not more:
                raise SystemExit("storm: a connection was closed")
            got += more
        if got != part:
            raise SystemExit("storm: what came back is not what was sent")


def hold(address, port, count, size, sources, tls=None):
    conns = [connected(address, int(port), sources[i % len(sources)], tls) for i in range(int(count))]
    print("open", flush=True)
    for number, _ in enumerate(sys.stdin):
        exchange(conns, int(size), number)
        print("done", flush=True)


def serve(port):
    listener = socket.create_server(("0.0.0.0", int(port)), backlog=4096)
    listener.setblocking(False)
    poll, socks = select.epoll(), {}
    poll.register(listener, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                accept(listener, poll, socks)
            elif not echo(socks[fd]):
                socks.pop(fd).close()


def accept(listener, poll, socks):
    try:
        for _ in range(64):
            sock = listener.accept()[0]
            socks[sock.fileno()] = sock
            poll.register(sock, select.EPOLLIN)
    except BlockingIOError:
        pass


def echo(sock):
    try:
        data = sock.recv(4096)
        sock.send(data)
    except OSError:
        return False
    return data != b""


def main(command, *args):
    if command == "churn":
        churn(*args)
    elif command == "churn-tls":
        churn_tls(*args)
    elif command == "churn-tls-resumed":
        churn_tls(*args, resume=True)
    elif command == "hold":
        hold(*args[:4], args[4:])
    elif command == "hold-tls":
        hold(*args[:4], args[5:], context(args[4]))
    elif command == "serve":
        serve(args[0])
    else:
        raise SystemExit(__doc__)


main(*(sys.argv[1:] or ["help"]))
