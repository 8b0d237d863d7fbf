# SPDX-License-Identifier: BSD-3-Clause
"""A TLS client whose bytes lie open, to end a connection in every way: tls_peer.py CASE HOST PORT VERSION.

half-close  sends, closes its direction, then reads all of it back and the other side's close_notify
node-first  the service ends first: close_notify before FIN, and ours is still taken
truncate    FIN without close_notify, as an attacker would cut the stream
damage      a forged record while the service is sending; what was sent before, the alert and FIN arrive
"""
import os
import select
import socket
import ssl
import sys
import time


class Peer:
    """A socket and a TLS object that know nothing of each other."""

    def __init__(self, host, port, version):
        self.sock = socket.create_connection((host, port), 20)
        self.sock.settimeout(20)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = {
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
        self.wire_in, self.wire_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.wire_in, self.wire_out)
        self.fin = False
        self.until(self.tls.do_handshake)

    def flush(self):
        data = self.wire_out.read()
        if data:
            self.sock.sendall(data)

    def feed(self):
        """Takes what the network has; False at the node's FIN. A reset is an error of the test."""
        data = self.sock.recv(65536)
        if data:
            self.wire_in.write(data)
        else:
            self.fin = True
        return bool(data)

    def until(self, step):
        while True:
            try:
                result = step()
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                assert self.feed(), "the node closed TCP, and TLS wants more"

    def close(self):
        """Our close_notify; the node's is not waited for."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.flush()

    def rest(self):
        """Everything up to the node's close_notify."""
        got = b""
        while True:
            try:
                data = self.until(lambda: self.tls.read(65536))
            except ssl.SSLZeroReturnError:
                return got
            if not data:
                return got
            got += data

    def expect_fin(self):
        while not self.fin:
            assert self.sock.recv(65536) == b"", "bytes after the end"
            self.fin = True


def half_close(peer):
    sent = os.urandom(300000)
    got = b""
    at = 0
    while at < len(sent):
        at += peer.tls.write(sent[at:at + 8192])
        peer.flush()
        while select.select([peer.sock], [], [], 0)[0]:
            peer.feed()
            try:
                while True:
                    got += peer.tls.read(65536)
            except ssl.SSLWantReadError:
                pass
    peer.close()
    got += peer.rest()
    assert got == sent, (len(got), len(sent))
    peer.expect_fin()


def node_first(peer):
    peer.tls.write(b"GET /100000 HTTP/1.0\r\n\r\n")
    peer.flush()
    got = peer.rest()
    assert len(got) > 100000 and got.startswith(b"HTTP/1.0 200"), got[:100]
    peer.expect_fin()
    peer.close()
    peer.sock.shutdown(socket.SHUT_WR)


def truncate(peer):
    peer.tls.write(b"half a ")
    peer.flush()
    peer.sock.shutdown(socket.SHUT_WR)
    # In TLS the node ends in order; it has been told of no end, so the rest is only its close.
    peer.rest()
    peer.expect_fin()


def damage(peer):
    time.sleep(1)  # both sides' buffers fill up: we do not read
    peer.sock.sendall(b"\x17\x03\x03\x00\x30" + os.urandom(48))
    time.sleep(0.5)
    total = 0
    try:
        while True:
            total += len(peer.until(lambda: peer.tls.read(65536)))
    except ssl.SSLError as e:
        assert e.reason == "SSLV3_ALERT_BAD_RECORD_MAC", e
    assert total > 100000, total
    peer.expect_fin()


def main():
    case, host, port, version = sys.argv[1:]
    peer = Peer(host, int(port), version)
    {"half-close": half_close, "node-first": node_first, "truncate": truncate,
     "damage": damage}[case](peer)


main()
