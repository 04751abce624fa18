"""A profile for another transaction than the running one is refused and changes nothing."""

from tests.conformance.ocpp16.charging_play import FREE_A, TX, composite, offered, profile
from tests.conformance.ocpp16.play import Play


async def test_another_transaction(s: Play) -> None:
    number = await s.session()
    other = await s.session("CARD-B", 2)
    for wrong in (number + 1000, other):
        assert await s.charge_profile(1, profile(1, TX, (0, 6), transactionId=wrong)) == "Rejected"
    assert [limit for _, limit in await composite(s)] == [FREE_A]
    await offered(s, FREE_A)
