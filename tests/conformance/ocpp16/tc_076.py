"""An installed root is deleted by its hashes: gone from the list, and not found the second time."""

from tests.conformance.ocpp16.certificates_play import delete, install, listed
from tests.conformance.ocpp16.play import Play
from tests.support.certificate_authorities import Authority

ROOT, OTHER = Authority(name="Root"), Authority(name="Other")


async def test_deleted_once(s: Play) -> None:
    assert [await install(s, r.pem) for r in (ROOT, OTHER)] == ["Accepted", "Accepted"]
    upper = {**ROOT.hashes, "serialNumber": ROOT.hashes["serialNumber"].upper()}
    assert await delete(s, upper) == "Accepted"
    assert await listed(s) == [OTHER.hashes]
    assert await delete(s, ROOT.hashes) == "NotFound"
    assert await delete(s, OTHER.hashes) == "Accepted"
    assert await listed(s) == []
