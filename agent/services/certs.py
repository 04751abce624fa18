"""What certificates say: whom they lead to, how long they last, and the hashes that OCPP names them by. Functions that
judge return why not, or "". ``cryptography`` is imported when the first certificate is looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from agent.domain.certificates import HashData

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType

E = TypeVar("E", bound="ExtensionType")

ALGORITHMS = {"SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}


def read(pem: str | bytes) -> list[Certificate]:
    """All certificates of a PEM text, in their order. Raises ``ValueError`` where one cannot be read as a whole."""
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(pem.encode("ascii") if isinstance(pem, str) else pem)
    except x509.InvalidVersion as e:
        raise ValueError(str(e)) from e
    for cert in chain:
        _look(cert)
    return chain


def _look(cert: Certificate) -> None:
    """The library reads a certificate's parts when they are asked for: here, so that nobody trips over them later."""
    try:
        cert.public_key()
        _ = cert.subject, cert.issuer, cert.extensions, cert.not_valid_before_utc, cert.not_valid_after_utc
        _ = cert.signature_algorithm_parameters
    except Exception as e:
        raise ValueError(f"a certificate cannot be read ({type(e).__name__})") from e


def leads_to(chain: Sequence[Certificate], trusted: Sequence[Certificate], now: datetime) -> str:
    """Has one of these authorities signed the first of the chain, directly or by those that follow it?"""
    for i, cert in enumerate(chain):
        if late := out_of_date(cert, now):
            return f"certificate {i + 1} of its chain {late}"
        if any(issued(cert, root, i) and not out_of_date(root, now) for root in trusted):
            return ""
        if i + 1 == len(chain) or not issued(cert, chain[i + 1], i):
            break
    return "no installed root certificate has signed it"


def out_of_date(cert: Certificate, now: datetime) -> str:
    if cert.not_valid_before_utc <= now <= cert.not_valid_after_utc:
        return ""
    return f"is valid from {cert.not_valid_before_utc} to {cert.not_valid_after_utc} only"


def issued(cert: Certificate, issuer: Certificate, between: int = 0) -> bool:
    """Signed by this one, which is an authority. ``between``: so many authorities stand between it and the end."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return is_authority(issuer, between)


def is_authority(cert: Certificate, between: int = 0) -> bool:
    """May it sign certificates, with so many authorities below it? (RFC 5280 4.2.1.3, 4.2.1.9)"""
    from cryptography import x509

    basic, usage = _extension(cert, x509.BasicConstraints), _extension(cert, x509.KeyUsage)
    if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
        return False
    return basic.path_length is None or between <= basic.path_length


def signs_code(cert: Certificate) -> bool:
    """Is it for signing programs, as far as it says what it is for? (RFC 5280 4.2.1.3, 4.2.1.12)"""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage, purposes = _extension(cert, x509.KeyUsage), _extension(cert, x509.ExtendedKeyUsage)
    if usage is not None and not usage.digital_signature:
        return False
    return purposes is None or ExtendedKeyUsageOID.CODE_SIGNING in purposes


def _extension(cert: Certificate, kind: type[E]) -> E | None:
    from cryptography import x509

    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def root_problem(chain: Sequence[Certificate], now: datetime) -> str:
    """Is it one root that can be trusted now?"""
    if len(chain) != 1:
        return f"one certificate is wanted, {len(chain)} came"
    (root,) = chain
    if not issued(root, root):
        return "it is no root: not an authority that has signed itself"
    return out_of_date(root, now)


def common_name(cert: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    names = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def hash_data(cert: Certificate, issuer: Certificate, algorithm: str = "SHA256") -> HashData:
    """Of RFC 6960 4.1.1: the issuer's name as it stands in the certificate, and the bits of the issuer's key."""
    digest = ALGORITHMS[algorithm]
    name = digest(cert.issuer.public_bytes()).hexdigest()
    return HashData(algorithm, name, digest(_key_bits(issuer)).hexdigest(), f"{cert.serial_number:x}")


def _key_bits(cert: Certificate) -> bytes:
    """The subject's public key without algorithm and length: what ``SubjectKeyIdentifier`` hashes by RFC 5280."""
    from cryptography.hazmat.primitives import serialization

    info = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, inside, _ = _element(info)
    _, _, after_algorithm = _element(inside)
    tag, bits, _ = _element(after_algorithm)
    assert tag == 3, "a SubjectPublicKeyInfo ends with a BIT STRING"
    return bits[1:]  # how many bits of the last byte are unused


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows of the first DER element."""
    tag, first, at = data[0], data[1], 2
    if first & 0x80:
        at = 2 + (first & 0x7F)
        first = int.from_bytes(data[2:at], "big")
    return tag, data[at : at + first], data[at + first :]


def utc(utc_s: float | None) -> datetime:
    """The station's idea of now; where it has none, the board's."""
    return datetime.now(UTC) if utc_s is None else datetime.fromtimestamp(utc_s, UTC)
