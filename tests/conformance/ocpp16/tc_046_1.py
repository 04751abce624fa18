"""A reserved connector: another card gets nothing, the card of the reservation uses it."""

from tests.conformance.ocpp16.play import CARD, OK, STRANGER, Play


async def test_only_the_card_of_the_reservation(s: Play) -> None:
    assert await s.reserve() == "Accepted"
    await s.status_reported("Reserved")
    await s.tap(STRANGER)
    await s.screen("refused")
    assert s.payloads("Authorize") == []
    await s.session(CARD)
    assert s.payloads("StartTransaction")[0]["reservationId"] == 7
    await s.tap(CARD)
    await s.status_reported("Finishing")
    await s.leave()
    s.begin()
    await s.session(STRANGER)  # it was used up
    assert "reservationId" not in s.payloads("StartTransaction")[0]


async def test_after_a_power_cut_and_off_line(s: Play) -> None:
    await s.set(LocalAuthorizeOffline=True)
    assert await s.list(1, **{CARD: OK, STRANGER: OK}) == "Accepted"
    assert await s.reserve() == "Accepted"
    await s.status_reported("Reserved")
    await s.kill()
    await s.status_reported("Reserved")
    await s.off_line()
    await s.plug()
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.tap(CARD)
    await s.screen("charging")
    await s.on_line()
    start = await s.call("StartTransaction")
    assert (start["idTag"], start["reservationId"]) == (CARD, 7)
