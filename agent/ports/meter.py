"""Port of a billing meter."""

from __future__ import annotations

from typing import Protocol

from agent.model.meter_signing import Signing
from agent.model.types import MeterIdentity, Reading


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


class SigningMeter(MeterPort, Protocol):
    """A meter that signs transactions; its identity says ``signs``.

    Must: begin and end its own transaction with the reading, as one that is said twice does no
    harm; pass a record on byte for byte; set the meter's clock before a begin and never in between;
    report a record that does not come in time as ``record_due``. Must not: fail a reading because
    nothing can be signed (unless the station file demands a record); put a record of one
    transaction under another; forget one that was not taken.
    """

    async def read_signed(self, signing: Signing) -> Reading:
        """``read_billing`` for the begin or the end of a transaction, and the meter's own transaction with it."""
        ...
