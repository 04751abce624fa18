"""Root certificates as texts, without a library that reads certificates: what TLS needs of them at every start."""

from __future__ import annotations

import hashlib
import re
import ssl

FINGERPRINT_DIGITS = 32
_PEM = "(?s:-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)"
"""Compiled when a file is read."""


def pem_certificates(text: str) -> list[str]:
    """Return the certificates of a PEM file, one text each, in their order. Other parts of the file
    are left out."""
    return re.findall(_PEM, text)


def certificate_fingerprint(certificate: str | bytes) -> str:
    """Return the SHA-256 of a certificate (PEM text or DER), shortened. Raises ``ValueError`` where
    the PEM text is none."""
    der = ssl.PEM_cert_to_DER_cert(certificate) if isinstance(certificate, str) else certificate
    return hashlib.sha256(der).hexdigest()[:FINGERPRINT_DIGITS]
