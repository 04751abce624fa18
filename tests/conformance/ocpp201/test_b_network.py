"""Block B, network profiles: the way to another central system, and the way back when it does not answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.certificate_authorities import Authority, tls
from tests.support.security_csms_v201 import FIRST, PRIORITY, Guarded, another, at_home

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTEMPTS = "OCPPCommCtrlr.NetworkProfileConnectionAttempts"
NOWHERE = "ws://127.0.0.1:1/ocpp"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with at_home(tmp_path_factory.mktemp("home"), 1) as s:
        yield s


async def test_TC_B_46_CS(s: Guarded) -> None:
    """The new central system does not answer: after the configured attempts the old one is used again."""
    assert await s.put(ATTEMPTS, "2") == "Accepted"
    assert await s.network(2, NOWHERE, 1) == "Accepted"
    assert await s.order("2,1") in ("Accepted", "RebootRequired")
    s.begin()
    await s.reset()
    await s.rebooted()
    assert await s.get("OCPPCommCtrlr.ActiveNetworkProfile") == ("Accepted", "1")
    assert await s.get(PRIORITY) == ("Accepted", "2,1")


async def test_TC_B_49_CS(s: Guarded) -> None:
    """Several priorities: each has its attempts, in the order that was set."""
    async with another(s, tls=None, key=b"not our password!") as denying:
        assert await s.put(ATTEMPTS, "1") == "Accepted"
        assert await s.network(2, NOWHERE, 1) == "Accepted"
        assert await s.network(3, denying.url, 1) == "Accepted"
        assert await s.order("3,2,1") in ("Accepted", "RebootRequired")
        s.begin()
        await s.reset()
        await s.rebooted()
        assert denying.users == [("CP-1", FIRST)]
    assert await s.get("OCPPCommCtrlr.ActiveNetworkProfile") == ("Accepted", "1")


async def test_a_priority_of_which_nothing_works_is_taken_back(s: Guarded) -> None:
    assert await s.put(ATTEMPTS, "1") == "Accepted"
    assert await s.network(2, NOWHERE, 1) == "Accepted"
    assert await s.order("2") in ("Accepted", "RebootRequired")
    s.begin()
    await s.reset()
    await s.rebooted()
    assert "1" in str((await s.get(PRIORITY))[1]).split(",")


async def test_TC_B_45_CS(s: Guarded) -> None:
    """Migration to another central system, and home again."""
    home = s.csms
    async with another(s, tls=None) as new:
        assert await s.network(2, new.url, 1) == "Accepted"
        assert await s.order("2,1") in ("Accepted", "RebootRequired")
        await s.reset()
        await s.up(new)
        assert await s.get("OCPPCommCtrlr.ActiveNetworkProfile") == ("Accepted", "2")
        assert await s.order("1,2") in ("Accepted", "RebootRequired")
        await s.reset()
        await s.up(home)


async def test_TC_B_50_CS(tmp_path: Path) -> None:
    """Migration to a central system whose certificate comes from another root, installed beforehand."""
    other = tmp_path / "other"
    other.mkdir()
    theirs = Authority(other, "Their Root")
    async with at_home(tmp_path, 2) as s, another(s, tls=tls(theirs.server())) as new:
        pem = theirs.root.read_text()
        answer = await s.csms.ask("InstallCertificate", {"certificateType": "CSMSRootCertificate", "certificate": pem})
        assert answer["status"] == "Accepted"
        assert await s.network(2, new.url, 2) == "Accepted"
        assert await s.order("2,1") in ("Accepted", "RebootRequired")
        await s.reset()
        await s.up(new)
        assert new.users == [("CP-1", FIRST)]


async def test_TC_B_47_CS(tmp_path: Path) -> None:
    """The new central system shows a certificate of the old root, where the new root is to count alone: after the
    attempts the old system is used again, with the old root (B10.FR.07, M05.FR.15, M05.FR.16)."""
    place = tmp_path / "newer"
    place.mkdir()
    settings = "sample_interval_s = 0\nroot_check = true"
    async with at_home(tmp_path, 2, settings=settings) as s, another(s) as elsewhere:
        newer = Authority(place, "Newer Root", above=s.ours)
        root = {"certificateType": "CSMSRootCertificate", "certificate": newer.pem}
        assert (await s.csms.ask("InstallCertificate", root))["status"] == "Accepted"
        assert await s.put(ATTEMPTS, "1") == "Accepted"
        assert await s.network(2, elsewhere.url, 2) == "Accepted"
        assert await s.order("2,1") in ("Accepted", "RebootRequired")
        s.begin()
        await s.reset()
        await s.rebooted()
        assert elsewhere.users == []
        assert elsewhere.front.tries > 0
        assert await s.get("OCPPCommCtrlr.ActiveNetworkProfile") == ("Accepted", "1")
        answer = await s.csms.ask("GetInstalledCertificateIds", {"certificateType": ["CSMSRootCertificate"]})
        assert s.ours.hashes in [found["certificateHashData"] for found in answer["certificateHashDataChain"]]
