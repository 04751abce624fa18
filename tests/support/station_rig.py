"""A simulated station, a central system with moods, and the people in front of them: what the scenarios are made of."""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection

from tests.support.busy_machine import deadline
from tests.support.simulated_station import SMALL_PANEL, Simulated
from tests.support.strict_csms import REQUEST, StrictCsms

SPEED = 20.0
RESTART_S = 60.0
FAST_METER = """[evse.meter]
driver = "meter_modbus"
map = "carlo_gavazzi_em340"
"""
"""For an outlet. The usual meter wants a tenth of a second before each question: the reading that begins a session and
the one that ends it take half a second each. With this one they take nothing, and people can be quicker than a poll of
the board: not for tests in which cars follow one another while no test looks."""
TIME_TO_PLUG_IN = "connection_timeout_s = 600"
"""For the settings of a station at which drivers present a card first: half a minute of ours at the usual speed. The
minute of the program is three seconds there, in which a busy machine sees the screen, and no cable after it."""


def station_text(
    evses: int = 1,
    station: str = "",
    backend: str = "",
    settings: str = "sample_interval_s = 0",
    simulation: str = "",
    outlet: str = "",
    panel: str = SMALL_PANEL,
) -> str:
    """A station file; every argument is further lines of its table (``outlet``, ``panel``: of each EVSE's). A test that
    looks at the pixels wants ``panel=USUAL_PANEL``."""
    outlets = "\n".join(f"[[evse]]\nnumber = {n}\n{outlet}\n{panel}" for n in range(1, evses + 1))
    return f"""
[station]
id = "CP-1"
state_dir = "state"
{station}
[backend]
reconnect_s = 0.2
{backend}
[settings]
{settings}
{outlets}
[simulation]
port = 0
state_dir = "world"
{simulation}
"""


@dataclass
class Backend(StrictCsms):
    """The strict central system, which can be made to behave otherwise. ``infos``: token -> idTagInfo. ``instead``:
    action -> what is sent instead of its answer, made of the message id (None: nothing at all). ``brings``: type of a
    transaction event of 2.0.1 -> what its answer brings besides."""

    infos: dict[str, dict[str, Any]] = field(default_factory=dict)
    instead: dict[str, Callable[[str], str | None]] = field(default_factory=dict)
    brings: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def _answer(self, connection: ServerConnection, id_: str, action: str, payload: dict[str, Any]) -> None:
        if action not in self.instead:
            await super()._answer(connection, id_, action, payload)
            return
        version = str(connection.subprotocol).removeprefix("ocpp")
        self._judge(action + REQUEST[version], payload, version)
        text = self.instead[action](id_)
        if text is not None:
            await connection.send(text)

    def _TransactionEvent_201(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {**super()._TransactionEvent_201(id_, payload), **self.brings.get(payload["eventType"], {})}

    def info(self, token: str) -> dict[str, Any]:
        return self.infos.get(token, super().info(token))

    def _Authorize(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"idTagInfo": self.infos.get(payload["idTag"], {"status": "Accepted"})}

    def _StartTransaction(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        answer = super()._StartTransaction(id_, payload)
        return {**answer, "idTagInfo": self.infos.get(payload["idTag"], {"status": "Accepted"})}


class Street:
    """Deeds return when the world has them; ``until`` and ``status_reported`` wait for what the station makes of it."""

    def __init__(self, station: Simulated, csms: Backend) -> None:
        self.station, self.csms = station, csms
        self.mark = 0
        outlets = tomllib.loads(station.file.read_text("utf-8"))["evse"]
        self.tethered = {e["number"] for e in outlets if e.get("outlet") == "tethered"}

    # --- deeds -----------------------------------------------------------------------------------------------------

    async def plug(self, n: int = 1, ready: bool = True, **car: Any) -> None:
        await self.station.post(f"/evses/{n}/plug", {"ready": ready, "car": car or None})

    async def unplug(self, n: int = 1, side: str = "station") -> None:
        if side == "station":
            await self.until(lambda e: not e["locked"], n)
        await self.station.post(f"/evses/{n}/unplug", {"side": side})

    async def leave(self, n: int = 1) -> None:
        """Cable and car are gone; the status says so."""
        await self.unplug(n)
        await self.seen_free(n)
        await self.status_reported("Available", n)

    async def tap(self, token: str, n: int | None = 1) -> None:
        await self.station.post("/cards/tap", {"token": token, "evse": n})

    async def charge(self, token: str, n: int = 1) -> int:
        """Cable first, then the token. Returns the transaction's id once energy flows and the backend has heard."""
        await self.plug(n)
        await self.status_reported("Preparing", n)
        return await self.charge_on(token, n)

    async def charge_on(self, token: str, n: int = 1) -> int:
        """As ``charge``, with the cable in already. A reader that is opened again, on a busy machine, sees no card."""
        await self.until(lambda e: e["reported"]["error"] != "ReaderFailure", n)
        await self.tap(token, n)
        await self.status_reported("Charging", n)
        evse = await self.until(lambda e: e["session"]["transaction_id"], n)
        return int(evse["session"]["transaction_id"])

    async def fault(self, name: str, active: bool = True, n: int = 1) -> None:
        await self.station.post(f"/evses/{n}/fault", {"fault": name, "active": active})

    async def kill(self) -> None:
        """SIGKILL, and the next agent is there."""
        before = (await self.station.picture())["agent"]["restarts"]
        await self.station.post("/agent", {"action": "kill"})
        await self.station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] > before, RESTART_S)
        await self.station.healthy(RESTART_S)

    async def command(self, name: str, deed: str, *words: str) -> tuple[int | None, str]:
        """A command of the agent for this station; exit code and what it said."""
        file = str(self.station.folder / "world" / "derived.toml")
        argv = [sys.executable, "-m", "agent", name, deed, file, *words]
        process = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        text, _ = await process.communicate()
        return process.returncode, text.decode()

    # --- what can be seen ------------------------------------------------------------------------------------------

    async def until(self, what: Callable[[dict[str, Any]], Any], n: int = 1, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until the picture of outlet ``n`` is so; the picture."""
        picture = await self.station.until_evse(what, n, timeout_s)
        return dict(picture["evses"][n - 1])

    async def seen_free(self, n: int = 1) -> None:
        """Until the agent has seen the outlet empty. It polls the board: a cable that goes and comes between two polls
        has never gone, for it."""
        await self.until(lambda e: e["session_state"] == "Free", n)

    async def seen_occupied(self, n: int = 1) -> None:
        """Until the agent has seen the cable that is in the outlet, in which no session runs."""
        await self.until(lambda e: e["session_state"] == "Occupied", n)

    async def status_reported(self, status: str, n: int = 1, timeout_s: float = 60.0) -> dict[str, Any]:
        """Until the backend has got this status of outlet ``n``."""
        evse = await self.until(lambda e: e["reported"]["status"] == status, n, timeout_s)
        await self.heard(lambda: self.csms.statuses.get(str(n)) == status, timeout_s)
        return evse

    async def screen(self, name: str, n: int = 1, timeout_s: float = 60.0) -> dict[str, Any]:
        return await self.until(lambda e: e["screen"] == name, n, timeout_s)

    def shows(self, name: str, n: int = 1) -> AbstractAsyncContextManager[None]:
        """What is done inside changes the screen to this one, which may go away again before a busy machine looks."""
        return self.station.shows(lambda p: p["evses"][n - 1]["screen"] == name)

    async def heard(self, what: Callable[[], Any], timeout_s: float = 60.0) -> None:
        """Until it is true at the central system."""
        try:
            async with deadline(timeout_s):
                while not what():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not heard: {self.story()}\n{self.station.said()}") from None

    async def booted(self) -> None:
        """Until the station has been accepted, and has reported each of its parts: nothing more comes by itself."""
        picture = await self.station.until(lambda p: p["backend"]["boot"] == "Accepted")
        parts = len(picture["evses"]) + (picture["backend"]["ocpp"] == "1.6")
        await self.heard(lambda: len(self.csms.since_boot) == parts)

    async def empty(self) -> None:
        """Until everything that was billed has arrived."""
        await self.station.until(lambda p: p["backend"]["link"] == "up" and p["agent"]["queue"] == 0)

    def calls(self) -> list[tuple[str, dict[str, Any]]]:
        """What the station has called since the mark: action and payload."""
        out = []
        for direction, text in self.csms.frames[self.mark :]:
            message = json.loads(text)
            if direction == "in" and message[0] == 2:
                out.append((message[2], message[3]))
        return out

    def payloads(self, action: str) -> list[dict[str, Any]]:
        return [p for a, p in self.calls() if a == action]

    def story(self, n: int = 1) -> list[str]:
        """The conversation on outlet ``n``: statuses by their word, heartbeats left out."""
        out = []
        for action, payload in self.calls():
            if payload.get("connectorId", n) == n and action != "Heartbeat":
                status = payload.get("status") or payload.get("connectorStatus")  # 1.6, 2.0.1
                out.append(str(status) if action == "StatusNotification" else action)
        return out

    # --- between two tests -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.mark = len(self.csms.frames)

    async def end(self) -> None:
        """Everybody goes home; then nothing may be left open, and nothing may have been said wrongly."""
        self.csms.instead.clear()
        self.csms.infos.clear()
        self.csms.brings.clear()
        for evse in (await self.station.picture())["evses"]:
            for name in evse["faults"]:
                await self.fault(name, False, evse["number"])
            await self._clear(evse["number"])
        await self.heard(lambda: self.csms.statuses.get("0", "Available") == "Available")
        await self.empty()
        assert self.csms.violations == [], self.csms.violations
        assert [t for t in self.csms.transactions.values() if t.stop is None] == []

    async def _clear(self, n: int) -> None:
        if (await self.station.evse(n))["car"]:
            await self.unplug(n, "ev")
        if (await self.station.evse(n))["cable"] and n not in self.tethered:
            await self.unplug(n)
        await self.seen_free(n)  # or a status of this test comes in the next one
        await self.status_reported("Available", n)


@asynccontextmanager
async def street(folder: Path, text: str, speed: float = SPEED) -> AsyncIterator[Street]:
    async with Backend() as csms, Simulated(folder, text, csms.url, speed) as station:
        s = Street(station, csms)
        await s.booted()
        yield s
