"""Any connector is reserved: the last free one is kept for that card."""

from tests.conformance.ocpp16.play import CARD, FRIEND, STRANGER, Play


async def test_the_last_free_connector_is_kept(s: Play) -> None:
    assert await s.get("ReserveConnectorZeroSupported") == "true"
    assert await s.reserve(0) == "Accepted"
    await s.session(STRANGER, 1)
    await s.status_reported("Reserved", 2)
    await s.tap(FRIEND, 2)
    await s.screen("refused", 2)
    await s.session(CARD, 2)
    first, second = s.payloads("StartTransaction")
    assert "reservationId" not in first
    assert (second["connectorId"], second["idTag"], second["reservationId"]) == (2, CARD, 7)
