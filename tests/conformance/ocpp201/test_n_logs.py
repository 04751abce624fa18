"""Block N, logs: made, sent, told; a newer request takes the place of a running one."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from file_servers import WebServer, web_server
from street201 import Street201

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def web() -> Any:
    with web_server() as server:
        yield server


def statuses(s: Street201, number: int | None = None) -> list[str]:
    said = s.payloads("LogStatusNotification")
    return [p["status"] for p in said if number is None or p.get("requestId") == number]


async def get_log(s: Street201, web: WebServer, number: int, security: bool = False) -> dict[str, Any]:
    kind = "SecurityLog" if security else "DiagnosticsLog"
    log = {"remoteLocation": f"http://127.0.0.1:{web.port}/logs"}
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
