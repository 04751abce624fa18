"""Block C, what a station knows by itself: the cache and its life, tokens that turn out to be bad, the master pass."""

from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, STRANGER, Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- the cache ------------------------------------------------------------------------------------------------------


async def cached(s: Street201, token: str, info: dict[str, Any]) -> None:
    """The station has learned this of the token, at outlet 1."""
    s.csms.infos[token] = info
    is_good = info["status"] == "Accepted"
    async with s.shows("plug_in") if is_good else nullcontext():
        await s.tap(token)
        await s.heard(lambda: any(p["idToken"]["idToken"] == token for p in s.payloads("Authorize")))
    if is_good:
        await s.until(lambda e: e["screen"] != "plug_in")
    else:
        await s.screen("refused")
    s.begin()


async def test_TC_C_09_CS_TC_C_10_CS_TC_C_11_CS(s: Street201) -> None:
    """Cached as invalid, blocked or expired: asked about again, and refused."""
    bad = ["Invalid", "Blocked", "Expired"]
    for status in bad:
        await cached(s, status, {"status": status})
    await s.occupy(2)
    for number, status in enumerate(bad, 1):
        await s.tap(status, 2)
        await s.heard(lambda number=number: len(s.payloads("Authorize")) == number)
        await s.screen("refused", 2)
    assert [p["idToken"]["idToken"] for p in s.payloads("Authorize")] == bad
    assert s.events() == []


@pytest_asyncio.fixture(loop_scope="module")
async def by_cache(s: Street201) -> AsyncIterator[Street201]:
    """The cache may decide by itself, and is empty; unplugged rights are over soon."""
    await s.csms.ask("ClearCache", {})
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "30") == "Accepted"
    yield s
    await s.on_line()
    assert await s.put("AuthCtrlr.LocalPreAuthorize", "false") == "Accepted"
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"


async def test_TC_C_13_CS(by_cache: Street201) -> None:
    """A cached card first, the cable afterwards."""
    s = by_cache
    await cached(s, CARD, {"status": "Accepted"})
    assert await s.put("TxCtrlr.EVConnectionTimeOut", "60") == "Accepted"
    await s.tap(CARD)
    await s.screen("plug_in")
    await s.plug()
    assert (await s.began())["idToken"]["idToken"] == CARD
    assert s.payloads("Authorize") == []


async def test_TC_C_46_CS(by_cache: Street201) -> None:
    """An entry ends LifeTime after its last use."""
    s = by_cache
    assert await s.put("AuthCacheCtrlr.LifeTime", "86400") == "Accepted"
    try:
        await cached(s, CARD, {"status": "Accepted"})
        async with s.shows("plug_in"):
            await s.tap(CARD)
        await s.until(lambda e: e["screen"] != "plug_in")
        assert s.payloads("Authorize") == []
        assert await s.put("AuthCacheCtrlr.LifeTime", "3") == "Accepted"  # its last use is 30 s ago
        async with s.shows("plug_in"):
            await s.tap(CARD)
        assert s.payloads("Authorize")
        await s.until(lambda e: e["screen"] != "plug_in")
    finally:
        assert await s.put("AuthCacheCtrlr.LifeTime", "0") == "Accepted"


async def test_TC_C_57_CS(s: Street201) -> None:
    """DisablePostAuthorize: a card cached as not accepted is not asked about again."""
    await cached(s, "04KNOWN", {"status": "Blocked"})
    assert await s.put("AuthCacheCtrlr.DisablePostAuthorize", "true") == "Accepted"
    try:
        await s.refused("04KNOWN", 2)
        assert s.payloads("Authorize") == []
    finally:
        assert await s.put("AuthCacheCtrlr.DisablePostAuthorize", "false") == "Accepted"


async def test_TC_C_34_CS(by_cache: Street201) -> None:
    """The cache learns from a TransactionEvent answer: invalid there means asking next time."""
    s = by_cache
    await cached(s, CARD, {"status": "Accepted"})
    s.csms.infos[CARD] = {"status": "Invalid"}
    await s.occupy()
    await s.tap(CARD)
    assert (await s.ended())["transactionInfo"]["stoppedReason"] == "DeAuthorized"
    assert s.payloads("Authorize") == []
    await s.leave()
    s.begin()
    await s.refused(CARD)
    assert len(s.payloads("Authorize")) == 1


async def test_TC_C_41_CS(by_cache: Street201) -> None:
    """The group is known from the cache: the other card stops without asking."""
    s = by_cache
    await cached(s, FRIEND, GROUP)
    await cached(s, CARD, GROUP)
    await s.session(CARD)
    await s.tap(FRIEND)
    assert (await s.ended())["idToken"]["idToken"] == FRIEND
    assert s.payloads("Authorize") == []


async def test_TC_C_44_CS(by_cache: Street201) -> None:
    """The other card of the group is cached as not accepted: it does not stop the session."""
    s = by_cache
    await cached(s, FRIEND, {**GROUP, "status": "Blocked"})
    await cached(s, CARD, GROUP)
    await s.session(CARD)
    s.begin()
    await s.refused(FRIEND)
    assert s.events("Ended") == []


async def test_TC_E_52_CS(by_cache: Street201) -> None:
    """DisableRemoteAuthorization: a card that is not known here is not asked about and starts nothing."""
    s = by_cache
    await cached(s, CARD, {"status": "Accepted"})
    assert await s.put("AuthCtrlr.DisableRemoteAuthorization", "true") == "Accepted"
    try:
        await s.occupy()
        await s.refused(STRANGER)
        await s.until(lambda e: e["screen"] != "refused")
        await s.tap(CARD)
        await s.began()
        assert s.payloads("Authorize") == []
    finally:
        assert await s.put("AuthCtrlr.DisableRemoteAuthorization", "false") == "Accepted"


# --- tokens that turn out to be bad ---------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [pytest.param(True, id="TC_C_26_CS"), pytest.param(False, id="TC_C_15_CS")])
async def test_begun_off_line_and_refused_afterwards(by_cache: Street201, unknown: bool) -> None:
    """A strange card where that is allowed, or a cached one: with StopTxOnInvalidId=false the transaction stays and
    energy is suspended, after MaxEnergyOnInvalidId more Wh where that is set."""
    s = by_cache
    if not unknown:
        await cached(s, STRANGER, {"status": "Accepted"})
    assert await s.put("TxCtrlr.StopTxOnInvalidId", "false") == "Accepted"
    assert await s.put("TxCtrlr.MaxEnergyOnInvalidId", "0" if unknown else "60") == "Accepted"
    s.csms.infos[STRANGER] = {"status": "Invalid"}
    registers: list[int] = []

    async def note(moment: str, action: str, payload: dict[str, Any]) -> None:
        """The register when the verdict is given, or a little before."""
        if (moment, action) == ("before", "TransactionEvent") and not registers:
            registers.append((await s.station.evse())["meter_wh"])

    s.csms.hook = note
    try:
        await s.off_line()
        await s.plug()
        await s.tap(STRANGER)
        await s.until(lambda e: e["session"] and e["contactor"])
        await s.on_line()
        await s.event(lambda e: e["transactionInfo"].get("chargingState") == "SuspendedEVSE")
        drawn_wh = (await s.until(lambda e: not e["contactor"]))["meter_wh"] - registers[0]
        assert s.events("Ended") == []
        assert unknown or drawn_wh >= 30
    finally:
        s.csms.hook = None
        assert await s.put("TxCtrlr.StopTxOnInvalidId", "true") == "Accepted"
        assert await s.put("TxCtrlr.MaxEnergyOnInvalidId", "0") == "Accepted"


async def test_TC_C_18_CS(by_cache: Street201) -> None:
    """A cached card that is refused afterwards, StopTxOnInvalidId=true: deauthorised at once, whatever
    MaxEnergyOnInvalidId says."""
    s = by_cache
    await cached(s, CARD, {"status": "Accepted"})
    assert await s.put("TxCtrlr.MaxEnergyOnInvalidId", "500") == "Accepted"
    s.csms.infos[CARD] = {"status": "Blocked"}
    try:
        await s.occupy()
        await s.tap(CARD)
        ended = await s.ended()
        assert (ended["triggerReason"], ended["transactionInfo"]["stoppedReason"]) == ("Deauthorized", "DeAuthorized")
    finally:
        assert await s.put("TxCtrlr.MaxEnergyOnInvalidId", "0") == "Accepted"


# --- the master pass ------------------------------------------------------------------------------------------------

MASTER = "04FFFFFF"
OF_MASTERS = {"status": "Accepted", "groupIdToken": {"idToken": "MASTERS", "type": "Central"}}


@pytest_asyncio.fixture(loop_scope="module")
async def mastered(s: Street201) -> AsyncIterator[Street201]:
    assert await s.put("AuthCtrlr.MasterPassGroupId", "MASTERS") == "Accepted"
    s.csms.infos[MASTER] = OF_MASTERS
    yield s
    assert await s.put("AuthCtrlr.MasterPassGroupId", "") == "Accepted"
    await s.empty()  # the cache learns from the answer to the end as well
    await s.csms.ask("ClearCache", {})


async def test_TC_C_45_CS(mastered: Street201) -> None:
    """A master pass card cannot start a session."""
    await mastered.occupy()
    await mastered.refused(MASTER)
    assert len(mastered.payloads("Authorize")) == 1
    assert mastered.events() == []


async def held_up(s: Street201) -> None:
    s.begin()
    await s.session(CARD, 1)
    await s.session(STRANGER, 2)
    await s.tap(MASTER, None)
    await s.screen("choose_outlet", 1)
    await s.screen("choose_outlet", 2)
    assert s.events("Ended") == []


def stopped_by(events: list[dict[str, Any]]) -> list[tuple[int, str, str, str]]:
    return sorted(
        (e["evse"]["id"], e["triggerReason"], e["transactionInfo"]["stoppedReason"], e["idToken"]["idToken"])
        for e in events
    )


async def test_TC_C_47_CS(mastered: Street201) -> None:
    """A master pass with a choice: held up once more it stops everything (C16.FR.01)."""
    s = mastered
    await held_up(s)
    await s.tap(MASTER, None)
    await s.heard(lambda: len(s.events("Ended")) == 2)
    assert stopped_by(s.events("Ended")) == [(n, "StopAuthorized", "MasterPass", MASTER) for n in (1, 2)]


async def test_TC_C_48_CS(mastered: Street201) -> None:
    """A master pass with a choice: the button of an outlet stops that one, and the other goes on (C16.FR.01)."""
    s = mastered
    await held_up(s)
    await s.station.post("/buttons/outlet-1")
    await s.ended()
    assert stopped_by(s.events("Ended")) == [(1, "StopAuthorized", "MasterPass", MASTER)]
    await s.screen("charging", 2)
    assert len(s.events("Ended")) == 1
    await s.tap(STRANGER, 2)
    await s.heard(lambda: len(s.events("Ended")) == 2)


NO_CHOICE = """sample_interval_s = 0
[buttons]
driver = "buttons_evdev"
keys = { language = 2 }
"""


async def test_TC_C_49_CS_TC_C_14_CS(tmp_path: Path) -> None:
    """A master pass card, a cached one too, stops the sessions of a station without buttons to choose with."""
    async with street201(tmp_path, settings=NO_CHOICE) as s:
        s.csms.infos[MASTER] = OF_MASTERS
        assert await s.put("AuthCtrlr.MasterPassGroupId", "MASTERS") == "Accepted"
        await s.tap(MASTER)
        await s.screen("refused")
        assert await s.put("AuthCtrlr.LocalPreAuthorize", "true") == "Accepted"
        for _ in range(2):
            s.begin()
            await s.session(CARD, 1)
            await s.session(STRANGER, 2)
            await s.tap(MASTER, 2)
            await s.heard(lambda: len(s.events("Ended")) == 2)
            assert stopped_by(s.events("Ended")) == [(n, "StopAuthorized", "MasterPass", MASTER) for n in (1, 2)]
            for n in (1, 2):
                await s.leave(n)
        assert MASTER not in [p["idToken"]["idToken"] for p in s.payloads("Authorize")]
        await s.end()
