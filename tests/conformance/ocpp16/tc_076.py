"""An installed root is deleted by its hashes: gone from the list, and not found the second time."""

from pathlib import Path

from authorities import Authority, tls

from ocpp16.certificates_play import delete, install, listed
from ocpp16.play import Play
from ocpp16.secure_play import back, basic

ROOT, OTHER = Authority(name="Root"), Authority(name="Other")


async def test_deleted_once(s: Play) -> None:
    assert [await install(s, r.pem) for r in (ROOT, OTHER)] == ["Accepted", "Accepted"]
    upper = {**ROOT.hashes, "serialNumber": ROOT.hashes["serialNumber"].upper()}
    assert await delete(s, upper) == "Accepted"
    assert await listed(s) == [OTHER.hashes]
    assert await delete(s, ROOT.hashes) == "NotFound"
    assert await delete(s, OTHER.hashes) == "Accepted"
    assert await listed(s) == []


async def test_the_last_root_that_tls_hangs_on_stays(tmp_path: Path) -> None:
    ours = Authority(tmp_path, "Our Root")
    async with basic(tmp_path) as (s, csms):
        assert await install(s, ours.pem) == "Accepted"
        assert await s.put("SecurityProfile", 2) == "Accepted"
        csms.become(tls(ours.server()))
        await back(s, csms)
        assert await delete(s, ours.hashes) == "Failed"
        assert await install(s, OTHER.pem) == "Accepted"
        assert await delete(s, OTHER.hashes) == "Accepted"
        assert await listed(s) == [ours.hashes]
