"""Another card of the family uses the reservation."""

from tests.conformance.ocpp16.play import CARD, FAMILY, FRIEND, STRANGER, Play


async def test_a_card_with_the_parent_of_the_reservation(s: Play) -> None:
    s.csms.infos[FRIEND] = FAMILY
    assert await s.reserve(token=CARD, parentIdTag="FAMILY") == "Accepted"
    await s.status_reported("Reserved")
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.session(FRIEND)
    assert [p["idTag"] for p in s.payloads("Authorize")] == [STRANGER, FRIEND]
    start = s.payloads("StartTransaction")[0]
    assert (start["idTag"], start["reservationId"]) == (FRIEND, 7)
