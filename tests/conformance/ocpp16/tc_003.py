"""First the cable, then the card."""

from datetime import datetime

from tests.conformance.ocpp16.play import CARD, Play


async def test_cable_then_card(s: Play) -> None:
    register = (await s.station.evse())["meter_wh"]
    await s.session(CARD)
    assert s.story() == ["Preparing", "Authorize", "StartTransaction", "Charging"]
    start = await s.call("StartTransaction")
    assert (start["connectorId"], start["idTag"], start["meterStart"]) == (1, CARD, register)
    assert datetime.fromisoformat(start["timestamp"]).tzinfo is not None
    assert s.payloads("Authorize") == [{"idTag": CARD}]
