#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs real TLS clients through tables of cases against the test services of a node.

    tls_table.py TABLE TOOL --host A --pki DIR --key ecdsa|rsa|ed25519

Every case checks what was negotiated and that the bytes come back right. Prints `cases N` when all
passed, else a line per failure that names tool, version, suite and group.
"""

import argparse
import hashlib
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from tls_names import GROUPS, SUITES, shared
from tls_tools import TOOLS, Failed, Offer, Talk, expect, find, version_of

ECHO, HTTP, INGEST = 1007, 443, 1500
PROTOCOL = "headgate/1"
AT_ONCE = 4
PERIOD = bytes((i * 2654435761 >> 24) & 255 for i in range(65521))  # include/headgate/testsvc.h
SIZES = (0, 1, 1447, 16383, 16384, 16385, 65521, 1000003)
LARGE = {"gnutls": 2 << 20}  # gnutls-cli writes its output byte by byte
LARGEST = 64 << 20
LINES = [b"x\n", b"a line from a real client\n", b"y" * 1000 + b"\n", b"z" * 3900 + b"\n"]


def body(n):
    at = n % len(PERIOD)
    return (PERIOD * (n // len(PERIOD) + 2))[at:at + n]


def same(got, n):
    want = body(n)
    if hashlib.sha256(got).digest() != hashlib.sha256(want).digest():
        raise Failed(f"GET /{n} gave {len(got)} bytes with another SHA-256 than the {n} expected")


def echoed(talk):
    """Line for line: the next goes when the last is back."""
    for line in LINES:
        talk.say(line)
        back = talk.hear(len(line))
        if back != line:
            raise Failed(f"sent {line[:40]}, {back[:40]} came back")


def echo(tool, offer):
    with Talk(tool.argv(offer)) as talk:
        echoed(talk)
        expect(tool, offer, talk)


def get(tool, offer, n):
    if tool.name == "curl":
        with Talk(tool.argv(offer) + [f"https://{offer.host}:{offer.port}/{n}"]) as talk:
            got = talk.rest()
            if talk.status() != 0:
                raise Failed(f"curl failed: {talk.said()}")
            expect(tool, offer, talk)
        return same(got, n)
    if tool.name == "openssl":
        offer.more = offer.more + ["-ign_eof"]
    with Talk(tool.argv(offer)) as talk:
        talk.say(b"GET /%d HTTP/1.0\r\n\r\n" % n)
        head = talk.hear_to(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.0 200 "):
            raise Failed(f"answered {head}")
        # tstclnt does not end before its stdin does.
        got = talk.hear(n) if tool.name == "nss" else talk.rest()
        expect(tool, offer, talk)
    same(got, n)
    return None


# --- tables: each yields (what it is, the function that does it) ------------------------------------


def suites(tool, offer, key):
    """Every suite and group they share."""
    for suite, group in shared(key):
        one = offer(suite, group, port=ECHO if tool.speaks else HTTP)
        yield f"{suite} {group}", (lambda o=one: echo(tool, o)) if tool.speaks else (lambda o=one: get(tool, o, 20000))


def sizes(tool, offer, key):
    """Bodies: every size in one suite per version, a large one in the others."""
    seen = set()
    for suite, group in shared(key):
        if group.name != "P-256":
            continue
        every = (*SIZES, LARGE.get(tool.name, LARGEST))
        for n in every if suite.version not in seen else (1000003,):
            yield f"{suite} GET /{n}", lambda o=offer(suite, group, port=HTTP), n=n: get(tool, o, n)
        seen.add(suite.version)


def update_keys(tool, one, asks):
    """Lines before and after, with new keys between them; asks: whether the tool asks for ours too."""
    commands = {"openssl": (b"k\n", b"K\n"), "gnutls": (b"^rekey1^\n", b"^rekey^\n")}[tool.name]
    told = {"openssl": "KEYUPDATE", "gnutls": "Rekey was completed"}[tool.name]
    with Talk(tool.argv(one)) as talk:
        for i in range(5):
            line = b"line %d\n" % i * 20
            for part in line.splitlines(keepends=True):
                talk.say(part)
                if talk.hear(len(part)) != part:
                    raise Failed("another line came back")
            talk.say(commands[asks])
            if tool.name != "gnutls":
                talk.until(lambda said, i=i: said.count(told) == i + 1)
        talk.say(b"last\n")
        if talk.hear(5) != b"last\n":
            raise Failed("another line came back")
        expect(tool, one, talk)
        if talk.said().count(told) != 5:
            raise Failed(f"not 5 key updates in what it said: {talk.said()}")


def updates(tool, offer, key):
    """TLS 1.3 key updates: 5 of the client alone, and 5 that ask for the node's."""
    if tool.name not in ("openssl", "gnutls"):
        return
    for suite, group in shared(key, "1.3"):
        if group.name == "X25519":
            for asks in (False, True):
                one = offer(suite, group, port=ECHO)
                one.more = {"openssl": [], "gnutls": ["--inline-commands"]}[tool.name]
                yield f"{suite} key update, asks {asks}", lambda o=one, a=asks: update_keys(tool, o, a)


def resume_openssl(tool, one):
    with tempfile.TemporaryDirectory() as d:
        one.port, more = ECHO, one.more
        one.more = more + ["-sess_out", f"{d}/session"]
        with Talk(tool.argv(one)) as talk:
            echoed(talk)  # the tickets of TLS 1.3 came before the answer
            talk.status()
        one.more = more + ["-sess_in", f"{d}/session"]
        with Talk([x for x in tool.argv(one) if x != "-brief"]) as talk:
            said = talk.hear_to(b"Reused, TLSv%s, Cipher is %s\n" % (one.suite.version.encode(), one.suite.openssl.encode()))
            talk.say(LINES[1])
            said += talk.hear_to(LINES[1])


def resume_curl(tool, one):
    url = f"https://{one.host}:{HTTP}/1000"
    with Talk(tool.argv(one) + [url, url]) as talk:
        got = talk.rest()
        if talk.status() != 0 or talk.said().count("SSL re-using session ID") != 1:
            raise Failed(f"not resumed once: {talk.said()}")
        expect(tool, one, talk)
    if got != body(1000) * 2:
        raise Failed("other bytes came")


def resume_gnutls(tool, one):
    one.port, one.more = ECHO, ["--resume", "--waitresumption"]
    with Talk(tool.argv(one)) as talk:
        echoed(talk)
        talk.status()
        said = talk.said()
        find(r"(\*\*\* This is a resumed session)", said)
        expect(tool, one, talk)


def resume_nss(tool, one):
    with tempfile.NamedTemporaryFile() as request:
        request.write(b"GET /1000 HTTP/1.0\r\n\r\n")
        request.flush()
        one.more = ["-u", "-L", "2", "-A", request.name]
        argv = tool.argv(one)
        at = argv.index("-c")  # -c and -I make its second connection crash: it chooses suite and group itself
        with Talk(argv[:at] + argv[at + 4:]) as talk:
            got = talk.rest()
            find(r"\n1 cache hits; .*\n1 (stateless) resumes", talk.said())
            if tool.deal(talk.said()).version != one.suite.version:
                raise Failed(f"not TLS {one.suite.version}: {talk.said()}")
    if got.count(body(1000)) != 2:
        raise Failed("other bytes came")


def resumed(tool, offer, key):
    """A second connection by the ticket of the first. curl takes none in TLS 1.2."""
    seen = set()
    for suite, group in shared(key, "1.3" if tool.name == "curl" else None):
        if group.name == "P-256" and (tool.name != "nss" or suite.version not in seen):
            seen.add(suite.version)
            one = offer(suite, group, port=HTTP)
            yield f"{suite} resumed", lambda o=one: globals()["resume_" + tool.name](tool, o)


COMPAT = {"openssl": ([], ["-no_middlebox"]), "curl": ([],),
          "gnutls": (["--single-key-share"], ["--single-key-share", ":%DISABLE_TLS13_COMPAT_MODE"]),
          "nss": (["-e"], [])}


def compat(tool, offer, key):
    """RFC 8446 appendix D.4, on and off; with a HelloRetryRequest (section 4.1.4) and without."""
    for suite, group in shared(key, "1.3"):
        for more in COMPAT[tool.name]:
            for first in (False, True):
                one = offer(suite, group, port=HTTP)
                one.more, one.first = more, first
                yield f"{suite} {group} with {more}, retry {first}", lambda o=one: get(tool, o, 100000)


# What a tool says of the alert that it got.
ALERTS = {
    40: {"openssl": "SSL alert number 40", "curl": "TLS alert, handshake failure", "gnutls": r"Received alert \[40\]",
         "nss": "SSL_ERROR_NO_CYPHER_OVERLAP|SSL_ERROR_HANDSHAKE_FAILURE_ALERT"},
    70: {"openssl": "SSL alert number 70", "curl": "TLS alert, protocol version", "gnutls": r"Received alert \[70\]",
         "nss": "SSL_ERROR_PROTOCOL_VERSION_ALERT"},
    116: {"openssl": "SSL alert number 116", "curl": "alert certificate required", "gnutls": r"Received alert \[116\]",
          "nss": "SSL_ERROR_RX_CERTIFICATE_REQUIRED_ALERT"},
    120: {"openssl": "SSL alert number 120", "curl": "TLS alert, no application protocol",
          "gnutls": r"Received alert \[120\]", "nss": "SSL_ERROR_NEXT_PROTOCOL_NO_PROTOCOL"},
}
NO_CERTIFICATE = {"1.3": 116, "1.2": 40}  # RFC 8446 4.4.2.4, RFC 5246 7.4.6
# What is offered and nothing else.
OLD = {
    "openssl": {"TLS 1.0": (70, ["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
                "TLS 1.1": (70, ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]),
                "CBC": (40, ["-tls1_2", "-cipher", "ECDHE+AESCCM:ECDHE+AES+SHA256:ECDHE+AES+SHA1"]),
                "static RSA": (40, ["-tls1_2", "-cipher", "kRSA+AESGCM"]),
                "finite-field DHE": (40, ["-tls1_2", "-cipher", "DHE+AESGCM"])},
    "curl": {"TLS 1.0": (70, ["--tlsv1.0", "--tls-max", "1.0", "--ciphers", "ALL:@SECLEVEL=0"]),
             "TLS 1.1": (70, ["--tlsv1.1", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]),
             "CBC": (40, ["--tls-max", "1.2", "--ciphers", "ECDHE+AES+SHA256:ECDHE+AES+SHA1"]),
             "static RSA": (40, ["--tls-max", "1.2", "--ciphers", "kRSA+AESGCM"])},
    "gnutls": {"TLS 1.0": (70, "NORMAL:-VERS-ALL:+VERS-TLS1.0"), "TLS 1.1": (70, "NORMAL:-VERS-ALL:+VERS-TLS1.1"),
               "CBC": (40, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC"),
               "static RSA": (40, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA"),
               "no extended master secret": (40, "NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH"),
               "CCM": (40, "NORMAL:-VERS-ALL:-CIPHER-ALL:+AES-128-CCM:+VERS-TLS1.3")},
    "nss": {"TLS 1.0": (70, ["-V", "tls1.0:tls1.0"]), "TLS 1.1": (70, ["-V", "tls1.1:tls1.1"]),
            "CBC": (40, ["-V", "tls1.2:tls1.2", "-c", ":c023:c027:c009:c013"]),
            "static RSA": (40, ["-V", "tls1.2:tls1.2", "-c", ":009c:009d"])},
}


def refused_argv(tool, host, port, pki, options):
    return {"openssl": ["openssl", "s_client", "-connect", f"{host}:{port}", *options],
            "curl": ["curl", "-svk", *options, f"https://{host}:{port}/1"],
            "gnutls": ["gnutls-cli", "--x509cafile", f"{pki}/ca.crt", "--port", str(port), "--priority", options, host],
            "nss": ["tstclnt", "-v", "-o", "-h", host, "-p", str(port), "-d", f"sql:{pki}/nss", *options],
            }[tool.name]


def refuse(tool, argv, alert):
    with Talk(argv) as talk:
        out = talk.rest().decode(errors="replace")
        talk.child.wait()
        said = out + talk.said()
        if talk.child.returncode == 0:
            raise Failed(f"was not refused: {said}")
        if not re.search(ALERTS[alert][tool.name], said):
            raise Failed(f"no word of alert {alert} in: {said}")


def refused(tool, offer, key):
    """What the node must not negotiate, one thing offered at a time."""
    for what, (alert, options) in OLD[tool.name].items():
        one = offer(SUITES[0], GROUPS[0], port=HTTP)
        argv = refused_argv(tool, one.host, one.port, one.pki, options)
        yield what, lambda argv=argv, alert=alert: refuse(tool, argv, alert)


def enter(tool, one):
    """A handshake and an end in order; the node counts the one and the other."""
    with Talk(tool.argv(one)) as talk:
        if tool.name == "openssl":
            talk.until(lambda said: "CONNECTION ESTABLISHED" in said)
        talk.status()
        expect(tool, one, talk)


def ingest(tool, offer, key):
    """The native protocol's port: with its ALPN and a certificate of a source. tstclnt and curl cannot name a
    protocol of one's own."""
    if tool.name in ("openssl", "gnutls"):
        for suite, group in shared(key):
            one = offer(suite, group, port=INGEST)
            one.alpn = PROTOCOL
            yield f"{suite} {group}", lambda o=one: enter(tool, o)


def strangers(tool, offer, key):
    """The native protocol's port: another ALPN or none, or no certificate. tstclnt can offer no ALPN."""
    for version in ("1.3", "1.2"):
        suite, group = next(pair for pair in shared(key, version) if pair[1].name == "P-256")
        one = offer(suite, group, port=INGEST)
        if tool.name == "curl":  # offers http/1.1
            argv = [x for x in tool.argv(one) if x != "--no-alpn"] + [f"https://{one.host}:{INGEST}/"]
            yield f"{suite} ALPN of HTTP", lambda argv=argv: refuse(tool, argv, 120)
            continue
        for alpn in ("http/1.1", "headgate/2", "headgate", ""):
            one.alpn = alpn
            yield f"{suite} ALPN {alpn or 'none'}", lambda argv=tool.argv(one): refuse(tool, argv, 120)
        one.alpn, one.cert = PROTOCOL, ""
        yield f"{suite} no certificate", lambda argv=tool.argv(one), v=version: refuse(tool, argv, NO_CERTIFICATE[v])


def nameless(tool, offer, key):
    """A service that requires certificates, and clients that show none."""
    for version in ("1.3", "1.2"):
        suite, group = next(pair for pair in shared(key, version) if pair[1].name == "P-256")
        one = offer(suite, group, port=HTTP)
        one.cert = ""
        argv = tool.argv(one) + ([f"https://{one.host}:{HTTP}/1"] if tool.name == "curl" else [])
        yield f"{suite} no certificate", lambda argv=argv, v=version: refuse(tool, argv, NO_CERTIFICATE[v])


TABLES = {t.__name__: t for t in (suites, sizes, updates, compat, refused, resumed, ingest, strangers, nameless)}


# --- running them ---------------------------------------------------------------------------------


def run(case):
    try:
        case[1]()
        return None
    except (Failed, OSError) as e:
        return f"{case[0]}: {e}"


def arguments():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("table", choices=TABLES)
    p.add_argument("tool", choices=TOOLS)
    p.add_argument("--host", required=True)
    p.add_argument("--pki", required=True)
    p.add_argument("--key", choices=("ecdsa", "rsa", "ed25519"), required=True)
    p.add_argument("--cert", default="", help="name of the client's certificate")
    return p.parse_args()


def main():
    a = arguments()
    tool = TOOLS[a.tool]

    def offer(suite, group, port):
        return Offer(a.host, port, a.pki, suite, group, cert=a.cert)

    cases = list(TABLES[a.table](tool, offer, a.key))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        failures = [f for f in pool.map(run, cases) if f]
    for f in failures:
        print(f"{version_of(a.tool)}, {a.key} certificate, {f}")
    print(f"cases {len(cases)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
