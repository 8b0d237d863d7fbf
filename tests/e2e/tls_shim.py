#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""lib/tls alone (tests/shim/tls_shim.c) against the TLS libraries of others, in both roles.

    tls_shim.py client openssl|gnutls|nss --shim FILE --pki DIR --key ecdsa|rsa|ed25519 [--records openssl]
    tls_shim.py server openssl|gnutls|nss ...

As client: their server takes one version, suite and group only. As server: their client offers one
only. Both sides show a certificate. Run it in a network namespace of its own: it listens on loopback.
Prints `cases N` when all passed.
"""

import argparse
import itertools
import os
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

from tls_names import Deal, shared
from tls_tools import TOOLS, Failed, Offer, Talk, cipher_of, expect, find, version_of

AT_ONCE = 4
HOST = "127.0.0.1"
NAME = "headgate.example"  # in the servers' certificates
LINES = [b"hello\n", b"a longer line of a client\n", b"0123456789" * 99 + b"\n"]
PORTS = itertools.count(20000)


def listens(port):
    """Looks at the kernel's table: a connection to try it would be the only one that s_server serves."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            with open(table) as f:
                if any(f":{port:04X}" in line.split()[1] and line.split()[3] == "0A" for line in f.readlines()[1:]):
                    return True
    return False


class Shim:
    """A command line of the shim in one role, and what it is told by its environment."""

    def __init__(self, a):
        self.file, self.pki, self.key = a.shim, a.pki, a.key
        self.env = {"TLS_CA": f"{a.pki}/ca.crt", **({"TLS_OPENSSL": "yes"} if a.records == "openssl" else {})}

    def certificate(self, kind):
        base = f"{self.pki}/{kind}-{self.key}"
        return {"TLS_CERT": f"{base}.crt", "TLS_KEY": f"{base}.key"}

    def client(self, port):
        return Talk(["bash", "-c", 'exec "$0" client 3<>/dev/tcp/"$1"/"$2"', self.file, HOST, str(port)],
                    env={**self.env, **self.certificate("source"), "TLS_NAME": NAME})

    def expect(self, said, suite, peer):
        version, name, who = find(r"tls_shim: open TLSv(\S+) (\S+) peer=(\S*)", said)
        got = Deal(version, self.cipher(name, suite))
        if got != Deal(suite.version, suite.cipher) or who != peer:
            raise Failed(f"the shim has {got} with '{who}', expected {suite} with '{peer}'")

    @staticmethod
    def cipher(name, suite):
        """IANA's names, which for TLS 1.3 are OpenSSL's too."""
        if suite.version == "1.3":
            return cipher_of(name)
        want = f"TLS_ECDHE_{suite.auth.upper()}_WITH_"
        rest = {"AES_128_GCM_SHA256": "AES-128-GCM", "AES_256_GCM_SHA384": "AES-256-GCM",
                "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305"}
        if not name.startswith(want):
            raise Failed(f"the shim negotiated {name}, expected {suite}")
        return rest[name[len(want):]]


# --- their servers --------------------------------------------------------------------------------


def openssl_server(shim, port, suite, group):
    cert = shim.certificate("server")
    return ["openssl", "s_server", "-accept", f"{HOST}:{port}", "-naccept", "1", "-rev", "-CAfile", f"{shim.pki}/ca.crt",
            "-Verify", "2", "-verify_return_error", "-cert", cert["TLS_CERT"], "-key", cert["TLS_KEY"], "-groups",
            group.name, "-tls1_3" if suite.version == "1.3" else "-tls1_2",
            "-ciphersuites" if suite.version == "1.3" else "-cipher", suite.openssl]


def gnutls_server(shim, port, suite, group):
    cert = shim.certificate("server")
    priority = f"NORMAL:-VERS-ALL:+VERS-TLS{suite.version}:-CIPHER-ALL:+{suite.cipher}:-GROUP-ALL:+GROUP-{group.gnutls}"
    return ["gnutls-serv", "--echo", "--port", str(port), "--x509certfile", cert["TLS_CERT"], "--x509keyfile",
            cert["TLS_KEY"], "--x509cafile", f"{shim.pki}/ca.crt", "--require-client-cert", "--verify-client-cert",
            "--priority", priority]


def nss_server(shim, port, suite, group):
    v = f"tls{suite.version}"
    return ["selfserv", "-d", f"sql:{shim.pki}/nss", "-n", f"server-{shim.key}", "-p", str(port), "-V", f"{v}:{v}",
            "-c", f":{suite.code}", "-I", group.nss, "-r", "-r", "-v", "-G", "-H", "0"]


def reversed_line(line):
    return line[:-1][::-1] + b"\n"


def lines_with(talk, answer):
    for line in LINES:
        talk.say(line)
        want = answer(line)
        got = talk.hear(len(want))
        if got != want:
            raise Failed(f"{got[:60]} came back, expected {want[:60]}")


def page_with(talk):
    """selfserv answers a request with the request."""
    request = b"GET / HTTP/1.0\r\nX: " + b"0123456789" * 500 + b"\r\n\r\n"
    talk.say(request)
    page = talk.rest()
    if request not in page or not page.startswith(b"HTTP/1.0 200 "):
        raise Failed(f"answered {page[:200]}")


SERVERS = {"openssl": openssl_server, "gnutls": gnutls_server, "nss": nss_server}


def group_of(server, said, group):
    """What their server says the key exchange was; s_server tells a client's certificate, not a group."""
    if server == "gnutls":
        return find(r"Description: \(TLS.*?\)-\(ECDHE-(\w+)\)", said)[0], group.gnutls
    if server == "nss":
        return find(r"Key Exchange: (\d+)-bit", said)[0], group.bits
    return None, None


def as_client(shim, server, suite, group):
    port = next(PORTS)
    with Talk(SERVERS[server](shim, port, suite, group)) as theirs:
        theirs.until(lambda _: listens(port))
        with shim.client(port) as ours:
            if server == "nss":
                page_with(ours)
            else:
                lines_with(ours, reversed_line if server == "openssl" else lambda line: line)
            shim.expect(ours.said(), suite, "server-" + shim.key)
            if ours.status() != 0:
                raise Failed(f"did not end in order: {ours.said()}")
        theirs.child.terminate()
        said = theirs.rest().decode(errors="replace") + theirs.said()
        got, want = group_of(server, said, group)
        if got != want:
            raise Failed(f"their group is {got}, expected {want}")


def key_updates(shim, suite, group):
    """openssl s_server changes its keys, and asks us to change ours, between lines in both directions."""
    port = next(PORTS)
    argv = [x for x in openssl_server(shim, port, suite, group) if x != "-rev"] + ["-msg"]
    with Talk(argv) as theirs:
        theirs.until(lambda _: listens(port))
        out = b""
        with shim.client(port) as ours:
            for i, command in enumerate((b"k\n", b"K\n", b"K\n", b"k\n", b"")):
                line = b"line %d\n" % i
                ours.say(line)
                out += theirs.hear_to(line)
                theirs.say(line)
                if ours.hear(len(line)) != line:
                    raise Failed(f"line {i} came back as another")
                theirs.say(command)
            if ours.status() != 0:
                raise Failed(f"did not end in order: {ours.said()}")
        out += theirs.rest()
    for way, n in ((">>>", 4), ("<<<", 2)):
        if len(re.findall(rb"%s [^\n]*KeyUpdate" % way.encode(), out)) != n:
            raise Failed(f"not {n} key updates {way} in {out.decode(errors='replace')}")


def client_cases(shim, server):
    for suite, group in shared(shim.key):
        yield f"{suite} {group}", lambda s=suite, g=group: as_client(shim, server, s, g)
        if server == "openssl" and suite.version == "1.3" and group.name == "P-384":
            yield f"{suite} key updates", lambda s=suite, g=group: key_updates(shim, s, g)


# --- their clients --------------------------------------------------------------------------------


def as_server(shim, tool, suite, group):
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        offer = Offer(HOST, port, shim.pki, suite, group, cert=f"source-{shim.key}")
        with Talk(TOOLS[tool].argv(offer)) as theirs:
            conn, _ = listener.accept()
            with conn, Talk([shim.file, "server"], stdin=conn,
                            env={**shim.env, **shim.certificate("server")}) as ours:
                conn.close()
                lines_with(theirs, lambda line: line)
                expect(TOOLS[tool], offer, theirs)
                shim.expect(ours.said(), suite, f"source-{shim.key}")


def server_cases(shim, tool):
    for suite, group in shared(shim.key):
        yield f"{suite} {group}", lambda s=suite, g=group: as_server(shim, tool, s, g)


# --- running them ---------------------------------------------------------------------------------


def run(case):
    try:
        case[1]()
        return None
    except (Failed, OSError) as e:
        return f"{case[0]}: {e}"


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("role", choices=("client", "server"))
    p.add_argument("peer", choices=SERVERS)
    p.add_argument("--shim", required=True)
    p.add_argument("--pki", required=True)
    p.add_argument("--key", choices=("ecdsa", "rsa", "ed25519"), required=True)
    p.add_argument("--records", choices=("ipsec-mb", "openssl"), default="ipsec-mb")
    a = p.parse_args()
    cases = list((client_cases if a.role == "client" else server_cases)(Shim(a), a.peer))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [f for f in pool.map(run, cases) if f]
    for f in failures:
        print(f"{version_of(a.peer)}, lib/tls as {a.role} with {a.records}, {a.key} certificates, {f}")
    print(f"cases {len(cases)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
