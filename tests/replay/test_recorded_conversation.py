"""Recordings are read: those of the agent, of an audit, of the control API, and wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.commands.replay.recorded_conversation import (
    ConnectionEnd,
    OutsideEvent,
    RecordingError,
    load_recording,
)
from agent.scenario.frames import Frame
from tests.replay.recorded_lines import TypedRecording, a_day


def test_requests_have_their_answers_and_a_lost_link_ends_the_connection(tmp_path: Path) -> None:
    found = load_recording(a_day().save(tmp_path))
    assert found.station_id == "CP-1"
    asked = found.recorded_calls(from_station=True)
    assert [f.action for f in asked[:3]] == ["BootNotification", "StatusNotification", "Authorize"]
    assert all(found.answers[f.seq].payload is not None for f in asked)
    assert [f.action for f in found.recorded_calls(from_station=False)] == ["GetConfiguration"]
    kinds = [type(item) for item in found.items if not isinstance(item, Frame)]
    assert kinds == [ConnectionEnd, OutsideEvent, OutsideEvent, ConnectionEnd, OutsideEvent]


def test_the_time_goes_on_when_the_agent_counts_from_zero_again(tmp_path: Path) -> None:
    made = TypedRecording()
    made.boot()
    made.now_s = 3.0
    made.add("begin", format=1, program="test", station="CP-1", links={"chargy": "CP-1"})
    made.boot()
    found = load_recording(made.save(tmp_path))
    first, second = found.recorded_calls(from_station=True)
    assert second.at_s - first.at_s == pytest.approx(1.0)


def test_one_link_of_several_is_read(tmp_path: Path) -> None:
    made = TypedRecording()
    made.lines[0]["links"]["service"] = "SRV-1"
    made.boot()
    made.link = "service"
    made.call("Heartbeat", {}, {"currentTime": "2026-11-28T10:00:00Z"})
    path = made.save(tmp_path)
    assert [f.action for f in load_recording(path).recorded_calls(True)] == ["BootNotification"]
    other = load_recording(path, "service")
    assert (other.station_id, [f.action for f in other.recorded_calls(True)]) == ("SRV-1", ["Heartbeat"])
    with pytest.raises(RecordingError, match="has no frames of link third"):
        load_recording(path, "third")


def test_the_trace_of_an_audit_and_that_of_the_control_api_are_read(tmp_path: Path) -> None:
    of_audit = {"seq": 0, "at": "2026-11-28T10:00:00.000+00:00", "at_s": 1.5, "sender": "station", "version": "1.6"}
    of_control = {"seq": 1, "t": 1_790_000_000.5, "dir": "out", "link": "chargy", "version": "1.6"}
    for row in (of_audit, of_control):
        path = tmp_path / "trace.jsonl"
        path.write_text(json.dumps({**row, "frame": '[2,"1","Heartbeat",{}]'}) + "\n")
        found = load_recording(path)
        assert [(f.action, f.from_station, f.version) for f in found.frames] == [("Heartbeat", True, "1.6")]
        assert found.frames[0].utc_s > 1.7e9
        assert found.station_id == ""


def test_half_a_line_is_taken_where_an_agent_was_killed_only(tmp_path: Path) -> None:
    made = TypedRecording()
    made.boot()
    path = made.save(tmp_path)
    whole = path.read_text("utf-8")
    path.write_text(whole + '{"kind":"fr')
    assert len(load_recording(path).frames) == 2
    path.write_text(whole + '{"kind":"fr\n' + whole)
    assert len(load_recording(path).frames) == 4
    path.write_text('{"kind":"fr\n' + whole.splitlines()[1] + "\n")
    with pytest.raises(RecordingError, match=r"recorded.jsonl:1: is no JSON object"):
        load_recording(path)


FRAME = {"kind": "frame", "at_s": 1, "sender": "station", "version": "1.6", "frame": '[2,"1","Heartbeat",{}]'}


@pytest.mark.parametrize(("row", "said"), [
    ({"kind": "begin", "format": 9}, ":1: is no line of a recording: ValueError format 9 is not known"),
    ({**FRAME, "sender": "driver"}, "the sender must be station or backend"),
    ({**FRAME, "at_s": "soon"}, ":1: is no line of a recording"),
    ({"kind": "frame", "at_s": 1, "sender": "station"}, ":1: is no line of a recording: KeyError"),
    ({**FRAME, "frame": "<Envelope/>"}, "was recorded over SOAP; only OCPP-J can be replayed"),
    ({"kind": "event", "event": "ClockTrusted", "at_s": 1}, "has no frames"),
])  # fmt: skip
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(RecordingError) as refused:
        load_recording(path)
    assert said in str(refused.value)
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        load_recording(tmp_path / "missing.jsonl")
