"""A recorded conversation, read back: of ``--record``, of an audit (``trace.jsonl``), or of the control API
(``/trace``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

from agent.model.fastclass import frozen, mutable
from agent.scenario.frames import CALL, Frame, FrameLog

FORMAT = 1
LINE_MAX = 64 * 2**20
"""Characters of one line."""


class RecordingError(Exception):
    """A recording cannot be used. ``str()``: file, line and what is wrong."""


@frozen
class OutsideEvent:
    """Something that happened at the station. ``facts``: what the recording says of it."""

    at_s: float
    utc_s: float
    name: str
    facts: Mapping[str, Any]


@frozen
class ConnectionEnd:
    """The station had no connection from here on, until its next message."""

    at_s: float
    utc_s: float


RecordedItem: TypeAlias = Frame | OutsideEvent | ConnectionEnd


@mutable
class RecordedConversation:
    """``items`` in the order of the file; ``at_s`` never goes back in them. ``answers``: by number of the request, its
    answer. ``gap_lines``: lines that the recorder could not keep."""

    station_id: str = ""
    items: list[RecordedItem] = field(default_factory=list)
    answers: dict[int, Frame] = field(default_factory=dict)
    gap_lines: int = 0

    @property
    def frames(self) -> list[Frame]:
        return [item for item in self.items if isinstance(item, Frame)]

    def recorded_calls(self, from_station: bool) -> list[Frame]:
        return [f for f in self.frames if f.kind == CALL and f.from_station == from_station]


def load_recording(path: Path, link: str = "") -> RecordedConversation:
    """Read the conversation of one link. ``link``: its name; "" takes the first one of the file.

    Raises ``RecordingError``.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            conversation = read_recorded_lines(file, link, path.name)
    except OSError as e:
        raise RecordingError(f"{path}: cannot be read: {e.strerror or e}") from None
    if not conversation.frames:
        chosen = f" of link {link}" if link else ""
        raise RecordingError(f"{path}: has no frames{chosen}")
    if all(frame.text.lstrip().startswith("<") for frame in conversation.frames):
        raise RecordingError(f"{path}: was recorded over SOAP; only OCPP-J can be replayed")
    return conversation


def read_recorded_lines(lines: Iterable[str], link: str, name: str) -> RecordedConversation:
    """Read the lines of a recording. ``name``: how an error calls the file. Raises ``RecordingError``."""
    reader = _LineReader(link)
    for number, row in _parsed_lines(lines, name):
        try:
            reader.take_row(row)
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise RecordingError(f"{name}:{number}: is no line of a recording: {type(e).__name__} {e}") from None
    return reader.conversation


def _parsed_lines(lines: Iterable[str], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and content of each line. The last one of a start may be cut, if the agent was killed while it
    wrote."""
    broken = 0
    for number, line in enumerate(lines, 1):
        row = _parse_line(line)
        if broken and (row is None or row.get("kind") != "begin"):
            break
        broken = number if row is None else 0
        if row:
            yield number, row
    else:
        return
    raise RecordingError(f"{name}:{broken}: is no JSON object")


def _parse_line(line: str) -> dict[str, Any] | None:
    """Return the content of a line, an empty one for an empty line; None: it is no JSON object."""
    if not line.strip():
        return {}
    try:
        row = json.loads(line) if len(line) <= LINE_MAX else None
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


class _LineReader:
    """Puts the lines together. The seconds of each start of the agent count from another zero: a step back is none."""

    def __init__(self, link: str) -> None:
        self._link, self._log = link, FrameLog()
        self._last_row_s: float | None = None
        self._at_s, self._utc_s = 0.0, 0.0
        self._ids_of_links: Mapping[str, Any] = {}
        self.conversation = RecordedConversation()

    def take_row(self, row: Mapping[str, Any]) -> None:
        kind = row.get("kind", "frame" if "frame" in row else "")
        self._take_time(row, kind)
        if kind == "frame":
            self._take_frame(row)
        elif kind == "begin":
            self._take_begin(row)
        elif kind == "event":
            self._take_event(row)
        elif kind == "gap":
            self.conversation.gap_lines += int(row["lines"])

    def _take_time(self, row: Mapping[str, Any], kind: str) -> None:
        row_s = row.get("at_s", row.get("t"))
        if row_s is not None:
            row_s = float(row_s)
            if self._last_row_s is not None and kind != "begin":
                self._at_s += max(row_s - self._last_row_s, 0.0)
            self._last_row_s = row_s
        if row.get("at"):
            self._utc_s = datetime.fromisoformat(str(row["at"])).timestamp()
        elif row.get("t") is not None:
            self._utc_s = float(row["t"])

    def _take_begin(self, row: Mapping[str, Any]) -> None:
        if row["format"] != FORMAT:
            raise ValueError(f"format {row['format']} is not known, {FORMAT} is")
        self._ids_of_links = dict(row.get("links") or {})
        self._take_station_id(str(row.get("station", "")))
        self._end_connection()

    def _take_station_id(self, otherwise: str) -> None:
        self.conversation.station_id = str(self._ids_of_links.get(self._link, "")) or otherwise

    def _take_frame(self, row: Mapping[str, Any]) -> None:
        link = str(row.get("link", ""))
        if not self._link and link:
            self._link = link
            self._take_station_id(self.conversation.station_id)
        if link and link != self._link:
            return
        sender = row.get("sender", {"out": "station", "in": "backend"}.get(str(row.get("dir"))))
        if sender not in ("station", "backend"):
            raise ValueError("the sender must be station or backend")
        self._log.add_text(sender == "station", str(row["version"]), str(row["frame"]), self._utc_s, self._at_s)
        frame = self._log.frames[-1]
        if frame.answers is not None:
            self.conversation.answers[frame.answers.seq] = frame
        self.conversation.items.append(frame)

    def _take_event(self, row: Mapping[str, Any]) -> None:
        name, link = str(row["event"]), row.get("link")
        if link is not None and self._link and link != self._link:
            return
        facts = {key: value for key, value in row.items() if key not in ("kind", "event", "at", "at_s")}
        self.conversation.items.append(OutsideEvent(self._at_s, self._utc_s, name, facts))
        if name == "LinkChanged" and row.get("up") is False:
            self._end_connection()

    def _end_connection(self) -> None:
        self.conversation.items.append(ConnectionEnd(self._at_s, self._utc_s))
