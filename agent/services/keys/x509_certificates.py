"""Read certificates: their issuers, their validity, and the hashes by which OCPP names them.

A function that checks returns the reason for a refusal, or "". ``cryptography`` is imported when the first certificate
is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from agent.domain.certificates import HashData
from agent.model.fastclass import replace

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType

E = TypeVar("E", bound="ExtensionType")

ALGORITHMS = {"SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}


def read_certificates(pem: str | bytes) -> list[Certificate]:
    """Return all certificates of a PEM text, in their order.

    Raise ``ValueError`` if one of them cannot be read as a whole.
    """
    from cryptography import x509

    try:
        chain = x509.load_pem_x509_certificates(pem.encode("ascii") if isinstance(pem, str) else pem)
    except x509.InvalidVersion as e:
        raise ValueError(str(e)) from e
    for cert in chain:
        _check_readable(cert)
    return chain


def _check_readable(cert: Certificate) -> None:
    """Raise ``ValueError`` if a part cannot be read. The library parses parts on first use only."""
    try:
        cert.public_key()
        _ = cert.subject, cert.issuer, cert.extensions, cert.not_valid_before_utc, cert.not_valid_after_utc
        _ = cert.signature_algorithm_parameters
    except Exception as e:
        raise ValueError(f"a certificate cannot be read ({type(e).__name__})") from e


def chain_problem(chain: Sequence[Certificate], trusted: Sequence[Certificate], now: datetime) -> str:
    """Return why no trusted authority stands behind the first certificate of the chain, or "".

    One of the authorities has to have signed it, directly or through the certificates that follow it.
    """
    for i, cert in enumerate(chain):
        if wrong := out_of_date(cert, now) or key_problem(cert):
            return f"certificate {i + 1} of its chain {wrong}"
        roots = [root for root in trusted if is_issued_by(cert, root, i)]
        if any(not (out_of_date(root, now) or key_problem(root)) for root in roots):
            return ""
        if weak := next(filter(None, map(key_problem, roots)), ""):
            return f"its root {weak}"
        if i + 1 == len(chain) or not is_issued_by(cert, chain[i + 1], i):
            break
    return "no installed root certificate has signed it"


def out_of_date(cert: Certificate, now: datetime) -> str:
    if cert.not_valid_before_utc <= now <= cert.not_valid_after_utc:
        return ""
    return f"is valid from {cert.not_valid_before_utc} to {cert.not_valid_after_utc} only"


def is_issued_by(cert: Certificate, issuer: Certificate, between: int = 0) -> bool:
    """Return whether ``issuer`` is an authority and has signed this certificate.

    ``between`` is the number of authorities between it and the end of the chain.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return is_authority(issuer, between)


def is_authority(cert: Certificate, between: int = 0) -> bool:
    """Return whether it may sign certificates, with ``between`` authorities below it (RFC 5280 4.2.1.3, 4.2.1.9).

    TLS, installed roots and signed certificates share this one rule (decision 12): basicConstraints allow it; or
    keyUsage allows it where there are no basicConstraints; or it is a root of X.509 version 1, which has neither.
    """
    from cryptography import x509

    basic, usage = _extension_value(cert, x509.BasicConstraints), _extension_value(cert, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return False
    if basic is None:
        return usage is not None or (cert.version is x509.Version.v1 and cert.issuer == cert.subject)
    return basic.ca and (basic.path_length is None or between <= basic.path_length)


RSA_LEAST_BITS, CURVE_LEAST_BITS = 2048, 224
"""OCPP 2.0.1 A00.FR.501-505 and the security whitepaper of 1.6 demand these: 112 bits of symmetric strength."""


def key_problem(cert: Certificate) -> str:
    """Return why the station must believe nothing that this key has signed, or ""."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    key = cert.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_LEAST_BITS:
        return f"has an RSA key of {key.key_size} bits, at least {RSA_LEAST_BITS} are needed"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < CURVE_LEAST_BITS:
        return f"has a key on a curve of {key.curve.key_size} bits, at least {CURVE_LEAST_BITS} are needed"
    if not isinstance(
        key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    ):
        return f"has a key of another kind than RSA or an elliptic curve ({type(key).__name__.strip('_')})"
    return ""


def allows_code_signing(cert: Certificate) -> bool:
    """Return whether it may sign programs, as far as it names its purposes (RFC 5280 4.2.1.3, 4.2.1.12)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usage, purposes = _extension_value(cert, x509.KeyUsage), _extension_value(cert, x509.ExtendedKeyUsage)
    if usage is not None and not usage.digital_signature:
        return False
    return purposes is None or ExtendedKeyUsageOID.CODE_SIGNING in purposes


def _extension_value(cert: Certificate, kind: type[E]) -> E | None:
    from cryptography import x509

    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def root_problem(chain: Sequence[Certificate], now: datetime) -> str:
    """Return why this is not exactly one root that can be trusted now, or ""."""
    if len(chain) != 1:
        return f"one certificate is wanted, {len(chain)} came"
    (root,) = chain
    if not is_issued_by(root, root):
        return "it is no root: not an authority that has signed itself"
    return out_of_date(root, now) or key_problem(root)


def replacement_problem(
    chain: Sequence[Certificate], trusted: Sequence[Certificate], now: datetime
) -> tuple[str, Certificate | None]:
    """Return why this is not exactly one root that may replace the trusted ones, or "", and which of them has signed it
    (OCPP 2.0.1 M05.FR.10, M05.FR.11)."""
    if len(chain) != 1:
        return f"one certificate is wanted, {len(chain)} came", None
    (root,) = chain
    if not is_authority(root):
        return "it is no root: not an authority", None
    if why := out_of_date(root, now) or key_problem(root):
        return why, None
    good = (old for old in trusted if not (out_of_date(old, now) or key_problem(old)))
    issuer = next((old for old in good if is_issued_by(root, old, 1)), None)
    return ("" if issuer else "none of the roots that it would replace has signed it"), issuer


def common_name(cert: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    names = cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


def certificate_hash_data(cert: Certificate, issuer: Certificate, algorithm: str = "SHA256") -> HashData:
    """Return the hashes of RFC 6960 4.1.1, by which OCPP names a certificate.

    They cover the issuer's name as it stands in the certificate, and the bits of the issuer's key.
    """
    digest = ALGORITHMS[algorithm]
    name = digest(cert.issuer.public_bytes()).hexdigest()
    return HashData(algorithm, name, digest(_key_bits(issuer)).hexdigest(), f"{cert.serial_number:x}")


def matches_hash_data(cert: Certificate, issuer: Certificate | None, named: HashData) -> bool:
    """Return whether this hash data names the certificate.

    If the issuer is not known, its name and the serial number decide.
    """
    own = certificate_hash_data(cert, cert if issuer is None else issuer, named.algorithm)
    return own.names_same_certificate(named if issuer is not None else replace(named, issuer_key=own.issuer_key))


def _key_bits(cert: Certificate) -> bytes:
    """Return the subject's public key without algorithm and length.

    ``SubjectKeyIdentifier`` of RFC 5280 is the hash of the same bits.
    """
    from cryptography.hazmat.primitives import serialization

    info = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, inside, _ = _der_element(info)
    _, _, after_algorithm = _der_element(inside)
    tag, bits, _ = _der_element(after_algorithm)
    assert tag == 3, "a SubjectPublicKeyInfo ends with a BIT STRING"
    return bits[1:]  # the first byte counts the unused bits of the last one


def _der_element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag and content of the first DER element, and the bytes that follow it."""
    tag, first, at = data[0], data[1], 2
    if first & 0x80:
        at = 2 + (first & 0x7F)
        first = int.from_bytes(data[2:at], "big")
    return tag, data[at : at + first], data[at + first :]


def station_time(utc_s: float | None) -> datetime:
    """Return the time of the station; if the station does not know it, the time of the board."""
    return datetime.now(UTC) if utc_s is None else datetime.fromtimestamp(utc_s, UTC)
