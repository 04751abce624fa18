"""What every kind of sink offers: one connection to the far side of a ``[[sinks]]`` table."""

from __future__ import annotations

from typing import Protocol


class SinkError(Exception):
    """The far side did not take it: one line for a technician."""


class Outlet(Protocol):
    """One connection to the far side. ``send`` raises ``SinkError``, and takes a line again that it may have taken."""

    async def send(self, kind: str, line: str) -> None: ...

    async def close(self) -> None: ...
