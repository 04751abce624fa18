"""Resumption of TLS sessions: what a reconnect saves, and what it must not skip (decision 20)."""

from __future__ import annotations

import ssl
import time
from typing import Any

from agent.model.fastclass import frozen, replace

SESSION_MAX_S = 86400.0
"""A session is resumed for a day at most (RFC 5246, F.1.4): after that the certificate is
checked again."""
RESUMPTION_ATTEMPTS = 3
NARROW_GROUP = "prime256v1"
"""Every TLS 1.3 has it (RFC 8446, 9.1). The key of the first handshake is a part of a resumed session's, so that a
post-quantum key share, 2.3 kB each time, adds nothing."""


@frozen
class KeptSession:
    """``root``: of the chain that was verified at ``verified_s`` (monotonic seconds), when the session was new."""

    session: ssl.SSLSession | None
    root: bytes
    verified_s: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.verified_s < SESSION_MAX_S


class ResumingContext(ssl.SSLContext):
    """Resumes the latest TLS session with each host: no certificates on the wire, and with TLS
    1.2 one round trip less. The context fixes what is trusted, so a session never outlives a
    change of it. Each ticket is used once (RFC 8446, C.4): after a failure the next handshake is
    a full one. A server that fails at resumption repeatedly is not asked for it any more."""

    def __init__(self, protocol: int) -> None:
        self._sessions: dict[str, KeptSession] = {}
        self._offered: dict[str, KeptSession] = {}
        self.failures: dict[str, int] = {}
        """How often in turn a host has not gone through with a resumption."""
        self._tls_1_3, self._is_narrow = False, False

    @property
    def is_spent(self) -> bool:
        """Whether a full handshake is due although the key shares have been narrowed: Python
        cannot widen them again."""
        return self._is_narrow and not any(kept.is_fresh for kept in self._sessions.values())

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Offer the kept session. ``asyncio`` calls this method and has no place for a session."""
        host = str(server_hostname)
        self._offered.pop(host, None)  # left by a failed handshake: irrelevant for this one
        kept = self._sessions.pop(host, None)
        if kept is not None and kept.is_fresh and self.failures.get(host, 0) < RESUMPTION_ATTEMPTS:
            session, self._offered[host] = kept.session, kept
            self.failures[host] = self.failures.get(host, 0) + 1  # until it succeeds
            if self._tls_1_3:
                self.set_ecdh_curve(NARROW_GROUP)
                self._is_narrow = True
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def keep_session(self, connection: ssl.SSLObject) -> bytes:
        """Keep the session of a connection on which data was read: in TLS 1.3 its ticket comes
        after the handshake. Return the root of its chain; for a resumed session it is the root
        of the first handshake."""
        host, session = str(connection.server_hostname), connection.session
        before = self._offered.pop(host, None)
        if before is not None:
            self.failures.pop(host, None)
        if before is None or not connection.session_reused:
            before = KeptSession(session, verified_root(connection), time.monotonic())
        if session is not None and (session.has_ticket or session.id):
            self._sessions[host] = replace(before, session=session)
            self._tls_1_3 = connection.version() == "TLSv1.3"
        return before.root


def verified_root(connection: Any) -> bytes:
    """Return the authority (DER) at the end of the other side's chain; b"" if Python does not
    know it. The public method came with 3.13; what it is made of is in 3.11 too."""
    found = getattr(getattr(connection, "_sslobj", None), "get_verified_chain", None)
    chain = found() if found is not None else None
    return ssl.PEM_cert_to_DER_cert(chain[-1].public_bytes()) if chain else b""
