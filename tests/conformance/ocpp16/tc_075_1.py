"""A root of the manufacturer is installed, and listed by its hashes."""

from tests.conformance.ocpp16.certificates_play import MAKER, delete, install, listed
from tests.conformance.ocpp16.play import Play
from tests.support.certificate_authorities import Authority

ROOT = Authority(name="The Maker")


async def test_installed_and_listed(s: Play) -> None:
    assert await listed(s, MAKER) == []
    assert await install(s, ROOT.pem, MAKER) == "Accepted"
    assert await listed(s, MAKER) == [ROOT.hashes]
    assert await install(s, ROOT.pem, MAKER) == "Accepted"  # again: it is there
    assert await listed(s, MAKER) == [ROOT.hashes]
    assert await delete(s, ROOT.hashes) == "Accepted"


async def test_so_many_as_the_key_says(s: Play) -> None:
    most = int(await s.get("CertificateStoreMaxLength"))
    roots = [Authority(name=f"Root {n}") for n in range(most + 1)]
    said = [await install(s, root.pem, MAKER) for root in roots]
    assert said == ["Accepted"] * most + ["Rejected"]
    assert len(await listed(s, MAKER)) == most
    for root in roots[:most]:
        assert await delete(s, root.hashes) == "Accepted"
