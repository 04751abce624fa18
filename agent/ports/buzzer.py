"""Port of a buzzer."""

from __future__ import annotations

from typing import Protocol


class BuzzerPort(Protocol):
    """Must: sound at this frequency (Hz; a buzzer with a fixed pitch ignores it) until the next
    call, 0 is silence; be silent at open and when closed, whatever happened in between. Must not:
    play patterns (the supervisor does); block the event loop for more than 5 ms. Raises:
    ``Unreachable``, ``Broken``."""

    async def tone(self, frequency_hz: int) -> None: ...
