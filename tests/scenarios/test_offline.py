"""The road to the backend is jammed or broken while people charge: afterwards everything arrives, once, in order, with
the times at which it happened and the energy of the meter to the Wh."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from tests.support.busy_machine import Deadline, stretched
from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    text = station_text(
        1,
        backend=f"call_timeout_s = {stretched(1):g}",
        settings="sample_interval_s = 10\nmessage_retry_interval_s = 20\noffline_tx_for_unknown_id = false",
        simulation="[[simulation.evse]]\nnumber = 1\nmeter_wh = 1234567",
    )
    async with street(tmp_path_factory.mktemp("offline"), text) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    first, register = len(opened.csms.transactions), (await opened.station.evse())["meter_wh"]
    yield opened
    await road(opened, up=True, stall=False, latency_ms=0)
    await opened.end()
    billed = [t.stop_wh - t.start_wh for t in list(opened.csms.transactions.values())[first:] if t.stop_wh]
    assert sum(billed) == (await opened.station.evse())["meter_wh"] - register


async def road(s: Street, **condition: Any) -> None:
    await s.station.post("/links/backend", condition)
    if not condition.get("up", True):
        await s.station.until(lambda p: p["backend"]["link"] == "down")


async def energy(s: Street, more_wh: int) -> int:
    """Until so much more has flowed; the register."""
    before = (await s.station.evse())["meter_wh"]
    return int((await s.until(lambda e: e["meter_wh"] >= before + more_wh))["meter_wh"])


def in_order(s: Street) -> None:
    """Billed messages by their times; nothing from before this decade."""
    stamps = []
    for action, payload in s.calls():
        if action in ("StartTransaction", "StopTransaction"):
            stamps.append(payload["timestamp"])
        elif action == "MeterValues":
            stamps += [v["timestamp"] for v in payload["meterValue"]]
    assert stamps == sorted(stamps)
    assert all(stamp >= "2025-11-25" for stamp in stamps)


async def station_time(s: Street) -> datetime:
    """The station's clock now, by its own word: it runs faster than ours."""
    s_before = len(s.csms.sent_statuses)
    await s.csms.ask("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1})
    await s.heard(lambda: len(s.csms.sent_statuses) > s_before)
    return datetime.fromisoformat(s.csms.sent_statuses[-1]["timestamp"])


def our_s(s: Street) -> float:
    """Our clock, in seconds of the station's."""
    return asyncio.get_running_loop().time() * s.station.speed


@pytest.mark.parametrize("how", [{"up": False}, {"stall": True}])
async def test_stopped_while_the_road_is_closed(s: Street, how: dict[str, bool]) -> None:
    number = await s.charge("CARD-A")
    await energy(s, 10)
    before_s = our_s(s)
    at = await station_time(s)
    after_s = our_s(s)
    await road(s, **how)
    await energy(s, 60)
    tapped_s = our_s(s)
    await s.tap("CARD-A")
    await s.screen("finished")
    finished_s = our_s(s)
    assert s.csms.transactions[number].stop is None
    await road(s, up=True, stall=False)
    await s.empty()
    stop = s.csms.transactions[number].stop
    assert stop is not None
    assert stop["meterStop"] == (await s.station.evse())["meter_wh"]
    since_s = (datetime.fromisoformat(stop["timestamp"]) - at).total_seconds()
    assert tapped_s - after_s - 1 < since_s < finished_s - before_s + 1  # when it happened, not when it was sent
    in_order(s)


async def test_a_whole_session_offline_and_another_one(s: Street) -> None:
    await s.charge("CARD-A")
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.leave()
    s.begin()
    await road(s, up=False)
    for _ in range(2):
        await s.plug()
        await s.seen_occupied()
        await s.tap("CARD-A")
        await s.screen("charging")
        await energy(s, 30)
        await s.tap("CARD-A")
        await s.screen("finished")
        await s.unplug()
        await s.seen_free()
    await s.plug()
    await s.tap("NEVER-SEEN")
    await s.screen("refused")
    await road(s, up=True)
    await s.empty()
    starts, stops = s.payloads("StartTransaction"), s.payloads("StopTransaction")
    assert [p["idTag"] for p in starts] == ["CARD-A", "CARD-A"]
    assert [p["transactionId"] for p in stops] == [t.id for t in list(s.csms.transactions.values())[-2:]]
    billed = [a for a in s.story() if a in ("StartTransaction", "StopTransaction")]
    assert billed == ["StartTransaction", "StopTransaction"] * 2
    in_order(s)


async def test_an_answer_after_the_call_time_out_still_gives_the_id(s: Street) -> None:
    late = asyncio.Event()

    async def hook(moment: str, action: str, payload: dict[str, Any]) -> None:
        if (moment, action) == ("before", "StartTransaction"):
            await late.wait()

    s.csms.hook = hook
    await s.plug()
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    await s.screen("charging")
    await asyncio.to_thread(wait_for_log, s, "no answer to StartTransaction")
    late.set()
    s.csms.hook = None
    await s.until(lambda e: e["session"]["transaction_id"])
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.empty()
    assert len({t.message for t in s.csms.transactions.values()}) == len(s.csms.transactions)
    assert len(s.payloads("StopTransaction")) == 1
    # what the station says while an answer is overdue is no second CALL: it has given the first one up
    s.csms.violations[:] = [v for v in s.csms.violations if not v.startswith("a second CALL")]


def wait_for_log(s: Street, text: str) -> None:
    patience = Deadline(60)
    while text not in (s.station.folder / "world" / "agent.log").read_text():
        assert not patience.over, f"the log never said {text!r}"
        time.sleep(0.05)


async def test_killed_between_the_start_and_its_answer(s: Street) -> None:
    s.csms.instead["StartTransaction"] = lambda id_: None
    await s.plug()
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    await s.screen("charging")
    await s.heard(lambda: s.payloads("StartTransaction"))
    await s.kill()
    s.csms.instead.clear()
    await s.until(lambda e: e["session"] and e["session"]["transaction_id"])
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.empty()
    starts = s.payloads("StartTransaction")
    assert len(starts) >= 2
    assert all(p == starts[0] for p in starts)


async def test_killed_while_offline_with_a_full_queue(s: Street) -> None:
    number = await s.charge("CARD-A")
    await road(s, up=False)
    await s.station.until(lambda p: p["agent"]["queue"] > 2)
    await s.kill()
    await s.screen("charging")
    await s.station.until(lambda p: p["agent"]["queue"] > 2)
    await s.tap("CARD-A")
    await s.screen("finished")
    await s.kill()
    assert (await s.station.picture())["agent"]["queue"] > 2
    await road(s, up=True)
    await s.empty()
    transaction = s.csms.transactions[number]
    assert transaction.stop is not None
    assert transaction.stop["reason"] == "Local"
    assert len(transaction.samples) > 2
    assert s.story().count("StopTransaction") == 1
    in_order(s)


async def test_a_slow_and_lossy_road(s: Street) -> None:
    await road(s, latency_ms=150, loss=0.1)
    number = await s.charge("CARD-A")
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.empty()
    assert s.csms.transactions[number].stop is not None
    await road(s, latency_ms=0, loss=0)
