"""An installed root is deleted by its hashes: gone from the list, and not found the second time."""

from authorities import Authority

from ocpp16.certificates_play import delete, install, listed
from ocpp16.play import Play

ROOT, OTHER = Authority(name="Root"), Authority(name="Other")


async def test_deleted_once(s: Play) -> None:
    assert [await install(s, r.pem) for r in (ROOT, OTHER)] == ["Accepted", "Accepted"]
    upper = {**ROOT.hashes, "serialNumber": ROOT.hashes["serialNumber"].upper()}
    assert await delete(s, upper) == "Accepted"
    assert await listed(s) == [OTHER.hashes]
    assert await delete(s, ROOT.hashes) == "NotFound"
    assert await delete(s, OTHER.hashes) == "Accepted"
    assert await listed(s) == []
