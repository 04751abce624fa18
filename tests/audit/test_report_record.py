"""Reading of audit.json: a mistake names its place, and no content of it can mislead or break what reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.commands.audit.json_reading import JsonPart, RecordError, load_json_file, parse_json_bytes, shown_text
from agent.commands.audit.report_record import read_audit_record
from agent.commands.audit.report_texts import (
    EvidenceLimits,
    duration_text,
    limit_evidence,
    milliseconds_text,
    shorten_text,
)
from tests.audit import sample_records

GONE = object()
MISTAKES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("format",), 2, "audit.json: has format 2, this program reads format 1"),
    (("format",), GONE, "audit.json: format is missing"),
    (("id",), GONE, "audit.json: id is missing"),
    (("id",), 7, "audit.json.id: must be a text"),
    (("verdict",), "GOOD", "audit.json.verdict: must be one of FAIL, ERROR, PARTIAL, PASS, NOT APPLICABLE"),
    (("began",), "yesterday", "audit.json.began: must be an instant like"),
    (("ended",), "9999-12-31T23:59:59-12:00", "audit.json.ended: must be an instant like"),
    (("took_s",), True, "audit.json.took_s: must be a number"),
    (("took_s",), 10**400, "audit.json.took_s: is too large a number"),
    (("sections",), {}, "audit.json.sections: must be a list of objects"),
    (("sections", 1), "x", "audit.json.sections[1]: must be one of a list of objects"),
    (("sections", 2, "obligations", 1, "verdict"), GONE, "audit.json.sections[2].obligations[1]: verdict is missing"),
    (("sections", 0, "obligations", 0, "finding"), {"to": "client"}, "obligations[0].finding: action is missing"),
    (("sections", 0, "obligations", 0, "evidence", 0, "sender"), "x", "evidence[0].sender: must be one of station"),
    (("sections", 0, "obligations", 0, "evidence", 0, "utc_s"), 1e30, "evidence[0].utc_s: is no instant"),
    (("sections", 0, "obligations", 3, "scenario", "steps", 2, "verdict"), "OK", "scenario.steps[2].verdict: must be"),
    (("sections", 0, "obligations", 0, "references"), [1], "references[0]: must be one of a list of texts"),
    (("charge_curves", 0, "points", 3, "power_w"), "1", "charge_curves[0].points[3].power_w: must be a number"),
    (("latency", 0, "p95_ms"), None, "audit.json.latency[0]: p95_ms is missing"),
    (("sequence", 0, "kind"), "event", "audit.json.sequence[0].kind: must be one of call, result, error"),
    (("signing", "required"), ["king"], "audit.json.signing.required: king is no role (manufacturer, operator)"),
    (("complete",), "yes", "audit.json.complete: must be true or false"),
]


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The good record with one value replaced or taken away."""
    record: Any = sample_records.good_ac_record()
    place = record
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return dict(record)


@pytest.mark.parametrize(("path", "value", "words"), MISTAKES, ids=[m[2][:60] for m in MISTAKES])
def test_a_mistake_names_its_place(path: tuple[Any, ...], value: Any, words: str) -> None:
    with pytest.raises(RecordError) as refused:
        read_audit_record(JsonPart(changed(path, value), "audit.json"))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON text"),
        (b"\xff\xfe", "is no JSON text"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": 1, "a": 2}', "a name stands twice in one object"),
        (b"[" * 100_000, "is no JSON text"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is no JSON text"),
    ],
)
def test_what_is_no_json_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(RecordError) as refused:
        parse_json_bytes(content, "audit.json")
    assert words in str(refused.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_bytes(b" " * 1001)
    with pytest.raises(RecordError, match="is larger than 1000 bytes"):
        load_json_file(tmp_path / "audit.json", 1000)
    with pytest.raises(RecordError, match=r"none\.json: cannot be read: No such file"):
        load_json_file(tmp_path / "none.json")


def test_the_record_is_what_was_written() -> None:
    written = sample_records.bad_ac_record()
    record = read_audit_record(JsonPart(json.loads(json.dumps(written)), "audit.json"))
    assert dict(record.count_verdicts()) == {v: n for v, n in written["counts"].items() if n}
    assert record.station_name == "0042"
    assert [f.addressee for f in record.findings] == [f["to"] for f in written["findings"]]
    scenario = record.sections[0].obligations[3].scenario
    assert scenario is not None
    assert [s.verdict for s in scenario.steps] == ["PASS", "PASS", "PASS", "FAIL"]
    assert record.sections[0].obligations[0].evidence[0].clock == "09:30:00.200"
    assert record.is_complete


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé 充電", "plain ünïcödé 充電"),
        ("a\x00b", "a⟨U+0000⟩b"),
        ("evil\u202egnp.exe", "evil⟨U+202E⟩gnp.exe"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("two\r\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\u200bhidden", "⟨U+200B⟩hidden"),
    ],
)
def test_what_is_not_seen_is_written_as_its_code(text: str, shown: str) -> None:
    assert shown_text(text) == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_milliseconds() -> None:
    assert [milliseconds_text(v) for v in (0.04, 9.96, 10.4, 12345.6)] == ["0.0", "10.0", "10", "12 346"]


def test_a_shortened_text_says_how_much_is_left_out() -> None:
    assert shorten_text("abc", 3) == "abc"
    assert shorten_text("abcdef", 3) == "abc … [3 characters more]"
    lines = "\n".join(f"line {n}" for n in range(100))
    short = shorten_text(lines, 300)
    assert short.count("\n") == 5
    assert short.endswith(f"… [{len(lines) - len('line 0 line 1 line 2 line 3 line 4 line 5')} characters more]")


def test_the_last_frames_are_kept() -> None:
    part = JsonPart(sample_records.bad_ac_record(), "audit.json")
    evidence = read_audit_record(part).sections[-1].obligations[-1].evidence
    shown = limit_evidence(evidence, EvidenceLimits(3, 50))
    assert [f.clock for f in shown.frames] == [f.clock for f in evidence[-3:]]
    assert shown.omitted == "17 earlier frames in trace.jsonl"
    assert all("characters more]" in f.frame for f in shown.frames)
