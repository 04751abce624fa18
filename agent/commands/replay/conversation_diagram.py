"""A recorded conversation as a sequence diagram: what happened at the station, what station and backend sent, and what
a backend of now does otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from agent.audit.conversation_figures import KINDS, message_label
from agent.commands.audit.chart_drawing import Drawing, Element, Label, Shape, Stroke
from agent.commands.audit.report_record import SequenceEntry
from agent.commands.audit.sequence_diagram import SequenceRow, fold_repetitions, sequence_row_text
from agent.commands.replay.recorded_conversation import OutsideEvent, RecordedConversation
from agent.commands.replay.replay_outcome import DifferenceKind, ReplayDifference, differences_by_frame
from agent.commands.replay.replay_report import difference_in_words
from agent.scenario.frames import Frame

WIDTH, TOP, ROW_HEIGHT = 980.0, 48.0, 20.0
OUTSIDE_X, STATION_X, BACKEND_X = 110.0, 420.0, 910.0
ARROW, TEXT_SIZE = 6.0, 10.0
BOLD_SHARE = 0.85
"""Part of a width that is reckoned with for bold letters, which are wider."""
ROWS_MAX = 3000
"""Rows of one picture; browsers draw some 60,000 units of height."""
LIFELINES = {"outside": (OUTSIDE_X, "Outside"), "station": (STATION_X, "Station"), "backend": (BACKEND_X, "Backend")}
PILOT_WORDS = {
    "A": "no vehicle", "B": "vehicle connected", "C": "vehicle asks for energy", "D": "vehicle asks for energy",
    "E": "error of the control pilot", "F": "control pilot off", "?": "control pilot unknown",
}  # fmt: skip
"""States of the control pilot (IEC 61851-1)."""


def draw_conversation(conversation: RecordedConversation, differences: Sequence[ReplayDifference] = ()) -> Drawing:
    """Return the diagram of all frames and events. A row that repeats the one before is counted."""
    rows = fold_repetitions(list(_sequence_entries(conversation, differences)))
    shown = rows[:ROWS_MAX]
    bottom = TOP + ROW_HEIGHT * (len(shown) + 1)
    elements: list[Element] = [*_lifeline_elements(bottom)]
    for number, row in enumerate(shown):
        elements += _row_elements(row, TOP + ROW_HEIGHT * (number + 1))
    if left := len(rows) - len(shown):
        elements.append(Label(STATION_X, bottom + 4, f"{left} more rows are not drawn", "error"))
    says = f"{len(conversation.frames)} frames of the station and its backend in the order of time"
    more = f", and {len(differences)} differences." if differences else "."
    title = f"Conversation of {conversation.station_id or 'a station'}"
    return Drawing(bottom + ROW_HEIGHT, title, says + more, tuple(elements), WIDTH)


def _sequence_entries(
    conversation: RecordedConversation, differences: Sequence[ReplayDifference]
) -> Iterator[SequenceEntry]:
    """Yield what is drawn. A difference follows the answer to the request that it is about."""
    noted = dict(differences_by_frame(differences))
    for item in conversation.items:
        if isinstance(item, Frame):
            yield _frame_entry(item)
            about = item.seq if item.seq not in conversation.answers else None
            about = item.answers.seq if item.answers is not None else about
            for difference in noted.pop(about, []) if about is not None else []:
                yield _difference_entry(difference, item.utc_s)
        elif isinstance(item, OutsideEvent):
            yield SequenceEntry(item.utc_s, "outside", "event", item.name, event_in_words(item))
    for difference in differences:
        if difference.frame is None:
            yield _difference_entry(difference, 0.0)


def _frame_entry(frame: Frame) -> SequenceEntry:
    sender = "station" if frame.from_station else "backend"
    action = frame.action or ("" if frame.kind else f"no frame of OCPP: {frame.text[:60]}")
    return SequenceEntry(frame.utc_s, sender, KINDS.get(frame.kind, "result"), action, _frame_label(frame))


def _frame_label(frame: Frame) -> str:
    """Return what says most about a message; of an answer about a token its status and the transaction."""
    if label := message_label(frame):
        return label
    payload = frame.payload if isinstance(frame.payload, dict) else {}
    verdicts = [payload[key] for key in ("idTagInfo", "idTokenInfo") if isinstance(payload.get(key), dict)]
    words = [str(verdict.get("status", "")) for verdict in verdicts]
    words += [f"transaction {payload['transactionId']}"] if "transactionId" in payload and verdicts else []
    return " ".join(words)


def _difference_entry(difference: ReplayDifference, utc_s: float) -> SequenceEntry:
    words = difference_in_words(difference)
    if difference.kind is DifferenceKind.REQUEST_MISSING:
        words = "the backend has not sent this request"
    elif difference.frame is None:
        words = f"{difference.action}: {words}"
    return SequenceEntry(utc_s, "difference", "note", difference.action, words)


# --- drawing ---------------------------------------------------------------------------------------------------------


def _lifeline_elements(bottom: float) -> Iterator[Element]:
    for x, name in LIFELINES.values():
        yield Label(x, 20, name, "ink", "middle", bold=True)
        yield Stroke(((x, 28), (x, bottom)), "axis", 1.0)
    yield Label(8, 20, "UTC", "muted")


def _row_elements(row: SequenceRow, y: float) -> Iterator[Element]:
    entry = row.entry
    if entry.at_s:
        yield Label(8, y + 3, f"{datetime.fromtimestamp(entry.at_s, UTC):%H:%M:%S}", "muted", size=TEXT_SIZE)
    if entry.kind == "note":
        most = (BACKEND_X - STATION_X - 24) * BOLD_SHARE
        yield Label(STATION_X + 12, y - 4, f"≠ {entry.label}", "error", size=TEXT_SIZE, bold=True, most=most)
    elif entry.kind == "event":
        yield from _arrow_elements(OUTSIDE_X, STATION_X, y, "outside")
        yield from _text_elements(OUTSIDE_X, STATION_X, y, entry.label)
    else:
        begin, end = (STATION_X, BACKEND_X) if entry.sender == "station" else (BACKEND_X, STATION_X)
        role = {"call": entry.sender, "error": "error"}.get(entry.kind, "muted")
        yield from _arrow_elements(begin, end, y, role, dashed=entry.kind != "call")
        yield from _text_elements(begin, end, y, sequence_row_text(row), "error" if entry.kind == "error" else "ink")


def _arrow_elements(begin: float, end: float, y: float, role: str, dashed: bool = False) -> Iterator[Element]:
    back = ARROW if end > begin else -ARROW
    yield Stroke(((begin, y), (end - back, y)), role, 1.2, dashed=dashed)
    yield Shape(((end, y), (end - back, y - 3.5), (end - back, y + 3.5)), role)


def _text_elements(begin: float, end: float, y: float, text: str, role: str = "ink") -> Iterator[Element]:
    yield Label((begin + end) / 2, y - 4, text, role, "middle", TEXT_SIZE, most=abs(end - begin) - 20)


# --- events in words -------------------------------------------------------------------------------------------------


def _board_in_words(facts: Mapping[str, Any]) -> str:
    words = [PILOT_WORDS.get(str(facts.get("pilot")), "")]
    if facts.get("cable") and facts.get("pilot") == "A":
        words = ["cable plugged in"]
    words += ["contactor closed"] if facts.get("contactor") else []
    words += [f"fault {fault}" for fault in facts.get("faults") or ()]
    return ", ".join(word for word in words if word)


def _card_in_words(facts: Mapping[str, Any]) -> str:
    return (
        f"card {facts['token']}" if "token" in facts else f"card without identifier {facts.get('reason', '')}".strip()
    )


EVENT_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "BoardOpened": _board_in_words,
    "BoardChanged": _board_in_words,
    "CardPresented": _card_in_words,
    "LinkChanged": lambda facts: "accepted by the backend" if facts.get("up") else "no connection to the backend",
    "UnlockTried": lambda facts: "plug unlocked" if facts.get("freed") else "plug could not be unlocked",
    "SupplyChanged": lambda facts: "mains is there" if facts.get("mains") else "mains lost",
    "ConnectFailed": lambda facts: f"cannot connect: {facts.get('info', '')}",
}


def event_in_words(event: OutsideEvent) -> str:
    """Return an event for a person, with the outlet that it is about."""
    facts = event.facts
    describe = EVENT_WORDS.get(event.name)
    if describe is not None:
        words = describe(facts)
    else:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", event.name).lower()
        words = " ".join([name, *(f"{value}" for key, value in facts.items() if key not in ("evse", "link"))])
    outlet = facts.get("evse")
    return f"outlet {outlet}: {words}" if outlet else words
