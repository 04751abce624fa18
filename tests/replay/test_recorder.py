"""The recorder writes what the trace and the engine have, into a real file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import BoardChanged, CardPresented, FaultRaised, LinkChanged, TimeCame
from agent.domain.timers import Timer, TimerKind
from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Moment, Stamp, Token
from agent.services import recording
from agent.services.recording import ConversationRecorder

CALL = '[2,"1","Heartbeat",{}]'


class Watch:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.t_s = 5.0
        self.offset_s: float | None = 1_790_000_000.0

    def moment(self) -> Moment:
        return Moment(Stamp(1, self.t_s), None if self.offset_s is None else self.offset_s + self.t_s)


@contextlib.asynccontextmanager
async def recording_to(path: Path, watch: Watch, **more: Any) -> AsyncIterator[ConversationRecorder]:
    """A recorder at work; at the end everything is written."""
    recorder = ConversationRecorder(path, {"station": "CP-1"}, watch.moment, **more)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        await asyncio.sleep(0)  # it has begun
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_frames_and_events_are_written_with_their_times(tmp_path: Path) -> None:
    path, watch = tmp_path / "day.jsonl", Watch()
    async with recording_to(path, watch) as recorder:
        recorder.add_frame("out", "chargy", "1.6", CALL)
        watch.t_s = 7.5
        recorder.add_frame("in", "chargy", "1.6", '[3,"1",{}]')
        recorder.add_event(FaultRaised(1, Fault.BOARD_SILENT))
        recorder.add_event(LinkChanged("chargy", False))
        recorder.add_event(TimeCame(Timer(TimerKind.STORE_RETRY)))
    begin, sent, received, fault, link = lines_of(path)
    assert (begin["kind"], begin["format"], begin["station"]) == ("begin", 1, "CP-1")
    assert sent == {
        "kind": "frame", "at": "2026-09-21T14:13:25.000Z", "at_s": 5.0, "link": "chargy", "sender": "station",
        "version": "1.6", "frame": CALL,
    }  # fmt: skip
    assert (received["sender"], received["at_s"]) == ("backend", 7.5)
    assert (fault["event"], fault["evse"], fault["fault"]) == ("FaultRaised", 1, str(Fault.BOARD_SILENT))
    assert (link["event"], link["link"], link["up"]) == ("LinkChanged", "chargy", False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it holds the numbers of cards"


async def test_an_event_has_no_whole_card_number_and_a_report_that_repeats_itself_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    async with recording_to(path, Watch()) as recorder:
        recorder.add_event(CardPresented(1, Token("04A1B2C3D4E5F6")))
        for plugged_s in (1.0, 2.0):
            recorder.add_event(BoardChanged(1, EvseState(Pilot.B, cable=True, plugged_s=plugged_s)))
        recorder.add_event(BoardChanged(2, EvseState(Pilot.B, cable=True)))
    assert "04A1B2C3D4E5F6" not in path.read_text("utf-8")
    events = lines_of(path)[1:]
    assert [(e["event"], e["evse"]) for e in events] == [("CardPresented", 1), ("BoardChanged", 1), ("BoardChanged", 2)]
    assert events[0]["token"] == "…E5F6"
    assert (events[1]["pilot"], events[1]["cable"]) == ("B", True)


async def test_without_a_trusted_clock_there_is_no_time_of_day(tmp_path: Path) -> None:
    path, watch = tmp_path / "day.jsonl", Watch()
    watch.offset_s = None
    async with recording_to(path, watch) as recorder:
        recorder.add_frame("out", "chargy", "1.6", CALL)
    assert [(line["at"], line["at_s"]) for line in lines_of(path)] == [(None, 5.0)] * 2


async def test_the_next_agent_goes_on_in_the_same_file_also_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "day.jsonl"
    async with recording_to(path, Watch()) as recorder:
        recorder.add_frame("out", "chargy", "1.6", CALL)
    with path.open("a") as file:
        file.write('{"kind":"fra')  # killed
    async with recording_to(path, Watch()):
        pass
    texts = path.read_text("utf-8").splitlines()
    assert texts[2] == '{"kind":"fra'
    assert json.loads(texts[3])["kind"] == "begin"


async def test_a_full_file_ends_the_recording_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "day.jsonl"
    async with recording_to(path, Watch(), bytes_max=1000) as recorder:
        for _ in range(20):
            recorder.add_frame("out", "chargy", "1.6", CALL)
    last = lines_of(path)[-1]
    assert last == {"kind": "end", "why": "the file is full"}
    assert path.stat().st_size < 1100
    assert "ends here" in caplog.text


async def test_what_a_slow_disk_does_not_take_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WAITING_BYTES_MAX", 600)
    path = tmp_path / "day.jsonl"
    async with recording_to(path, Watch()) as recorder:
        for _ in range(10):
            recorder.add_frame("out", "chargy", "1.6", CALL)
        recorder._write_waiting_lines()
        recorder.add_frame("out", "chargy", "1.6", CALL)
    kinds = [line["kind"] for line in lines_of(path)]
    lost = 10 - kinds.count("frame") + 1
    assert lost > 0
    assert [line["lines"] for line in lines_of(path) if line["kind"] == "gap"] == [lost]


async def test_a_folder_that_is_gone_ends_the_recording_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording_to(tmp_path / "gone" / "day.jsonl", Watch()) as recorder:
        recorder.add_frame("out", "chargy", "1.6", CALL)
    assert "the rest is not recorded" in caplog.text
