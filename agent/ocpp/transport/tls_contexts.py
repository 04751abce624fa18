"""One TLS context for the successive connections of a link, as long as what it is made of stays the same: it keeps the
sessions that the next connection resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.ocpp.transport import tls
from agent.ocpp.transport.tls_sessions import ResumingContext
from agent.ocpp.transport.transport import NoConnection
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend


class TlsContextCache:
    """Keeps one context while its files stay the same."""

    def __init__(self) -> None:
        self._made: tuple[Any, ResumingContext] | None = None

    def context_for(self, backend: Backend, roots: TrustedRoots, one_key_share: bool) -> ResumingContext:
        """Return the context for a backend. ``roots``: trusted too. Raises ``NoConnection``."""
        own = (backend.client_cert, backend.client_key) if backend.security_profile == 3 else ()
        files = (path for path in (backend.ca, backend.crl, *own, *roots.installed) if path)
        made_of = one_key_share, roots.withdrawn, roots.is_pinned, *((path, _file_state(path)) for path in files)
        if self._made is None or self._made[0] != made_of or self._made[1].is_spent:
            try:
                made = tls.build_context(backend, roots, one_key_share)
            except OSError as e:
                raise NoConnection(
                    f"[backend] ca, crl, client_cert, client_key: not usable ({e}): check the files"
                ) from e
            if self._made is not None and self._made[0] == made_of:
                made.failures = self._made[1].failures
            self._made = made_of, made
        return self._made[1]


def _file_state(path: Path) -> tuple[int, ...]:
    """Return what changes when the file is written or replaced, also by a copy that keeps its
    time: a renewed revocation list counts from the next connection on."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino
