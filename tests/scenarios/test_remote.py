"""What a central system does to a station from afar, in the middle of its life: start, stop, unlock, reset, close."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig import TIME_TO_PLUG_IN, Street, station_text, street

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Street]:
    text = station_text(2, settings=f"sample_interval_s = 0\n{TIME_TO_PLUG_IN}")
    async with street(tmp_path_factory.mktemp("remote"), text) as s:
        yield s


@pytest_asyncio.fixture(loop_scope="module")
async def s(opened: Street) -> AsyncIterator[Street]:
    opened.begin()
    yield opened
    await opened.end()


async def ask(s: Street, action: str, **payload: Any) -> str:
    return str((await s.csms.ask(action, payload))["status"])


async def put(s: Street, key: str, value: str) -> None:
    assert await ask(s, "ChangeConfiguration", key=key, value=value) == "Accepted"


async def value_of(s: Street, key: str) -> str:
    (row,) = (await s.csms.ask("GetConfiguration", {"key": [key]}))["configurationKey"]
    return str(row["value"])


async def restarted(s: Street, before: dict[str, Any]) -> None:
    await s.station.until(lambda p: p["agent"]["restarts"] > before["agent"]["restarts"] and p["agent"]["up"])
    await s.station.healthy()
    await s.station.until(lambda p: p["backend"]["boot"] == "Accepted")


# --- start and stop -------------------------------------------------------------------------------------------------


async def test_remote_start_with_the_cable_in_and_remote_stop(s: Street) -> None:
    await s.plug()
    await s.status_reported("Preparing")
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-1") == "Accepted"
    await s.status_reported("Charging")
    evse = await s.until(lambda e: e["session"]["transaction_id"])
    number = int(evse["session"]["transaction_id"])
    assert await ask(s, "RemoteStopTransaction", transactionId=number + 77) == "Rejected"
    assert await ask(s, "RemoteStopTransaction", transactionId=number) == "Accepted"
    await s.status_reported("Finishing")
    assert s.story() == ["Preparing", "StartTransaction", "Charging", "StopTransaction", "Finishing"]
    assert s.payloads("StopTransaction")[0]["reason"] == "Remote"
    assert await ask(s, "RemoteStopTransaction", transactionId=number) == "Rejected"


async def test_remote_start_before_the_cable(s: Street) -> None:
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-1") == "Accepted"
    await s.screen("plug_in")
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-2") == "Rejected"
    await s.plug()
    await s.status_reported("Charging")
    await s.tap("APP-1")  # the driver's card ends what the app has begun
    await s.status_reported("Finishing")
    assert [p["idTag"] for p in s.payloads("StartTransaction")] == ["APP-1"]
    assert s.payloads("StopTransaction")[0]["reason"] == "Local"


async def test_remote_start_asks_first_if_ordered_to(s: Street) -> None:
    await put(s, "AuthorizeRemoteTxRequests", "true")
    s.csms.infos["APP-BAD"] = {"status": "Blocked"}
    await s.plug()
    await s.status_reported("Preparing")
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-BAD") == "Accepted"
    await s.screen("refused")
    assert s.payloads("StartTransaction") == []
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-1") == "Accepted"
    await s.status_reported("Charging")
    await put(s, "AuthorizeRemoteTxRequests", "false")
    assert [p["idTag"] for p in s.payloads("Authorize")] == ["APP-BAD", "APP-1"]
    await s.tap("APP-1")
    await s.status_reported("Finishing")


async def test_a_token_that_turns_out_bad_ends_its_session(s: Street) -> None:
    s.csms.infos["APP-BAD"] = {"status": "Blocked"}
    await s.plug()
    await s.status_reported("Preparing")
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-BAD") == "Accepted"
    await s.status_reported("Finishing")
    assert s.payloads("StopTransaction")[0]["reason"] == "DeAuthorized"


# --- unlock ---------------------------------------------------------------------------------------------------------


async def test_unlock_ends_a_running_session_first(s: Street) -> None:
    await s.charge("CARD-A")
    assert await ask(s, "UnlockConnector", connectorId=1) == "Unlocked"
    evse = await s.status_reported("Finishing")
    assert not evse["locked"]
    assert s.payloads("StopTransaction")[0]["reason"] == "UnlockCommand"


async def test_unlock_at_rest_and_where_there_is_nothing(s: Street) -> None:
    assert await ask(s, "UnlockConnector", connectorId=2) == "Unlocked"
    assert await ask(s, "UnlockConnector", connectorId=9) == "NotSupported"


# --- reset ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "reason"), [("Soft", "SoftReset"), ("Hard", "HardReset")])
async def test_reset_ends_the_session_once_and_boots_again(s: Street, kind: str, reason: str) -> None:
    await put(s, "HeartbeatInterval", "321" if kind == "Soft" else "123")
    assert await ask(s, "ChangeAvailability", connectorId=2, type="Inoperative") == "Accepted"
    await s.status_reported("Unavailable", 2)
    await s.charge("CARD-A")
    before = await s.station.picture()
    assert await ask(s, "Reset", type=kind) == "Accepted"
    await restarted(s, before)
    await s.status_reported("Unavailable", 2)
    await s.empty()
    (stop,) = s.payloads("StopTransaction")
    assert stop["reason"] == reason
    assert len(s.payloads("BootNotification")) == 1
    story = s.story()
    assert story.index("StopTransaction") > story.index("Charging")
    evse = await s.until(lambda e: e["reported"] and e["screen"])
    assert evse["session"] is None
    assert not evse["contactor"]
    assert evse["meter_wh"] == stop["meterStop"]
    assert await value_of(s, "HeartbeatInterval") == "300"  # the boot's word is the newer one
    assert await ask(s, "ChangeAvailability", connectorId=2, type="Operative") == "Accepted"
    await s.status_reported("Available", 2)


# --- availability ---------------------------------------------------------------------------------------------------


async def test_closing_waits_for_the_session(s: Street) -> None:
    await s.charge("CARD-A")
    assert await ask(s, "ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
    assert (await s.station.evse())["contactor"]
    await s.tap("CARD-A")
    await s.heard(lambda: s.payloads("StopTransaction"))
    await s.unplug()
    await s.status_reported("Unavailable")
    await s.tap("CARD-B")
    await s.screen("refused")
    assert [p["idTag"] for p in s.payloads("Authorize")] == ["CARD-A"]
    assert await ask(s, "RemoteStartTransaction", connectorId=1, idTag="APP-1") == "Rejected"
    await s.kill()
    await s.status_reported("Unavailable")
    assert await ask(s, "ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
    await s.status_reported("Available")
    await s.screen("idle")


async def test_closing_the_whole_station(s: Street) -> None:
    assert await ask(s, "ChangeAvailability", connectorId=0, type="Inoperative") == "Accepted"
    for n in (1, 2):
        await s.status_reported("Unavailable", n)
    await s.heard(lambda: s.csms.statuses["0"] == "Unavailable")
    assert await ask(s, "ChangeAvailability", connectorId=0, type="Operative") == "Accepted"
    for n in (1, 2):
        await s.status_reported("Available", n)


# --- trigger, settings, cache ---------------------------------------------------------------------------------------


async def test_triggered_messages_follow_their_answer(s: Street) -> None:
    for what in ("BootNotification", "Heartbeat", "StatusNotification", "MeterValues"):
        s.begin()
        assert await ask(s, "TriggerMessage", requestedMessage=what, connectorId=1) == "Accepted"
        await s.heard(lambda what=what: s.payloads(what))
    (values,) = s.payloads("MeterValues")
    assert values["connectorId"] == 1
    assert "transactionId" not in values
    assert values["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
    assert await ask(s, "TriggerMessage", requestedMessage="StatusNotification", connectorId=9) == "Rejected"


async def test_triggered_status_tells_what_is(s: Street) -> None:
    await s.charge("CARD-A")
    s.begin()
    assert await ask(s, "TriggerMessage", requestedMessage="StatusNotification", connectorId=1) == "Accepted"
    await s.heard(lambda: s.payloads("StatusNotification"))
    assert [(p["connectorId"], p["status"]) for p in s.payloads("StatusNotification")] == [(1, "Charging")]
    await s.tap("CARD-A")
    await s.status_reported("Finishing")


async def test_settings_survive_a_restart(s: Street) -> None:
    everything = await s.csms.ask("GetConfiguration", {})
    known = {row["key"]: row for row in everything["configurationKey"]}
    assert known["NumberOfConnectors"] == {"key": "NumberOfConnectors", "readonly": True, "value": "2"}
    assert known["SupportedFeatureProfiles"]["readonly"]
    assert await ask(s, "ChangeConfiguration", key="NumberOfConnectors", value="3") == "Rejected"
    assert await ask(s, "ChangeConfiguration", key="ConnectionTimeOut", value="soon") == "Rejected"
    assert await ask(s, "ChangeConfiguration", key="NoSuchKey", value="1") == "NotSupported"
    await put(s, "ConnectionTimeOut", "77")
    await put(s, "MeterValuesSampledData", "Energy.Active.Import.Register,Power.Active.Import")
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert await value_of(s, "ConnectionTimeOut") == "77"
    assert await value_of(s, "MeterValuesSampledData") == "Energy.Active.Import.Register,Power.Active.Import"
    answer = await s.csms.ask("GetConfiguration", {"key": ["connectiontimeout", "Nonsense"]})
    assert answer["unknownKey"] == ["Nonsense"]
    await put(s, "ConnectionTimeOut", "600")
    await put(s, "MeterValuesSampledData", "Energy.Active.Import.Register")


async def test_the_password_is_never_shown(s: Street) -> None:
    everything = await s.csms.ask("GetConfiguration", {})
    rows = [row for row in everything["configurationKey"] if row["key"] == "AuthorizationKey"]
    assert not any(row.get("value") for row in rows)


async def test_a_known_card_charges_offline_until_the_cache_is_cleared(s: Street) -> None:
    await s.charge("CARD-CACHED")
    await s.tap("CARD-CACHED")
    await s.status_reported("Finishing")
    await s.leave()
    await s.station.post("/links/backend", {"up": False})
    await s.station.until(lambda p: p["backend"]["link"] == "down")
    await s.plug()
    await s.tap("CARD-CACHED")
    await s.screen("charging")
    await s.tap("CARD-CACHED")
    await s.screen("finished")
    await s.station.post("/links/backend", {"up": True})
    await s.empty()
    assert await ask(s, "ClearCache") == "Accepted"
    await s.station.post("/links/backend", {"up": False})
    await s.station.until(lambda p: p["backend"]["link"] == "down")
    await s.unplug()
    await s.seen_free()
    await s.tap("CARD-CACHED")
    await s.screen("refused")
    await s.station.post("/links/backend", {"up": True})
    await s.empty()
    assert len(s.payloads("StartTransaction")) == 2
