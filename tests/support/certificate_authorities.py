"""Certificate authorities for tests, and TLS servers with every fault that a station must not overlook."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import warnings
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.support.tls_terminator import TlsFront

LOCAL = ("127.0.0.1", "localhost")
SPAN = (-100, 30)
"""Days from now on."""


def _name(common: str, organisation: str = "") -> x509.Name:
    more = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)] if organisation else []
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common), *more])


def _alternatives(hosts: tuple[str, ...]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in hosts:
        number = host.replace(".", "").isdigit()
        names.append(x509.IPAddress(ipaddress.ip_address(host)) if number else x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


class Authority:
    """``root``: its certificate as a file. What it signs is written beside it. ``above``: who has signed it, if it has
    not itself; ``span``: from when until when it is valid, in days from now on."""

    def __init__(
        self,
        folder: Path | None = None,
        name: str = "Test Root",
        above: Authority | None = None,
        span: tuple[int, int] = SPAN,
    ) -> None:
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (above or self).certify(_name(name), self.key.public_key(), span, ca=True)
        self.pem = pem(self.certificate)

    @property
    def hashes(self) -> dict[str, str]:
        """How a backend names this root."""
        return hash_data(self.certificate, self.certificate)

    @cached_property
    def root(self) -> Path:
        return self._write("root", self.pem.encode())

    def sign(self, csr: str, span: tuple[int, int] = SPAN) -> str:
        """The certificate that a signing request asks for."""
        request = x509.load_pem_x509_csr(csr.encode("ascii"))
        assert request.is_signature_valid
        return pem(self.certify(request.subject, request.public_key(), span))

    def server(self, hosts: tuple[str, ...] = LOCAL, days: int = 30, kind: str = "ec", named: bool = True) -> Path:
        """Certificate and key of a server in one file; ``days`` below 0: it has ended. ``kind``: ec, ec384 or rsa.
        ``named`` False: only its common name says which host it is."""
        return self._leaf("server", hosts[0], days, kind, _alternatives(hosts) if named else None)

    def client(self, common: str, organisation: str = "Chargy", days: int = 30) -> Path:
        """Certificate and key of a station in one file."""
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._leaf("client", common, days, "ec", use, organisation)

    def crl(self, *revoked: Path) -> Path:
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateRevocationListBuilder().issuer_name(_name(self.name))
        made = made.last_update(now - dt.timedelta(days=1)).next_update(now + dt.timedelta(days=30))
        for path in revoked:
            serial = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            made = made.add_revoked_certificate(entry.build())
        return self._write("crl", made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    # --- making ------------------------------------------------------------------------------------------------------

    def _leaf(self, what: str, common: str, days: int, kind: str, extension: Any, organisation: str = "") -> Path:
        curve = ec.SECP384R1() if kind == "ec384" else ec.SECP256R1()
        key: Any = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(curve)
        made = self.certify(_name(common, organisation), key.public_key(), (SPAN[0], days), extension)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(what, made.public_bytes(serialization.Encoding.PEM) + secret)

    def certify(
        self, subject: x509.Name, key: Any, span: tuple[int, int] = SPAN, extension: Any = None, ca: bool = False
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_name(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=span[0]))
            .not_valid_after(now + dt.timedelta(days=span[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if extension is not None:
            made = made.add_extension(extension, critical=False)
        return made.sign(self.key, hashes.SHA256())

    def _write(self, what: str, content: bytes) -> Path:
        assert self.folder is not None, f"{self.name} has no folder for its {what}"
        path = self.folder / f"{self.name.replace(' ', '-')}-{what}-{len(list(self.folder.iterdir()))}.pem"
        path.write_bytes(content)
        return path


def hash_data(certificate: x509.Certificate, issuer: x509.Certificate) -> dict[str, str]:
    """CertificateHashDataType, by the library's own OCSP."""
    made = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA256()).build()
    return {
        "hashAlgorithm": "SHA256",
        "issuerNameHash": made.issuer_name_hash.hex(),
        "issuerKeyHash": made.issuer_key_hash.hex(),
        "serialNumber": f"{made.serial_number:x}",
    }


class RootKind(StrEnum):
    """How a root says of itself that it is one."""

    BASIC_CONSTRAINTS = "basicConstraints"
    KEY_USAGE = "keyUsage only"
    VERSION_1 = "X.509 version 1"
    NOTHING = "version 3 without extensions"
    NO_SIGNING = "version 3 with a keyUsage that is not for signing certificates"


class OddAuthority(Authority):
    """A root of another kind, or with another key."""

    def __init__(self, folder: Path, kind: RootKind, key: Any = None, name: str = "Odd Root") -> None:
        self.folder, self.name = folder, name
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        made = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(name)).serial_number(7)
        made = made.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))
        made = made.public_key(self.key.public_key())
        if kind is RootKind.BASIC_CONSTRAINTS:
            made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        if kind in (RootKind.KEY_USAGE, RootKind.NO_SIGNING):
            signs = kind is RootKind.KEY_USAGE
            usage = x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)
            made = made.add_extension(usage, critical=True)
        self.certificate = made.sign(self.key, hashes.SHA256())
        if kind is RootKind.VERSION_1:
            self.certificate = _as_version_1(self.certificate, self.key)
        self.pem = pem(self.certificate)


def _as_version_1(certificate: x509.Certificate, key: Any) -> x509.Certificate:
    """The same without version ([0]) and extensions ([3]), signed again: no library writes such certificates."""
    parts = [p for p in _elements(_elements(certificate.tbs_certificate_bytes)[0][1]) if p[0] not in (0xA0, 0xA3)]
    body = _der(0x30, b"".join(_der(tag, content) for tag, content in parts))
    algorithm = next(_der(tag, content) for tag, content in parts if tag == 0x30)
    signature = key.sign(body, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(_der(0x30, body + algorithm + _der(0x03, b"\x00" + signature)))


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents of the DER elements that follow each other."""
    found = []
    while data:
        tag, length, at = data[0], data[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(data[2:at], "big")
        found.append((tag, data[at : at + length]))
        data = data[at + length :]
    return found


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (octets if size < 0x80 else bytes([0x80 | len(octets)]) + octets) + content


def serial_of(pem: str) -> str:
    """Of the first certificate of a chain."""
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:x}"


def shown(front: TlsFront) -> str:
    """Serial number of the certificate that a station has shown last."""
    return f"{x509.load_der_x509_certificate(front.agreed['certificate']).serial_number:x}"


def common_name(der: bytes) -> str:
    """Of a certificate that was shown."""
    found = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value)


def tls(
    server: Path, clients: Path | None = None, version: str = "", ciphers: str = "", want: bool = True
) -> ssl.SSLContext:
    """A server with this certificate. ``clients``: who signs the certificates that it takes; ``want``: it refuses all
    without one. ``version``: the only one that it speaks, "1.1", "1.2" or "1.3"; ``ciphers`` of TLS 1.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if version:
        spoken = {"1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            context.minimum_version = context.maximum_version = spoken
    if version == "1.1":
        ciphers = "DEFAULT:@SECLEVEL=0"  # or OpenSSL would not speak it at all
    if ciphers:
        context.set_ciphers(ciphers)
    context.load_cert_chain(server)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED if want else ssl.CERT_OPTIONAL
        context.load_verify_locations(clients)
    return context
