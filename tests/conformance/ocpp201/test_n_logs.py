"""Block N, logs: made, sent, reported; a newer request takes the place of a running one."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.support.file_servers import WebServer, web_server
from tests.support.station_rig_v201 import CARD, FRIEND, GROUP, Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def web() -> Any:
    with web_server() as server:
        yield server


def statuses(s: Street201, number: int | None = None) -> list[str]:
    said = s.payloads("LogStatusNotification")
    return [p["status"] for p in said if number is None or p.get("requestId") == number]


async def get_log(s: Street201, web: WebServer, number: int, security: bool = False, **more: str) -> dict[str, Any]:
    """GetLog; ``more``: of the log's parameters."""
    kind = "SecurityLog" if security else "DiagnosticsLog"
    log = {"remoteLocation": f"http://127.0.0.1:{web.port}/logs", **more}
    return dict(await s.csms.ask("GetLog", {"logType": kind, "requestId": number, "log": log}))


async def test_TC_N_25_CS(s: Street201, web: WebServer) -> None:
    """GetLog DiagnosticsLog."""
    answer = await get_log(s, web, 25)
    await s.heard(lambda: "Uploaded" in statuses(s))
    assert answer["status"] == "Accepted"
    assert statuses(s, 25) == ["Uploading", "Uploaded"]
    assert web.got[0][1] == f"/logs/{answer['filename']}"
    assert "wire.jsonl" in zipfile.ZipFile(io.BytesIO(web.got[0][2])).namelist()


async def test_TC_N_26_CS(s: Street201, web: WebServer) -> None:
    """The server refuses the upload."""
    web.status = 500
    await get_log(s, web, 26)
    await s.heard(lambda: "UploadFailure" in statuses(s, 26))


@pytest.mark.parametrize("security", [False, True])
async def test_TC_N_34_CS(s: Street201, web: WebServer, security: bool) -> None:
    """Of tomorrow, and of a time that ends before it begins, there is no log (N01.FR.05)."""
    now = datetime.fromisoformat(str((await s.get("ClockCtrlr.DateTime"))[1]))
    tomorrow, yesterday = (stamp(now + timedelta(days=days)) for days in (1, -1))
    assert await get_log(s, web, 34, security, oldestTimestamp=tomorrow) == {"status": "Rejected"}
    span = {"oldestTimestamp": yesterday, "latestTimestamp": stamp(now - timedelta(days=2))}
    assert await get_log(s, web, 34, security, **span) == {"status": "Rejected"}
    assert statuses(s, 34) == []
    assert web.asked == []


def stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_TC_N_35_CS(s: Street201, web: WebServer) -> None:
    """GetLog SecurityLog."""
    await get_log(s, web, 35, security=True)
    await s.heard(lambda: "Uploaded" in statuses(s, 35))
    archive = zipfile.ZipFile(io.BytesIO(web.got[0][2]))
    assert isinstance(json.loads(archive.read("security.json")), list)


async def test_TC_N_36_CS(s: Street201, web: WebServer) -> None:
    """A second request while the first upload is running takes its place."""
    web.hold.clear()
    await get_log(s, web, 361)
    await s.heard(lambda: web.asked)
    assert (await get_log(s, web, 362))["status"] == "AcceptedCanceled"
    web.hold.set()
    await s.heard(lambda: "Uploaded" in statuses(s, 362))
    assert statuses(s, 361) == ["Uploading", "AcceptedCanceled"]


async def test_TC_F_15_CS(s: Street201) -> None:
    """Log status on request: Idle."""
    assert await s.csms.ask("TriggerMessage", {"requestedMessage": "LogStatusNotification"}) == {"status": "Accepted"}
    await s.heard(lambda: statuses(s) == ["Idle"])


async def test_TC_F_16_CS(s: Street201, web: WebServer) -> None:
    """Log status in the middle of an upload."""
    web.hold.clear()
    await get_log(s, web, 16)
    await s.heard(lambda: web.asked)
    await s.csms.ask("TriggerMessage", {"requestedMessage": "LogStatusNotification"})
    await s.heard(lambda: statuses(s, 16) == ["Uploading", "Uploading"])
    web.hold.set()
    await s.heard(lambda: "Uploaded" in statuses(s, 16))


# --- what is known of a customer -------------------------------------------------------------------------------------


async def customer(
    s: Street201, token: str | None, report: bool = True, clear: bool = False, by_identifier: bool = False
) -> str:
    """CustomerInformation, and all that follows."""
    number = next(s.numbers)
    wanted: dict[str, Any] = {"requestId": number, "report": report, "clear": clear}
    if token:
        named = {"idToken": {"idToken": token, "type": "ISO14443"}}
        wanted |= {"customerIdentifier": token} if by_identifier else named
    answer = await s.csms.ask("CustomerInformation", wanted)
    if answer["status"] != "Accepted":
        return str(answer["status"])

    def parts() -> list[dict[str, Any]]:
        return [p for p in s.payloads("NotifyCustomerInformation") if p["requestId"] == number]

    await s.heard(lambda: parts() and not parts()[-1].get("tbc"))
    assert [p["seqNo"] for p in parts()] == list(range(len(parts())))
    return "".join(p["data"] for p in parts())


async def test_TC_N_27_CS_TC_N_30_CS_TC_N_46_CS(s: Street201) -> None:
    """Known by cache, list and reservation; cleared, the token is not in the cache any more (N10.FR.03). It stays on
    the list until the backend sends one without it (N10.FR.02)."""
    await s.session(CARD, 2)
    await s.tap(CARD, 2)
    await s.ended()
    await s.empty()  # the cache learns from the answer to the end as well
    assert await s.list(4, **{CARD: {**GROUP}, FRIEND: {"status": "Accepted"}}) == "Accepted"
    assert await s.reserve(1, CARD) == "Accepted"
    data = await customer(s, CARD)
    assert data.splitlines() == [
        "authorization cache: Accepted", "local authorization list: Accepted, group FAMILY", "reservation 7",
    ]  # fmt: skip
    assert await customer(s, CARD.lower(), clear=True) == data
    assert (await customer(s, CARD)).splitlines() == data.splitlines()[1:]
    assert (await s.list_version(), await s.get("LocalAuthListCtrlr.Entries")) == (4, ("Accepted", "2"))
    assert await s.list(5) == "Accepted"
    assert await customer(s, CARD) == "reservation 7"
    assert await s.cancel() == "Accepted"


async def test_TC_N_28_CS_TC_N_31_CS(s: Street201) -> None:
    """Nothing is known of a stranger, and nothing is cleared."""
    assert await customer(s, "04NOBODY") == ""
    assert await customer(s, "04NOBODY", clear=True) == ""


async def test_TC_N_29_CS(s: Street201) -> None:
    """No customer named: Invalid."""
    assert await customer(s, None) == "Invalid"


async def test_TC_N_33_CS(s: Street201) -> None:
    """To clear what is known of no customer: Invalid (N10.FR.05), and nothing is cleared."""
    await s.session(CARD)
    await s.tap(CARD)
    await s.ended()
    assert await customer(s, None, clear=True) == "Invalid"
    assert await customer(s, None, report=False, clear=True) == "Invalid"
    assert await customer(s, CARD) == "authorization cache: Accepted"


async def test_TC_N_62_CS(s: Street201) -> None:
    """By customerIdentifier, the value of a token: reported and cleared, then there is nothing (N10.FR.01, 03)."""
    await s.session(CARD)
    await s.tap(CARD)
    await s.ended()
    await s.empty()  # the cache learns from the answer to the end as well
    assert await customer(s, CARD, clear=True, by_identifier=True) == "authorization cache: Accepted"
    assert await customer(s, CARD, by_identifier=True) == ""
    assert await customer(s, CARD) == ""
    assert await customer(s, "Jean Muller, 12.3.1980", clear=True, by_identifier=True) == ""


async def test_TC_N_32_CS(s: Street201) -> None:
    """Cleared without a report: the station has to ask about the card again, also off line."""
    await s.session(CARD)
    await s.tap(CARD)
    await s.ended()
    assert await customer(s, CARD, report=False, clear=True) == ""
    assert await customer(s, CARD) == ""
