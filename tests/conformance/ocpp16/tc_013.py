"""A hard reset at rest, while one connector is out of order: it still is afterwards."""

from tests.conformance.ocpp16.play import Play, reset_at_rest


async def test_reset_at_rest(s: Play) -> None:
    await reset_at_rest(s, "Hard")
