# SPDX-License-Identifier: BSD-3-Clause
"""Attacks on TCP: on the victim's connection from outside, and by a client that does as it likes.

Each function is one kind of attack.py and gets its Attack. What a client must still be given is asserted here.
"""

import random
import socket
import struct
import time

import packets
from attack_peer import mss_option
from packets import ACK, FIN, PSH, RST, SYN, URG

CHALLENGES = 10  # a second and connection, docs/tcp.md


def flood(a):
    """SYNs from everywhere: 508 IPv4 addresses with many ports, and as many IPv6 addresses as packets."""
    rng = random.Random(1)
    for i in range(a.count):
        if i % 2:
            net = ("198.51.100.", "203.0.113.")[i // 2 % 2]
            src, dst = f"{net}{1 + i // 4 % 254}", a.node
        else:
            src, dst = f"2001:db8:bad:{rng.getrandbits(16):x}::{i:x}", a.node6
        options = mss_option(1460)
        syn = packets.tcp(src, dst, (1024 + i % 60000, 7), SYN, rng.getrandbits(32), options=options)
        a.send(packets.ip(syn, src, dst))


def forge(a, f, flags, seq, ack, data=b"", ts=1 << 16):
    """A segment of the victim's, its timestamp later by ts, or without any if ts is None."""
    options = b"" if ts is None else packets.timestamps(f.ts[0] + ts, f.ts[1])
    segment = packets.tcp(f.src, f.dst, (f.sport, f.dport), flags, seq, ack, data, options=options, window=1)
    a.send(packets.ip(segment, f.src, f.dst))


def blind(a):
    """What somebody sends who knows the addresses and ports, and guesses numbers (RFC 5961). In the window, but
    beyond anything in flight, is offset 40000."""
    rng = random.Random(2)
    junk = b"X" * 100
    for i in range(a.count):
        if i % 3 == 0:
            f = a.spy()
        within, nowhere = f.snd + 40000 + i, f.snd + (1 << 30) + rng.getrandbits(30)
        wrong_ack = f.rcv + (1 << 30) + i
        forge(a, f, RST, nowhere, 0)
        forge(a, f, RST | ACK, within, f.rcv)
        forge(a, f, SYN, within, 0)
        forge(a, f, SYN | ACK, nowhere, f.rcv)
        forge(a, f, SYN | FIN, f.snd, 0)
        forge(a, f, FIN | ACK, within, wrong_ack)
        forge(a, f, FIN | ACK, nowhere, f.rcv)
        forge(a, f, ACK | PSH, within, wrong_ack, junk)
        forge(a, f, ACK | PSH, within, f.rcv, junk, ts=None)
        forge(a, f, ACK | PSH, nowhere, f.rcv, junk)


def poison(a):
    """Data that begins in the past and ends in the future of the stream, with a wrong acknowledgement, and a
    timestamp that makes everything later look old: it must not become TS.Recent."""
    for _ in range(a.count):
        f = a.spy()
        forge(a, f, ACK, f.snd - 700, f.rcv + (1 << 30), bytes(1400), ts=1 << 30)


def acks(a):
    """10,000 ACKs, acceptable and not, into an idle connection, which counts what comes back; and some into
    the victim's."""
    c = a.peer().connect(7)
    began = time.monotonic()
    for i in range(a.count):
        kind = i % 4
        c.segment(ACK, (1 << 30) if kind == 3 else 0,
                  ack=c.peer_next + (0, 100000 + i, -(1 << 30), 0)[kind])
    for _ in c.listen(1):
        pass
    seconds = time.monotonic() - began
    bound = CHALLENGES * (int(seconds) + 2)
    assert 1 <= c.seen <= bound, f"{c.seen} replies to {a.count} ACKs in {seconds:.1f} s, bound {bound}"
    echo(c, b"still here")
    f = a.spy()
    for i in range(a.count // 10):
        forge(a, f, ACK, f.snd, f.rcv + (1 << 20) + i)
        forge(a, f, ACK, f.snd + (1 << 30), f.rcv)


def echo(c, data, at=0):
    """Sends and gets back, all at once: for what fits a segment."""
    c.segment(ACK | PSH, at, data)
    got = c.read(len(data), sent=at + len(data))
    assert got == data, f"sent {data[:40]}, got {got[:40]} ({len(got)} bytes)"


def overlap(a):
    c = a.peer().connect(7)
    for at, data in ((10, b"B" * 10), (5, b"C" * 20), (0, b"A" * 10)):
        c.segment(ACK, at, data)
    got = c.read(25, sent=25)
    assert got == b"A" * 5 + b"C" * 5 + b"B" * 10 + b"C" * 5, got
    c.segment(ACK, 15, b"D" * 20)  # of which ten bytes are past
    got = c.read(10, sent=35)
    assert got == b"D" * 10, got


def chargen_text(n):
    ring = "".join(chr(c) for c in range(32, 127))
    text = "".join((ring * 2)[i:i + 72] + "\r\n" for i in range(95)).encode()
    return (text * (n // len(text) + 1))[:n]


def shrink(a):
    """Takes its offers back: the right edge moves left, to nothing, and on."""
    c = a.peer().connect(19, window=20000)
    got = b""
    for window in (20000, 3000, 700, 0, 1, 20000, 100, 60000):
        c.window = window
        got += c.read(window, 1)
        c.segment(ACK, 0)
    c.window = 60000
    c.segment(ACK, 0)
    got += c.read(200000 - len(got), 10)
    assert got == chargen_text(len(got)) and len(got) >= 200000, len(got)
    c.end()


def closed_window(a):
    """Reads nothing, for ever, and always says so: it is asked now and then, and let go."""
    c = a.peer().connect(19, window=1000)
    c.read(500)
    c.window = 0
    c.read(60000, 1)  # what was sent for the last window
    before = c.seen
    end = time.monotonic() + 15
    while not c.reset and time.monotonic() < end:
        for _ in c.listen(0.5, lambda: c.reset):
            if not c.reset:
                c.segment(ACK, 0)
    assert c.reset, "kept for ever"
    assert c.seen - before < 60, f"{c.seen - before} probes"


def gaps(a):
    """One byte here and there, more holes than are kept, and data from far away; then what was left out."""
    c = a.peer().connect(7)
    data = random.Random(3).randbytes(60000)
    for at in range(100, 50000, 80):
        c.segment(ACK, at, data[at:at + 1])
    for far in (1 << 20, 1 << 28, (1 << 31) - 1, 1 << 31, -(1 << 30)):
        c.segment(ACK, far, b"far away")
    send_all(c, data)


def send_all(c, data, at=0, size=1400):
    """All of data in order, each part until it is acknowledged, and all of it comes back."""
    got, sent = b"", 0
    end = time.monotonic() + 20
    while len(got) < len(data) and time.monotonic() < end and not c.reset:
        for i in range(sent, min(sent + 10 * size, len(data)), size):
            c.segment(ACK | PSH, at + i, data[i:i + size])
        to = min(sent + 10 * size, len(data))
        got += c.read(to - len(got), 0.5, sent=at + to)
        if c.wait_acked(at + to, 0.1):
            sent = to
        else:
            sent = max(c.acked - at, 0)
    assert got == data, f"{len(got)} of {len(data)} bytes, {'reset' if c.reset else 'not the same'}"


def wrap(a):
    """Sequence numbers that go over zero, the peer's and with luck ours."""
    for isn in (0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFEC78, 0x7FFFF000):
        send_all(a.peer().connect(7, isn=isn), random.Random(isn).randbytes(20000))


LIES = (b"\2\0\0\0", b"\2\1\5\xb4", b"\2\xff\5\xb4", b"\1\1\1\2", b"\x08\x28\0\0", b"\3\0\1\1", b"\5\x0b\0\0",
        b"\xfe\0\0\0", b"\4\x20\1\1")


def lies(a):
    """Options and data offsets that lie about lengths, in SYNs and in data."""
    peer = a.peer()
    c = peer.connect(7)
    for _ in range(a.count):
        for lie in LIES:
            peer.send_ip(packets.tcp(peer.address, a.node, (999, 7), SYN, 1, options=lie))
            c.segment(ACK | PSH, 0, b"lies", options=lie)
        for words in (0, 1, 4, 6, 15):
            peer.send_ip(packets.tcp(peer.address, a.node, (999, 7), SYN, 1, offset=words))
    echo(c, b"truth")


def flags(a):
    """Every combination of the eight flags: to a listening port, a closed one, a connection."""
    peer = a.peer()
    c = peer.connect(7)
    for value in range(256):
        for port in (7, 4711):
            peer.send_ip(packets.tcp(peer.address, a.node, (1000 + value, port), value, 5, 6))
        harmless = value & RST or value & SYN or not value & ACK
        c.segment(value, 5000 if harmless else 1 << 30)
    echo(c, b"and yet")


def urgent(a):
    c = a.peer().connect(7)
    for i, pointer in enumerate((0, 1, 4, 5, 1000, 65535)):
        c.segment(ACK | URG | PSH, 5 * i, b"%05d" % i, urgent=pointer)
    got = c.read(30, sent=30)
    assert got == b"".join(b"%05d" % i for i in range(6)), got


def tinygrams(a):
    """Segments of a byte each, by the thousand."""
    data = random.Random(4).randbytes(a.count)
    c = a.peer().connect(7)
    got = b""
    for i in range(len(data)):
        c.segment(ACK | PSH, i, data[i:i + 1])
        if i % 200 == 199:
            got += c.read(i + 1 - len(got), 5, sent=i + 1)
    assert got == data, f"{len(got)} of {len(data)} bytes came back"


def disorder(a):
    """Many connections full of data out of order, of changing content; the first one is then completed."""
    rng = random.Random(5)
    data = rng.randbytes(60000)
    peer = a.peer()
    conns = [peer.connect(7) for _ in range(20)]
    places = list(range(1400, 60000, 1400))
    for c in conns:
        rng.shuffle(places)
        for at in places:
            c.segment(ACK, at, data[at:at + 1400])
        for at in places:
            c.segment(ACK, at, b"Z" * 1000)
    send_all(conns[0], data)
    for c in conns[1:]:
        c.end()


def fins(a):
    """FINs by the thousand: within a connection, ahead of data that never comes, and for none."""
    peer = a.peer()
    c = peer.connect(9)
    for i in range(a.count):
        c.segment(FIN | ACK, 1 + i % 30000)
        peer.send_ip(packets.tcp(peer.address, a.node, (1 + i, 7), FIN | ACK, i, i))
    c.end()


def forgets(a):
    """The client has lost its memory: it answers with RST what it is sent."""
    peer = a.peer()
    for _ in range(a.count):
        c = peer.connect(19)
        for seg in c.listen(2):
            c.peer.send_ip(packets.tcp(peer.address, a.node, (c.sport, 19), RST, seg.ack))
            break


def forged_icmp(a, f, kind, code, rest, seq):
    """An ICMP error about a segment from the node to f's client."""
    v6 = ":" in f.src
    quoted = struct.pack("!HHI", f.dport, f.sport, seq & 0xFFFFFFFF) + bytes(12)
    if v6:
        inner = packets.ipv6(quoted, f.dst, f.src, length=1440)
        a.send(packets.ip(packets.icmp6("2001:db8:bad::1", f.dst, kind, code, rest, inner), "2001:db8:bad::1",
                          f.dst, packets.IP_ICMP6))
    else:
        inner = packets.ipv4(quoted, f.dst, f.src, length=1500)
        a.send(packets.ip(packets.icmp(kind, code, rest, inner), "203.0.113.9", f.dst, packets.IP_ICMP))


class Side:
    """A hand-made connection as forge() and forged_icmp() want it."""

    def __init__(self, c):
        self.src, self.dst, self.sport, self.dport = c.peer.address, c.peer.node, c.sport, c.dport


def icmp(a):
    """Forged errors of all kinds about the victim's connection, with wrong numbers, and with right ones."""
    for i in range(a.count):
        if i % 10 == 0:
            f = a.spy()
        v6 = ":" in f.src
        for seq in (f.rcv + (1 << 30) + i, f.rcv - 50000, f.rcv):
            for mtu in (0, 1, 68, 576, 1279):
                forged_icmp(a, f, *((2, 0) if v6 else (3, 4)), mtu, seq)
            for code in range(0, 7 if v6 else 16):
                if v6 or code != 4:
                    forged_icmp(a, f, 1 if v6 else 3, code, 0, seq)
        if not v6:
            forged_icmp(a, f, 4, 0, 0, f.rcv)  # source quench
            forged_icmp(a, f, 5, 1, int.from_bytes(socket.inet_aton("192.0.2.66"), "big"), f.rcv)  # redirect


def icmp_floor(a):
    """Right numbers for certain, since nothing is acknowledged: the MSS goes to its floor, and no further."""
    c = a.peer().connect(19, options=mss_option(1460))
    first = c.peer_next
    for _ in c.listen(0.3):
        pass
    side = Side(c)
    for mtu in (0, 1, 67, 68, 69, 100, 68):
        forged_icmp(a, side, 3, 4, mtu, first)
    for code in range(16):
        if code != 4:
            forged_icmp(a, side, 3, code, 0, first)
    for _ in c.listen(0.3):
        pass
    got, sizes = b"", []
    for seg in c.listen(10, lambda: len(got) >= 50000):
        old = (c.peer_next - seg.seq) & 0xFFFFFFFF
        sizes.append(len(seg.data))
        if old < len(seg.data):
            got += seg.data[old:]
            c.peer_next += len(seg.data) - old
        c.segment(ACK, 0)
    assert got == chargen_text(len(got)) and len(got) >= 50000, len(got)
    assert max(sizes) == 536, f"segments of {max(sizes)} bytes"
    assert sum(size == 536 for size in sizes) > 80, sizes
    c.end()
