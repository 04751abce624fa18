"""Block A, security: who the station is, whom it believes, and that it goes no way downward."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.certificate_authorities import Authority, common_name, tls
from tests.support.security_csms_v201 import FIRST, PRIORITY, Guarded, another, at_home

pytestmark = pytest.mark.asyncio(loop_scope="module")

PASSWORD = "SecurityCtrlr.BasicAuthPassword"
ECDSA = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}
RSA = {"AES128-GCM-SHA256", "AES256-GCM-SHA384"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def basic(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with at_home(tmp_path_factory.mktemp("basic"), 1) as s:
        yield s


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    async with at_home(tmp_path_factory.mktemp("secured"), 2) as s:
        yield s


async def test_TC_A_01_CS(basic: Guarded) -> None:
    """Profile 1: identity and password in the HTTP upgrade."""
    assert basic.csms.users[0] == ("CP-1", FIRST)
    assert (await basic.get("SecurityCtrlr.SecurityProfile")) == ("Accepted", "1")


async def test_TC_A_10_CS(basic: Guarded) -> None:
    """A password that is too short is rejected and the old one stays."""
    before = len(basic.csms.users)
    assert await basic.put(PASSWORD, "fifteen-letters") == "Rejected"
    await basic.csms.drop()
    await basic.heard(lambda: len(basic.csms.users) > before)
    await basic.up()
    assert basic.csms.users[-1] == ("CP-1", FIRST)


async def test_TC_A_09_CS(basic: Guarded) -> None:
    """A new password is accepted and used for the next connection, which the station opens by itself."""
    for password in (b"0123456789abcdef0123456789abcdef", FIRST):  # hexadecimal digits are text in 2.x
        basic.csms.key = password
        before = len(basic.csms.users)
        assert await basic.put(PASSWORD, password.decode()) == "Accepted"
        await basic.heard(lambda n=before: len(basic.csms.users) > n)
        await basic.up()
        assert basic.csms.users[-1] == ("CP-1", password)
    assert (await basic.get(PASSWORD))[0] == "Rejected"


async def test_TC_A_04_CS(secured: Guarded) -> None:
    """Profile 2: TLS 1.2 with the required cipher suites, and the password."""
    s = secured
    s.csms.become(tls(s.ours.server(), version="1.2", ciphers="ALL:@SECLEVEL=0"), FIRST)
    await s.up()
    assert s.csms.users[-1] == ("CP-1", FIRST)
    assert s.csms.front.agreed["shared"] >= ECDSA | RSA


@pytest.mark.parametrize("wrong", ["foreign", "ended", "elsewhere"])
async def test_TC_A_05_CS(secured: Guarded, tmp_path: Path, wrong: str) -> None:
    """Server certificate not acceptable: no connection, security event afterwards, once."""
    s = secured
    servers = {"foreign": Authority(tmp_path, "Foreign Root").server(), "ended": s.ours.server(days=-1)}
    servers["elsewhere"] = s.ours.server(("elsewhere.example",))
    event_count = s.csms.events().count("InvalidCsmsCertificate")
    s.csms.become(tls(servers[wrong]))
    await s.shut_out()
    s.csms.become(tls(s.ours.server()), FIRST)
    await s.up()
    await s.heard(lambda: s.csms.events().count("InvalidCsmsCertificate") == event_count + 1)


async def test_TC_A_06_CS(secured: Guarded) -> None:
    """The server only speaks TLS 1.1: no connection, security event afterwards."""
    s = secured
    s.csms.become(tls(s.ours.server(kind="rsa"), version="1.1"))
    await s.shut_out()
    s.csms.become(tls(s.ours.server()), FIRST)
    await s.up()
    await s.heard(lambda: s.csms.events().count("InvalidTLSVersion") == 1)


async def test_a_plain_server_in_its_place(secured: Guarded) -> None:
    """Nothing is said to it, least of all the password."""
    s = secured
    s.csms.become(None)
    await s.shut_out()
    s.csms.become(tls(s.ours.server()), FIRST)
    await s.up()


async def test_TC_A_22_CS(secured: Guarded) -> None:
    """The security profile cannot be lowered."""
    s = secured
    assert await s.network(2, s.csms.url.replace("wss", "ws"), 1) == "Rejected"
    assert await s.network(1, s.csms.url, 0) == "Rejected"
    assert await s.put("SecurityCtrlr.SecurityProfile", "1") == "Rejected"
    assert (await s.get("SecurityCtrlr.SecurityProfile")) == ("Accepted", "2")


async def test_TC_A_07_CS(tmp_path: Path) -> None:
    """Profile 3: the client certificate is made out to the serial number; no password is sent."""
    async with at_home(tmp_path, 3) as s:
        assert s.csms.users == [None]
        boot = s.payloads("BootNotification")[0]
        assert common_name(s.csms.front.agreed["certificate"]) == boot["chargingStation"]["serialNumber"]
        other = tmp_path / "other"
        other.mkdir()
        s.csms.become(tls(s.ours.server(), Authority(other, "Other Root").root))
        await s.shut_out()
        s.csms.become(tls(s.ours.server(), s.ours.root))
        await s.up()
        await s.heard(lambda: s.csms.events().count("FailedToAuthenticateAtCsms") == 1)


async def test_TC_A_19_CS(tmp_path: Path) -> None:
    """The security profile is raised through a new network profile; the lower one is gone."""
    async with at_home(tmp_path, 1) as s, another(s) as secure:
        assert await s.network(2, secure.url, 2) == "Accepted"
        assert await s.order("2,1") in ("Accepted", "RebootRequired")
        old = s.csms
        old.users.clear()
        await s.reset()
        await s.up(secure)
        assert secure.users == [("CP-1", FIRST)]
        assert await s.get("SecurityCtrlr.SecurityProfile") == ("Accepted", "2")
        assert await s.get("OCPPCommCtrlr.ActiveNetworkProfile") == ("Accepted", "2")
        assert await s.get(PRIORITY) == ("Accepted", "2")
        assert await s.order("1,2") == "Rejected"
        secure.become(None)
        await s.shut_out()
        assert old.users == []


async def test_TC_A_20_CS(tmp_path: Path) -> None:
    """Without a root of central systems a profile with TLS gets no priority (A05.FR.02)."""
    async with at_home(tmp_path, 1) as s, another(s) as secure:
        hashes = {"certificateHashData": s.ours.hashes}
        assert await s.csms.ask("DeleteCertificate", hashes) == {"status": "Accepted"}
        assert await s.network(2, secure.url, 2) == "Accepted"
        assert await s.order("2,1") == "Rejected"
        root = {"certificateType": "CSMSRootCertificate", "certificate": s.ours.pem}
        assert await s.csms.ask("InstallCertificate", root) == {"status": "Accepted"}
        assert await s.order("2,1") in ("Accepted", "RebootRequired"), "the root was all that was missing"


@pytest.mark.parametrize("profile", [1, 2])
async def test_TC_A_21_CS(tmp_path: Path, profile: int) -> None:
    """Without a certificate of its own the station gives profile 3 no priority (A05.FR.03)."""
    async with at_home(tmp_path, profile, own_certificate=False) as s, another(s) as secure:
        assert await s.network(2, secure.url, 3) == "Accepted"
        assert await s.order("2,1") == "Rejected"
        assert secure.users == []
