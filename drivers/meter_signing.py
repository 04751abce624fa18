"""The steps that all meters share that sign transactions themselves: begin one, end it, have its record.

A record stays in the meter until the next transaction begins: a process killed between reading and storing it
reads it again. Nothing here reads or writes inside a record; it is only asked whether it names the transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent.model.meter_signing import Signing
from agent.model.types import Reading, SignedReading
from agent.ports import DeviceError, Garbled, Refused, Unreachable

log = logging.getLogger(__name__)

UNNAMED = "?"
POLL_S = 0.2
NOT_SIGNED = "the transaction is not signed by the meter"


class MeterTransactions(Protocol):
    """What a meter can do with its own transactions. All raise ``DeviceError``. ``Refused``: it does not do it, or not
    yet."""

    async def open_transaction(self) -> str | None:
        """Return the name of the open transaction, ``UNNAMED`` if the meter does not give it, None if none is open."""
        ...

    async def set_clock(self, utc_s: float) -> None: ...

    async def start_transaction(self, signing: Signing, utc_s: float | None) -> None:
        """Start a transaction, only while none is open. Where the meter has room for one record only, it forgets the
        last one."""
        ...

    async def stop_transaction(self, name: str) -> None: ...

    async def read_record(self, name: str, just_ended: bool) -> SignedReading | None:
        """Return the record of this name, None if the meter has none. ``just_ended``: the transaction was ended a
        moment ago, so that a record which is not there comes yet (``Refused``)."""
        ...


@dataclass(slots=True)
class TransactionSigner:
    """``required``: without a signature no transaction. ``record_s``: how long an end waits for its record.
    ``begun``: the last transaction that the meter has begun, as far as this driver knows; "": not known. ``ended``: the
    one that this driver has ended last."""

    meter: MeterTransactions
    name: str
    required: bool
    record_s: float
    begun: str = ""
    ended: str = ""

    async def read_and_sign(
        self, signing: Signing, utc_s: float | None, bill: Callable[[], Awaitable[Reading]]
    ) -> Reading:
        """Read the register with ``bill``, and begin or end the meter's own transaction. ``bill`` decides whether there
        is a reading, a signature does not. ``utc_s``: now. A begin that brings a record that was owed begins nothing:
        when the reading is asked for again without it, the meter may forget that record."""
        if signing.ends:
            record, due = await self._end_transaction(signing)
            return replace(await bill(), signed=record, record_due=due)
        try:
            open_one = await self.meter.open_transaction()
            goes_on = open_one is not None and self._is_ours(open_one, signing.id)
            if open_one is not None and not goes_on:
                self.begun = self.begun or signing.owed  # after a restart
                await self._end_left_open(open_one)
            is_just_ended = open_one == signing.owed or (open_one == UNNAMED and self._may_have_begun(signing.owed))
            late = None if goes_on else await self._owed_record(signing.owed, is_just_ended)
        except DeviceError as e:
            self._report_unsigned(e)
            return replace(await bill(), record_due=bool(signing.owed))
        reading = await bill()
        if late is None and not goes_on:
            await self._begin_transaction(signing, utc_s)
        return replace(reading, signed=late)

    async def _begin_transaction(self, signing: Signing, utc_s: float | None) -> None:
        try:
            if utc_s is not None:
                await self._set_clock(utc_s)
            await self._start_once(signing, utc_s)
        except DeviceError as e:
            self._report_unsigned(e)

    def _report_unsigned(self, why: DeviceError) -> None:
        if self.required:
            raise why
        log.error("%s: %s: %s", self.name, NOT_SIGNED, why)

    def _is_ours(self, open_one: str, name: str) -> bool:
        return open_one == name or (open_one == UNNAMED and self.begun == name)

    def _may_have_begun(self, name: str) -> bool:
        """Return whether the meter may have this transaction: the last one that it began is not known to be another."""
        return self.begun in ("", name)

    async def _end_left_open(self, open_one: str) -> None:
        """End a transaction that no session belongs to."""
        log.warning("%s: a transaction was still open in the meter, it is ended", self.name)
        await self.meter.stop_transaction(open_one)

    async def _owed_record(self, name: str, just_ended: bool) -> SignedReading | None:
        """Return the record that is still owed, if the meter has it. One that cannot be read will not be read later
        either."""
        if not name:
            return None
        try:
            return await self._wait_for_record(name, just_ended)
        except Garbled as e:
            log.error("%s: its record of %s cannot be read: %s", self.name, name, e)
            return None

    async def _set_clock(self, utc_s: float) -> None:
        """Set the meter's clock. A meter whose clock cannot be set shows that in its record."""
        try:
            await self.meter.set_clock(utc_s)
        except Refused as e:
            log.warning("%s: its clock was not set: %s", self.name, e)

    async def _start_once(self, signing: Signing, utc_s: float | None) -> None:
        """Start the transaction once: an answer that was lost is no reason to begin twice."""
        self.begun = signing.id  # also where all answers are lost
        try:
            await self.meter.start_transaction(signing, utc_s)
        except Unreachable:
            if await self.meter.open_transaction() not in (signing.id, UNNAMED):
                await self.meter.start_transaction(signing, utc_s)

    async def _end_transaction(self, signing: Signing) -> tuple[SignedReading | None, bool]:
        """End the transaction. Return its record, and whether one is due. What the meter calls by no name is ended too;
        it may be that of an earlier session, whose end was refused. As long as a record is owed, the meter has begun no
        other one."""
        self.begun = self.begun or signing.owed
        try:
            if await self.meter.open_transaction() in (signing.id, UNNAMED):
                self.ended = signing.id  # also where only the answer is lost
                await self.meter.stop_transaction(signing.id)
            just_ended = self.ended == signing.id and self._may_have_begun(signing.id)
            record = await self._wait_for_record(signing.id, just_ended)
        except DeviceError as e:
            log.warning("%s: no signed record yet: %s", self.name, e)
            return None, self._may_have_begun(signing.id)
        if record is None:
            log.error("%s: %s: it has no record of %s", self.name, NOT_SIGNED, signing.id)
        return record, False

    async def _wait_for_record(self, name: str, just_ended: bool) -> SignedReading | None:
        until_s = asyncio.get_running_loop().time() + self.record_s
        while True:
            try:
                return await self.meter.read_record(name, just_ended)
            except Refused:
                if asyncio.get_running_loop().time() > until_s:
                    raise
            await asyncio.sleep(min(POLL_S, self.record_s))
