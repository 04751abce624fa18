"""Check firmware signatures: who may sign, and whether they did.

The rules are in section 4.6 of the security whitepaper of OCPP 1.6, and in L01.FR.12 of OCPP 2.x. Each check returns
the reason for a refusal, or "" if there is none.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

CHUNK = 1024 * 1024


def signer_problem(certificate: str, roots: list[bytes], utc_s: float | None = None) -> str:
    """Return why this certificate must not sign firmware, or "".

    One of these authorities has to have issued it, directly or through the chain that comes with it. The certificate
    has to be meant for signing programs, because an authority also issues certificates of clients and servers.
    All of them have to be valid at ``utc_s``, the time of the station.
    """
    from agent.services.keys import x509_certificates

    try:
        chain = x509_certificates.read_certificates(certificate)
        trusted = [c for pem in roots for c in x509_certificates.read_certificates(pem)]
    except (ValueError, UnicodeEncodeError):
        return "it is no PEM certificate"
    if not trusted:
        return "no manufacturer's root certificate is installed"
    if not x509_certificates.allows_code_signing(chain[0]):
        return "it is for other things than signing firmware (its key usage)"
    return x509_certificates.chain_problem(chain, trusted, x509_certificates.station_time(utc_s))


def signature_problem(file: Path, certificate: str, signature: str) -> str:
    """Return why the signature does not fit the file, or "".

    The signature covers the SHA-256 of the whole file. It is RSA with PSS (any salt length) or PKCS#1 v1.5, or ECDSA.
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from agent.services.keys import x509_certificates

    try:
        key = x509_certificates.read_certificates(certificate)[0].public_key()
        said = base64.b64decode(signature, validate=False)
        digest = _file_digest(file)
    except (ValueError, UnicodeEncodeError, binascii.Error) as e:
        return f"certificate or signature cannot be read ({e})"
    except OSError as e:
        return f"the file cannot be read ({e.strerror})"
    try:
        if isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(key, said, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(said, digest, ec.ECDSA(_prehashed_sha256()))
        else:
            return f"keys of this kind are not spoken ({type(key).__name__})"
    except InvalidSignature:
        return "these bytes were not signed with this key"
    except (ValueError, UnsupportedAlgorithm) as e:  # the key is too short, or its curve is not supported
        return f"with this key nothing can be checked ({e})"
    return ""


def _verify_rsa(key: Any, said: bytes, digest: bytes) -> None:
    """Verify an RSA signature. Raise ``InvalidSignature`` if it does not fit.

    The standard demands PSS. Plain tools make PKCS#1 v1.5, which is as safe for this purpose.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    try:
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
        key.verify(said, digest, pss, _prehashed_sha256())
    except InvalidSignature:
        key.verify(said, digest, padding.PKCS1v15(), _prehashed_sha256())


def _prehashed_sha256() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    return Prehashed(hashes.SHA256())


def _file_digest(file: Path) -> bytes:
    from hashlib import sha256

    digest = sha256()
    with file.open("rb") as f:
        while chunk := f.read(CHUNK):
            digest.update(chunk)
    return digest.digest()
