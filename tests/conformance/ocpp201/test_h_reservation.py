"""Block H: an EVSE, any EVSE or a type of connector kept for a card or its group."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, STRANGER, Street201, street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAMILY = {"groupIdToken": {"idToken": "FAMILY", "type": "Central"}}


@pytest_asyncio.fixture(loop_scope="module")
async def h(s: Street201) -> AsyncIterator[Street201]:
    yield s
    for number in (7, 8):
        await s.cancel(number)


async def updates(h: Street201, status: str, number: int = 7) -> None:
    wanted = {"reservationId": number, "reservationUpdateStatus": status}
    await h.heard(lambda: wanted in h.payloads("ReservationStatusUpdate"))


async def charges(h: Street201, token: str, n: int = 1) -> dict[str, Any]:
    """Cable and card; how the transaction began."""
    await h.session(token, n)
    return next(e for e in h.events("Started") if e["evse"]["id"] == n)


# --- an EVSE ---------------------------------------------------------------------------------------------------------


async def test_TC_H_01_CS_TC_H_02_CS(h: Street201) -> None:
    """Another card is turned away, also remotely; the reserving card uses its reservation."""
    assert await h.reserve() == "Accepted"
    await h.status_reported("Reserved")
    await h.refused(STRANGER)
    assert await h.remote(1, STRANGER) == "Rejected"
    assert (await charges(h, CARD))["reservationId"] == 7
    await h.tap(CARD)
    await h.ended()
    await h.leave()
    assert h.payloads("ReservationStatusUpdate") == []


async def test_a_remote_start_uses_it(h: Street201) -> None:
    assert await h.reserve(token="APP") == "Accepted"
    await h.status_reported("Reserved")
    assert await h.remote(1, "APP") == "Accepted"
    await h.plug()
    assert (await h.began())["reservationId"] == 7


async def test_TC_H_03_CS_TC_H_04_CS(h: Street201) -> None:
    """A reserved EVSE cannot be reserved again, nor an occupied one."""
    assert await h.reserve() == "Accepted"
    assert await h.reserve(number=8, token=STRANGER) == "Occupied"
    await h.occupy(2)
    assert await h.reserve(2, number=8) == "Occupied"


async def test_TC_H_06_CS_TC_H_12_CS(h: Street201) -> None:
    """An unavailable EVSE cannot be reserved, nor any when all are."""
    assert await h.available(False, 1) == "Accepted"
    await h.status_reported("Unavailable", 1)
    try:
        assert await h.reserve(1) == "Unavailable"
        assert await h.available(False, 2) == "Accepted"
        await h.status_reported("Unavailable", 2)
        assert await h.reserve(0) == "Unavailable"
    finally:
        for n in (1, 2):
            await h.available(True, n)
            await h.status_reported("Available", n)


async def test_TC_H_07_CS(h: Street201) -> None:
    """Expiry is reported and frees the EVSE."""
    assert await h.reserve(after_s=100) == "Accepted"
    await h.status_reported("Reserved")
    await updates(h, "Expired")
    await h.status_reported("Available")
    assert "reservationId" not in await charges(h, STRANGER)


async def test_TC_H_17_CS_TC_H_18_CS(h: Street201) -> None:
    """Cancelled: available. An unknown one: rejected, the real one stays."""
    assert await h.reserve() == "Accepted"
    await h.status_reported("Reserved")
    assert await h.cancel(8) == "Rejected"
    await h.refused(STRANGER)
    assert await h.cancel(7) == "Accepted"
    await h.status_reported("Available")
    assert "reservationId" not in await charges(h, STRANGER)


async def test_TC_H_19_CS(h: Street201) -> None:
    """A card of the group of the reservation may use it."""
    h.csms.infos[FRIEND] = GROUP
    assert await h.reserve(**FAMILY) == "Accepted"
    await h.status_reported("Reserved")
    await h.refused(STRANGER)
    event = await charges(h, FRIEND)
    assert (event["idToken"]["idToken"], event["reservationId"]) == (FRIEND, 7)


async def test_TC_H_20_CS(h: Street201) -> None:
    """A reserved EVSE becomes faulty: the reservation is removed, and this is reported."""
    assert await h.reserve() == "Accepted"
    await h.status_reported("Reserved")
    await h.fault("GroundFailure")
    await updates(h, "Removed")
    await h.status_reported("Faulted")
    await h.fault("GroundFailure", False)
    await h.status_reported("Available")


async def test_TC_H_21_CS(h: Street201) -> None:
    """A reserved EVSE made unavailable: the same."""
    assert await h.reserve() == "Accepted"
    await h.status_reported("Reserved")
    assert await h.available(False, 1) == "Accepted"
    await updates(h, "Removed")
    await h.status_reported("Unavailable")
    await h.available(True, 1)
    await h.status_reported("Available")


async def test_TC_H_22_CS(h: Street201) -> None:
    """Reservations switched off."""
    assert await h.put("ReservationCtrlr.Enabled", "false") == "Accepted"
    try:
        assert await h.reserve() == "Rejected"
        assert h.csms.statuses["1"] == "Available"
    finally:
        assert await h.put("ReservationCtrlr.Enabled", "true") == "Accepted"


async def test_TC_H_23_CS(h: Street201) -> None:
    """The same id replaces the reservation."""
    assert await h.reserve(1) == "Accepted"
    await h.status_reported("Reserved", 1)
    assert await h.reserve(2, STRANGER) == "Accepted"
    await h.status_reported("Available", 1)
    await h.status_reported("Reserved", 2)
    await h.refused(CARD, 2)
    assert (await charges(h, STRANGER, 2))["reservationId"] == 7


async def test_it_outlives_the_process(h: Street201) -> None:
    assert await h.reserve() == "Accepted"
    await h.status_reported("Reserved")
    await h.kill()
    await h.station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await h.status_reported("Reserved")
    await h.refused(STRANGER)
    assert (await charges(h, CARD))["reservationId"] == 7


# --- any EVSE --------------------------------------------------------------------------------------------------------


async def test_TC_H_08_CS(h: Street201) -> None:
    """The last free EVSE is kept for the card."""
    assert await h.reserve(0) == "Accepted"
    assert "reservationId" not in await charges(h, STRANGER, 1)
    await h.status_reported("Reserved", 2)
    await h.refused(FRIEND, 2)
    assert (await charges(h, CARD, 2))["reservationId"] == 7


async def test_TC_H_09_CS_TC_H_14_CS(h: Street201) -> None:
    """As many reservations as EVSEs: all are reserved, another one is refused, and each card gets one."""
    assert await h.reserve(0, CARD, 7) == "Accepted"
    assert await h.reserve(0, FRIEND, 8) == "Accepted"
    for n in (1, 2):
        await h.status_reported("Reserved", n)
    assert await h.reserve(0, STRANGER, 9) == "Occupied"
    await h.refused(STRANGER, 1)
    assert (await charges(h, FRIEND, 1))["reservationId"] == 8
    assert (await charges(h, CARD, 2))["reservationId"] == 7


async def test_TC_H_10_CS(h: Street201) -> None:
    """No EVSE is free."""
    for n in (1, 2):
        await h.occupy(n)
    assert await h.reserve(0) == "Occupied"


async def test_TC_H_24_CS(h: Street201) -> None:
    """Any EVSE for a group: another card of it may use it."""
    h.csms.infos[FRIEND] = GROUP
    assert await h.reserve(0, CARD, 7, **FAMILY) == "Accepted"
    await charges(h, STRANGER, 1)
    await h.status_reported("Reserved", 2)
    event = await charges(h, FRIEND, 2)
    assert (event["idToken"]["idToken"], event["reservationId"]) == (FRIEND, 7)


# --- a type of connector ---------------------------------------------------------------------------------------------


async def test_TC_H_15_CS_TC_H_16_CS(h: Street201) -> None:
    """A type of connector, as often as there are such connectors; one that is not here is refused."""
    assert await h.get("Connector/1/1.ConnectorType") == ("Accepted", "sType2")
    assert await h.reserve(0, connectorType="cCCS2") == "Rejected"
    assert await h.reserve(0, CARD, 7, connectorType="sType2") == "Accepted"
    assert await h.reserve(0, FRIEND, 8, connectorType="sType2") == "Accepted"
    for n in (1, 2):
        await h.status_reported("Reserved", n)
    await h.refused(STRANGER, 1)
    assert (await charges(h, CARD, 1))["reservationId"] == 7


async def test_TC_H_13_CS(tmp_path: Path) -> None:
    """Reservation without EVSE, not supported; nor is a profile that is switched off."""
    only = "sample_interval_s = 0\nreserve_any = false"
    more = {"station": 'features_off = ["LocalAuthListManagement"]'}
    async with street201(tmp_path, 1, settings=only, **more) as s:
        assert await s.get("ReservationCtrlr.NonEvseSpecific") == ("Accepted", "false")
        assert await s.reserve(0) == "Rejected"
        assert await s.reserve(1) == "Accepted"
        assert await s.list(1, **{CARD: {"status": "Accepted"}}) == "Failed"
        assert (await s.list_version(), (await s.get("LocalAuthListCtrlr.Available"))[0]) == (0, "UnknownComponent")
