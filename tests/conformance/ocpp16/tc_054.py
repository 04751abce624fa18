"""TriggerMessage: every message that can be triggered comes after its answer."""

import pytest

from tests.conformance.ocpp16.play import Play


async def test_meter_values_of_a_transaction(s: Play) -> None:
    await s.set(MeterValuesSampledData="Energy.Active.Import.Register,Power.Active.Import")
    number = await s.session()
    s.begin()
    assert await s.ask("TriggerMessage", requestedMessage="MeterValues", connectorId=1) == "Accepted"
    values = await s.call("MeterValues")
    assert (values["connectorId"], values["transactionId"]) == (1, number)
    samples = values["meterValue"][0]["sampledValue"]
    assert {v["context"] for v in samples} == {"Trigger"}
    assert {v.get("measurand", "Energy.Active.Import.Register") for v in samples} == {
        "Energy.Active.Import.Register",
        "Power.Active.Import",
    }


@pytest.mark.parametrize("what", ["Heartbeat", "BootNotification"])
async def test_a_message_of_the_station(s: Play, what: str) -> None:
    assert await s.ask("TriggerMessage", requestedMessage=what) == "Accepted"
    await s.call(what)


async def test_states_of_one_and_of_all(s: Play) -> None:
    assert await s.ask("TriggerMessage", requestedMessage="StatusNotification", connectorId=2) == "Accepted"
    await s.call("StatusNotification")
    assert [p["connectorId"] for p in s.payloads("StatusNotification")] == [2]
    s.begin()
    assert await s.ask("TriggerMessage", requestedMessage="StatusNotification") == "Accepted"
    await s.heard(lambda: {p["connectorId"] for p in s.payloads("StatusNotification")} == {0, 1, 2})


@pytest.mark.parametrize("what", ["DiagnosticsStatusNotification", "FirmwareStatusNotification"])
async def test_nothing_is_under_way(s: Play, what: str) -> None:
    assert await s.ask("TriggerMessage", requestedMessage=what) == "Accepted"
    assert (await s.call(what))["status"] == "Idle"
