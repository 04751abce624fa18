"""Block D and what of block C needs a local list: versions, and who charges by it on line and off line."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

OK = {"status": "Accepted"}
BAD = ["Invalid", "Blocked", "Expired"]


@pytest_asyncio.fixture(loop_scope="module")
async def d(s: Street201) -> AsyncIterator[Street201]:
    """With a local list that may decide by itself; afterwards there is none, and nothing is cached."""
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
    await s.csms.ask("ClearCache", {})
    yield s
    await s.on_line()
    await s.put("LocalAuthListCtrlr.Enabled", "true")
    assert await s.list(1) == "Accepted"
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "false") == "Accepted"
    await s.csms.ask("ClearCache", {})


# --- D: the list -----------------------------------------------------------------------------------------------------


async def test_TC_D_01_CS_TC_D_08_CS(d: Street201) -> None:
    """A full list; the version is the one sent, also a lower one."""
    assert await d.list(5, **{CARD: OK, FRIEND: OK}) == "Accepted"
    assert await d.list_version() == 5
    assert await d.get("LocalAuthListCtrlr.Entries") == ("Accepted", "2")
    assert await d.list(3, **{CARD: OK}) == "Accepted"
    assert await d.list_version() == 3
    assert await d.get("LocalAuthListCtrlr.Entries") == ("Accepted", "1")


async def test_TC_D_02_CS_TC_D_03_CS_TC_D_05_CS(d: Street201) -> None:
    """A differential update adds, removes, or only raises the version."""
    assert await d.list(1, **{CARD: OK}) == "Accepted"
    assert await d.list(2, False, **{FRIEND: OK}) == "Accepted"
    assert await d.get("LocalAuthListCtrlr.Entries") == ("Accepted", "2")
    assert await d.list(3, False, **{CARD: None}) == "Accepted"
    assert await d.get("LocalAuthListCtrlr.Entries") == ("Accepted", "1")
    assert await d.list(9, False) == "Accepted"
    assert (await d.list_version(), await d.get("LocalAuthListCtrlr.Entries")) == (9, ("Accepted", "1"))


async def test_TC_D_04_CS(d: Street201) -> None:
    """A full update without entries empties the list: version 0."""
    assert await d.list(4, **{CARD: OK}) == "Accepted"
    assert await d.list(5) == "Accepted"
    assert (await d.list_version(), await d.get("LocalAuthListCtrlr.Entries")) == (0, ("Accepted", "0"))


async def test_TC_D_06_CS(d: Street201) -> None:
    """A differential update that is not newer changes nothing."""
    assert await d.list(5, **{CARD: OK}) == "Accepted"
    for version in (4, 5):
        assert await d.list(version, False, **{FRIEND: OK}) == "VersionMismatch"
    assert (await d.list_version(), await d.get("LocalAuthListCtrlr.Entries")) == (5, ("Accepted", "1"))


async def test_TC_D_07_CS_TC_D_10_CS(d: Street201) -> None:
    """The list outlives a power cut; switched off, its version is 0 and no update is taken."""
    assert await d.list(6, **{CARD: OK}) == "Accepted"
    await d.kill()
    await d.station.until(lambda p: p["backend"]["boot"] == "Accepted")
    assert await d.list_version() == 6
    assert await d.put("LocalAuthListCtrlr.Enabled", "false") == "Accepted"
    assert await d.list_version() == 0
    assert await d.list(7, **{CARD: OK}) == "Failed"


async def test_what_may_be_sent_at_once_is_reported(d: Street201) -> None:
    _, entries = await d.report("GetReport", componentVariable=[{"component": {"name": "LocalAuthListCtrlr"}}])
    found = {e["variable"]["name"]: e for e in entries}
    limit = found["Entries"]["variableCharacteristics"]["maxLimit"]
    most = int(found["ItemsPerMessage"]["variableAttribute"][0]["value"])
    assert 0 < most <= limit
    assert int(found["BytesPerMessage"]["variableAttribute"][0]["value"]) >= 65536
    assert await d.list(1, **{f"04{n:08d}": OK for n in range(most + 1)}) == "Failed"
    assert await d.list(1, **{f"04{n:08d}": OK for n in range(most)}) == "Accepted"


# --- C: off line -----------------------------------------------------------------------------------------------------


async def test_TC_C_21_CS(d: Street201) -> None:
    """Off line a listed card charges; the transaction is reported as off line."""
    assert await d.list(1, **{CARD: OK}) == "Accepted"
    await d.off_line()
    await d.plug()
    await d.tap(CARD)
    await d.screen("charging")
    await d.on_line()
    event = await d.began()
    assert (event["offline"], event["idToken"]["idToken"]) == (True, CARD)
    assert d.payloads("Authorize") == []


async def test_TC_C_22_CS_TC_C_23_CS_TC_C_24_CS(d: Street201) -> None:
    """Off line, listed as invalid, blocked or expired: nothing starts."""
    assert await d.list(1, **{status: {"status": status} for status in BAD}) == "Accepted"
    await d.off_line()
    await d.plug(1)
    for n, status in zip((1, 2, 1), BAD, strict=True):
        await d.refused(status, n)
    await d.on_line()
    assert d.events() == []


async def test_TC_C_25_CS(d: Street201) -> None:
    """The list counts more than the cache."""
    await d.session(CARD)
    await d.tap(CARD)
    await d.ended()
    await d.leave()
    d.begin()
    assert await d.list(1, **{CARD: {"status": "Blocked"}}) == "Accepted"
    await d.off_line()
    await d.plug()
    await d.refused(CARD)
    await d.on_line()
    assert d.events() == []


# --- C: on line ------------------------------------------------------------------------------------------------------


async def test_TC_C_27_CS(d: Street201) -> None:
    """On line a listed card starts without asking."""
    assert await d.list(1, **{CARD: OK}) == "Accepted"
    await d.session(CARD)
    assert d.payloads("Authorize") == []


async def test_TC_C_28_CS_TC_C_29_CS_TC_C_30_CS(d: Street201) -> None:
    """On line, listed as invalid, blocked or expired: asked about, and refused."""
    assert await d.list(1, **{status: {"status": status} for status in BAD}) == "Accepted"
    for n, status in zip((1, 2, 1), BAD, strict=True):
        d.csms.infos[status] = {"status": status}
        await d.refused(status, n)
    assert [p["idToken"]["idToken"] for p in d.payloads("Authorize")] == BAD
    assert d.events() == []


async def test_TC_C_31_CS(d: Street201) -> None:
    """Listed as invalid, but the central system accepts it: may charge."""
    assert await d.list(1, **{CARD: {"status": "Invalid"}}) == "Accepted"
    await d.session(CARD)
    assert len(d.payloads("Authorize")) == 1


async def test_TC_C_58_CS(d: Street201) -> None:
    """DisablePostAuthorize: a card listed as not accepted is not asked about."""
    assert await d.list(1, **{CARD: {"status": "Invalid"}}) == "Accepted"
    assert await d.put("LocalAuthListCtrlr.DisablePostAuthorize", "true") == "Accepted"
    try:
        await d.refused(CARD)
        assert d.payloads("Authorize") == []
    finally:
        assert await d.put("LocalAuthListCtrlr.DisablePostAuthorize", "false") == "Accepted"


async def test_TC_C_40_CS(d: Street201) -> None:
    """Group known from the list: the other card stops without asking."""
    assert await d.list(1, **{CARD: GROUP, FRIEND: GROUP}) == "Accepted"
    await d.session(CARD)
    await d.tap(FRIEND)
    event = await d.ended()
    assert (event["triggerReason"], event["idToken"]["idToken"]) == ("StopAuthorized", FRIEND)
    assert d.payloads("Authorize") == []


async def test_TC_C_43_CS(d: Street201) -> None:
    """The other card of the group is listed as not accepted: it stops nothing."""
    blocked = {**GROUP, "status": "Blocked"}
    d.csms.infos[FRIEND] = blocked
    assert await d.list(1, **{CARD: GROUP, FRIEND: blocked}) == "Accepted"
    await d.session(CARD)
    d.begin()
    await d.refused(FRIEND)
    await d.screen("charging")
    assert d.events("Ended") == []
