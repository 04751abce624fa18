"""Security profile 1: HTTP Basic, with the identity as user and the AuthorizationKey's bytes as password."""

from tests.conformance.ocpp16.secure_play import Basic

KEY = bytes(range(0xF0, 0x100)) + b"\x00:\r\n"
"""20 bytes that are no text."""


async def test_user_and_password(known: Basic) -> None:
    s, csms = known
    csms.key = KEY
    assert await s.put("AuthorizationKey", KEY.hex()) == "Accepted"
    await s.heard(lambda: csms.users[-1] == ("CP-1", KEY))
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    csms.become(None, b"another password")
    await s.heard(lambda: len(csms.users) > 4)
    assert set(csms.users) == {("CP-1", KEY)}
    csms.become(None, KEY)
    await s.heard(lambda: csms.users and csms.there)
    await s.heard(lambda: csms.events().count("FailedToAuthenticateAtCentralSystem") == 1)
