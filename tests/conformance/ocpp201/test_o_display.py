"""Block O: messages of the central system on the display."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.station_rig_v201 import CARD, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")

HELLO = "Bienvenue à la borne"
MOST = 20
LATER_S = 120
"""Seconds of the station's own clock: enough to look at the screen before they are over."""


@pytest_asyncio.fixture(loop_scope="module")
async def o(s: Street201) -> AsyncIterator[Street201]:
    yield s
    for info in await report(s):
        assert await clear(s, info["id"]) == "Accepted"
    await shown(s)


async def put(s: Street201, number: int = 1, text: str = HELLO, form: str = "UTF8", **info: Any) -> str:
    message = {"priority": "NormalCycle", **info, "id": number, "message": {"format": form, "content": text}}
    return str((await s.csms.ask("SetDisplayMessage", {"message": message}))["status"])


async def get(s: Street201, **criteria: Any) -> tuple[str, list[dict[str, Any]]]:
    """Status, and the parts of the report."""
    number = next(s.numbers)
    answer = await s.csms.ask("GetDisplayMessages", {"requestId": number, **criteria})
    if answer["status"] != "Accepted":
        assert answer == {"status": "Unknown"}
        return "Unknown", []

    def parts() -> list[dict[str, Any]]:
        return [p for p in s.payloads("NotifyDisplayMessages") if p["requestId"] == number]

    await s.heard(lambda: parts() and not parts()[-1].get("tbc", False))
    assert [p.get("tbc", False) for p in parts()] == [True] * (len(parts()) - 1) + [False]
    return "Accepted", parts()


async def report(s: Street201, **criteria: Any) -> list[dict[str, Any]]:
    return [info for part in (await get(s, **criteria))[1] for info in part["messageInfo"]]


async def ids(s: Street201, **criteria: Any) -> list[int]:
    return [info["id"] for info in await report(s, **criteria)]


async def clear(s: Street201, number: int = 1) -> str:
    return str((await s.csms.ask("ClearDisplayMessage", {"id": number}))["status"])


async def shown(s: Street201, *texts: str, n: int = 1) -> None:
    """Until the screen of the outlet has these messages."""
    await s.until(lambda e: e["messages"] == list(texts), n)


async def go(s: Street201) -> None:
    """The driver ends the session and leaves."""
    await s.tap(CARD)
    await s.ended()
    await s.leave()


# --- set, get, clear -------------------------------------------------------------------------------------------------


async def test_TC_O_01_CS(o: Street201) -> None:
    """A message is set, shown, and found again as it was set."""
    assert await put(o) == "Accepted"
    await shown(o, HELLO)
    assert await report(o, id=[1]) == [
        {"id": 1, "priority": "NormalCycle", "message": {"format": "UTF8", "content": HELLO}}
    ]


async def test_TC_O_02_CS(o: Street201) -> None:
    """All messages are reported, in parts where there are many."""
    for number in range(7):
        assert await put(o, number, f"message {number}") == "Accepted"
    status, parts = await get(o)
    assert (status, [len(p["messageInfo"]) for p in parts]) == ("Accepted", [5, 2])
    assert await ids(o) == list(range(7))


async def test_TC_O_03_CS_TC_O_33_CS(o: Street201) -> None:
    """No messages: Unknown, asked for in general or by id."""
    assert (await get(o))[0] == "Unknown"
    assert (await get(o, id=[1]))[0] == "Unknown"


async def test_TC_O_04_CS_TC_O_05_CS(o: Street201) -> None:
    """A message is cleared; one that is not there is Unknown."""
    await put(o)
    assert await clear(o, 2) == "Unknown"
    assert await clear(o, 1) == "Accepted"
    assert (await get(o, id=[1]))[0] == "Unknown"
    await shown(o)
    assert await clear(o, 1) == "Unknown"


async def test_TC_O_07_CS_TC_O_08_CS_TC_O_09_CS_TC_O_11_CS_TC_O_34_CS_TC_O_35_CS(o: Street201) -> None:
    """Messages found by id, by priority and by state; what fits no message is Unknown."""
    await put(o, 1, priority="InFront", state="Charging")
    await put(o, 2, state="Faulted")
    assert await ids(o, id=[2]) == [2]
    assert await ids(o, priority="InFront") == [1]
    assert await ids(o, state="Faulted") == [2]
    assert (await get(o, id=[3]))[0] == "Unknown"
    assert (await get(o, id=[1], state="Idle"))[0] == "Unknown"
    assert (await get(o, id=[1], priority="AlwaysFront"))[0] == "Unknown"


async def test_TC_O_12_CS(o: Street201) -> None:
    """The same id replaces the message, with all that belongs to it."""
    await put(o, state="Idle", priority="InFront")
    assert await put(o, text="Au revoir") == "Accepted"
    await shown(o, "Au revoir")
    assert await report(o) == [
        {"id": 1, "priority": "NormalCycle", "message": {"format": "UTF8", "content": "Au revoir"}}
    ]


async def test_TC_O_19_CS(o: Street201) -> None:
    """Pages and addresses are no format that is shown."""
    for form in ("HTML", "URI"):
        assert await put(o, text="https://example.lu/", form=form) == "NotSupportedMessageFormat"
    assert await o.get("DisplayMessageCtrlr.SupportedFormats") == ("Accepted", "ASCII,UTF8")
    assert await put(o, text="Welcome", form="ASCII") == "Accepted"


async def test_TC_O_26_CS(o: Street201) -> None:
    """More than the station keeps: Rejected. The device model has the limit and the number."""
    for number in range(MOST):
        assert await put(o, number, f"message {number}") == "Accepted"
    assert await put(o, MOST) == "Rejected"
    assert await o.get("DisplayMessageCtrlr.DisplayMessages") == ("Accepted", str(MOST))
    wanted = {"component": {"name": "DisplayMessageCtrlr"}, "variable": {"name": "DisplayMessages"}}
    _, (entry,) = await o.report("GetReport", componentVariable=[wanted])
    assert entry["variableCharacteristics"]["maxLimit"] == MOST


async def test_TC_O_20_CS(o: Street201) -> None:
    """Messages outlive a power cut."""
    await put(o, priority="InFront")
    await o.kill()
    await o.station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await shown(o, HELLO)
    assert await report(o, id=[1]) == [
        {"id": 1, "priority": "InFront", "message": {"format": "UTF8", "content": HELLO}}
    ]


# --- priority, time, state -------------------------------------------------------------------------------------------


async def test_TC_O_22_CS(o: Street201) -> None:
    """Several messages in front are all shown, and none of the normal cycle."""
    await put(o, 1, "one", priority="InFront")
    await put(o, 2, "two", priority="InFront")
    await put(o, 3, "three")
    await shown(o, "one", "two")
    assert await ids(o, id=[1]) == [1]
    assert await ids(o, id=[2]) == [2]


async def test_TC_O_24_CS(o: Street201) -> None:
    """The second message that is always in front replaces the first."""
    await put(o, 1, "one", priority="AlwaysFront")
    await put(o, 2, "two", priority="AlwaysFront")
    await shown(o, "two")
    assert (await get(o, id=[1]))[0] == "Unknown"
    assert await ids(o, id=[2]) == [2]


async def test_TC_O_13_CS(o: Street201) -> None:
    """Shown from its start time on."""
    assert await put(o, startDateTime=await o.instant(LATER_S)) == "Accepted"
    await shown(o)
    assert "startDateTime" in (await report(o))[0]
    await shown(o, HELLO)


async def test_TC_O_14_CS(o: Street201) -> None:
    """Gone after its end time."""
    assert await put(o, endDateTime=await o.instant(LATER_S)) == "Accepted"
    await shown(o, HELLO)
    assert "endDateTime" in (await report(o))[0]
    await shown(o)
    assert (await get(o, id=[1]))[0] == "Unknown"


async def test_TC_O_36_CS_TC_O_37_CS(o: Street201) -> None:
    """A message for Charging and one for Idle: each has its time at this outlet, and the other outlet is idle."""
    await put(o, 1, "charging", state="Charging")
    await put(o, 2, "idle", state="Idle")
    await shown(o, "idle")
    await o.session()
    await shown(o, "charging")
    await shown(o, "idle", n=2)
    await go(o)
    await shown(o, "idle")
    assert [info["state"] for info in await report(o)] == ["Charging", "Idle"]


async def test_TC_O_38_CS(o: Street201) -> None:
    """A message for Unavailable."""
    await put(o, state="Unavailable")
    await shown(o)
    try:
        assert await o.available(False, 1) == "Accepted"
        await shown(o, HELLO)
    finally:
        await o.available(True, 1)
        await o.status_reported("Available", 1)
    await shown(o)
    assert await ids(o, state="Unavailable") == [1]


async def test_a_message_for_faulted(o: Street201) -> None:
    await put(o, 1, "faulted", state="Faulted")
    await put(o, 2, "any")
    await shown(o, "any")
    await o.fault("GroundFailure")
    await shown(o, "faulted")
    await o.fault("GroundFailure", False)
    await shown(o, "any")


# --- for a transaction -----------------------------------------------------------------------------------------------


async def test_TC_O_10_CS(o: Street201) -> None:
    """A transaction that is not known."""
    assert await put(o, transactionId="nonsense") == "UnknownTransaction"
    assert (await get(o))[0] == "Unknown"


async def test_TC_O_06_CS_TC_O_30_CS(o: Street201) -> None:
    """Messages for a transaction go with it, also several in front."""
    number = await o.session()
    await put(o, 1, "one", priority="InFront", transactionId=number)
    await put(o, 2, "two", priority="InFront", transactionId=number)
    await shown(o, "one", "two")
    await shown(o, n=2)
    for n in (1, 2):
        (info,) = await report(o, id=[n])
        assert (info["transactionId"], info["priority"]) == (number, "InFront")
    await go(o)
    await shown(o)
    assert (await get(o))[0] == "Unknown"


async def test_TC_O_32_CS(o: Street201) -> None:
    """The second message for a transaction that is always in front replaces the first."""
    number = await o.session()
    await put(o, 1, "one", priority="AlwaysFront", transactionId=number)
    await put(o, 2, "two", priority="AlwaysFront", transactionId=number)
    await shown(o, "two")
    assert (await get(o, id=[1]))[0] == "Unknown"
    assert (await report(o, id=[2]))[0]["message"]["content"] == "two"
    await go(o)
    assert (await get(o))[0] == "Unknown"


async def test_TC_O_27_CS_TC_O_28_CS(o: Street201) -> None:
    """Messages for a transaction with a start time, and with an end time."""
    number = await o.session()
    at = await o.instant(LATER_S)
    assert await put(o, 1, "later", transactionId=number, startDateTime=at) == "Accepted"
    assert await put(o, 2, "until then", transactionId=number, endDateTime=at) == "Accepted"
    await shown(o, "until then")
    await shown(o, "later")
    assert (await get(o, id=[2]))[0] == "Unknown"
    await go(o)
    await shown(o)
    assert (await get(o, id=[1]))[0] == "Unknown"
