"""Signed tariff files as another program makes them (RFC 7515, RFC 7518): nothing here is shared with the agent."""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed_elsewhere(key: Any, kind: str, text: str, **header: Any) -> dict[str, str]:
    """``kind``: of the key, as ``new_key`` has it. ``header``: more of the protected header."""
    names = {"ed25519": "EdDSA", "p256": "ES256", "p384": "ES384", "rsa": "PS256"}
    protected, payload = b64(json.dumps({"alg": names[kind], **header}).encode()), b64(text.encode())
    data = f"{protected}.{payload}".encode()
    if kind == "ed25519":
        signature = key.sign(data)
    elif kind == "rsa":
        signature = key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    else:
        length, algorithm = (32, hashes.SHA256()) if kind == "p256" else (48, hashes.SHA384())
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(algorithm)))
        signature = r.to_bytes(length, "big") + s.to_bytes(length, "big")
    return {"payload": payload, "protected": protected, "signature": b64(signature)}


def as_file(members: Any) -> bytes:
    return json.dumps(members).encode()
