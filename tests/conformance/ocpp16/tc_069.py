"""Another card of the same family (parentIdTag) ends the transaction."""

from tests.conformance.ocpp16.play import CARD, FAMILY, FRIEND, STRANGER, Play


async def test_a_card_of_the_same_family(s: Play) -> None:
    s.csms.infos |= {CARD: FAMILY, FRIEND: FAMILY, STRANGER: {"status": "Accepted", "parentIdTag": "OTHERS"}}
    await s.session(CARD)
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.tap(FRIEND)
    stop = await s.call("StopTransaction")
    assert stop["idTag"] == FRIEND
    assert stop.get("reason", "Local") == "Local"
    assert [p["idTag"] for p in s.payloads("Authorize")] == [CARD, STRANGER, FRIEND]
