"""GetDiagnostics: the name is in the answer, the progress is reported, and the file arrives."""

import io
import json
import zipfile

from tests.conformance.ocpp16.play import CARD, Play
from tests.support.file_servers import PASSWORD, QUOTED, USER, ftp_server, web_server


def uploads(s: Play) -> list[str]:
    return [p["status"] for p in s.payloads("DiagnosticsStatusNotification")]


async def test_by_ftp(s: Play, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "logs").mkdir()
    with ftp_server(tmp_path) as port:
        answer = await s.answer("GetDiagnostics", location=f"ftp://{USER}:{QUOTED}@127.0.0.1:{port}/logs")
        await s.heard(lambda: "Uploaded" in uploads(s))
    assert uploads(s) == ["Uploading", "Uploaded"]
    assert [p.name for p in (tmp_path / "logs").iterdir()] == [answer["fileName"]]


async def test_there_is_something_in_it_and_nothing_secret(s: Play) -> None:
    await s.session()
    with web_server() as web:
        await s.answer("GetDiagnostics", location=f"http://{USER}:{QUOTED}@127.0.0.1:{web.port}/in/")
        await s.heard(lambda: "Uploaded" in uploads(s))
        ((_, _, content),) = web.got
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert set(archive.namelist()) == {
        "about.json", "agent.log", "picture.json", "settings.json", "station.json", "store.json", "wire.jsonl",
    }  # fmt: skip
    for name in archive.namelist():
        text = archive.read(name).decode()
        assert CARD not in text, name
        assert PASSWORD not in text, name
        assert QUOTED not in text, name
    assert "StartTransaction" in archive.read("wire.jsonl").decode()
    assert "connected to" in archive.read("agent.log").decode()
    assert json.loads(archive.read("settings.json"))["sample_interval_s"] == "0"


async def test_killed_in_the_middle_it_is_sent_after_the_restart(s: Play) -> None:
    with web_server() as web:
        web.hold.clear()
        answer = await s.answer("GetDiagnostics", location=f"http://127.0.0.1:{web.port}/in/")
        await s.heard(lambda: web.asked)
        await s.kill()
        web.got.clear()
        web.hold.set()
        await s.heard(lambda: "Uploaded" in uploads(s))
        assert web.got[-1][1] == f"/in/{answer['fileName']}"
