"""ChangeConfiguration of a key that does not exist."""

from tests.conformance.ocpp16.play import Play


async def test_an_unknown_key(s: Play) -> None:
    assert await s.ask("ChangeConfiguration", key="Testing", value="1") == "NotSupported"
