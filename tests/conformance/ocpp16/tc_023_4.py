"""A card that the central system refuses: nothing starts, the connector is free again."""

from tests.conformance.ocpp16.play import REFUSED, STRANGER, Play


async def test_a_refused_card(s: Play) -> None:
    await s.set(LocalPreAuthorize=True, MinimumStatusDuration=10)
    s.csms.infos[STRANGER] = REFUSED
    await s.tap(STRANGER)
    await s.screen("refused")
    assert s.payloads("Authorize") == [{"idTag": STRANGER}]
    await s.screen("idle")
    await s.status_reported("Available")
    await s.never("StartTransaction")
