"""Port of a charge controller board (one EVSE)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.board import EvseState, EvseTraits
from agent.model.types import Limit


class EvsePort(Protocol):
    """One EVSE of a board. Orders are *levels*: what is wanted, idempotent, safe to repeat.

    Must: come up with release withdrawn, whatever the board remembered. Close no contactor: the board does, when
    release is given and the vehicle asks (IEC 61851-1 state C). Arm the board's watchdog so that silence of the agent
    withdraws release, and feed it only from ``beat``. Return from an order when the board has acknowledged it.
    Must not: replay old orders after a reconnect (the caller re-states the levels); unlock while the contactor is not
    confirmed open; write a non-volatile register in normal operation; let one vehicle pass for another: one that was
    exchanged between two looks is shown as one that left (pilot A) and one that came.
    Raises: ``Unreachable``, ``Garbled``, ``Refused``, ``Broken``; nothing else.
    """

    traits: EvseTraits

    async def state(self) -> EvseState:
        """A fresh look at the board."""
        ...

    def states(self) -> AsyncIterator[EvseState]:
        """The first picture at once, then every one that differs from the last, at most 0.5 s old. Ends only by
        raising (``Unreachable`` after three missed polls)."""
        ...

    async def set_release(self, on: bool) -> None:
        """Give or withdraw the permission to charge. Withdrawing overtakes everything queued."""
        ...

    async def set_limit(self, limit: Limit) -> float:
        """Offer this current; below the board's minimum the vehicle is paused. Returns the amperes accepted (0 =
        paused). A DC board (``traits.dc``) goes by ``power_w`` alone and returns watts; where it cannot pause, it gives
        its minimum instead, since vehicles end a session at 0 W."""
        ...

    async def set_service(self, on: bool) -> None:
        """Off: pilot state F where the board has it, the socket stays empty."""
        ...

    async def set_hold(self, on: bool) -> None:
        """On: the plug stays locked when the vehicle leaves, until ``unlock`` (which also ends
        this). A board that frees its cable by itself and has no setting for that ignores it
        (``traits.holds`` False)."""
        ...

    async def unlock(self) -> bool:
        """Free the cable. True when the board confirms it is free; False when it stays locked.
        Raises ``Refused`` when the contactor is closed, and on a tethered outlet."""
        ...

    async def clear_fault(self) -> None:
        """Try to acknowledge latched faults; the next state shows the result."""
        ...

    async def beat(self) -> None:
        """The core is alive: feed the board's watchdog."""
        ...
