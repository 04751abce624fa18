"""Whole sessions of drivers with a token, over the real wires: what the central system hears, in which order, and what
the screens say."""

from collections.abc import AsyncIterator
from datetime import datetime

import pytest
import pytest_asyncio

from tests.support.station_rig import TIME_TO_PLUG_IN, Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    text = station_text(2, settings=f"sample_interval_s = 0\n{TIME_TO_PLUG_IN}")
    async with street(tmp_path_factory.mktemp("sessions"), text) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


async def test_cable_first_and_stopped_by_the_same_card(s: Street) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    assert (await s.station.evse())["screen"] == "idle"
    await s.station.post("/cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 1, "hold_s": 1})
    evse = await s.status_reported("Charging")
    await s.screen("charging")
    assert evse["contactor"]
    assert evse["locked"]
    await s.until(lambda e: e["session"]["energy_wh"] >= 10)
    await s.station.post("/cards/tap", {"uid": "04A1B2C3D4E5F6", "evse": 1, "hold_s": 1})
    evse = await s.status_reported("Finishing")
    assert evse["screen"] == "finished"
    assert not evse["contactor"]
    await s.leave()
    want = ["Preparing", "Authorize", "StartTransaction", "Charging", "StopTransaction", "Finishing", "Available"]
    assert s.story() == want
    (start,), (stop,) = s.payloads("StartTransaction"), s.payloads("StopTransaction")
    assert (start["idTag"], start["connectorId"]) == ("04A1B2C3D4E5F6", 1)
    assert (stop["idTag"], stop["reason"]) == ("04A1B2C3D4E5F6", "Local")
    assert stop["meterStop"] == (await s.station.evse())["meter_wh"]
    stamps = [p["timestamp"] for _, p in s.calls() if "timestamp" in p]
    assert stamps == sorted(stamps)


async def test_card_first_and_unplugged_at_the_car(s: Street) -> None:
    await s.tap("CARD-A")
    await s.screen("plug_in")
    await s.plug()
    await s.status_reported("Charging")
    await s.until(lambda e: e["session"]["energy_wh"] >= 5)
    await s.unplug(side="ev")
    evse = await s.status_reported("Finishing")
    assert not evse["contactor"]
    await s.leave()
    want = ["Authorize", "Preparing", "StartTransaction", "Charging", "StopTransaction", "Finishing", "Available"]
    assert s.story() == want
    (stop,) = s.payloads("StopTransaction")
    assert stop["reason"] == "EVDisconnected"
    assert "idTag" not in stop


async def test_another_card_does_not_stop_a_session(s: Street) -> None:
    await s.charge("CARD-A")
    await s.tap("CARD-B")
    evse = await s.screen("refused")
    assert evse["contactor"]
    assert s.payloads("StopTransaction") == []
    assert [p["idTag"] for p in s.payloads("Authorize")] == ["CARD-A"]
    await s.tap("CARD-A")
    await s.status_reported("Finishing")


async def test_a_card_of_the_same_group_stops_a_session(s: Street) -> None:
    s.csms.infos["CARD-A"] = s.csms.infos["CARD-B"] = {"status": "Accepted", "parentIdTag": "FAMILY"}
    await s.charge("CARD-A")
    await s.tap("CARD-B")
    await s.status_reported("Finishing")
    (stop,) = s.payloads("StopTransaction")
    assert (stop["idTag"], stop["reason"]) == ("CARD-B", "Local")


async def test_no_one_plugs_in_and_plugging_later_starts_nothing(s: Street) -> None:
    await s.csms.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "20"})
    await s.tap("CARD-A")
    await s.heard(lambda: "Preparing" in s.story())
    await s.status_reported("Available")
    await s.csms.ask("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "600"})
    await s.plug()
    await s.status_reported("Preparing")
    evse = await s.screen("idle")
    assert evse["session"] is None
    assert not evse["pwm"]
    assert s.payloads("StartTransaction") == []


async def test_a_car_that_pauses_and_goes_on(s: Street) -> None:
    await s.charge("CARD-A")
    await s.station.post("/evses/1/ev", {"ready": False})
    evse = await s.status_reported("SuspendedEV")
    assert not evse["contactor"]
    await s.screen("paused")
    await s.station.post("/evses/1/ev", {"ready": True})
    evse = await s.status_reported("Charging")
    assert evse["contactor"]
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    assert s.story()[3:] == ["Charging", "SuspendedEV", "Charging", "StopTransaction", "Finishing"]


async def test_a_car_that_does_not_ask_for_energy_yet(s: Street) -> None:
    await s.plug(ready=False)
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    evse = await s.status_reported("SuspendedEV")
    assert evse["screen"] == "paused"
    assert evse["session"]["energy_wh"] == 0
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    assert s.story() == ["Preparing", "Authorize", "StartTransaction", "SuspendedEV", "StopTransaction", "Finishing"]


async def test_a_full_battery_ends_the_energy_not_the_transaction(s: Street) -> None:
    await s.plug(soc=98, capacity_kwh=12)
    await s.status_reported("Preparing")
    await s.tap("CARD-A")
    await s.heard(lambda: "Charging" in s.story())  # for a few seconds
    evse = await s.status_reported("SuspendedEV")
    assert evse["soc"] == 100
    register = evse["meter_wh"]
    await s.until(lambda e: e["session"]["energy_wh"] > 0)  # as the screen has it, refreshed every 2 s
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    assert s.payloads("StopTransaction")[0]["meterStop"] == register


async def test_two_outlets_and_one_reader(s: Street) -> None:
    await s.plug(2)
    await s.status_reported("Preparing", 2)
    await s.tap("CARD-A", None)
    await s.status_reported("Charging", 2)
    await s.plug(1)
    await s.status_reported("Preparing", 1)
    await s.tap("CARD-B", None)
    await s.status_reported("Charging", 1)
    await s.tap("CARD-A", None)
    await s.status_reported("Finishing", 2)
    assert (await s.station.evse(1))["session"]["token"] == "CARD-B"
    await s.tap("CARD-B", None)
    await s.status_reported("Finishing", 1)
    starts, stops = s.payloads("StartTransaction"), s.payloads("StopTransaction")
    assert [(p["connectorId"], p["idTag"]) for p in starts] == [(2, "CARD-A"), (1, "CARD-B")]
    assert [p["idTag"] for p in stops] == ["CARD-A", "CARD-B"]


async def test_the_first_cable_decides_where_a_card_at_the_shared_reader_charges(s: Street) -> None:
    await s.tap("CARD-A", None)
    await s.screen("plug_in", 1)
    await s.plug(2)
    await s.status_reported("Charging", 2)
    assert (await s.station.evse(1))["session"] is None
    await s.status_reported("Available", 1)
    await s.tap("CARD-A", None)
    await s.status_reported("Finishing", 2)


async def test_samples_of_a_session_lie_on_the_grid(s: Street) -> None:
    await s.csms.ask("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "60"})
    number = await s.charge("CARD-A")
    await s.heard(lambda: len(s.payloads("MeterValues")) >= 3)
    await s.csms.ask("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "0"})
    await s.tap("CARD-A")
    await s.status_reported("Finishing")
    await s.empty()
    began = datetime.fromisoformat(s.payloads("StartTransaction")[0]["timestamp"])
    for k, payload in enumerate(s.payloads("MeterValues"), 1):
        assert (payload["transactionId"], payload["connectorId"]) == (number, 1)
        (value,) = payload["meterValue"]
        since_s = (datetime.fromisoformat(value["timestamp"]) - began).total_seconds()
        assert 60 * k <= since_s < 60 * k + 55  # within 2.75 real s of its mark: the machine may be busy
        assert value["sampledValue"][0].get("context", "Sample.Periodic") == "Sample.Periodic"
    registers = s.csms.transactions[number].samples
    assert registers == sorted(registers)


async def test_the_language_button(s: Street) -> None:
    seen = [(await s.station.picture())["agent"]["screen_language"]]
    for _ in range(4):
        await s.station.post("/buttons/language")
        picture = await s.station.until(lambda p: p["agent"]["screen_language"] != seen[-1])
        seen.append(picture["agent"]["screen_language"])
    assert seen == ["fr", "de", "lb", "en", "fr"]
