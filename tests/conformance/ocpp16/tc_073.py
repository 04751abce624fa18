"""AuthorizationKey is changed twice: accepted, and the station comes back by itself with the new password."""

from pathlib import Path

from ocpp16.secure_play import FIRST, basic

NEW = b"nineteen characters"
NEWER = b"sixteen_letters_"
WRONG = b"wrong-password-16"


async def test_the_new_password_is_used_at_once(tmp_path: Path) -> None:
    async with basic(tmp_path) as (s, csms):
        assert csms.users == [("CP-1", FIRST)]
        for number, (password, text) in enumerate(((NEW, NEW.hex()), (NEWER, NEWER.hex())), 2):
            csms.key = password
            assert await s.put("AuthorizationKey", text) == "Accepted"
            await s.heard(lambda n=number: len(csms.users) == n)
            assert csms.users[-1] == ("CP-1", password)
            await s.station.until(lambda p: p["backend"]["link"] == "up")
        assert not (await s.keys("AuthorizationKey"))[0]["AuthorizationKey"].get("value")
        s.begin()
        await s.kill()
        await s.heard(lambda: s.payloads("BootNotification"))
        assert csms.users[-1] == ("CP-1", NEWER)


async def test_a_password_that_the_backend_does_not_take_itself_is_taken_back(tmp_path: Path) -> None:
    async with basic(tmp_path) as (s, csms):
        assert await s.put("AuthorizationKey", WRONG.hex()) == "Accepted"
        await s.heard(lambda: csms.users[-1] == ("CP-1", FIRST) and len(csms.users) > 1)
        await s.station.until(lambda p: p["backend"]["link"] == "up")
        assert csms.users == [("CP-1", p) for p in (FIRST, WRONG, WRONG, WRONG, FIRST)]
        await s.heard(lambda: csms.events().count("ReconfigurationOfSecurityParameters") == 2)
        assert csms.events().count("FailedToAuthenticateAtCentralSystem") == 1
        await csms.drop()
        await s.heard(lambda: len(csms.users) == 6)
        assert csms.users[-1] == ("CP-1", FIRST)


async def test_a_key_that_is_too_short_is_rejected(tmp_path: Path) -> None:
    async with basic(tmp_path) as (s, csms):
        assert await s.put("AuthorizationKey", "fifteen letters"[:15]) == "Rejected"
        assert await s.put("AuthorizationKey", (b"x" * 21).hex()) == "Rejected"
        assert csms.users == [("CP-1", FIRST)]
