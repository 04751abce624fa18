"""What the cases of OCPP 1.6 are made of: the street with the deeds and the looks that they share.

Statuses, keys and actions are written as on the wire, so that a case can be read beside the standard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Backend, Street, station_text

CARD, FRIEND, STRANGER, APP = "CARD-A", "CARD-B", "CARD-X", "APP-1"
FAMILY = {"status": "Accepted", "parentIdTag": "FAMILY"}
OK, REFUSED = {"status": "Accepted"}, {"status": "Invalid"}
BEAT_S = 300

QUICK = "call_timeout_s = 2.0"
SETTINGS = "sample_interval_s = 0\nmessage_retry_interval_s = 1\nconnection_timeout_s = 600"
TEXTS: dict[str, str] = {
    "sockets": station_text(2, backend=QUICK, settings=SETTINGS),
    "tethered": station_text(1, backend=QUICK, settings=SETTINGS).replace(
        "[[evse]]\nnumber = 1", '[[evse]]\nnumber = 1\noutlet = "tethered"'
    ),
    "bare": station_text(
        1, station='features_off = ["LocalAuthListManagement", "Reservation"]', backend=QUICK, settings=SETTINGS
    ),
    "backed": station_text(1, backend=QUICK, settings=SETTINGS)
    + '[power]\ndriver = "power_sysfs"\nhold_s = 0.2\nbackup_s = 10\npoll_s = 0.05\n',
}
"""Stations that cases share, by the name of their fixture. They are opened when the first case wants them."""


class Play(Street):
    """A street whose station speaks 1.6. What a case changes (keys, availability, faults, power, the road, the central
    system's moods) is put back when it ends."""

    def __init__(self, station: Simulated, csms: Backend) -> None:
        super().__init__(station, csms)
        self._were: dict[str, str] = {}
        self._powered = True
        self._listed = False
        self._reserved: set[int] = set()
        self.profiled = False
        """Charging profiles may be installed."""

    # --- the central system ------------------------------------------------------------------------------------------

    async def answer(self, action: str, **payload: Any) -> dict[str, Any]:
        """The whole answer to a request of the central system; a CALLERROR is a failure."""
        return await self.csms.ask(action, payload)

    async def ask(self, action: str, **payload: Any) -> str:
        """The status that a request is answered with, or the code of the CALLERROR."""
        message = await self.csms.call(action, payload)
        return str(message[2]["status"] if message[0] == 3 else message[2])

    async def keys(self, *names: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """GetConfiguration: rows by key, and the unknown ones."""
        found = await self.answer("GetConfiguration", **({"key": list(names)} if names else {}))
        return {row["key"]: row for row in found.get("configurationKey", [])}, found.get("unknownKey", [])

    async def get(self, key: str) -> str:
        rows, unknown = await self.keys(key)
        assert not unknown, f"{key} is unknown"
        return str(rows[key]["value"])

    async def put(self, key: str, value: object) -> str:
        """ChangeConfiguration; the answer. An accepted value lasts until the case ends."""
        text = str(value).lower() if isinstance(value, bool) else str(value)
        rows, _ = await self.keys(key)
        status = await self.ask("ChangeConfiguration", key=key, value=text)
        if status == "Accepted" and "value" in rows.get(key, {}):
            self._were.setdefault(key, rows[key]["value"])
        return status

    async def set(self, **keys: object) -> None:
        """``put`` for several keys that must be accepted."""
        for key, value in keys.items():
            assert await self.put(key, value) == "Accepted", (key, value)

    async def list(self, version: int, full: bool = True, **entries: Any) -> str:
        """SendLocalList; ``entries``: idTag -> idTagInfo, or None to take it off the list. It is emptied afterwards."""
        self._listed = True
        rows = [{"idTag": tag, **({"idTagInfo": info} if info else {})} for tag, info in entries.items()]
        more = {"localAuthorizationList": rows} if rows else {}
        return await self.ask(
            "SendLocalList", listVersion=version, updateType="Full" if full else "Differential", **more
        )

    async def list_version(self) -> int:
        return int((await self.answer("GetLocalListVersion"))["listVersion"])

    async def charge_profile(self, n: int, wanted: dict[str, Any]) -> str:
        """SetChargingProfile. All are cleared when the case ends."""
        self.profiled = True
        return await self.ask("SetChargingProfile", connectorId=n, csChargingProfiles=wanted)

    async def reserve(self, n: int = 1, token: str = CARD, number: int = 7, after_s: float = 7200, **more: Any) -> str:
        """ReserveNow; ``after_s``: the station's seconds until it expires. It is cancelled afterwards."""
        self._reserved.add(number)
        end = (await station_time(self) + timedelta(seconds=after_s)).isoformat().replace("+00:00", "Z")
        return await self.ask("ReserveNow", reservationId=number, connectorId=n, idTag=token, expiryDate=end, **more)

    async def cancel(self, number: int = 7) -> str:
        return await self.ask("CancelReservation", reservationId=number)

    async def start(self, token: str = APP, n: int | None = 1, **more: Any) -> str:
        """RemoteStartTransaction."""
        where = {} if n is None else {"connectorId": n}
        return await self.ask("RemoteStartTransaction", idTag=token, **where, **more)

    async def stop(self, transaction: int) -> str:
        """RemoteStopTransaction."""
        return await self.ask("RemoteStopTransaction", transactionId=transaction)

    # --- the site ----------------------------------------------------------------------------------------------------

    async def off_line(self) -> None:
        """The network is gone until ``on_line``."""
        await self.station.post("/links/backend", {"up": False})
        await self.station.until(lambda p: p["backend"]["link"] == "down")

    async def on_line(self) -> None:
        """The network is back, and all that waited has arrived."""
        await self.station.post("/links/backend", {"up": True})
        await self.station.until(lambda p: p["backend"]["link"] == "up")
        await self.empty()

    async def dark(self) -> None:
        """The power is cut from one moment to the next: agent, board and car stand still until ``light``."""
        self._powered = False
        await self.station.post("/agent", {"action": "kill"})
        await self.station.post("/agent", {"action": "stop"})
        await self.station.until(lambda p: p["agent"]["pid"] is None)
        await self.station.post("/power", {"mains": False})

    async def light(self) -> None:
        """Power again; the agent is up and the central system has accepted its boot."""
        await self.station.post("/power", {"mains": True})
        await self.station.post("/agent", {"action": "start"})
        self._powered = True
        await self.station.healthy()
        await self.station.until(lambda p: p["backend"]["boot"] == "Accepted")

    async def rebooted(self, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until the station has booted again since the mark and is at work; its BootNotification."""
        await self.heard(lambda: self.payloads("BootNotification"), timeout_s)
        await self.station.until(lambda p: p["agent"]["up"] and p["backend"]["boot"] == "Accepted", timeout_s)
        await self.station.healthy()
        return self.payloads("BootNotification")[0]

    # --- what can be seen --------------------------------------------------------------------------------------------

    async def call(self, action: str, what: Callable[[dict[str, Any]], Any] = lambda p: True) -> dict[str, Any]:
        """The first call of the station since the mark, of this action, that is so; waited for."""
        await self.heard(lambda: any(what(p) for p in self.payloads(action)))
        return next(p for p in self.payloads(action) if what(p))

    async def session(self, token: str = CARD, n: int = 1) -> int:
        """Cable, card, energy. The transaction's id."""
        return await self.charge(token, n)

    async def known(self, token: str) -> None:
        """The card has been accepted once, so that the cache has it; the street is at rest again."""
        await self.session(token)
        await self.tap(token)
        await self.status_reported("Finishing")
        await self.leave()
        await self.empty()  # the cache learns from the answer to the end as well
        self.begin()

    async def never(self, action: str, within_s: float = 0.5) -> None:
        """A look that nothing comes: the station has answered something else in the meantime."""
        await self.answer("GetConfiguration", key=["HeartbeatInterval"])
        await asyncio.sleep(within_s)
        assert self.payloads(action) == []

    # --- between two cases -------------------------------------------------------------------------------------------

    async def end(self) -> None:
        """At rest again: as ``Street.end``, and what the case has changed is as it was."""
        self.csms.hook = None
        self.csms.refuse.clear()
        self.csms.boot = "Accepted"
        if self.csms.interval_s != BEAT_S:
            self.csms.interval_s = BEAT_S
            self._were["HeartbeatInterval"] = str(BEAT_S)  # what the boot's answer has set
        await self.station.post("/links/backend", {"up": True, "stall": False, "latency_ms": 0, "loss": 0})
        await self.station.post("/power", {"mains": True})
        if not self._powered:
            await self.light()
        await self.station.until(lambda p: p["agent"]["up"] and p["backend"]["boot"] == "Accepted")
        for key, value in self._were.items():
            assert await self.ask("ChangeConfiguration", key=key, value=value) == "Accepted", key
        self._were.clear()
        if set(self.csms.statuses.values()) & {"Unavailable"}:
            assert await self.ask("ChangeAvailability", connectorId=0, type="Operative") != "Rejected"
            for n in (int(n) for n, status in self.csms.statuses.items() if status == "Unavailable" and n != "0"):
                assert await self.ask("ChangeAvailability", connectorId=n, type="Operative") != "Rejected"
        if self._listed:
            assert await self.list(1) in ("Accepted", "NotSupported")
            self._listed = False
        if self.profiled:
            assert await self.ask("ClearChargingProfile") in ("Accepted", "Unknown")
            self.profiled = False
        for number in self._reserved:
            await self.cancel(number)
        self._reserved.clear()
        await super().end()
        await self.ask("ClearCache")  # after the last answer, from which the cache learns
        await self.station.until(lambda p: all(e["screen"] != "refused" for e in p["evses"]))  # or the next one sees it


@asynccontextmanager
async def play(folder: Path, text: str, speed: float = SPEED) -> AsyncIterator[Play]:
    """A station of a case's own."""
    async with Backend() as csms, Simulated(folder, text, csms.url, speed) as station:
        s = Play(station, csms)
        await s.booted()  # or the first case hears the last of it
        yield s


class Shelf:
    """The stations that cases share. One that cannot be put in order after a case is thrown away."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, tuple[Play, AsyncExitStack]] = {}
        self._count = 0

    async def take(self, name: str) -> Play:
        if name not in self._open:
            self._count += 1
            folder = self._folder / f"{name}{self._count}"
            folder.mkdir()
            stack = AsyncExitStack()
            self._open[name] = await stack.enter_async_context(play(folder, TEXTS[name])), stack
        one = self._open[name][0]
        one.begin()
        return one

    async def give_back(self, name: str) -> None:
        try:
            await self._open[name][0].end()
        except BaseException:
            await self.throw_away(name)
            raise

    async def throw_away(self, name: str) -> None:
        _, stack = self._open.pop(name)
        await stack.aclose()

    async def close(self) -> None:
        for name in list(self._open):
            await self.throw_away(name)


# --- families of cases -----------------------------------------------------------------------------------------------


async def reset_at_rest(s: Play, kind: str) -> None:
    """013, 014: one connector is out of order before and after the reset, and can be put in order again."""
    assert await s.ask("ChangeAvailability", connectorId=2, type="Inoperative") == "Accepted"
    await s.status_reported("Unavailable", 2)
    s.begin()
    s.csms.statuses.clear()
    assert await s.ask("Reset", type=kind) == "Accepted"
    await s.rebooted()
    await s.status_reported("Unavailable", 2)
    await s.status_reported("Available", 1)
    assert len(s.payloads("BootNotification")) == 1
    assert await s.ask("ChangeAvailability", connectorId=2, type="Operative") == "Accepted"
    await s.status_reported("Available", 2)


async def reset_in_a_session(s: Play, kind: str) -> None:
    """015, 016: the transaction ends once, for this reason; the cable waits for its driver."""
    number = await s.session()
    assert await s.ask("Reset", type=kind) == "Accepted"
    await s.rebooted()
    stop = await s.call("StopTransaction")
    assert (stop["reason"], stop["transactionId"]) == (f"{kind}Reset", number)
    await s.heard(lambda: s.csms.statuses.get("1") in ("Preparing", "Finishing"))
    await s.empty()
    assert len(s.payloads("StopTransaction")) == 1
    assert not (await s.station.evse())["contactor"]


async def begun_off_line_and_refused(s: Play) -> int:
    """037_2, 037_3: a card of the cache begins off line; the start is sent, and its answer refuses the card.
    The register before that was known."""
    await s.known(CARD)
    await s.off_line()
    await s.plug()
    await s.tap(CARD)
    await s.screen("charging")
    s.csms.infos[CARD] = REFUSED
    register = (await s.station.evse())["meter_wh"]
    await s.on_line()
    await s.call("StartTransaction")
    return register


async def station_time(s: Play) -> datetime:
    """By a status that is sent on request."""
    status_count = len(s.payloads("StatusNotification"))
    assert await s.ask("TriggerMessage", requestedMessage="StatusNotification", connectorId=1) == "Accepted"
    await s.heard(lambda: any(p["connectorId"] == 1 for p in s.payloads("StatusNotification")[status_count:]))
    return datetime.fromisoformat(s.payloads("StatusNotification")[-1]["timestamp"])


def measurands(samples: list[Any]) -> set[str]:
    """Of the sampled values of one meter value."""
    return {v.get("measurand", "Energy.Active.Import.Register") for v in samples}
