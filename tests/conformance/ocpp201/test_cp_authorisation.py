"""Blocks C and P: cards, cache, groups; data of vendors."""

import pytest

from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, STRANGER, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param("Invalid", id="TC_C_02_CS"),
        pytest.param("Blocked", id="TC_C_06_CS"),
        pytest.param("Expired", id="TC_C_07_CS"),
        pytest.param("Unknown", id="TC_C_56_CS"),
    ],
)
async def test_refused(s: Street201, status: str) -> None:
    s.csms.infos["04BAD"] = {"status": status}
    await s.occupy()
    await s.refused("04BAD")
    assert s.payloads("Authorize")[0]["idToken"]["idToken"] == "04BAD"
    assert s.events() == []


async def test_TC_C_04_CS(s: Street201) -> None:
    """A strange card does not stop the session."""
    await s.session()
    await s.tap(STRANGER)
    await s.screen("refused")
    await s.screen("charging")
    assert s.events("Ended") == []


async def test_TC_C_08_CS_TC_C_33_CS(s: Street201) -> None:
    """The cache learns from an Authorize answer; a cached card starts without asking."""
    assert await s.csms.ask("ClearCache", {}) == {"status": "Accepted"}
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
    try:
        await s.tap(CARD, 1)
        await s.screen("plug_in")
        await s.plug(1)
        await s.flows()
        await s.tap(CARD)
        await s.ended()
        await s.leave()
        s.begin()
        await s.occupy()
        await s.tap(CARD)
        await s.began()
        assert s.payloads("Authorize") == []
    finally:
        assert await s.put("AuthCtrlr.LocalPreAuthorize", "false") == "Accepted"


async def test_TC_C_12_CS_TC_C_36_CS(s: Street201) -> None:
    """A card cached as invalid is asked about again and may now charge; without pre-authorization every card is."""
    s.csms.infos["04LATER"] = {"status": "Invalid"}
    await s.occupy()
    await s.tap("04LATER")
    await s.screen("refused")
    s.csms.infos["04LATER"] = {"status": "Accepted"}
    await s.until(lambda e: e["screen"] != "refused")
    await s.tap("04LATER")
    await s.began()
    assert len(s.payloads("Authorize")) == 2


async def test_TC_C_37_CS(s: Street201) -> None:
    """ClearCache empties the cache."""
    assert await s.csms.ask("ClearCache", {}) == {"status": "Accepted"}
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
    try:
        await s.occupy()
        await s.tap(CARD)
        await s.began()
        assert len(s.payloads("Authorize")) == 1
    finally:
        assert await s.put("AuthCtrlr.LocalPreAuthorize", "false") == "Accepted"


async def test_TC_C_38_CS(s: Street201) -> None:
    """ClearCache is rejected while the cache is switched off."""
    assert await s.put("AuthCacheCtrlr.Enabled", "false") == "Accepted"
    assert await s.csms.ask("ClearCache", {}) == {"status": "Rejected"}
    assert await s.put("AuthCacheCtrlr.Enabled", "true") == "Accepted"


async def test_TC_C_39_CS(s: Street201) -> None:
    """Another card of the same group stops the session."""
    s.csms.infos[CARD] = s.csms.infos[FRIEND] = GROUP
    await s.session()
    await s.tap(FRIEND)
    ended = await s.ended()
    assert (ended["idToken"]["idToken"], ended["triggerReason"]) == (FRIEND, "StopAuthorized")


async def test_TC_C_42_CS(s: Street201) -> None:
    """A card of another group does not stop the session."""
    s.csms.infos[CARD] = GROUP
    s.csms.infos[STRANGER] = {"status": "Accepted", "groupIdToken": {"idToken": "OTHERS", "type": "Central"}}
    await s.session()
    await s.tap(STRANGER)
    await s.screen("refused")
    assert s.events("Ended") == []


async def test_TC_C_32_CS(s: Street201) -> None:
    """The cache outlives a reset."""
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
    try:
        await s.session()
        await s.tap(CARD)
        await s.ended()
        await s.leave()
        await s.csms.ask("Reset", {"type": "Immediate"})
        await s.rebooted()
        s.begin()
        await s.occupy()
        await s.tap(CARD)
        await s.began()
        assert s.payloads("Authorize") == []
    finally:
        assert await s.put("AuthCtrlr.LocalPreAuthorize", "false") == "Accepted"


async def test_TC_P_01_CS(s: Street201) -> None:
    """A message of an unknown vendor is not accepted."""
    answer = await s.csms.ask("DataTransfer", {"vendorId": "com.example", "messageId": "x", "data": {"a": 1}})
    assert answer["status"] in ("UnknownVendorId", "UnknownMessageId", "Rejected")


async def test_TC_P_03_CS(s: Street201) -> None:
    """customData in a request does no harm."""
    custom = {"vendorId": "com.example", "more": [1, 2]}
    answer = await s.csms.ask("TriggerMessage", {"requestedMessage": "Heartbeat", "customData": custom})
    assert answer == {"status": "Accepted"}
    await s.heard(lambda: s.payloads("Heartbeat"))
