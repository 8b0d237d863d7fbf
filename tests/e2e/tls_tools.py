# SPDX-License-Identifier: BSD-3-Clause
"""The TLS clients of others: told what to offer, and asked what was negotiated.

Each class turns an Offer into a command line and what the command said into a Deal. The bytes of the
connection are the command's stdin and stdout and nothing else is.
"""

import os
import re
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from tls_names import SUITES, Deal, Group, Suite

SECONDS = 60  # for anything a tool is waited for


@dataclass
class Offer:
    """Where to connect to, and the only things to offer."""
    host: str
    port: int
    pki: str  # directory with ca.crt, certificates and the NSS database
    suite: Suite
    group: Group
    cert: str = ""  # name of the client's certificate in pki; none
    first: bool = False  # offer P-521 before the group, with a key share: RFC 8446's HelloRetryRequest follows
    alpn: str = ""
    more: list = field(default_factory=list)  # options of the tool


class Failed(Exception):
    """A tool did not do what it should have; the text says what it did instead."""


class Talk:
    """A running tool."""

    def __init__(self, argv, env=None, stdin=subprocess.PIPE):
        self.log = tempfile.TemporaryFile()
        self.end = time.monotonic() + SECONDS
        self.child = subprocess.Popen(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=self.log,
                                      env={**os.environ, **(env or {})}, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        if self.child.stdin:
            self.child.stdin.close()
        self.child.stdout.close()
        self.log.close()

    def say(self, data):
        self.child.stdin.write(data)

    def _some(self, most):
        left = self.end - time.monotonic()
        if left <= 0 or not select.select([self.child.stdout], [], [], left)[0]:
            raise Failed(f"nothing came for {SECONDS} s; it said: {self.said()}")
        return os.read(self.child.stdout.fileno(), most)

    def hear(self, n):
        """Exactly n bytes."""
        got = bytearray()
        while len(got) < n:
            part = self._some(n - len(got))
            if not part:
                raise Failed(f"ended after {len(got)} of {n} bytes; it said: {self.said()}")
            got += part
        return bytes(got)

    def hear_to(self, end):
        """Everything up to these bytes."""
        got = b""
        while not got.endswith(end):
            got += self.hear(1)
        return got

    def rest(self):
        """Everything until the tool closes its stdout."""
        parts = []
        while part := self._some(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def until(self, enough):
        """Waits until what it said is enough."""
        while not enough(self.said()):
            if time.monotonic() > self.end or self.child.poll() is not None:
                raise Failed(f"said only: {self.said()}")
            time.sleep(0.01)

    def status(self):
        """Its exit status, after its stdin was closed."""
        self.child.stdin.close()
        try:
            return self.child.wait(max(0.1, self.end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed(f"does not end; it said: {self.said()}") from None

    def said(self):
        """What it said beside the connection's bytes, so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


def find(pattern, text):
    """The groups of the only match, or of the first of several."""
    m = re.search(pattern, text)
    if not m:
        raise Failed(f"no '{pattern}' in what it said: {text}")
    return m.groups()


class OpenSSL:
    name = "openssl"
    speaks = True  # relays stdin and stdout

    def argv(self, offer):
        pki, suite = offer.pki, offer.suite
        argv = ["openssl", "s_client", "-brief", "-CAfile", f"{pki}/ca.crt", "-verify_return_error",
                "-verify_ip", offer.host, "-groups", ("P-521:" if offer.first else "") + offer.group.name, "-connect", f"{offer.host}:{offer.port}",
                "-tls1_3" if suite.version == "1.3" else "-tls1_2",
                "-ciphersuites" if suite.version == "1.3" else "-cipher", suite.openssl]
        if offer.cert:
            argv += ["-cert", f"{pki}/{offer.cert}.crt", "-key", f"{pki}/{offer.cert}.key"]
        if offer.alpn:
            argv += ["-alpn", offer.alpn]
        return argv + offer.more

    def deal(self, said):
        find(r"(Verification: OK)", said)
        version, name = find(r"Protocol version: TLSv(\S+)\nCiphersuite: (\S+)", said)
        return Deal(version, cipher_of(name), find(r"Server Temp Key: (?:ECDH, )?(\w+)", said)[0])

    def group(self, group):
        return group.temp_key


class Curl:
    """Fetches only; offers one group at a time, and does not tell it."""
    name = "curl"
    speaks = False

    def argv(self, offer):
        suite = offer.suite
        argv = ["curl", "-sv", "--no-alpn", "--cacert", f"{offer.pki}/ca.crt", "--curves",
                ("P-521:" if offer.first else "") + offer.group.name]
        if suite.version == "1.3":
            argv += ["--tlsv1.3", "--tls13-ciphers", suite.openssl]
        else:
            argv += ["--tlsv1.2", "--tls-max", "1.2", "--ciphers", suite.openssl]
        if offer.cert:
            argv += ["--cert", f"{offer.pki}/{offer.cert}.crt", "--key", f"{offer.pki}/{offer.cert}.key"]
        return argv + offer.more

    def deal(self, said):
        find(r"(SSL certificate verify ok)", said)
        version, name = find(r"SSL connection using TLSv(\S+) / (\S+)", said)
        return Deal(version, cipher_of(name))

    def group(self, group):
        return None


class GnuTLS:
    """Writes what it has to say when it ends."""
    name = "gnutls"
    speaks = True

    def argv(self, offer):
        suite = offer.suite
        priority = (f"NORMAL:-VERS-ALL:+VERS-TLS{suite.version}:-CIPHER-ALL:+{suite.cipher}:-GROUP-ALL"
                    + (":+GROUP-SECP521R1" if offer.first else "") + f":+GROUP-{offer.group.gnutls}")
        if suite.version == "1.2":
            priority += f":-KX-ALL:+ECDHE-{suite.auth.upper()}"
        more = [m for m in offer.more if not m.startswith(":")]
        priority += "".join(m for m in offer.more if m.startswith(":"))
        argv = ["gnutls-cli", "--logfile", "/dev/stderr", "--x509cafile", f"{offer.pki}/ca.crt", "--priority",
                priority, "--port", str(offer.port)]
        if offer.cert:
            argv += ["--x509certfile", f"{offer.pki}/{offer.cert}.crt", "--x509keyfile",
                     f"{offer.pki}/{offer.cert}.key"]
        if offer.alpn:
            argv += ["--alpn", offer.alpn]
        return argv + more + [offer.host]

    def deal(self, said):
        find(r"(certificate is trusted)", said)
        return Deal(*[find(r"Description: \(TLS([\d.]+).*?\)-\(ECDHE-(\w+)\)-\(.*?\)-\((.*?)\)", said)[i]
                      for i in (0, 2, 1)])

    def group(self, group):
        return group.gnutls


class NSS:
    name = "nss"
    speaks = True

    def argv(self, offer):
        v = f"tls{offer.suite.version}"
        database = "nss" if offer.cert else "nss-nobody"  # it shows any certificate that it has
        argv = ["tstclnt", "-v", "-h", offer.host, "-p", str(offer.port), "-d", f"sql:{offer.pki}/{database}", "-V",
                f"{v}:{v}", "-c", f":{offer.suite.code}", "-I", ("P521," if offer.first else "") + offer.group.nss, "-G"]
        if offer.cert:
            argv += ["-n", offer.cert]
        return argv + offer.more

    def deal(self, said):
        version, bits, name = find(r"SSL version 3\.(\d) using (\d+)-bit (\S+) with", said)
        group = find(r"Key Exchange: (\d+)-bit", said)[0]
        return Deal(f"1.{int(version) - 1}", "CHACHA20-POLY1305" if "CHACHA" in name.upper() else f"AES-{bits}-GCM",
                    group)

    def group(self, group):
        return group.bits


def cipher_of(name):
    for suite in SUITES:
        if suite.openssl == name:
            return suite.cipher
    raise Failed(f"negotiated {name}, which is not offered here")


TOOLS = {t.name: t for t in (OpenSSL(), Curl(), GnuTLS(), NSS())}


def version_of(tool):
    """As `openssl 3.0.19`, for the report."""
    command = {"openssl": ["openssl", "version"], "curl": ["curl", "-V"], "gnutls": ["gnutls-cli", "--version"],
               "nss": ["dpkg-query", "-W", "-f", "${Version}", "libnss3-tools"]}[tool]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    number = find(r"(?:^|:| )(\d+\.\d+(?:\.\d+)?)", text)[0]
    return f"{tool} {number}"


def expect(tool, offer, talk):
    """Raises Failed unless exactly what was offered was negotiated. Ends the talk where the tool tells
    nothing before."""
    if tool.name == "gnutls":
        talk.status()
    got = tool.deal(talk.said())
    want = Deal(offer.suite.version, offer.suite.cipher, tool.group(offer.group))
    if got != want:
        raise Failed(f"negotiated {got}, expected {want}")
