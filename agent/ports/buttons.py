"""Port of push buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Protocol


class ButtonsPort(Protocol):
    """Must: one press = one name (``language``, ``stop``, ``outlet-1`` ...), reported at the press,
    not at release; no repeats while held. Raises (out of ``presses``): ``Unreachable``, ``Broken``."""

    @property
    def names(self) -> Collection[str]:
        """All that can be pressed."""
        ...

    def presses(self) -> AsyncIterator[str]: ...
