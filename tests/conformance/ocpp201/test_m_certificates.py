"""Block M, installed roots: put in, listed, taken out, by their hashes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509

from tests.support.busy_machine import deadline
from tests.support.certificate_authorities import Authority, hash_data, tls
from tests.support.security_csms_v201 import FIRST, Guarded, at_home
from tests.support.station_rig_v201 import Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

CSMS, MAKER = "CSMSRootCertificate", "ManufacturerRootCertificate"
ROOT, OTHER = Authority(name="Root"), Authority(name="Other")
GARBAGE = "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def empty(s: Street201) -> AsyncIterator[None]:
    """Every case finds no root and leaves none."""
    yield
    for found in await listed(s):
        await delete(s, found["certificateHashData"])


async def install(s: Street201, pem: str, kind: str = CSMS) -> str:
    answer = await s.csms.ask("InstallCertificate", {"certificateType": kind, "certificate": pem})
    return str(answer["status"])


async def delete(s: Street201, hashes: dict[str, str]) -> str:
    return str((await s.csms.ask("DeleteCertificate", {"certificateHashData": hashes}))["status"])


async def listed(s: Street201, *kinds: str) -> list[dict[str, object]]:
    answer = await s.csms.ask("GetInstalledCertificateIds", {"certificateType": list(kinds)} if kinds else {})
    chains = answer.get("certificateHashDataChain", [])
    assert answer["status"] == ("Accepted" if chains else "NotFound")
    return list(chains)


def chain(kind: str, root: Authority) -> dict[str, object]:
    return {"certificateType": kind, "certificateHashData": root.hashes}


@pytest.mark.parametrize(
    "kind", [pytest.param(CSMS, id="TC_M_01_CS-TC_M_12_CS"), pytest.param(MAKER, id="TC_M_02_CS-TC_M_13_CS")]
)
async def test_installed_and_listed(s: Street201, kind: str) -> None:
    assert await install(s, ROOT.pem, kind) == "Accepted"
    assert await listed(s, kind) == [chain(kind, ROOT)]
    assert await s.get("SecurityCtrlr.CertificateEntries") == ("Accepted", "1")
    await s.heard(lambda: "ReconfigurationOfSecurityParameters" in _events(s))


def _events(s: Street201) -> list[str]:
    return [p["type"] for p in s.payloads("SecurityEventNotification")]


@pytest.mark.parametrize("pem", [Authority(span=(-20, -10)).pem, Authority(span=(10, 20)).pem, GARBAGE, "garbage"])
async def test_TC_M_07_CS(s: Street201, pem: str) -> None:
    """Expired or unreadable certificates are not installed."""
    assert await install(s, pem) == "Rejected"
    assert await install(s, pem, MAKER) == "Rejected"
    assert await listed(s) == []


async def test_TC_M_17_CS_TC_M_18_CS(s: Street201) -> None:
    """Two types asked for in one request; no type given: everything is listed."""
    assert await install(s, ROOT.pem, CSMS) == "Accepted"
    assert await install(s, OTHER.pem, MAKER) == "Accepted"
    both = [chain(CSMS, ROOT), chain(MAKER, OTHER)]
    assert await listed(s, MAKER, CSMS) == both
    assert await listed(s, MAKER, "MORootCertificate") == both[1:]
    assert await listed(s) == both


async def test_TC_M_19_CS(s: Street201) -> None:
    """Nothing of that type: NotFound."""
    assert await install(s, ROOT.pem, MAKER) == "Accepted"
    assert await listed(s, CSMS) == []
    assert await listed(s, "V2GRootCertificate") == []


async def test_TC_M_20_CS_TC_M_22_CS(s: Street201) -> None:
    """A certificate is deleted by its hash; an unknown one cannot be deleted."""
    assert await install(s, ROOT.pem) == "Accepted"
    assert await delete(s, OTHER.hashes) == "NotFound"
    assert await delete(s, ROOT.hashes) == "Accepted"
    assert await listed(s, CSMS) == []
    assert await delete(s, ROOT.hashes) == "NotFound"


@pytest.mark.parametrize("kind", ["V2GRootCertificate", "MORootCertificate"])
async def test_nothing_of_iso_15118_is_installed(s: Street201, kind: str) -> None:
    assert await install(s, ROOT.pem, kind) == "Rejected"


# --- AdditionalRootCertificateCheck --------------------------------------------------------------------------------

CHECK = "sample_interval_s = 0\nroot_check = true"


def newer_root(s: Guarded, folder: Path) -> Authority:
    """One that the present root has signed."""
    place = folder / "newer"
    place.mkdir()
    return Authority(place, "Newer Root", above=s.ours)


def entry(root: Authority, issuer: Authority) -> dict[str, object]:
    return {"certificateType": CSMS, "certificateHashData": hash_data(root.certificate, issuer.certificate)}


async def restarted(s: Guarded) -> None:
    """Reset, and connected again."""
    s.csms.users.clear()
    s.begin()
    await s.reset()
    await s.rebooted()


async def test_TC_M_09_CS(tmp_path: Path) -> None:
    """A new root that the old one has not signed is refused; the old one stays (M05.FR.10, M05.FR.11)."""
    async with at_home(tmp_path, 2, settings=CHECK) as s:
        assert await s.get("SecurityCtrlr.AdditionalRootCertificateCheck") == ("Accepted", "true")
        assert await s.put("SecurityCtrlr.AdditionalRootCertificateCheck", "false") == "Rejected"
        assert await install(s, OTHER.pem) == "Rejected"
        assert await install(s, Authority(name="Of another", above=OTHER).pem) == "Rejected"
        assert await listed(s, CSMS) == [chain(CSMS, s.ours)]
        assert await install(s, OTHER.pem, MAKER) == "Accepted", "the check is about central systems"


@pytest.mark.parametrize("profile", [2, 3])
async def test_TC_M_30_CS(tmp_path: Path, profile: int) -> None:
    """The old root signed the new one: the next connection hangs on the new one, and the old one is gone
    (M05.FR.12, M05.FR.13)."""
    async with at_home(tmp_path, profile, settings=CHECK) as s:
        newer = newer_root(s, tmp_path)
        assert await install(s, newer.pem) == "Accepted"
        assert {str(e) for e in await listed(s, CSMS)} == {str(chain(CSMS, s.ours)), str(entry(newer, s.ours))}
        clients = s.ours.root if profile == 3 else None
        s.csms.become(tls(newer.server(), clients), FIRST if profile == 2 else None)
        await s.up()
        await restarted(s)
        async with deadline(30):
            while await listed(s, CSMS) != [entry(newer, s.ours)]:
                await asyncio.sleep(0.05)
        s.csms.become(tls(s.ours.server(), clients))
        await s.shut_out()
        s.csms.become(tls(newer.server(), clients), FIRST if profile == 2 else None)
        await s.up()


async def test_TC_M_31_CS(tmp_path: Path) -> None:
    """The central system still shows a certificate of the old root: it is checked with that, which stays
    (M05.FR.14)."""
    async with at_home(tmp_path, 2, settings=CHECK) as s:
        newer = newer_root(s, tmp_path)
        assert await install(s, newer.pem) == "Accepted"
        await restarted(s)
        both = {str(chain(CSMS, s.ours)), str(entry(newer, s.ours))}
        assert {str(e) for e in await listed(s, CSMS)} == both
        assert await delete(s, s.ours.hashes) == "Failed", "it is the way back"


def _client_certificate(folder: Path) -> x509.Certificate:
    (file,) = folder.glob("Our-Root-client-*.pem")
    return x509.load_pem_x509_certificate(file.read_bytes())


async def test_certificates_of_the_station_file(tmp_path: Path) -> None:
    """The file's root is listed and can be deleted when another one is there and used; the own certificate stays."""
    async with at_home(tmp_path, 3) as s:
        own = _client_certificate(tmp_path)
        assert await listed(s, CSMS) == [chain(CSMS, s.ours)]
        assert await delete(s, s.ours.hashes) == "Failed", "the connection uses it"
        assert await delete(s, hash_data(own, s.ours.certificate)) == "Failed"
        assert await install(s, OTHER.pem) == "Accepted"
        assert await delete(s, s.ours.hashes) == "Failed"
        assert {str(c["certificateHashData"]) for c in await listed(s, CSMS)} == {
            str(a.hashes) for a in (s.ours, OTHER)
        }
