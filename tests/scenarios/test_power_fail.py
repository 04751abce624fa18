"""OCPP 1.6 test case 032_1 over real sockets: mains is lost, a back-up supply carries the board, StopTransaction with
PowerLoss is sent before it goes dark; kill -9 in the middle; 2.0.1 likewise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.simulated_station import Simulated
from tests.support.station_rig import SPEED, Street, station_text, street
from tests.support.strict_csms import StrictCsms

pytestmark = pytest.mark.asyncio(loop_scope="module")
TEXT = station_text(evses=2) + '\n[power]\ndriver = "power_sysfs"\nhold_s = 0.2\nbackup_s = 120\npoll_s = 0.05\n'
"""The agent ends as soon as its sessions have: the supply lasts for a machine that takes its time for that."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def station(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("power"), TEXT) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(station: Street) -> AsyncIterator[Street]:
    station.begin()
    yield station
    await station.station.post("/power", {"mains": True})
    await station.end()


async def restarts(s: Street) -> int:
    return int((await s.station.picture())["agent"]["restarts"])


async def cut(s: Street) -> int:
    before = await restarts(s)
    await s.station.post("/power", {"mains": False})
    return before


async def booted_again(s: Street, before: int) -> None:
    """The agent has ended by itself, and another one is there."""
    await s.station.until(lambda p: p["agent"]["up"] and p["agent"]["restarts"] > before)
    await s.station.healthy()


async def test_032_1_the_stop_is_reported_the_cable_is_free_and_the_agent_ends_in_order(s: Street) -> None:
    id_ = await s.charge("CARD-A")
    await s.charge("CARD-B", 2)
    before = await cut(s)
    await booted_again(s, before)
    await s.heard(lambda: s.payloads("BootNotification"))  # devices do not wait for a slow backend
    stops = {p["transactionId"]: p["reason"] for p in s.payloads("StopTransaction")}
    assert stops == dict.fromkeys(stops, "PowerLoss")
    assert len(stops) == 2
    register = s.payloads("StopTransaction")[[p["transactionId"] for p in s.payloads("StopTransaction")].index(id_)]
    picture = await s.until(lambda e: not e["locked"] and not e["contactor"])
    assert register["meterStop"] == picture["meter_wh"], "nothing has flowed after the register was read"
    order = [a for a, _ in s.calls() if a in ("StopTransaction", "BootNotification")]
    assert order == ["StopTransaction", "StopTransaction", "BootNotification"], "sent before the process ended"
    await s.until(lambda e: e["screen"] == "out_of_service")
    assert (await s.status_reported("Faulted"))["reported"]["error"] == "OtherError"


async def test_in_the_dark_no_one_starts_and_the_agent_stays_until_mains_is_back(s: Street) -> None:
    await booted_again(s, await cut(s))
    here = await restarts(s)
    await s.plug()
    await s.tap("CARD-A")
    await s.status_reported("Faulted")
    await s.station.post("/power", {"mains": True})
    await s.status_reported("Preparing")
    assert not s.payloads("StartTransaction")
    assert await restarts(s) == here, "one orderly end, not one after the other"
    await s.charge_on("CARD-A")


async def test_killed_in_the_middle_of_it(s: Street) -> None:
    """kill -9 when the stop is on its way, not answered yet: one stop, PowerLoss, the register of then."""
    id_ = await s.charge("CARD-A")
    s.csms.instead["StopTransaction"] = lambda message_id: None
    before = await cut(s)
    await s.heard(lambda: s.payloads("StopTransaction"))
    await s.station.post("/agent", {"action": "kill"})
    s.csms.instead.clear()
    await booted_again(s, before)
    await s.station.post("/power", {"mains": True})
    await s.empty()
    stops = s.payloads("StopTransaction")
    assert len({json.dumps(p, sort_keys=True) for p in stops}) == 1, "the same stop again, not another one"
    assert (stops[0]["transactionId"], stops[0]["reason"]) == (id_, "PowerLoss")


async def test_the_same_on_the_second_dialect(tmp_path: Path) -> None:
    text = TEXT.replace("[backend]", '[backend]\nversions = ["2.0.1"]')
    async with StrictCsms(speaks=("2.0.1",)) as csms, Simulated(tmp_path, text, csms.url, SPEED) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        await station.post("/evses/1/plug", {"ready": True})
        await station.post("/cards/tap", {"token": "CARD-A", "evse": 1})
        await station.until_evse(lambda e: e["power_w"] > 0 and e["session"])
        await station.post("/power", {"mains": False})
        await station.until(lambda p: p["agent"]["restarts"] > 0)
        events = [json.loads(t)[3] for d, t in csms.frames if d == "in" and '"TransactionEvent"' in t]
        last = [e for e in events if e["eventType"] == "Ended"]
        assert [(e["transactionInfo"]["stoppedReason"], e["triggerReason"]) for e in last] == [
            ("PowerLoss", "AbnormalCondition")
        ]
        assert csms.violations == []
