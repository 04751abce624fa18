"""A list that cannot be stored: the old one stays."""

from tests.conformance.ocpp16.play import CARD, OK, Play


async def test_more_than_a_message_may_carry(s: Play) -> None:
    await s.set(LocalAuthListEnabled=True, LocalPreAuthorize=True)
    rows, _ = await s.keys("SendLocalListMaxLength", "LocalAuthListMaxLength")
    most = int(rows["SendLocalListMaxLength"]["value"])
    assert most <= int(rows["LocalAuthListMaxLength"]["value"])
    assert all(row["readonly"] for row in rows.values())
    assert await s.list(2, **{CARD: OK}) == "Accepted"
    assert await s.list(3, **{f"T{n}": OK for n in range(most + 1)}) == "Failed"
    assert await s.list_version() == 2
    assert await s.list(3, **{CARD: OK, "UNKNOWN": None}) == "Failed"  # a full list says of each what it is worth
    assert await s.list_version() == 2
    await s.session(CARD)
    assert s.payloads("Authorize") == []
