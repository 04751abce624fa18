"""TLS as OCPP's security profiles 2 and 3 demand it: what is offered, which certificates are
trusted, and what a failure means."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from agent.domain.backend_connection import ConnectFailure
from agent.model.root_certificates import certificate_fingerprint, pem_certificates
from agent.ocpp.transport.tls_sessions import ResumingContext
from agent.ports.pki import NO_ROOTS, TrustedRoots
from agent.station_file.settings import Backend

CIPHERS = ":".join((
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256", "AES256-GCM-SHA384",
))  # fmt: skip
"""TLS 1.2: both pairs that the standard names (A00), those with forward secrecy first. 1.3 has its own three."""
SECURITY_LEVEL = "@SECLEVEL=2"
"""OpenSSL refuses RSA keys below 2048 bits in the whole chain, whatever the distribution's default is."""

_ALERTS_ABOUT_US = (
    "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA", "ACCESS_DENIED", "CERTIFICATE_REQUIRED", "DECRYPT_ERROR",
)  # fmt: skip
_VERSION = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "WRONG_SSL_VERSION", "NO_PROTOCOLS_AVAILABLE")
_CIPHER = ("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "WRONG_CIPHER", "UNKNOWN_CIPHER", "INSUFFICIENT_SECURITY")


def build_context(backend: Backend, roots: TrustedRoots = NO_ROOTS, one_key_share: bool = False) -> ResumingContext:
    """Build the TLS context: TLS 1.2 or newer, chain and host name checked against ``ca`` and
    the installed ``roots``, and the system's store where no ``ca`` is given; the client
    certificate in profile 3. ``one_key_share``: only for the curve that every server of TLS 1.3
    has (RFC 8446 9.1). Raises ``OSError`` (``ssl.SSLError`` is one)."""
    made = ResumingContext(
        ssl.PROTOCOL_TLS_CLIENT
    )  # not Python's default: from 3.13 on that refuses many private roots
    if roots.is_pinned:
        made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    elif backend.ca is None:
        made.load_default_certs()
    for path in roots.installed:
        made.load_verify_locations(cafile=str(_require_readable(path)))
    if backend.ca is not None:
        _trust_ca(made, _require_readable(backend.ca), roots.withdrawn)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(f"{CIPHERS}:{SECURITY_LEVEL}")
    if one_key_share:
        made.set_ecdh_curve("prime256v1")
    if backend.crl is not None:
        made.load_verify_locations(cafile=str(_require_readable(backend.crl)))
        made.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if backend.security_profile == 3 and backend.client_cert is not None:
        key = backend.client_key or backend.client_cert
        made.load_cert_chain(str(_require_readable(backend.client_cert)), str(_require_readable(key)))
    return made


def _trust_ca(made: ssl.SSLContext, ca: Path, withdrawn: frozenset[str]) -> None:
    if not withdrawn:
        made.load_verify_locations(cafile=str(ca))
        return
    texts = pem_certificates(ca.read_text("ascii", "replace"))  # the comments around them may be in any encoding
    try:
        left = [pem for pem in texts if certificate_fingerprint(pem) not in withdrawn]
    except ValueError as e:
        raise ssl.SSLError(f"{ca}: a certificate in it cannot be read: {e}") from e
    if left:
        made.load_verify_locations(cadata="\n".join(left))


def root_of(connection: Any) -> bytes | None:
    """Return the authority (DER) at the end of the other side's chain, of an ``ssl.SSLObject``;
    None without TLS; b"" if Python does not know it. Call it once data was read: it also keeps
    the session for the next connection."""
    return None if connection is None else connection.context.keep_session(connection)


def _require_readable(path: Path) -> Path:
    os.close(os.open(path, os.O_RDONLY))
    return path


def ssl_error(error: BaseException | None) -> ssl.SSLError | None:
    """Return the TLS failure at the bottom of an error, if there is one: in TLS 1.3 a server
    that refuses a client certificate says so only when the client already waits for its answer."""
    for _ in range(8):
        if error is None or isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def classify_failure(error: ssl.SSLError, own_certificate: bool) -> ConnectFailure:
    """Classify a TLS failure. ``own_certificate``: we have presented one; then a handshake that
    the server gives up is about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectFailure.SERVER_CERTIFICATE
    reason = (error.reason or "").upper()
    if any(word in reason for word in _VERSION):
        return ConnectFailure.TLS_VERSION
    if "ALERT" in reason and any(word in reason for word in _ALERTS_ABOUT_US):
        return ConnectFailure.OWN_CERTIFICATE
    if any(word in reason for word in _CIPHER):
        return ConnectFailure.OWN_CERTIFICATE if own_certificate else ConnectFailure.TLS_CIPHER
    return ConnectFailure.OTHER
