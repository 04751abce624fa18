"""What every kind of sink offers: one connection to the far side of a ``[[sinks]]`` table."""

from __future__ import annotations

import asyncio
from typing import Protocol


class SinkError(Exception):
    """The far side did not take it: one line for a technician."""


class SinkConnection(Protocol):
    """One connection to the far side. ``send_line`` raises ``SinkError``. It accepts a line again that it may
    have sent already. ``lost``: set when the connection is known to be lost, even if no line is to be sent."""

    lost: asyncio.Event

    async def send_line(self, kind: str, line: str) -> None: ...

    async def close(self) -> None: ...
