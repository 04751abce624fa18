"""The transactions of a conversation with every message about them, whatever the version of OCPP.

``StationView`` has what became of a transaction; judges also need the messages: how often it was ended, and when.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from agent.audit.context import AuditContext
from agent.audit.message_paths import (
    instant_of_text,
    outlet_in_request,
    table_at,
    token_in_request,
    transaction_in_request,
)
from agent.model.fastclass import mutable
from agent.scenario.frames import CALL, Frame

EVENTS = {"Started": "start", "Updated": "middle", "Ended": "end"}
"""TransactionEvent has the part in a field; before OCPP 2.0 each part is an action."""
PARTS = {"StartTransaction": "start", "MeterValues": "middle", "StopTransaction": "end"}


@mutable
class TransactionHistory:
    """``id`` None: its start was never answered, so that it has none. ``starts``, ``middles``, ``ends``: the requests
    of each part, repetitions included. ``evse`` 0: no message named an outlet."""

    id: int | str | None
    evse: int = 0
    token: str = ""
    starts: list[Frame] = field(default_factory=list)
    middles: list[Frame] = field(default_factory=list)
    ends: list[Frame] = field(default_factory=list)

    @property
    def all_requests(self) -> list[Frame]:
        return sorted((*self.starts, *self.middles, *self.ends), key=lambda frame: frame.seq)

    @property
    def started_s(self) -> float | None:
        """Return the instant of the start by the station's clock."""
        return instant_of_text(self.starts[0].payload.get("timestamp")) if self.starts else None

    @property
    def ended_s(self) -> float | None:
        return instant_of_text(self.ends[0].payload.get("timestamp")) if self.ends else None

    @property
    def stop_reason(self) -> str:
        """Return the reason of the end. A message that names none means Local (OCPP 1.6 7.36, 2.0.1 3.73)."""
        if not self.ends:
            return ""
        payload = self.ends[0].payload
        return str(payload.get("reason") or table_at(payload, "transactionInfo").get("stoppedReason") or "Local")

    @property
    def words(self) -> str:
        name = "that has no id" if self.id is None else str(self.id)
        return f"transaction {name}" + (f" of outlet {self.evse}" if self.evse else "")

    def contains_seq(self, seq: int) -> bool:
        """Return whether it ran when the frame of this number came, as far as the messages show."""
        begun = bool(self.starts) and self.starts[0].seq < seq
        return begun and not (self.ends and self.ends[0].seq < seq)


def read_transactions(frames: Iterable[Frame]) -> list[TransactionHistory]:
    """Return the transactions in the order of their first messages."""
    kept = tuple(frames)
    numbers = dict(_given_numbers(kept))
    found: dict[Any, TransactionHistory] = {}
    for frame in kept:
        if frame.kind != CALL or not frame.from_station:
            continue
        part, number = _part_of_request(frame, numbers)
        if part:
            key = ("unanswered", frame.seq) if number is None else number
            _add_request(found.setdefault(key, TransactionHistory(number)), part, frame)
    return list(found.values())


def _given_numbers(frames: tuple[Frame, ...]) -> Iterator[tuple[int, int | str]]:
    """Yield for each request that was answered with the id of a transaction: its seq, and the id."""
    for frame in frames:
        number = transaction_in_request(frame.payload)
        if frame.answers is not None and frame.answers.from_station and number is not None:
            yield frame.answers.seq, number


def _part_of_request(frame: Frame, numbers: Mapping[int, int | str]) -> tuple[str, int | str | None]:
    """Return which part of a transaction a request is, "" for none, and the id of the transaction."""
    number = transaction_in_request(frame.payload)
    if "transactionInfo" in frame.payload:
        return EVENTS.get(str(frame.payload.get("eventType")), ""), number
    part = PARTS.get(frame.action, "")
    if part == "middle" and number is None:
        return "", None
    return part, numbers.get(frame.seq) if part == "start" else number


def _add_request(one: TransactionHistory, part: str, frame: Frame) -> None:
    {"start": one.starts, "middle": one.middles, "end": one.ends}[part].append(frame)
    one.evse = one.evse or outlet_in_request(frame.payload)
    if part != "end":
        one.token = one.token or token_in_request(frame.payload)


def connection_numbers(context: AuditContext) -> Mapping[int, int]:
    """Return for each frame, by its ``seq``, the number of the connection on which it came.

    Where the audit has no record of connections a BootNotification begins a new one: that is right for a restart, and
    a lost connection without one is not seen.
    """
    opened_s = [record.at_s for record in context.records if record.kind == "connected"]
    found, boots, opened = {}, 0, 0
    for frame in context.frames:
        boots += frame.kind == CALL and frame.from_station and frame.action == "BootNotification"
        while opened < len(opened_s) and opened_s[opened] <= frame.at_s:
            opened += 1
        found[frame.seq] = opened if opened_s else boots
    return found


def station_lives(context: AuditContext) -> Mapping[int, int]:
    """Return for each frame, by its ``seq``, which station it is of: a simulated one may be replaced by a fresh one,
    with another meter and none of the settings."""
    began_s = station_begin_times(context)
    return {frame.seq: bisect.bisect(began_s, frame.at_s) for frame in context.frames}


def station_begin_times(context: AuditContext) -> list[float]:
    """Return when each simulated station began, in order. There is none where the station is real."""
    return sorted(record.at_s for record in context.records if record.kind == "station_began")
