"""The agent is killed while cars charge at every board there is a map for: who stops by himself, and who goes on.

One station with an outlet per board, one run: all charge, the process gets SIGKILL, and each board is watched by what
its own contactor does. Then the agent comes back."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from drivers.evse_modbus.board_map import find_board_map
from tests.support.busy_machine import stretched
from tests.support.station_rig import Street, street

pytestmark = pytest.mark.asyncio(loop_scope="module")

WATCHDOG_S = math.ceil(stretched(4))
"""An agent on a busy machine gives its sign of life late."""
MARGIN_S = stretched(3.0)
"""The last beat came before the kill, so this is for the machine that runs the test, not for the board."""
CONFIG = Path(__file__).parents[2] / "config"
BOARDS = tuple(sorted(path.stem for path in (CONFIG / "boards").glob("*.toml")))
STOPS = tuple(name for name in BOARDS if find_board_map(name, (CONFIG,)).watchdog is not None)
GOES_ON = tuple(name for name in BOARDS if name not in STOPS)
"""What the maps claim. The far ends are typed from the makers' tables: a false claim fails here."""


def outlet(n: int, name: str, accepts: bool = True) -> str:
    accepted = "accept_no_watchdog = true" if name in GOES_ON and accepts else ""
    return f"""
[[evse]]
number = {n}
[evse.board]
driver = "evse_modbus"
map = "{name}"
watchdog_s = {WATCHDOG_S}
{accepted}
"""


def station_of(*outlets: str) -> str:
    return f"""
[station]
id = "CP-1"
state_dir = "state"
resume_within_s = 1
[backend]
reconnect_s = 0.2
[settings]
sample_interval_s = 0
{"".join(outlets)}
[simulation]
port = 0
state_dir = "world"
"""


@dataclass
class Killed:
    """``open_after_s``: seconds from the kill to the open contactor; None: still closed when all others had opened."""

    s: Street
    transactions: dict[str, int] = field(default_factory=dict)
    meters_wh: dict[str, int] = field(default_factory=dict)
    open_after_s: dict[str, float | None] = field(default_factory=dict)

    async def closed(self) -> dict[str, bool]:
        evses = (await self.s.station.picture())["evses"]
        return {name: evses[i]["contactor"] for i, name in enumerate(BOARDS)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Killed]:
    text = station_of(*(outlet(n, name) for n, name in enumerate(BOARDS, 1)))
    async with street(tmp_path_factory.mktemp("boards"), text, speed=4) as s:
        k = Killed(s)
        for n in range(1, len(BOARDS) + 1):
            await s.plug(n)
        for n in range(1, len(BOARDS) + 1):
            await s.status_reported("Preparing", n)
            await s.tap(f"CARD-{n}", n)
        for n, name in enumerate(BOARDS, 1):
            evse = await s.until(lambda e: e["contactor"] and e["session"]["transaction_id"], n)
            k.transactions[name] = int(evse["session"]["transaction_id"])
        await s.station.post("/agent", {"action": "kill"})
        at = time.monotonic()
        await s.station.post("/agent", {"action": "stop"})
        await s.station.until(lambda p: p["agent"]["pid"] is None)
        k.meters_wh = {name: (await s.station.evse(n))["meter_wh"] for n, name in enumerate(BOARDS, 1)}
        await _watch(k, at)
        yield k


async def _watch(k: Killed, at: float) -> None:
    while time.monotonic() - at < WATCHDOG_S + 2 * MARGIN_S:
        for name, closed in (await k.closed()).items():
            if not closed:
                k.open_after_s.setdefault(name, time.monotonic() - at)
        if set(STOPS) <= set(k.open_after_s):
            break
        await asyncio.sleep(0.05)
    for name in BOARDS:
        k.open_after_s.setdefault(name, None)


@pytest.mark.parametrize("name", STOPS)
async def test_it_stops_within_its_watchdog_time(killed: Killed, name: str) -> None:
    after_s = killed.open_after_s[name]
    assert after_s is not None, f"{name}: the contactor is still closed {WATCHDOG_S + 2 * MARGIN_S} s after the kill"
    assert after_s <= WATCHDOG_S + MARGIN_S
    assert not (await killed.closed())[name]


@pytest.mark.parametrize("name", GOES_ON)
async def test_one_without_watchdog_goes_on(killed: Killed, name: str) -> None:
    """This is why it is refused until an operator accepts it."""
    assert killed.open_after_s[name] is None
    n = BOARDS.index(name) + 1
    await killed.s.until(lambda e: e["contactor"] and e["meter_wh"] > killed.meters_wh[name], n)


async def test_the_agent_that_comes_back_withdraws_and_bills(killed: Killed) -> None:
    """Where nothing proves that the vehicle is the same, the session is closed with the count of the meter, the energy
    of the gap included; where the board has counted the seconds since the plug, it goes on."""
    s = killed.s
    await s.station.post("/agent", {"action": "start"})
    await s.station.healthy()
    for n, name in enumerate(BOARDS, 1):
        transaction = s.csms.transactions[killed.transactions[name]]
        if name == "charx_sec":
            await s.until(lambda e: e["contactor"] and e["session"]["transaction_id"], n)
            assert transaction.stop is None
            await s.tap(f"CARD-{n}", n)
        await s.heard(lambda t=transaction: t.stop)  # type: ignore[misc]
        evse = await s.until(lambda e: not e["contactor"], n)
        assert transaction.stop_wh == evse["meter_wh"]
        if name in GOES_ON:
            assert transaction.stop_wh > killed.meters_wh[name], "energy that was not watched"
    await s.end()


async def test_every_board_serves_the_next_driver(killed: Killed) -> None:
    """Plug, card, charge, card; and a plug that the station cannot free is no fault of it."""
    s = killed.s
    s.begin()
    for n in range(1, len(BOARDS) + 1):
        await s.plug(n)
    for n in range(1, len(BOARDS) + 1):
        await s.status_reported("Preparing", n)
        await s.tap(f"NEXT-{n}", n)
    for n, name in enumerate(BOARDS, 1):
        evse = await s.until(lambda e: e["contactor"] and e["power_w"] > 0 and e["session"]["transaction_id"], n)
        transaction = s.csms.transactions[int(evse["session"]["transaction_id"])]
        await s.tap(f"NEXT-{n}", n)
        await s.heard(lambda t=transaction: t.stop)  # type: ignore[misc]
        evse = await s.status_reported("Finishing", n)
        assert (evse["contactor"], evse["reported"]["error"]) == (False, "NoError"), name
        assert transaction.stop_wh == evse["meter_wh"]
    unlocked = [(await s.csms.ask("UnlockConnector", {"connectorId": n}))["status"] for n in range(1, len(BOARDS) + 1)]
    assert unlocked == ["Unlocked" if name == "charx_sec" else "NotSupported" for name in BOARDS]
    assert {p["reason"] for p in s.payloads("StopTransaction")} == {"Local"}
    await s.end()


async def test_the_agent_refuses_them_unless_a_person_accepts(tmp_path: Path) -> None:
    outlets = [outlet(n, name, accepts=False) + 'device = "/dev/null"\n' for n, name in enumerate(GOES_ON, 1)]
    file = tmp_path / "station.toml"
    file.write_text(station_of(*outlets))
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "agent", "check", str(file)], capture_output=True, text=True
    )
    assert done.returncode != 0
    complaints = [line for line in done.stderr.splitlines() if "no watchdog" in line]
    assert len(complaints) == len(GOES_ON)
    assert all("accept_no_watchdog = true" in line for line in complaints)
