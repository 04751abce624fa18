"""Signed tariff files: a JSON Web Signature (RFC 7515, flattened JSON serialization) over the text of the tariffs.

The station file names the keys that are trusted (``[tariff] signed_by``). They belong to the operator, who sets the
price, and not to the manufacturer, who signs firmware. A key is trusted as it is: of a certificate only the key counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agent.model import json_limits
from agent.services.keys.json_signature import (
    algorithm_of_key,
    decode_base64url,
    encode_base64url,
    is_signature_right,
    sign_bytes,
)

FILE_BYTES_MAX = 64 * 1024
_MEMBERS = ("payload", "protected", "signature")
_HEADER = {"alg", "kid", "typ"}
"""The parameters of the header that may be there; the last two say nothing."""


class UntrustedTariff(Exception):
    """Why nothing of this file is believed: one line for a technician."""


def read_signed_tariffs(content: bytes, keys: Path) -> str:
    """Return the text that one of the trusted keys has signed. Raise ``UntrustedTariff`` if none has."""
    if len(content) > FILE_BYTES_MAX:
        raise UntrustedTariff(f"it has more than {FILE_BYTES_MAX} bytes")
    try:
        members = json_limits.read_json(content)
        protected, payload, signature = _read_members(members)
        header = json_limits.read_json(decode_base64url(protected))
        text = decode_base64url(payload).decode("utf-8")
        signature_bytes = decode_base64url(signature)
    except (ValueError, TypeError) as e:
        raise UntrustedTariff(f"it is no JSON Web Signature ({e})") from None
    if not isinstance(header, dict) or "alg" not in header or set(header) - _HEADER:
        raise UntrustedTariff("its header must have alg, and may have kid and typ")
    signed = f"{protected}.{payload}".encode("ascii")
    for key in load_trusted_keys(keys):
        algorithm = algorithm_of_key(key)
        is_meant = algorithm is not None and algorithm.name == header["alg"]
        if algorithm is not None and is_meant and is_signature_right(signature_bytes, signed, key, algorithm):
            return text
    raise UntrustedTariff("none of the trusted keys has signed it")


def _read_members(members: Any) -> tuple[str, str, str]:
    if not isinstance(members, dict) or set(members) != set(_MEMBERS):
        raise ValueError(f"it must have {', '.join(_MEMBERS)}")
    payload, protected, signature = (members[name] for name in _MEMBERS)
    if not all(isinstance(member, str) and member.isascii() for member in members.values()):
        raise ValueError("its members must be texts")
    return protected, payload, signature


def sign_tariffs(text: str, private_key: Any) -> str:
    """Return the signed file. Raise ``ValueError`` if keys of this kind do not sign."""
    algorithm = algorithm_of_key(private_key.public_key())
    if algorithm is None:
        raise ValueError(
            "use a key of Ed25519, of an elliptic curve (P-256, P-384, P-521), or RSA of 2048 bits and more"
        )
    protected = encode_base64url(json.dumps({"alg": algorithm.name}, separators=(",", ":")).encode())
    payload = encode_base64url(text.encode("utf-8"))
    signature = encode_base64url(sign_bytes(f"{protected}.{payload}".encode("ascii"), private_key, algorithm))
    return json.dumps(dict(zip(_MEMBERS, (payload, protected, signature), strict=True)), indent=1) + "\n"


def load_trusted_keys(path: Path) -> list[Any]:
    """Return the public keys of a PEM file, those of its certificates included. Raise ``UntrustedTariff`` if one cannot
    be read, or there is none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    from agent.services.keys.x509_certificates import read_certificates

    try:
        content = path.read_bytes()
    except OSError as e:
        raise UntrustedTariff(f"{path}: {e.strerror or e}") from None
    begin, end = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    plain = [begin + part.partition(end)[0] + end + b"\n" for part in content.split(begin)[1:]]
    try:
        keys = [load_pem_public_key(pem) for pem in plain]
        if b"-----BEGIN CERTIFICATE-----" in content:
            keys += [certificate.public_key() for certificate in read_certificates(content)]
    except (ValueError, UnsupportedAlgorithm) as e:
        raise UntrustedTariff(f"{path}: cannot be read as keys in PEM form ({e})") from None
    if not keys:
        raise UntrustedTariff(f"{path}: has no public key and no certificate in PEM form")
    return keys
