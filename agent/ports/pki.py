"""Keys and certificates of the station; ``services/keys/key_store.py`` is the real one (decision 12)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from agent.model.fastclass import frozen


@frozen
class TrustedRoots:
    """Whom TLS may trust beside the station file's ``ca``. ``installed``: PEM files. ``withdrawn``: fingerprints
    (``agent/model/root_certificates.py``) of roots of that ``ca`` which the backend has deleted: they are not trusted
    any more. ``is_pinned``: one of them was signed by another root, which need not be trusted any more; then the
    system's authorities are not trusted either. ``first``: to be tried before these and without them."""

    installed: tuple[Path, ...] = ()
    withdrawn: frozenset[str] = frozenset()
    is_pinned: bool = False
    first: TrustedRoots | None = None

    def all_together(self) -> TrustedRoots:
        """Return all of them in one, for a check of a certificate that changes nothing."""
        if self.first is None:
            return self
        return TrustedRoots(self.first.installed + self.installed, self.withdrawn, self.is_pinned)


NO_ROOTS = TrustedRoots()


class PkiPort(Protocol):
    """What a link needs to know of them, and says. All answer from memory, but while a new root is not proven."""

    def trusted_roots(self) -> TrustedRoots:
        """Roots of central systems."""
        ...

    def client_certificate(self, certificate: str) -> tuple[Path, Path] | None:
        """Chain and private key of this client certificate; None: not there."""
        ...

    def root_used(self, link: str, root: bytes | None) -> None:
        """This link's present connection hangs on this root (DER); None: on none; b"": it is
        unknown on which."""
        ...
