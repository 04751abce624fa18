"""On both versions: bad roads of every kind in the middle of a session, and real-time clocks that lie after a restart.
Everything arrives once, with the times at which it happened, and the bills are the meter's advance to the Wh."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.busy_machine import stretched
from tests.support.simulated_station import Simulated
from tests.support.station_rig import FAST_METER, SPEED, Backend, Street, station_text
from tests.support.station_rig_v201 import CARD, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = {"up": True, "stall": False, "latency_ms": 0, "loss": 0, "kbit_s": None}
READ_WITHIN = timedelta(seconds=3 * SPEED)
TOLERANCE = timedelta(minutes=10)
"""Of the station's own clock, which runs twenty times as fast as ours."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(request: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street201]:
    text = station_text(
        1,
        outlet=FAST_METER,
        backend=f'versions = ["{request.param}"]\ncall_timeout_s = {stretched(3):g}',
        settings="sample_interval_s = 10\nmessage_retry_interval_s = 20\noffline_tx_for_unknown_id = true",
        simulation="[[simulation.evse]]\nnumber = 1\nmeter_wh = 1234567",
    )
    folder = tmp_path_factory.mktemp("roads")
    async with Backend(speaks=(request.param,)) as csms, Simulated(folder, text, csms.url, SPEED) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        yield Street201(station, csms)


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street201) -> AsyncIterator[Street201]:
    opened.begin()
    first, register = len(opened.csms.transactions), (await opened.station.evse())["meter_wh"]
    yield opened
    await opened.station.post("/links/backend", GOOD)
    await opened.end()
    billed = [t.stop_wh - t.start_wh for t in list(opened.csms.transactions.values())[first:] if t.stop_wh]
    assert sum(billed) == (await opened.station.evse())["meter_wh"] - register > 0


async def charge(s: Street201) -> Any:
    if s.csms.version == "1.6":
        return await Street.charge(s, CARD)
    return await s.session(CARD)


async def energy(s: Street201, more_wh: int) -> None:
    before = (await s.station.evse())["meter_wh"]
    await s.until(lambda e: e["meter_wh"] >= before + more_wh)


async def station_time(s: Street201) -> datetime:
    """The station's clock now, by its own word."""
    before = len(s.csms.sent_statuses)
    place = {"connectorId": 1} if s.csms.version == "1.6" else {"evse": {"id": 1, "connectorId": 1}}
    await s.csms.ask("TriggerMessage", {"requestedMessage": "StatusNotification", **place})
    await s.heard(lambda: len(s.csms.sent_statuses) > before)
    return datetime.fromisoformat(s.csms.sent_statuses[-1]["timestamp"])


def stamps(s: Street201) -> list[datetime]:
    """Of what is billed, in the order in which it came."""
    texts = []
    for action, payload in s.calls():
        if action in ("StartTransaction", "StopTransaction", "TransactionEvent"):
            texts.append(payload["timestamp"])
        elif action == "MeterValues":
            texts += [v["timestamp"] for v in payload["meterValue"]]
    return [datetime.fromisoformat(t) for t in texts]


def in_order(s: Street201) -> bool:
    """A value may have been read just before, and come just after, what a car or a card did."""
    came = stamps(s)
    return all(later - earlier > -READ_WITHIN for earlier, later in itertools.pairwise(came))


async def flapping(s: Street201) -> None:
    for n in range(12):
        await s.station.post("/links/backend", {"up": n % 2 == 1})
        await asyncio.sleep(0.05 * (n % 5))


ROADS: dict[str, dict[str, Any]] = {
    "cut": {"up": False},
    "stalled": {"stall": True},
    "2G": {"latency_ms": 700, "kbit_s": 20},
    "lossy": {"loss": 0.3, "latency_ms": 50},
}
# what test_offline.py and test_restarts.py do on 1.6 is not done again
BAD = [("1.6", "2G"), ("1.6", "flapping"), *(("2.0.1", road) for road in (*ROADS, "flapping"))]
LIES = [("1.6", -3600.0), ("1.6", 3600.0), ("2.0.1", -3600.0), ("2.0.1", 3600.0), ("2.0.1", -1e9)]


@pytest.mark.parametrize(("opened", "road"), BAD, indirect=["opened"])
async def test_a_session_on_a_bad_road(s: Street201, road: str) -> None:
    number = await charge(s)
    began = asyncio.get_running_loop().time()
    at = await station_time(s)
    await (s.station.post("/links/backend", ROADS[road]) if road in ROADS else flapping(s))
    await energy(s, 120)  # long enough for several samples, however fast the station's time runs
    await s.tap(CARD)
    await s.until(lambda e: not e["session"])
    stopped = at + timedelta(seconds=(asyncio.get_running_loop().time() - began) * s.station.speed)
    if road == "flapping":
        await flapping(s)
    await s.station.post("/links/backend", GOOD)
    await s.empty()
    transaction = s.csms.transactions[number]
    assert transaction.stop is not None
    assert transaction.stop_wh == (await s.station.evse())["meter_wh"]
    assert len(transaction.samples) > 1
    assert in_order(s), s.calls()
    assert abs(datetime.fromisoformat(transaction.stop["timestamp"]) - stopped) < TOLERANCE


@pytest.mark.parametrize(("opened", "step_s"), LIES, indirect=["opened"])
async def test_a_clock_that_lies_after_a_restart(s: Street201, step_s: float) -> None:
    """Off line, so that no backend can put it right before the session has ended."""
    number = await charge(s)
    began = asyncio.get_running_loop().time()
    at = await station_time(s)
    await s.off_line()
    await s.station.post("/clock", {"step_s": step_s})
    await s.kill()
    await s.until(lambda e: e["session"] and e["contactor"])
    await s.tap(CARD)
    await s.screen("finished")
    stopped = at + timedelta(seconds=(asyncio.get_running_loop().time() - began) * s.station.speed)
    await s.on_line()
    transaction = s.csms.transactions[number]
    assert transaction.stop is not None
    assert in_order(s), s.calls()
    assert abs(datetime.fromisoformat(transaction.stop["timestamp"]) - stopped) < TOLERANCE


@pytest.mark.parametrize("opened", ["1.6", "2.0.1"], indirect=True)
async def test_a_session_before_the_first_contact(s: Street201) -> None:
    """First power-up without a network, and a real-time clock of 1970: the time was never set. What happened is
    dated when the backend at last sends it, also what happened before a power cut."""
    await s.off_line()
    await s.station.post("/agent", {"action": "stop"})
    await s.station.until(lambda p: p["agent"]["pid"] is None)
    for file in (s.station.folder / "state").glob("agent.db*"):
        file.unlink()
    await s.station.post("/clock", {"step_s": 3600 - time.time()})
    await s.station.post("/agent", {"action": "start"})
    await s.station.healthy()
    before = set(s.csms.transactions)
    await s.plug()
    await s.tap(CARD)
    await s.until(lambda e: e["session"] and e["contactor"])
    await energy(s, 30)
    await s.kill()
    await s.until(lambda e: e["session"] and e["contactor"])
    await energy(s, 30)
    await s.tap(CARD)
    await s.screen("finished")
    stopped_s = asyncio.get_running_loop().time()
    await s.on_line()
    contact = datetime.now(UTC)
    since = timedelta(seconds=(asyncio.get_running_loop().time() - stopped_s) * s.station.speed)
    (number,) = set(s.csms.transactions) - before
    transaction = s.csms.transactions[number]
    assert transaction.stop is not None
    assert in_order(s), s.calls()
    assert abs(datetime.fromisoformat(transaction.stop["timestamp"]) - (contact - since)) < TOLERANCE
    assert timedelta() < contact - datetime.fromisoformat(transaction.started) < TOLERANCE + since
