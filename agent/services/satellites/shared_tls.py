"""TLS between a payment master and its satellites: each shows a certificate of the authority of their pool, and is
known by the name in it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from agent.model.secret_file import Unfit, read_secret

MASTER_NAME = "payment-master"
"""The name that the certificate of the master is for, whatever its address is."""


def master_context(certificate: Path, key: Path | None, authority: Path) -> ssl.SSLContext:
    """Return the context of the master's port: TLS 1.2 or newer, and a satellite must show a certificate of
    ``authority``. Raises ``OSError`` (``ssl.SSLError`` is one)."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(str(certificate), str(key or certificate))
    made.load_verify_locations(cafile=str(authority))
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def satellite_context(certificate: Path, key: Path | None, authority: Path) -> ssl.SSLContext:
    """Return the context with which a satellite connects. Raises ``OSError``."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(str(certificate), str(key or certificate))
    made.load_verify_locations(cafile=str(authority))
    return made


def certificate_problem(certificate: Path, key: Path | None, authority: Path) -> str:
    """Return why a connection cannot be made with these files; "": it can."""
    try:
        read_secret(key or certificate)
        satellite_context(certificate, key, authority)
    except Unfit as e:
        return f"{key or certificate}: {e}"
    except (OSError, ValueError) as e:
        return f"certificate, key and ca are not usable ({e})"
    return ""


def certificate_names(certificate: dict[str, Any] | None) -> tuple[str, ...]:
    """Return the names that a certificate is for, as ``ssl.SSLObject.getpeercert`` returns it: host names of the
    subject's alternatives, otherwise the common name."""
    certificate = certificate or {}
    alternatives = tuple(name for kind, name in certificate.get("subjectAltName", ()) if kind == "DNS")
    subject = (pair for group in certificate.get("subject", ()) for pair in group)
    return alternatives or tuple(value for kind, value in subject if kind == "commonName")
