"""The command: texts, files, exit codes, and the picture."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agent.cli import main
from agent.commands.replay import conversation_diagram
from agent.commands.replay.conversation_diagram import draw_conversation, event_in_words
from agent.commands.replay.recorded_conversation import OutsideEvent, load_recording
from agent.csms.central_system import Options, open_central
from agent.model.types import AuthorizationStatus, Verdict
from tests.replay.recorded_lines import CARD, TypedRecording, a_day
from tests.support.busy_machine import deadline

SVG = "{http://www.w3.org/2000/svg}"


async def replay(path: Path, *words: str, **backend: Any) -> int:
    """The command in a thread, to a central system of its own that runs here."""
    async with open_central(Options(port=0, quiet=True, **backend)) as central, deadline(60):
        argv = ["replay", str(path), "--backend", f"ws://127.0.0.1:{central.port}", "--request-wait", "0.1", *words]
        return await asyncio.to_thread(main, argv)


async def test_the_same_backend_gives_exit_code_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_day().save(tmp_path)
    assert await replay(path, "--answers-only") == 0
    assert capsys.readouterr().out == "10 requests of the station played, 0 of the backend met: no difference\n"


async def test_a_changed_backend_shows_the_differences_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_day().save(tmp_path)
    files = {name: tmp_path / f"r.{name}" for name in ("json", "xml", "svg")}
    words = ("--json", str(files["json"]), "--junit", str(files["xml"]), "--svg", str(files["svg"]))
    blocked = Verdict(AuthorizationStatus.BLOCKED)
    assert await replay(path, *words, interval_s=60, tokens={CARD: blocked}) == 1
    said = capsys.readouterr().out
    assert "10:01:41.000  BootNotification: interval: recorded 300, now 60" in said
    assert 'Authorize: idTagInfo.status: recorded "Accepted", now "Blocked"' in said
    assert "GetConfiguration: the backend has not sent it; recorded" in said
    assert said.splitlines()[-1].startswith("10 requests of the station played, 0 of the backend met: ")
    report = json.loads(files["json"].read_text())
    assert (report["format"], report["same"], report["station"]) == (1, False, "CP-1")
    assert (report["station_requests"], report["backend_requests"], report["backend_requests_met"]) == (10, 1, 0)
    boot = report["differences"][0]
    assert {k: boot[k] for k in ("kind", "action", "path", "recorded", "present")} == {
        "kind": "answer", "action": "BootNotification", "path": "interval", "recorded": 300, "present": 60,
    }  # fmt: skip
    suite = ElementTree.parse(files["xml"]).getroot().find("testsuite")
    assert suite is not None
    failed = [c.get("name") for c in suite.findall("testcase") if c.find("failure") is not None]
    assert (suite.get("tests"), suite.get("failures")) == ("11", str(len(failed)))
    assert failed[0] == "0 BootNotification"
    assert failed[-1] == "GetConfiguration (request missing)"
    texts = texts_of(files["svg"])
    assert "≠ interval: recorded 300, now 60" in texts
    assert "≠ the backend has not sent this request" in texts


def texts_of(svg: Path) -> list[str]:
    return [element.text or "" for element in ElementTree.parse(svg).getroot().iter(f"{SVG}text")]


def test_a_recording_is_drawn_without_a_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = a_day().save(tmp_path), tmp_path / "day.svg"
    assert main(["replay", str(path), "--svg", str(picture)]) == 0
    assert capsys.readouterr().out == f"{picture}: 22 frames\n"
    root = ElementTree.parse(picture).getroot()
    assert root.tag == f"{SVG}svg"
    text = picture.read_text("utf-8")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "it needs no network"
    texts = texts_of(picture)
    for shown in ("Outside", "Station", "Backend", "10:01:41", "outlet 1: card …B2C3", "no connection to the backend"):
        assert shown in texts
    assert any(t.startswith("StartTransaction") for t in texts)
    assert "Accepted transaction 41" in texts
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    for element in root.iter(f"{SVG}text"):
        assert 0 <= float(element.get("x", "-1")) <= width
        assert 0 <= float(element.get("y", "-1")) <= height


def test_repeated_messages_are_counted_and_a_very_long_day_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = TypedRecording()
    made.boot()
    for _ in range(30):
        made.call("Heartbeat", {}, {"currentTime": made.instant()})
    made.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}, {})
    conversation = load_recording(made.save(tmp_path))
    texts = [e.text for e in draw_conversation(conversation).elements if hasattr(e, "text")]
    assert "Heartbeat  (× 30)" in texts
    monkeypatch.setattr(conversation_diagram, "ROWS_MAX", 3)
    texts = [e.text for e in draw_conversation(conversation).elements if hasattr(e, "text")]
    assert "3 more rows are not drawn" in texts


@pytest.mark.parametrize(("name", "facts", "words"), [
    ("BoardChanged", {"evse": 2, "pilot": "C", "contactor": 1}, "outlet 2: vehicle asks for energy, contactor closed"),
    ("BoardChanged", {"evse": 1, "pilot": "A", "cable": True}, "outlet 1: cable plugged in"),
    ("BoardOpened", {"evse": 1, "pilot": "A", "faults": ["lid"]}, "outlet 1: no vehicle, fault lid"),
    ("CardPresented", {"evse": 0, "reason": "torn"}, "card without identifier torn"),
    ("ButtonPressed", {"name": "stop"}, "button pressed stop"),
    ("UnlockTried", {"evse": 1, "freed": False}, "outlet 1: plug could not be unlocked"),
    ("SupplyChanged", {"mains": False}, "mains lost"),
    ("LinkChanged", {"link": "chargy", "up": True}, "accepted by the backend"),
])  # fmt: skip
def test_events_are_in_words(name: str, facts: dict[str, Any], words: str) -> None:
    assert event_in_words(OutsideEvent(0.0, 0.0, name, facts)) == words


@pytest.mark.parametrize(("words", "said"), [
    ((), "say --backend URL to replay the conversation, or --svg FILE to draw it"),
    (("--backend", "http://127.0.0.1"), "--backend: must be like ws://HOST:PORT/PATH"),
    (("--backend", "ws://127.0.0.1:9", "--speed", "0"), "--speed: must be 0.001 to 1000000, is 0"),
    (("--svg", "none/day.svg"), "--svg none/day.svg: there is no folder none"),
    (("--svg", "day.svg", "--junit", "r.xml"), "--junit: belongs to --backend"),
    (("--backend", "ws://127.0.0.1:1"), "the backend cannot be reached at ws://127.0.0.1:1"),
    (("--backend", "wss://127.0.0.1:1", "--trusted", "no.pem"), "--trusted no.pem: there is no such file"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: Any, said: str
) -> None:
    path = a_day().save(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(path), *words]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""


def test_a_recording_without_the_id_of_its_station_asks_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.jsonl"
    row = {"at_s": 1.0, "sender": "station", "version": "1.6", "frame": '[2,"1","Heartbeat",{}]'}
    path.write_text(json.dumps(row) + "\n")
    assert main(["replay", str(path), "--backend", "ws://127.0.0.1:1"]) == 2
    assert "say --id ID" in capsys.readouterr().err
