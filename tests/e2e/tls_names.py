# SPDX-License-Identifier: BSD-3-Clause
"""What can be negotiated, and how OpenSSL, GnuTLS and NSS call it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """A cipher suite that the node and the three libraries share."""
    version: str  # "1.2" or "1.3"
    cipher: str  # as in a Deal
    auth: str  # what the server's certificate must be: "ecdsa" (also Ed25519), "rsa" or "any"
    openssl: str
    code: str  # IANA's number in hexadecimal, which NSS's tools take

    def __str__(self):
        return f"TLS {self.version} {self.openssl}"


SUITES = (
    Suite("1.3", "AES-128-GCM", "any", "TLS_AES_128_GCM_SHA256", "1301"),
    Suite("1.3", "AES-256-GCM", "any", "TLS_AES_256_GCM_SHA384", "1302"),
    Suite("1.3", "CHACHA20-POLY1305", "any", "TLS_CHACHA20_POLY1305_SHA256", "1303"),
    Suite("1.2", "AES-128-GCM", "ecdsa", "ECDHE-ECDSA-AES128-GCM-SHA256", "c02b"),
    Suite("1.2", "AES-256-GCM", "ecdsa", "ECDHE-ECDSA-AES256-GCM-SHA384", "c02c"),
    Suite("1.2", "CHACHA20-POLY1305", "ecdsa", "ECDHE-ECDSA-CHACHA20-POLY1305", "cca9"),
    Suite("1.2", "AES-128-GCM", "rsa", "ECDHE-RSA-AES128-GCM-SHA256", "c02f"),
    Suite("1.2", "AES-256-GCM", "rsa", "ECDHE-RSA-AES256-GCM-SHA384", "c030"),
    Suite("1.2", "CHACHA20-POLY1305", "rsa", "ECDHE-RSA-CHACHA20-POLY1305", "cca8"),
)


@dataclass(frozen=True)
class Group:
    name: str  # OpenSSL's
    temp_key: str  # what s_client prints
    gnutls: str
    nss: str
    bits: str  # what tstclnt prints

    def __str__(self):
        return self.name


GROUPS = (
    Group("X25519", "X25519", "X25519", "x25519", "255"),
    Group("P-256", "prime256v1", "SECP256R1", "P256", "256"),
    Group("P-384", "secp384r1", "SECP384R1", "P384", "384"),
)


@dataclass(frozen=True)
class Deal:
    """What a tool says was negotiated; None where it does not say."""
    version: str
    cipher: str
    group: str | None = None


def shared(key, version=None):
    """The (suite, group) pairs that can be negotiated with a server's certificate of this key type,
    one group offered at a time. In TLS 1.2 the groups a client offers also bound the curve of an ECDSA
    certificate (RFC 8422 section 5.1), so there P-256 goes with a P-256 certificate alone."""
    auth = "rsa" if key == "rsa" else "ecdsa"
    for suite in SUITES:
        if suite.auth not in ("any", auth) or version not in (None, suite.version):
            continue
        for group in GROUPS:
            if key != "ecdsa" or suite.version == "1.3" or group.name == "P-256":
                yield suite, group
