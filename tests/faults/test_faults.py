"""What breaks in a station, by the fault catalogue: energy stops where it must, the backend gets it in its own words,
and the station comes back when the cause is gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.station_rig import Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")
SETTINGS = "sample_interval_s = 0\nmeter_grace_s = 200"
"""Ten seconds of ours: a meter that is back is opened again seconds later, by pauses that are real."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    async with street(tmp_path_factory.mktemp("faults"), station_text(3, settings=SETTINGS)) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


def errors(s: Street) -> list[tuple[str, str, str]]:
    """Status, error code and vendor's code, as they were sent for outlet 1."""
    reported = [p for p in s.payloads("StatusNotification") if p["connectorId"] == 1]
    return [(p["status"], p["errorCode"], p.get("vendorErrorCode", "")) for p in reported]


@pytest.mark.parametrize(
    ("fault", "code", "vendor_code", "reason"),
    [
        ("EmergencyStop", "OtherError", "CX008", "EmergencyStop"),
        ("GroundFailure", "GroundFailure", "CX002", "Other"),
        ("DiodeFault", "GroundFailure", "CX014", "Other"),
        ("HighTemperature", "HighTemperature", "CX019", "Other"),
        ("MREC6UnderVoltage", "OtherError", "MREC6UnderVoltage", "Other"),
    ],
)
async def test_a_fault_in_a_session(s: Street, fault: str, code: str, vendor_code: str, reason: str) -> None:
    await s.charge("CARD-A")
    await s.fault(fault)
    await s.status_reported("Faulted")
    evse = await s.until(lambda e: not e["contactor"])
    await s.heard(lambda: s.payloads("StopTransaction"))
    assert s.payloads("StopTransaction")[0]["reason"] == reason
    assert ("Faulted", code, vendor_code) in errors(s)
    assert evse["reported"]["error"] == code
    # the session is gone from memory a commit before the screen changes: a slow disk shows the moment between them
    await s.until(lambda e: (e["session"], e["screen"]) == (None, "out_of_service"))
    await s.tap("CARD-A")  # no session may start now
    await s.screen("refused")
    assert len(s.payloads("Authorize")) == 1
    await s.fault(fault, False)
    await s.status_reported("Finishing")  # the cable is still there, and the old token starts nothing
    assert len(s.payloads("StartTransaction")) == 1
    await s.leave()
    assert errors(s)[-1] == ("Available", "NoError", "")


async def test_a_lock_that_jams_before_the_start_gives_no_energy(s: Street) -> None:
    await s.fault("ConnectorLockFailure")
    await s.status_reported("Faulted")
    assert errors(s)[-1][1] == "ConnectorLockFailure"
    await s.plug()
    await s.tap("CARD-A")
    evse = await s.screen("refused")
    assert not evse["contactor"]
    assert s.payloads("StartTransaction") == []
    await s.fault("ConnectorLockFailure", False)
    await s.status_reported("Preparing")


async def test_a_plug_that_cannot_be_freed_is_reported(s: Street) -> None:
    await s.charge("CARD-A")
    await s.fault("UnlockFailure")
    await s.tap("CARD-A")
    await s.heard(lambda: ("Finishing", "ConnectorLockFailure", "CX001") in errors(s))
    assert (await s.station.evse())["locked"]
    await s.fault("UnlockFailure", False)
    assert (await s.csms.ask("UnlockConnector", {"connectorId": 1}))["status"] == "Unlocked"
    await s.heard(lambda: errors(s)[-1] == ("Finishing", "NoError", ""))
    await s.leave()


async def test_meters_that_fall_silent(s: Street) -> None:
    """Three outlets at once, since it takes its time: before a session there is no transaction, in a session there is
    grace, and after the grace the last good register counts."""
    dies, returns, idle = 1, 2, 3
    number = await s.charge("CARD-A", dies)
    await s.charge("CARD-B", returns)
    for n in (dies, returns):
        await s.until(lambda e: e["session"]["energy_wh"] > 10, n)
    for n in (dies, returns, idle):
        await s.fault("MeterSilent", True, n)
    await s.until(lambda e: e["reported"] == {"status": "Charging", "error": "PowerMeterFailure"}, returns)
    await s.fault("MeterSilent", False, returns)
    evse = await s.until(lambda e: e["reported"]["error"] == "PowerMeterFailure", dies)
    last_wh = evse["session"]["energy_wh"]
    await s.until(lambda e: e["reported"] == {"status": "Charging", "error": "NoError"}, returns)

    evse = await s.status_reported("Faulted", idle)
    assert evse["reported"]["error"] == "PowerMeterFailure"
    assert evse["screen"] == "out_of_service"
    await s.plug(idle)
    await s.tap("CARD-C", idle)
    evse = await s.screen("refused", idle)
    assert (evse["session"], evse["contactor"]) == (None, False)
    start = {"idTag": "APP-1", "connectorId": idle}
    assert (await s.csms.ask("RemoteStartTransaction", start))["status"] == "Rejected"
    await s.fault("MeterSilent", False, idle)
    await s.status_reported("Preparing", idle)

    await s.heard(lambda: s.payloads("StopTransaction"))
    transaction, evse = s.csms.transactions[number], await s.station.evse(dies)
    assert transaction.stop_wh is not None
    assert transaction.start_wh + last_wh <= transaction.stop_wh <= evse["meter_wh"]
    assert not evse["contactor"]
    await s.fault("MeterSilent", False, dies)

    await s.tap("CARD-B", returns)
    await s.status_reported("Finishing", returns)
    await s.kill()  # a meter that was away for long is believed only after a while: not worth waiting for here
    assert len(s.payloads("StartTransaction")) == len(s.payloads("StopTransaction")) == 2


async def test_a_silent_reader_is_reported_and_does_not_stop_any_person(s: Street) -> None:
    number = await s.charge("CARD-A")
    await s.fault("ReaderSilent")
    evse = await s.until(lambda e: e["reported"]["error"] == "ReaderFailure")
    assert evse["reported"]["status"] == "Charging"
    assert evse["contactor"]
    assert (await s.csms.ask("RemoteStopTransaction", {"transactionId": number}))["status"] == "Accepted"
    await s.status_reported("Finishing")
    await s.fault("ReaderSilent", False)
    await s.until(lambda e: e["reported"]["error"] == "NoError")
    await s.tap("CARD-B")
    await s.heard(lambda: s.payloads("Authorize")[-1]["idTag"] == "CARD-B")


async def test_a_silent_board_that_comes_back_with_the_same_car_goes_on(tmp_path: Path) -> None:
    """In a street that is not hurried: a board is tried again after half a second and then ever later, which is more
    than its ten seconds' grace in the others."""
    async with street(tmp_path, station_text(1), 1.0) as s:
        await s.charge("CARD-A")
        await s.fault("BoardSilent")
        await s.until(lambda e: e["reported"]["error"] == "InternalError")
        await s.fault("BoardSilent", False)
        await s.until(lambda e: e["reported"] == {"status": "Charging", "error": "NoError"})
        await s.tap("CARD-A")
        await s.status_reported("Finishing")
        assert len(s.payloads("StopTransaction")) == 1


async def test_mains_lost_while_the_board_lives_on(s: Street) -> None:
    await s.charge("CARD-A")
    await s.station.post("/power", {"mains": False})
    await s.status_reported("Faulted")
    await s.heard(lambda: s.payloads("StopTransaction"))
    assert s.payloads("StopTransaction")[0]["reason"] == "PowerLoss"
    await s.station.post("/power", {"mains": True})
    await s.status_reported("Finishing")


async def test_a_weld_is_kept_until_a_person_has_looked(s: Street) -> None:
    """Last: a welded contactor feeds an empty plug, and the fault outlives its cause."""
    await s.charge("CARD-A")
    await s.fault("ContactorWelded")
    await s.status_reported("Faulted")
    assert ("Faulted", "PowerSwitchFailure", "CX017") in errors(s)
    await s.heard(lambda: s.payloads("StopTransaction"))
    stop = s.payloads("StopTransaction")[0]
    await s.fault("ContactorWelded", False)
    evse = await s.until(lambda e: not e["contactor"])
    assert evse["reported"]["status"] == "Faulted"
    before = await s.station.picture()
    await s.csms.ask("Reset", {"type": "Hard"})
    await s.station.until(lambda p: p["agent"]["restarts"] > before["agent"]["restarts"] and p["agent"]["up"])
    await s.heard(lambda: errors(s)[-1][0] != "Faulted")
    assert stop["meterStop"] > 0
