"""A differential list that is older than what the station has."""

from tests.conformance.ocpp16.play import CARD, FRIEND, OK, STRANGER, Play


async def test_an_older_version_is_not_taken(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True, LocalPreAuthorize=True)
    assert await s.list(2, **{CARD: OK}) == "Accepted"
    assert await s.list(5, full=False, **{FRIEND: OK}) == "Accepted"
    for version in (4, 5):
        assert await s.list(version, full=False, **{STRANGER: OK}) == "VersionMismatch"
        assert await s.list_version() == 5
    await s.session(FRIEND)
    assert s.payloads("Authorize") == []
