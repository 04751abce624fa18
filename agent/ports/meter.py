"""Port of a billing meter."""

from __future__ import annotations

from typing import Protocol

from agent.kinds import MeterIdentity, Reading


class MeterPort(Protocol):
    """A meter with one lifetime import register.

    Must: floor the register to integer Wh; stamp a reading with the time of the answer; read the identity at open and
    again after every reconnect. Must not: return a cached value as fresh; write to the meter; guess a missing number.
    Raises: ``Unreachable``, ``Garbled`` (a value that cannot be true), ``Broken`` (other meter than configured).
    """

    identity: MeterIdentity

    async def read(self) -> Reading:
        """Everything the map knows, one look."""
        ...

    async def read_billing(self) -> Reading:
        """The register for the begin or the end of a transaction: overtakes polls on a shared line, is read twice
        and agrees within what the power explains."""
        ...
