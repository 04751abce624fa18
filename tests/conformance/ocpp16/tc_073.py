"""AuthorizationKey is changed twice: accepted, and the station comes back by itself with the new password."""

from pathlib import Path

from tests.conformance.ocpp16.secure_play import Basic, basic

NEW = b"nineteen characters"
NEWER = b"sixteen_letters_"
WRONG = b"wrong-password-16"


async def test_the_new_password_is_used_at_once(known: Basic) -> None:
    s, csms = known
    before = csms.users[-1]
    assert await s.put("AuthorizationKey", "fifteen letters") == "Rejected"
    assert await s.put("AuthorizationKey", (b"x" * 21).hex()) == "Rejected"
    assert csms.users == [before]
    for number, password in enumerate((NEW, NEWER), 2):
        csms.key = password
        assert await s.put("AuthorizationKey", password.hex()) == "Accepted"
        await s.heard(lambda n=number: len(csms.users) == n)
        assert csms.users[-1] == ("CP-1", password)
        await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert not (await s.keys("AuthorizationKey"))[0]["AuthorizationKey"].get("value")


async def test_killed_in_the_middle_then_a_password_that_the_backend_itself_does_not_take(tmp_path: Path) -> None:
    async with basic(tmp_path) as (s, csms):
        csms.key = None
        s.begin()
        assert await s.put("AuthorizationKey", NEW.hex()) == "Accepted"
        await s.kill()
        await s.heard(lambda: s.payloads("BootNotification"))
        assert csms.users[-1] == ("CP-1", NEW)
        csms.key = NEW
        csms.users.clear()
        assert await s.put("AuthorizationKey", WRONG.hex()) == "Accepted"
        await s.heard(lambda: len(csms.users) == 4)
        assert csms.users == [("CP-1", p) for p in (WRONG, WRONG, WRONG, NEW)]
        failed, changed = "FailedToAuthenticateAtCentralSystem", "ReconfigurationOfSecurityParameters"
        await s.heard(lambda: csms.events()[-2:] == [failed, changed])  # the last: taken back
        assert csms.events().count(failed) == 1
        # the first change is reported over the connection of before as well: the kill forgets that it was delivered
        assert csms.events().count(changed) in (3, 4)
        await csms.drop()
        await s.heard(lambda: len(csms.users) == 5)
        assert csms.users[-1] == ("CP-1", NEW)
