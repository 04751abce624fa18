"""What an audit records beside the frames: readings of the meter itself, connections, screens, payments, pictures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

from agent.audit.context import MeterReading, StationFact, WireRecord
from agent.commands.audit.bundle import AuditBundle
from agent.commands.scenario.control_client import ControlClient, Refused
from agent.scenario.target import CannotCarryOut

LOOK_S = 0.25
SETTLE_S = 15.0
"""Longest real wait until a payment is booked after the last scenario."""
SCREENS_WITH_PICTURE = frozenset({
    "idle", "plug_in", "checking", "charging", "suspended", "finished", "refused", "out_of_service", "reserved",
    "pay", "scan",
})  # fmt: skip


class AuditRecorder:
    """Everything that is recorded so far. ``bundle``: where it is written at once, as soon as there is a folder."""

    def __init__(self) -> None:
        self.readings: list[MeterReading] = []
        self.records: list[WireRecord] = []
        self.pictures: list[dict[str, Any]] = []
        self.asked: dict[str, StationFact] = {}
        self.bundle: AuditBundle | None = None

    def read_earlier_entries(self, bundle: AuditBundle) -> None:
        """Take over what the earlier runs of this audit have recorded."""
        for entry in bundle.earlier_entries():
            if isinstance(entry, WireRecord):
                self.records.append(entry)
            else:
                self.readings.append(entry)

    def open_bundle(self, bundle: AuditBundle) -> None:
        """Write what was recorded before there was a folder, and everything from now on."""
        self.bundle = bundle
        entries: list[MeterReading | WireRecord] = [*self.records, *self.readings]
        for entry in entries:
            bundle.append_entry(entry, _utc_of_entry(entry))

    def note_connection(self, connected: bool, version: str) -> None:
        """Record that the station has connected, or is gone."""
        self.note_record("connected" if connected else "disconnected", version=version)

    def note_record(self, kind: str, **data: Any) -> None:
        record = WireRecord(time.monotonic(), kind, data)
        self.records.append(record)
        self._write_entry(record)

    def note_reading(self, reading: MeterReading) -> None:
        self.readings.append(reading)
        self._write_entry(reading)

    def _write_entry(self, entry: MeterReading | WireRecord) -> None:
        if self.bundle is not None:
            self.bundle.append_entry(entry, _utc_of_entry(entry))

    def add_picture(self, name: str, content: bytes, title: str, evse: int | None) -> str:
        """Keep a picture. Returns its path within the folder."""
        assert self.bundle is not None
        path = self.bundle.add_picture(name, content)
        known = next((p for p in self.pictures if p["path"] == path), None)
        if known is None:
            self.pictures.append({"path": path, "title": title, "evse": evse})
        return path


def _utc_of_entry(entry: MeterReading | WireRecord) -> float:
    return entry.at_s + time.time() - time.monotonic()


class SimulationWatch:
    """Looks at a simulated station while scenarios run: its meters, its screens, what was paid."""

    def __init__(self, client: ControlClient, recorder: AuditRecorder) -> None:
        self._client, self._recorder = client, recorder
        self._seen: dict[tuple[str, Any], Any] = {}

    async def watch_station(self) -> None:
        """Look again and again. A station that restarts does not answer for a moment."""
        while True:
            with contextlib.suppress(Refused, CannotCarryOut, LookupError, TypeError):
                await self.look_once()
            await asyncio.sleep(LOOK_S)

    async def look_once(self) -> Mapping[str, Any]:
        """Record what is to be seen now. Returns the whole picture. Raises ``Refused``, ``CannotCarryOut``."""
        asked_s = time.monotonic()  # what was in the messages before this instant is in the picture
        picture = await self._client.station_picture()
        for evse in picture["evses"]:
            self._note_meter_reading(evse, asked_s)
            self._note_ended_session(evse)
            await self._note_screen_change(evse)
        self._note_payments(picture.get("ledger") or {})
        return picture

    async def look_at_scenario_end(self) -> None:
        """Record what a scenario leaves, also the registers that have not changed: they belong to what was billed till
        now. A station that restarts does not answer."""
        for number in [number for what, number in self._seen if what == "meter"]:
            del self._seen["meter", number]
        with contextlib.suppress(Refused, CannotCarryOut):
            await self.look_once()

    async def look_until_settled(self) -> None:
        """Look until no payment is open any more, once at least. What is booked late still belongs to the audit."""
        end_s = time.monotonic() + SETTLE_S
        with contextlib.suppress(Refused, CannotCarryOut):
            while await self._has_open_payment() and time.monotonic() < end_s:  # noqa: ASYNC110  it has no event
                await asyncio.sleep(LOOK_S)

    async def _has_open_payment(self) -> bool:
        return bool((await self.look_once()).get("ledger", {}).get("holds"))

    def _note_meter_reading(self, evse: Mapping[str, Any], asked_s: float) -> None:
        currents = tuple(float(a) for a in evse.get("current_a") or ())
        shown = (float(evse["meter_wh"]), float(evse["power_w"]), currents, evse.get("soc"), evse.get("limit_a"))
        if self._is_new_observation(("meter", evse["number"]), shown):
            self._recorder.note_reading(MeterReading(asked_s, evse["number"], "simulation", *shown))

    def _note_ended_session(self, evse: Mapping[str, Any]) -> None:
        ended = evse.get("last_session")
        if ended and self._is_new_observation(("session", evse["number"]), ended):
            kept = ("transaction_id", "token", "energy_wh", "cost_cents", "cost_final", "reason")
            self._recorder.note_record("last_session", evse=evse["number"], **{key: ended.get(key) for key in kept})

    async def _note_screen_change(self, evse: Mapping[str, Any]) -> None:
        name, number, session = evse.get("screen"), evse["number"], evse.get("session") or {}
        shown = (name, session.get("transaction_id"), session.get("energy_wh"), session.get("cost_cents"))
        if name is None or not self._is_new_observation(("screen", number), shown):
            return
        keys = ("name", "transaction_id", "energy_wh", "cost_cents")
        self._recorder.note_record("screen", evse=number, **dict(zip(keys, shown, strict=True)))
        if name in SCREENS_WITH_PICTURE and self._is_new_observation(("picture", (number, name)), True):
            with contextlib.suppress(Refused, CannotCarryOut):
                content = await self._client.display_picture(number)
                title = f"Display of outlet {number}: {name.replace('_', ' ')}"
                self._recorder.add_picture(f"{name}-{number}.png", content, title, number)

    def _note_payments(self, ledger: Mapping[str, Any]) -> None:
        for what in ("holds", "captures", "voids"):
            for entry in ledger.get(what) or ():
                if self._is_new_observation((what, str(entry)), True):
                    data = dict(entry) if isinstance(entry, Mapping) else {"entry": entry}
                    self._recorder.note_record("payment", what=what.removesuffix("s"), **data)

    def _is_new_observation(self, key: tuple[str, Any], value: Any) -> bool:
        if self._seen.get(key) == value:
            return False
        self._seen[key] = value
        return True
