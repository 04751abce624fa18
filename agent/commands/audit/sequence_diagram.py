"""The conversation as a sequence diagram. It shows a readable number of messages; the others are counted by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from agent.commands.audit.chart_drawing import WIDTH, Drawing, Element, Label, Shape, Stroke
from agent.commands.audit.report_record import SequenceEntry
from agent.model.fastclass import frozen, replace

ROWS_MAX = 44
"""As many as one A4 page has room for."""
ROW_HEIGHT, TOP = 19.0, 40.0
STATION_X, BACKEND_X = 96.0, WIDTH - 60.0
ARROW = 6.0
PERIODIC = ("Heartbeat", "MeterValues")
"""Their repetitions are folded although their content differs."""
OF_TRANSACTIONS = ("StartTransaction", "StopTransaction", "TransactionEvent", "RemoteStartTransaction", "Authorize")


@frozen
class SequenceRow:
    """``times``: how often this message was sent in succession."""

    order: int
    entry: SequenceEntry
    times: int = 1


@frozen
class SequenceDiagram:
    """``omitted``: messages that are not drawn, in words; "" if all are."""

    drawing: Drawing
    omitted: str


def draw_sequence(entries: Sequence[SequenceEntry]) -> SequenceDiagram | None:
    """Return the diagram; None if there are no messages."""
    folded = fold_repetitions(entries)
    if not folded:
        return None
    shown = select_rows(folded)
    elements: list[Element] = [*_lifeline_elements(TOP + ROW_HEIGHT * len(shown))]
    for number, row in enumerate(shown):
        elements += _row_elements(row, TOP + ROW_HEIGHT * (number + 1))
    says = f"{len(shown)} messages between station and backend, in the order of time."
    drawing = Drawing(TOP + ROW_HEIGHT * len(shown) + 16, "Sequence of messages", says, tuple(elements))
    return SequenceDiagram(drawing, _omitted_in_words(folded, shown))


def fold_repetitions(entries: Sequence[SequenceEntry]) -> list[SequenceRow]:
    """Return the messages. A request with its answer that follows its like is counted, not repeated."""
    rows: list[SequenceRow] = []
    at = 0
    while at < len(entries):
        pair = entries[at : at + 2]
        if len(rows) > 1 and len(pair) == 2 and all(map(_are_alike, pair, (r.entry for r in rows[-2:]))):
            rows[-2:] = [replace(row, times=row.times + 1) for row in rows[-2:]]
            at += 2
        else:
            rows.append(SequenceRow(len(rows), entries[at]))
            at += 1
    return rows


def _are_alike(one: SequenceEntry, other: SequenceEntry) -> bool:
    if (one.sender, one.kind, one.action) != (other.sender, other.kind, other.action):
        return False
    return one.kind != "error" and (one.label == other.label or one.action in PERIODIC)


def select_rows(rows: Sequence[SequenceRow]) -> list[SequenceRow]:
    """Return the rows to draw: errors, the first message of each kind, those of transactions, then the others."""
    seen: set[tuple[str, str, str]] = set()
    ranked = []
    for row in rows:
        key = (row.entry.sender, row.entry.kind, row.entry.action)
        is_first = key not in seen
        seen.add(key)
        rank = 0 if row.entry.kind == "error" else 1 if is_first else 2 if row.entry.action in OF_TRANSACTIONS else 3
        ranked.append((rank, row.order, row))
    return sorted((row for _, _, row in sorted(ranked, key=lambda r: r[:2])[:ROWS_MAX]), key=lambda r: r.order)


def _omitted_in_words(rows: Sequence[SequenceRow], shown: Sequence[SequenceRow]) -> str:
    drawn = {row.order for row in shown}
    counts: Counter[str] = Counter()
    for row in rows:
        if row.order not in drawn:
            counts[row.entry.action or "without a name"] += row.times
    if not counts:
        return ""
    named = ", ".join(f"{action} {count}" for action, count in counts.most_common())
    return (
        f"{sum(counts.values())} messages are not drawn (requests and answers): {named}. trace.jsonl has all of them."
    )


def _lifeline_elements(bottom: float) -> Iterator[Element]:
    for x, name in ((STATION_X, "Station"), (BACKEND_X, "Backend")):
        yield Label(x, 16, name, "ink", "middle", bold=True)
        yield Stroke(((x, 24), (x, bottom + 8)), "axis", 1.0)
    yield Label(STATION_X - 34, 16, "s", "muted", "end")


def _row_elements(row: SequenceRow, y: float) -> Iterator[Element]:
    entry = row.entry
    role = {"call": entry.sender, "result": "muted", "error": "error"}[entry.kind]
    begin, end = (STATION_X, BACKEND_X) if entry.sender == "station" else (BACKEND_X, STATION_X)
    back = ARROW if end > begin else -ARROW
    yield Label(STATION_X - 34, y + 3, f"{entry.at_s:.1f}", "muted", "end", 10.0)
    yield Stroke(((begin, y), (end - back, y)), role, 1.2, dashed=entry.kind != "call")
    yield Shape(((end, y), (end - back, y - 3.5), (end - back, y + 3.5)), role)
    ink, most = "error" if entry.kind == "error" else "ink", BACKEND_X - STATION_X - 30
    yield Label((begin + end) / 2, y - 4, sequence_row_text(row), ink, "middle", 10.0, most=most)


def sequence_row_text(row: SequenceRow) -> str:
    entry = row.entry
    label = entry.label if entry.label != entry.action else ""
    words = {
        "call": f"{entry.action}  {label}",
        "result": label or f"{entry.action}: answer",
        "error": f"{entry.action}: error  {label}",
    }
    times = f"  (× {row.times})" if row.times > 1 else ""
    return " ".join(words[entry.kind].split("\n")).strip() + times
