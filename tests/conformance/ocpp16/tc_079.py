"""GetLog of the security log, and of diagnostics: the name is in the answer, the progress is sent, the file arrives."""

import io
import json
import zipfile
from typing import Any

from tests.conformance.ocpp16.play import Play
from tests.support.file_servers import WebServer, web_server


def statuses(s: Play) -> list[tuple[str, int | None]]:
    return [(p["status"], p.get("requestId")) for p in s.payloads("LogStatusNotification")]


def log(web: WebServer) -> dict[str, Any]:
    return {"remoteLocation": f"http://127.0.0.1:{web.port}/logs/"}


async def test_security_log(s: Play) -> None:
    with web_server() as web:
        answer = await s.answer("GetLog", logType="SecurityLog", requestId=4, log=log(web))
        assert answer["status"] == "Accepted"
        await s.heard(lambda: ("Uploaded", 4) in statuses(s))
    assert statuses(s) == [("Uploading", 4), ("Uploaded", 4)]
    assert web.got[0][1] == f"/logs/{answer['filename']}"
    archive = zipfile.ZipFile(io.BytesIO(web.got[0][2]))
    assert isinstance(json.loads(archive.read("security.json")), list)


async def test_diagnostics(s: Play) -> None:
    with web_server() as web:
        await s.answer("GetLog", logType="DiagnosticsLog", requestId=5, log=log(web))
        await s.heard(lambda: ("Uploaded", 5) in statuses(s))
    assert "agent.log" in zipfile.ZipFile(io.BytesIO(web.got[0][2])).namelist()


async def test_a_second_request_takes_the_place_of_the_first(s: Play) -> None:
    with web_server() as web:
        web.hold.clear()
        await s.answer("GetLog", logType="DiagnosticsLog", requestId=6, log=log(web))
        await s.heard(lambda: web.asked)
        answer = await s.answer("GetLog", logType="SecurityLog", requestId=7, log=log(web))
        assert answer["status"] == "AcceptedCanceled"
        web.hold.set()
        await s.heard(lambda: ("Uploaded", 7) in statuses(s))
    assert ("Uploaded", 6) not in statuses(s)


async def test_a_server_that_denies(s: Play) -> None:
    with web_server() as web:
        web.status = 403
        await s.answer("GetLog", logType="SecurityLog", requestId=8, log=log(web))
        await s.heard(lambda: ("PermissionDenied", 8) in statuses(s))


async def test_an_address_that_is_not_spoken(s: Play) -> None:
    there = {"remoteLocation": "gopher://127.0.0.1/logs"}
    assert await s.ask("GetLog", logType="SecurityLog", requestId=9, log=there) == "Rejected"
