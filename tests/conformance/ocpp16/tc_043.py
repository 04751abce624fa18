"""A full list, then what has changed: the version follows, and so do the cards."""

from tests.conformance.ocpp16.play import CARD, FRIEND, OK, STRANGER, Play


async def test_full_then_differential(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True, LocalPreAuthorize=True)
    s.csms.infos[FRIEND] = {"status": "Invalid"}
    assert await s.list(1, **{CARD: OK, FRIEND: OK}) == "Accepted"
    assert await s.list_version() == 1
    assert await s.list(2, full=False, **{FRIEND: None, STRANGER: OK}) == "Accepted"
    assert await s.list_version() == 2
    await s.tap(FRIEND)  # no longer on the list: the central system has to be asked, and refuses
    await s.screen("refused")
    assert [p["idTag"] for p in s.payloads("Authorize")] == [FRIEND]
    await s.session(STRANGER)
    await s.session(CARD, 2)
    assert len(s.payloads("Authorize")) == 1


async def test_it_is_there_after_a_power_cut(s: Play) -> None:
    assert await s.list(5, **{CARD: OK}) == "Accepted"
    await s.kill()
    await s.station.until(lambda p: p["backend"]["link"] == "up")
    assert await s.list_version() == 5
