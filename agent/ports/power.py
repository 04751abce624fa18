"""Port of a power-fail input: is mains there, and what carries us without it?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.types import Supply


class PowerPort(Protocol):
    """Must: report the present state at once, then each change, at most 0.5 s old; report mains as
    lost as soon as the input says so (how long a glitch is, is the caller's affair). Must not:
    guess: an input that cannot be read is ``Unreachable``, neither lost nor there. Raises (out of
    ``supplies``): ``Unreachable``, ``Garbled``, ``Broken``."""

    def supplies(self) -> AsyncIterator[Supply]: ...
