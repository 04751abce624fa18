"""Signatures of JSON texts in the forms of RFC 7515, 7518 and 8037 (JSON Web Signature).

A key has one algorithm: EdDSA with Ed25519, ES256, ES384 or ES512 with an elliptic curve, PS256 with RSA.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from agent.model.fastclass import frozen


@frozen
class SigningAlgorithm:
    """``name``: as in RFC 7518 and RFC 8037. ``number_bytes``: length of each of the two numbers of ECDSA."""

    name: str
    hash_name: str
    number_bytes: int = 0


def algorithm_of_key(public_key: Any) -> SigningAlgorithm | None:
    """Return the only algorithm that signatures with this key have; None: such keys do not sign here."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    from agent.services.keys.x509_certificates import RSA_LEAST_BITS

    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return SigningAlgorithm("EdDSA", "")
    if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= RSA_LEAST_BITS:
        return SigningAlgorithm("PS256", "SHA256")
    curves = {
        "secp256r1": ("ES256", "SHA256", 32),
        "secp384r1": ("ES384", "SHA384", 48),
        "secp521r1": ("ES512", "SHA512", 66),
    }
    if isinstance(public_key, ec.EllipticCurvePublicKey) and (found := curves.get(public_key.curve.name)):
        return SigningAlgorithm(*found)
    return None


def sign_bytes(signed: bytes, private_key: Any, algorithm: SigningAlgorithm) -> bytes:
    """Return the bytes that RFC 7518 3.4, 3.5 and RFC 8037 3.1 ask for."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if algorithm.name == "EdDSA":
        return bytes(private_key.sign(signed))
    if not algorithm.number_bytes:
        return bytes(private_key.sign(signed, _pss_padding(), _hash_of_name(algorithm.hash_name)))
    r, s = decode_dss_signature(private_key.sign(signed, ec.ECDSA(_hash_of_name(algorithm.hash_name))))
    return r.to_bytes(algorithm.number_bytes, "big") + s.to_bytes(algorithm.number_bytes, "big")


def is_signature_right(signature: bytes, signed: bytes, public_key: Any, algorithm: SigningAlgorithm) -> bool:
    """Return whether this key has made the signature of these bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    try:
        if algorithm.name == "EdDSA":
            public_key.verify(signature, signed)
        elif not algorithm.number_bytes:
            public_key.verify(signature, signed, _pss_padding(), _hash_of_name(algorithm.hash_name))
        else:
            if len(signature) != 2 * algorithm.number_bytes:
                return False
            half = algorithm.number_bytes
            numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
            public_key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(_hash_of_name(algorithm.hash_name)))
    except (InvalidSignature, ValueError):
        return False
    return True


def _pss_padding() -> Any:
    """Return the padding of PS256 (RFC 7518 3.5)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)


def _hash_of_name(name: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return {"SHA256": hashes.SHA256(), "SHA384": hashes.SHA384(), "SHA512": hashes.SHA512()}[name]


def encode_base64url(content: bytes) -> str:
    """Return base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Return the bytes of the one text that ``encode_base64url`` makes of them. Raise ``ValueError`` if it is none."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as e:
        raise ValueError(str(e)) from e
    if not content or encode_base64url(content) != text:
        raise ValueError("is not base64url")
    return content
