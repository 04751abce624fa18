"""Port of a badge reader."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.fastclass import frozen
from agent.model.types import Token


@frozen
class Tap:
    """One card held to the reader. ``token`` is None for a card that cannot identify a driver
    (``reason``: ``random_uid``, ``unreadable``, ``not_genuine``, ``too_many_cards``; of a random UID at a device that
    takes payments too ``phone_at_terminal``)."""

    token: Token | None
    reason: str = ""


class ReaderPort(Protocol):
    """Must: one card presence = one ``Tap``, reported at once, not at removal. Must not: use a
    random UID as a token; log a whole UID; block the event loop. Raises (out of ``taps``):
    ``Unreachable``, ``Broken``."""

    def taps(self) -> AsyncIterator[Tap]: ...
