"""A DC meter behind HTTP, whatever it is called."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from agent.model.key_rules import settings_problems
from agent.model.meter_signing import Signing
from agent.model.types import MeterIdentity, Reading, Stamp
from agent.ports import Broken, DeviceError, Exchanged, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.device_errors import with_device_name
from drivers.meter_rest.http_client import MeterHttpClient
from drivers.meter_rest.isabellenhuette import Iem
from drivers.meter_rest.lem import Lem
from drivers.meter_rest.settings import RestSettings
from drivers.meter_rest.values import STEP_WH, DeviceIdentity, Look
from drivers.meter_signing import MeterTransactions, TransactionSigner

log = logging.getLogger(__name__)

CLASSES = ("A", "B")
"""As their makers declare it after EN 50470-4; which of them is on the label."""
DOUBTS = ("interface (documents and other projects, not on a meter)",)
MOST_V = 1500.0
ATTEMPTS = 2

TimedLook = tuple[Look, Stamp]


class MeterApi(MeterTransactions, Protocol):
    """What differs from model to model. All raise ``DeviceError``."""

    async def read_identity(self) -> DeviceIdentity: ...

    async def read_values(self) -> Look: ...


APIS: dict[str, Callable[[MeterHttpClient, RestSettings], MeterApi]] = {"lem_dcbm": Lem, "isabellenhuette_iem": Iem}


@asynccontextmanager
async def open_meter(settings: RestSettings, where: Where) -> AsyncIterator[RestMeter]:
    """Open the meter. Raises ``Unreachable``, ``Garbled``, ``Broken``."""
    if wrong := list_complaints(settings):
        raise Broken("; ".join(wrong))
    web = MeterHttpClient(settings.host, settings.port, settings.timeout_s)
    meter = RestMeter(settings, where, APIS[settings.model](web, settings))
    await meter.start_meter()
    yield meter


def list_complaints(settings: RestSettings) -> list[str]:
    missing = [] if settings.host else ['host: is missing; for example host = "192.168.1.2"']
    return settings_problems(settings) + missing


class RestMeter:
    """``agent.ports.meter.SigningMeter``."""

    def __init__(self, settings: RestSettings, where: Where, api: MeterApi) -> None:
        self.identity = MeterIdentity(signs=True)
        self._api, self._now = api, where.now
        self._name = f"meter of EVSE {where.evse} ({settings.host}:{settings.port})"
        self._pinned = settings.serial
        self._most_w = where.facts.max_a * MOST_V
        self._signer = TransactionSigner(api, self._name, settings.signature_required, settings.record_s)
        self._last: TimedLook | None = None
        self._known = False

    async def start_meter(self) -> None:
        try:
            await self._verify_identity()
            self._accept_register(await self._read_values())
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read(self) -> Reading:
        try:
            if not self._known:
                await self._verify_identity()
            seen = await self._read_steady_values()
            return _reading_of_look(self._accept_register(seen))
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read_billing(self) -> Reading:
        """Read the identity, then the values until two looks agree; a third decides when they do not."""
        try:
            await self._verify_identity()
            looks = [await self._read_values(), await self._read_values()]
            if not self._is_plausible_step(*looks):
                looks.append(await self._read_values())
                if not any(self._is_plausible_step(look, looks[2]) for look in looks[:2]):
                    raise Garbled("three looks at the billing register gave three answers")
            return _reading_of_look(self._accept_register(looks[-1]))
        except DeviceError as e:
            raise self._named_error(e) from e

    async def read_signed(self, signing: Signing) -> Reading:
        utc_s = None if signing.utc_s is None else signing.utc_s + self._passed_s(signing.asked)
        try:
            return await self._signer.read_and_sign(signing, utc_s, self.read_billing)
        except DeviceError as e:
            raise self._named_error(e) from e

    def _passed_s(self, since: Stamp) -> float:
        boot, t_s = self._now()
        return t_s - since.t_s if boot == since.boot else 0.0

    async def _read_steady_values(self) -> TimedLook:
        """Read the values; look at a surprising register again. One that stays counts."""
        first = await self._read_values()
        if self._last is None or self._is_plausible_step(self._last, first):
            return first
        second = await self._read_values()
        if self._is_plausible_step(self._last, second) or self._is_plausible_step(first, second):
            return second
        raise Garbled("the billing register jumps: two looks gave different values")

    async def _read_values(self) -> TimedLook:
        """Read the values; repeat once after a lost answer, since a read changes nothing."""
        for left in range(ATTEMPTS - 1, -1, -1):
            try:
                look = await self._api.read_values()
                return look, Stamp(*self._now())
            except Unreachable:
                if not left:
                    raise
        raise AssertionError

    def _accept_register(self, seen: TimedLook) -> TimedLook:
        if self._last is not None and seen[0].energy_wh < self._last[0].energy_wh:
            raise Garbled(
                f"the billing register went back from {self._last[0].energy_wh} to {seen[0].energy_wh} Wh: "
                "was the meter exchanged or reset?"
            )
        self._last = seen
        return seen

    def _is_plausible_step(self, one: TimedLook, later: TimedLook) -> bool:
        """Return whether the register went not backwards, and no faster than the hardware explains (and one step)."""
        passed_s = max(later[1].t_s - one[1].t_s, 0.0)
        return 0 <= later[0].energy_wh - one[0].energy_wh <= self._most_w * passed_s / 3600 + STEP_WH + 1

    async def _verify_identity(self) -> None:
        """Read the identity before a value is believed: after an error another meter may be there."""
        who = await self._api.read_identity()
        if self._pinned and who.serial != self._pinned:
            raise Exchanged(
                f"{self._name}: serial number is {who.serial!r}, expected {self._pinned!r}: the meter was exchanged; "
                "put the new one into service (serial in the station file)"
            )
        self._pinned = self._pinned or who.serial
        self.identity = MeterIdentity(
            who.vendor, who.model, who.serial, who.firmware, STEP_WH, CLASSES, None, DOUBTS, signs=True
        )
        self._known = True

    def _named_error(self, error: DeviceError) -> DeviceError:
        self._known = False
        return with_device_name(self._name, Unreachable(str(error)) if isinstance(error, Refused) else error)


def _reading_of_look(seen: TimedLook) -> Reading:
    look, at = seen
    return Reading(
        at, look.energy_wh, look.power_w, (look.voltage_v,), (look.current_a,), export_wh=look.export_wh, dc=True
    )
