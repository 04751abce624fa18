"""Every configuration key over the wire: what it takes, what it refuses, and that it keeps what it took."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agent.domain.variables import Variable
from agent.ocpp.dialects.keys_v1x import COST, Key, list_keys_16
from tests.conformance.ocpp16.play import Play, Shelf

ELSEWHERE = ("AuthorizationKey", "SecurityProfile", "CpoName")
"""Keys that the station dials with: cases 073, 074, 083, 084."""
PARTS = ("WebPaymentsCtrlr.", "qrCodeURL", "PaymentCtrlr.", "AdhocTariff")
"""Keys of parts that this station has not: scenarios of payment and of the tariff set them."""
KEYS = [k for k in list_keys_16() if k.key not in ELSEWHERE and k.profile != COST and not k.key.startswith(PARTS)]
WRITABLE = [k for k in KEYS if not k.is_readonly]
LISTS = {"ConnectorPhaseRotation": ("0.RTS", "2.STR"), "": ("Energy.Active.Import.Register", "Voltage.L1-N")}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def station(shelf: Shelf) -> AsyncIterator[Play]:
    yield await shelf.take("sockets")
    await shelf.give_back("sockets")


def possible(key: Key) -> list[str]:
    """Values at the edges of what is allowed, the last one being another than the default."""
    ours = key.own_variable
    if ours.kind == "bool":
        return ["TRUE", str(not ours.default).lower()]
    if ours.kind == "int":
        return [str(ours.low), str(ours.high), str(max(ours.low + 7, 7))]
    return ["", ",".join(LISTS.get(key.key, LISTS[""]))] if ours.low == 0 else [",".join(LISTS[""])]


def impossible(ours: Variable) -> list[str]:
    """Out of range, and of another type."""
    if ours.kind == "bool":
        return ["", "1", "yes", "tru"]
    if ours.kind == "int":
        return ["", "soon", "1.5", "0x10", str(ours.low - 1), str(ours.high + 1)]
    return ["Nonsense", ",".join(["Voltage"] * (ours.high + 1)), "Voltage;Frequency"]


@pytest.mark.parametrize("key", [pytest.param(k, id=k.key) for k in WRITABLE])
async def test_a_key_takes_what_it_may_and_nothing_else(station: Play, key: Key) -> None:
    rows, unknown = await station.keys(key.key.upper())
    assert unknown == []
    assert (rows[key.key]["readonly"], "value" in rows[key.key]) == (False, True)
    taken = "RebootRequired" if key.own_variable.reboot else "Accepted"
    for value in possible(key):
        assert await station.put(key.key, value) == taken, value
        assert (await station.get(key.key)).lower() == value.lower()
    for value in impossible(key.own_variable):
        assert await station.ask("ChangeConfiguration", key=key.key, value=value) == "Rejected", value
    assert await station.get(key.key) == possible(key)[-1]


@pytest.mark.parametrize("key", [pytest.param(k, id=k.key) for k in KEYS if k.is_readonly])
async def test_a_key_that_can_only_be_read(station: Play, key: Key) -> None:
    before = await station.get(key.key)
    for value in (before, "5", "true"):
        assert await station.ask("ChangeConfiguration", key=key.key, value=value) == "Rejected"
    rows, _ = await station.keys(key.key)
    assert rows[key.key] == {"key": key.key, "readonly": True, "value": before}


async def test_every_value_outlives_a_power_cut(station: Play) -> None:
    for key in WRITABLE:
        assert await station.put(key.key, possible(key)[-1]) == "Accepted"
    station.csms.interval_s = 7  # the answer to the boot sets the HeartbeatInterval (4.2)
    await station.dark()
    await station.light()
    rows, _ = await station.keys()
    assert {k.key: rows[k.key]["value"] for k in WRITABLE} == {k.key: possible(k)[-1] for k in WRITABLE}
