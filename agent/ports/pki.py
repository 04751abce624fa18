"""Keys and certificates of the station; ``services/pki.py`` is the real one (decision 12)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class PkiPort(Protocol):
    """What a link needs to know of them, and says. All answer from memory."""

    def roots(self) -> tuple[Path, ...]:
        """Installed roots of central systems, as PEM files."""
        ...

    def client(self, certificate: str) -> tuple[Path, Path] | None:
        """Chain and private key of this client certificate; None: not there."""
        ...

    def used(self, link: str, root: bytes | None) -> None:
        """This link's present connection hangs on this root (DER); None: on none; b"": nobody knows on which."""
        ...
