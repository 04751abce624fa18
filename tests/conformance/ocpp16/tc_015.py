"""A hard reset in a transaction: one StopTransaction, whose reason is HardReset."""

from tests.conformance.ocpp16.play import Play, reset_in_a_session


async def test_reset_in_a_session(s: Play) -> None:
    await reset_in_a_session(s, "Hard")
