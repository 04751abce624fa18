"""The agent is dead for a moment, the street is not: who comes back, who does not, and which time is believed."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from tests.support.busy_machine import stretched
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


def board_table() -> str:
    """A watchdog that waits longer on a busy machine, where the agent's sign of life comes late."""
    watchdog_s = math.ceil(stretched(3))
    return f'[board]\ndriver = "evse_modbus"\nmap = "charx_sec"\nwatchdog_s = {watchdog_s}\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("restarts"), station_text(1) + board_table()) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


async def absent(s: Street, how: str) -> None:
    """The agent is gone for good, until ``back``, and so is the energy: by itself or by the board's watchdog."""
    if how == "kill":
        await s.station.post("/agent", {"action": "kill"})
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: p["agent"]["pid"] is None)
    await s.until(lambda e: not e["contactor"])


async def back(s: Street) -> None:
    await s.station.post("/agent", {"action": "start"})
    await s.station.healthy()
    await s.station.until(lambda p: p["backend"]["link"] == "up")


@pytest.mark.parametrize(("how", "side"), [("stop", "ev"), ("kill", "ev"), ("kill", "station")])
async def test_another_car_never_charges_on_the_token_of_the_one_before(s: Street, how: str, side: str) -> None:
    number = await s.charge("CARD-A")
    await absent(s, how)
    if side == "station":  # the plug comes free when the car has gone
        await s.station.post("/evses/1/unplug", {"side": "ev"})
        await s.until(lambda e: not e["locked"])
    await s.station.post("/evses/1/unplug", {"side": side})
    await s.until(lambda e: not e["car"])
    await s.plug()
    register = (await s.station.evse())["meter_wh"]
    await back(s)
    await s.heard(lambda: s.csms.transactions[number].stop)
    await s.status_reported("Finishing")
    evse = await s.station.evse()
    assert (evse["contactor"], evse["pwm"], evse["session"]) == (False, False, None)
    assert evse["meter_wh"] == register
    assert s.csms.transactions[number].stop_wh == register
    assert s.payloads("StopTransaction")[0]["reason"] == "PowerLoss"
    assert len(s.payloads("StopTransaction")) == 1
    second = await s.charge_on("CARD-B")  # the driver of that car may charge on a token of their own
    assert s.csms.transactions[second].token == "CARD-B"


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_the_same_car_goes_on(s: Street, how: str) -> None:
    number = await s.charge("CARD-A")
    await absent(s, how)
    await back(s)
    await s.screen("charging")
    evse = await s.until(lambda e: e["session"]["transaction_id"] and e["contactor"])
    assert int(evse["session"]["transaction_id"]) == number
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    assert len(s.payloads("StartTransaction")) == len(s.payloads("StopTransaction")) == 1
    assert s.payloads("StopTransaction")[0]["reason"] == "Local"


async def test_the_car_left_while_no_one_looked(s: Street) -> None:
    number = await s.charge("CARD-A")
    await absent(s, "kill")
    await s.station.post("/evses/1/unplug", {"side": "ev"})
    await back(s)
    await s.heard(lambda: s.csms.transactions[number].stop)
    assert s.csms.transactions[number].stop_wh == (await s.station.evse())["meter_wh"]


@pytest.mark.parametrize("step_s", [-1e9, -86400.0, 86400.0])
async def test_a_real_time_clock_that_lies_is_not_believed(s: Street, step_s: float) -> None:
    """Off line, so that no backend can put it right: the session before and the one after keep true times."""
    began = datetime.now(UTC)
    number = await s.charge("CARD-A")
    await s.station.post("/links/backend", {"up": False})
    await s.station.post("/clock", {"step_s": step_s})
    await s.kill()
    await s.screen("charging")
    await s.tap("CARD-A")
    await s.screen("finished")
    await s.station.post("/links/backend", {"up": True})
    await s.heard(lambda: s.csms.transactions[number].stop)
    await s.empty()
    start, stop = s.payloads("StartTransaction")[0], s.payloads("StopTransaction")[0]
    stamps = [datetime.fromisoformat(p["timestamp"]) for _, p in s.calls() if "timestamp" in p]
    assert start["timestamp"] < stop["timestamp"]
    # the simulated clock runs fast, but within one test no more than minutes; 1970 or a day would stand out
    assert all(abs(stamp - began) < timedelta(hours=4) for stamp in stamps)


async def test_a_kernel_that_never_knew_the_time(s: Street) -> None:
    """First power-up without network: the whole session lies before the first contact. Another time scale of the
    clock stands for another boot of the kernel (a real one cannot be had here)."""
    began = datetime.now(UTC)
    await s.station.post("/links/backend", {"up": False})
    await absent(s, "stop")
    (s.station.folder / "state" / "agent.db").unlink()
    await s.station.post("/clock", {"step_s": -1e9})
    await s.station.post("/agent", {"action": "start"})
    await s.station.healthy()
    await s.plug()
    await s.until(lambda e: e["cp"] == "B")
    await s.screen("idle")
    await s.tap("CARD-A")
    await s.screen("refused")  # a store that is new knows no card
    await s.station.post("/links/backend", {"up": True})
    await s.station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await s.status_reported("Preparing")
    stamps = [datetime.fromisoformat(p["timestamp"]) for _, p in s.calls() if "timestamp" in p]
    assert stamps
    assert all(abs(stamp - began) < timedelta(hours=4) for stamp in stamps)
