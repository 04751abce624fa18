"""Draws ``docs/states/*.svg`` from the domain's tables (``make docs``). Plain text in, plain SVG out.

A state machine becomes a ladder: a vertical line per state in the order of a session's life, and per state one rung for
each other state that it can lead to, with the facts that lead there. No layout to tune, no lines that cross.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from agent.domain import payment_table
from agent.domain.events import Event
from agent.domain.evse import SERVICES, SessionState
from agent.domain.payment import PayState
from agent.domain.session.table import EVENTS, TABLE

INK, FAINT, LINE, PAPER = "#1c2b3a", "#6b7c8d", "#c4d0da", "#ffffff"
ORDER = (
    SessionState.RECOVERING,
    SessionState.FREE,
    SessionState.OCCUPIED,
    SessionState.AUTHORIZED,
    SessionState.BEGINNING,
    SessionState.ACTIVE,
    SessionState.ENDING,
    SessionState.ENDED,
)
COLOURS: dict[str, str] = {
    SessionState.RECOVERING: "#8e6bb8",
    SessionState.FREE: "#3f9d5a",
    SessionState.OCCUPIED: "#7a8f2f",
    SessionState.AUTHORIZED: "#c98a12",
    SessionState.BEGINNING: "#c9641f",
    SessionState.ACTIVE: "#2f74c0",
    SessionState.ENDING: "#5c6b8a",
    SessionState.ENDED: "#38808a",
}
SAID: dict[str, str] = {
    SessionState.RECOVERING: "session waits for its board",
    SessionState.FREE: "nothing in the socket",
    SessionState.OCCUPIED: "cable or vehicle",
    SessionState.AUTHORIZED: "right, no vehicle yet",
    SessionState.BEGINNING: "register is read",
    SessionState.ACTIVE: "session on disk, release",
    SessionState.ENDING: "release withdrawn",
    SessionState.ENDED: "reported; cable still there",
}
COLUMN, HEAD, RUNG, LEFT, TOP = 148, 56, 46, 16, 64


@dataclass(frozen=True, slots=True)
class Ladder:
    """One state machine: its table, its states in the order of life, how they are coloured and what is said of them."""

    title: str
    table: Mapping[Any, Mapping[type[Event], Callable[..., Any]]]
    events: tuple[type[Event], ...]
    colours: Mapping[str, str]
    said: Mapping[str, str]

    @property
    def order(self) -> tuple[str, ...]:
        return tuple(self.colours)


SESSION = Ladder("Session region of an EVSE", TABLE, EVENTS, {s: COLOURS[s] for s in ORDER}, SAID)
PAYMENT = Ladder(
    "A payment with a bank card",
    payment_table.TABLE,
    payment_table.EVENTS,
    {
        PayState.NEW: "#6b7c8d",
        PayState.CARD_READ: "#7a8f2f",
        PayState.AUTH_PENDING: "#c98a12",
        PayState.AUTHORIZED: "#c9641f",
        PayState.ACTIVE: "#2f74c0",
        PayState.FINAL_KNOWN: "#5c6b8a",
        PayState.COMMIT_PENDING: "#38808a",
        PayState.VOID_PENDING: "#8e6bb8",
        PayState.COMMITTED: "#3f9d5a",
        PayState.VOIDED: "#3f9d5a",
        PayState.DECLINED: "#6b7c8d",
        PayState.UNCERTAIN: "#b8402f",
        PayState.LEFT_TO_CSMS: "#3f9d5a",
        PayState.WRITTEN_OFF: "#6b7c8d",
    },
    {
        PayState.NEW: "terminal waits for a card",
        PayState.CARD_READ: "outlet is chosen",
        PayState.AUTH_PENDING: "bank is asked",
        PayState.AUTHORIZED: "bank holds the amount",
        PayState.ACTIVE: "a session lives on it",
        PayState.FINAL_KNOWN: "terminal is away",
        PayState.COMMIT_PENDING: "capture is asked for",
        PayState.VOID_PENDING: "release is asked for",
        PayState.COMMITTED: "captured, once",
        PayState.VOIDED: "nothing is held",
        PayState.DECLINED: "nothing was held",
        PayState.UNCERTAIN: "reported, a person decides",
        PayState.LEFT_TO_CSMS: "the backend charges",
        PayState.WRITTEN_OFF: "a person has decided",
    },
)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way from a state to another: the facts, and the rules that they call."""

    origin: str
    target: str
    facts: tuple[str, ...]
    rules: tuple[str, ...]


def rungs(ladder: Ladder = SESSION) -> Iterator[Rung]:
    """What the table declares, in the order of life; staying is not drawn."""
    for origin in ladder.order:
        row = ladder.table[origin]
        for target in ladder.order:
            ways = [(e.__name__, row[e]) for e in ladder.events if target in getattr(row[e], "targets", ())]
            if ways and target is not origin:
                rules = tuple(dict.fromkeys(rule.__name__ for _, rule in ways))
                yield Rung(origin, target, tuple(fact for fact, _ in ways), rules)


def session() -> str:
    return _drawn(SESSION)


def payment() -> str:
    return _drawn(PAYMENT)


def _drawn(ladder: Ladder) -> str:
    drawn = list(rungs(ladder))
    x = {state: LEFT + COLUMN * i + COLUMN // 2 for i, state in enumerate(ladder.order)}
    height = TOP + HEAD + RUNG * len(drawn) + 44
    rows = (line for i, rung in enumerate(drawn) for line in _rung(rung, x, i, ladder))
    body = [*_lifelines(x, height, ladder), *rows]
    foot = "A fact that is not drawn leads to no other state. Every state has a rule for every fact."
    return _page(LEFT * 2 + COLUMN * len(ladder.order), height, ladder.title, foot, body)


def _lifelines(x: Mapping[str, int], height: int, ladder: Ladder) -> Iterator[str]:
    for state, at in x.items():
        colour = ladder.colours[state]
        yield f'<line x1="{at}" y1="{TOP + HEAD}" x2="{at}" y2="{height - 34}" stroke="{LINE}" stroke-width="2"/>'
        yield (
            f'<rect x="{at - COLUMN // 2 + 6}" y="{TOP}" width="{COLUMN - 12}" height="{HEAD - 12}" rx="8" '
            f'fill="{colour}"/>'
        )
        yield _text(at, TOP + 19, state, 15, PAPER, weight="600")
        yield _text(at, TOP + 35, ladder.said[state], 10, PAPER)


def _rung(rung: Rung, x: Mapping[str, int], index: int, ladder: Ladder) -> Iterator[str]:
    y = TOP + HEAD + RUNG * index + 30
    start, end, colour = x[rung.origin], x[rung.target], ladder.colours[rung.origin]
    tip = end - 9 if end > start else end + 9
    facts, middle = " · ".join(rung.facts), (start + end) / 2
    room = abs(end - start) - 24
    if len(facts) * 6.6 > room:  # a long label of a short rung begins or ends beside it
        middle = max(start, end) + len(facts) * 3.3 + 12
        if middle + len(facts) * 3.3 > LEFT + COLUMN * len(x):
            middle = min(start, end) - len(facts) * 3.3 - 12
    tip_text = f"{rung.origin} to {rung.target}: {facts} ({', '.join(rung.rules)})"
    yield f"<g><title>{escape(tip_text)}</title>"
    yield f'<circle cx="{start}" cy="{y}" r="4.5" fill="{colour}"/>'
    yield f'<line x1="{start}" y1="{y}" x2="{tip}" y2="{y}" stroke="{colour}" stroke-width="2"/>'
    back = -9 if end > start else 9
    yield f'<path d="M{end} {y} l{back} -5 v10 z" fill="{colour}"/>'
    beside = len(facts) * 6.6 > room
    yield _text(middle, y + (4 if beside else -7), facts, 11, INK, halo=True)
    yield "</g>"


def service() -> str:
    width, step, left = 760, 74, 40
    body: list[str] = []
    for i, row in enumerate(SERVICES):
        y = TOP + 10 + i * step
        last = i == len(SERVICES) - 1
        colour = ("#b8402f", "#6b7c8d", "#c98a12", "#3f9d5a")[i % 4]
        body += [
            f'<rect x="{left}" y="{y}" width="420" height="44" rx="8" fill="#f3f6f9" stroke="{LINE}"/>',
            _text(left + 210, y + 27, row.said, 14, INK),
            f'<line x1="{left + 420}" y1="{y + 22}" x2="{left + 511}" y2="{y + 22}" stroke="{colour}" '
            'stroke-width="2"/>',
            f'<path d="M{left + 520} {y + 22} l-9 -5 v10 z" fill="{colour}"/>',
            f'<rect x="{left + 520}" y="{y}" width="160" height="44" rx="22" fill="{colour}"/>',
            _text(left + 600, y + 27, row.service, 15, PAPER, weight="600"),
        ]
        if not last:
            body += [
                _text(left + 466, y + 16, "yes", 11, FAINT),
                f'<line x1="{left + 210}" y1="{y + 44}" x2="{left + 210}" y2="{y + step - 8}" stroke="{FAINT}" '
                'stroke-width="1.5"/>',
                f'<path d="M{left + 210} {y + step} l-5 -9 h10 z" fill="{FAINT}"/>',
                _text(left + 228, y + 62, "no", 11, FAINT),
            ]
    height = TOP + 10 + step * len(SERVICES) + 24
    foot = "Only an EVSE in service (or reserved for this card) can begin a session; a blocking fault ends one."
    return _page(width, height, "Service region of an EVSE: the first match wins", foot, body)


def _text(x: float, y: float, text: str, size: int, colour: str, weight: str = "400", halo: bool = False) -> str:
    around = f' stroke="{PAPER}" stroke-width="4" paint-order="stroke"' if halo else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" fill="{colour}" text-anchor="middle"'
        f"{around}>{escape(text)}</text>"
    )


def _page(width: int, height: int, title: str, foot: str, body: list[str]) -> str:
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="DejaVu Sans, Verdana, sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        f'<text x="{LEFT + 6}" y="34" font-size="19" font-weight="600" fill="{INK}">{escape(title)}</text>',
        *body,
        f'<text x="{LEFT + 6}" y="{height - 12}" font-size="11" fill="{FAINT}">{escape(foot)}</text>',
        "</svg>",
    )
    return "\n".join(lines) + "\n"
