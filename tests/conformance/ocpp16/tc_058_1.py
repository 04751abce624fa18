"""A profile for a transaction where none runs is refused."""

from tests.conformance.ocpp16.charging_play import FREE_A, TX, composite, profile
from tests.conformance.ocpp16.play import Play


async def test_no_transaction_no_profile(s: Play) -> None:
    assert await s.charge_profile(1, profile(1, TX, (0, 6))) == "Rejected"
    assert await s.charge_profile(1, profile(1, TX, (0, 6), transactionId=1)) == "Rejected"
    assert [limit for _, limit in await composite(s)] == [FREE_A]
    assert await s.ask("ClearChargingProfile") == "Unknown"
