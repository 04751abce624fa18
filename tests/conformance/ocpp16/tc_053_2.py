"""A remote start by another card of the family uses the reservation."""

import pytest

from tests.conformance.ocpp16.play import CARD, FAMILY, FRIEND, Play


@pytest.mark.parametrize("asks", [True, False])
async def test_a_card_with_the_parent_of_the_reservation(s: Play, asks: bool) -> None:
    """Without authorization of remote starts as well: the card is known nowhere else."""
    await s.set(AuthorizeRemoteTxRequests=asks)
    s.csms.infos[FRIEND] = FAMILY
    assert await s.reserve(token=CARD, parentIdTag="FAMILY") == "Accepted"
    await s.status_reported("Reserved")
    assert await s.start(FRIEND) == "Accepted"
    await s.plug()
    await s.status_reported("Charging")
    assert [p["idTag"] for p in s.payloads("Authorize")] == [FRIEND]
    start = s.payloads("StartTransaction")[0]
    assert (start["idTag"], start["reservationId"]) == (FRIEND, 7)
