"""Record the OCPP conversations of a station, and what happens at it, as JSON lines (docs/recording.md).

The first line of each start of the agent is of the kind ``begin``. A line ``frame`` has the keys of the trace of an
audit, a line ``event`` names what a device or a person has done. Frames come here as the trace has them, without
passwords, keys and credentials. A thread writes: a disk that does not answer holds up no session.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    ButtonPressed,
    CardPresented,
    ClockTrusted,
    ConnectFailed,
    Event,
    ExternalLimitReported,
    FaultGone,
    FaultRaised,
    FaultsAcknowledged,
    LinkChanged,
    MeterFailed,
    RestartExpected,
    StopRequested,
    SupplyChanged,
    UnlockTried,
)
from agent.domain.terminal_messages import (
    BankCardRead,
    PaymentApproved,
    PaymentCancelled,
    PaymentDeclined,
    TerminalLost,
    TerminalOpened,
)
from agent.model.types import Moment

log = logging.getLogger(__name__)

FORMAT = 1
BYTES_MAX = 512 * 2**20
"""Of one file. A day of a busy station takes some 5 MB."""
WAITING_BYTES_MAX = 8 * 2**20
"""What may wait for a disk that does not answer."""
WRITE_S = 2.0
"""How long the end of a station waits for a disk that does not answer."""

Facts = dict[str, Any]


def _card_facts(event: CardPresented) -> Facts:
    """Return what is written of a card. Its whole number stands in the frames alone, where the backend needs it."""
    token = event.token
    shown = {} if token is None else {"token": token.masked_value(), "type": str(token.type)}
    return {"evse": event.evse, **shown, **({"reason": event.reason} if event.reason else {})}


def _board_facts(event: BoardOpened | BoardChanged) -> Facts:
    state = event.state
    return {
        "evse": event.evse, "pilot": str(state.pilot), "cable": state.cable, "locked": state.locked,
        "contactor": state.contactor, "faults": sorted(map(str, state.faults)),
    }  # fmt: skip


def _approval_facts(event: PaymentApproved) -> Facts:
    return {"terminal": event.terminal, "payment": event.payment, "amount_cents": event.amount_cents}


OUTSIDE_EVENTS: Mapping[type[Event], Callable[[Any], Facts]] = {
    BoardOpened: _board_facts,
    BoardChanged: _board_facts,
    CardPresented: _card_facts,
    ButtonPressed: lambda e: {"name": e.name},
    SupplyChanged: lambda e: {"mains": e.supply.mains, "backup": e.supply.backup},
    ExternalLimitReported: lambda e: {"limit": e.limit},
    FaultRaised: lambda e: {"evse": e.evse, "fault": str(e.fault)},
    FaultGone: lambda e: {"evse": e.evse, "fault": str(e.fault)},
    FaultsAcknowledged: lambda e: {"evse": e.evse},
    MeterFailed: lambda e: {"evse": e.evse},
    UnlockTried: lambda e: {"evse": e.evse, "freed": e.freed},
    TerminalOpened: lambda e: {"terminal": e.terminal},
    TerminalLost: lambda e: {"terminal": e.terminal},
    BankCardRead: lambda e: {"terminal": e.terminal, "payment": e.payment},
    PaymentApproved: _approval_facts,
    PaymentDeclined: lambda e: {"terminal": e.terminal, "payment": e.payment, "reason": e.reason},
    PaymentCancelled: lambda e: {"terminal": e.terminal, "payment": e.payment},
    LinkChanged: lambda e: {"link": e.link, "up": e.up},
    ConnectFailed: lambda e: {"link": e.link, "info": e.info},
    ClockTrusted: lambda e: {},
    StopRequested: lambda e: {},
    RestartExpected: lambda e: {"expected": e.expected},
}
"""What is recorded, and what is written of it. What the backend does is in the frames, and so are the readings."""
REPEATED_REPORTS = (BoardOpened, BoardChanged, ExternalLimitReported, ConnectFailed)
"""Reports that come again and again: they are recorded when they say something new."""


class ConversationRecorder:
    """Records until the station ends, or until the file is full. ``station``: what the first line says of it.

    A file that exists is continued: an agent that is started again goes on with the recording of the one before.
    """

    def __init__(
        self, path: Path, station: Mapping[str, Any], current_moment: Callable[[], Moment], bytes_max: int = BYTES_MAX
    ) -> None:
        self._path, self._current_moment, self._bytes_max = path, current_moment, bytes_max
        self._waiting: list[bytes] = []
        self._waiting_bytes = self._lost_lines = 0
        self._latest: dict[tuple[str, Any], Facts] = {}
        self._has_ended = self._has_written = False
        self._arrived, self._writing, self._queueing = asyncio.Event(), threading.Lock(), threading.Lock()
        self._add_line("begin", {"format": FORMAT, **station})

    def add_frame(self, direction: str, link: str, version: str, text: str) -> None:
        """Record a frame as the trace has it. ``direction``: "out" is from the station."""
        sender = "station" if direction == "out" else "backend"
        self._add_line("frame", {"link": link, "sender": sender, "version": version, "frame": text})

    def add_event(self, event: Event) -> None:
        """Record an event of the engine, if it happened at the station."""
        describe = OUTSIDE_EVENTS.get(type(event))
        if describe is None:
            return
        facts = describe(event)
        if isinstance(event, REPEATED_REPORTS):
            place = (type(event).__name__, facts.get("evse", facts.get("link")))
            if self._latest.get(place) == facts:
                return
            self._latest[place] = facts
        self._add_line("event", {"event": type(event).__name__, **facts})

    async def run(self) -> None:
        """Write what arrives, without end. What waits when it is cancelled is written too."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                await asyncio.to_thread(self._write_waiting_lines)
        finally:
            self._write_waiting_lines()

    def _add_line(self, kind: str, content: Facts) -> None:
        if self._has_ended:
            return
        moment = self._current_moment()
        at = None if moment.utc_s is None else _instant_text(moment.utc_s)
        when = {"at": at, "at_s": round(moment.t_s, 3)}
        line = _json_line({"kind": kind, **when, **content})
        with self._queueing:
            if self._waiting_bytes + len(line) > WAITING_BYTES_MAX:
                self._lost_lines += 1
                return
            if self._lost_lines:
                self._waiting.append(_json_line({"kind": "gap", **when, "lines": self._lost_lines}))
                self._lost_lines = 0
            self._waiting.append(line)
            self._waiting_bytes += len(line)
        self._arrived.set()

    def _write_waiting_lines(self) -> None:
        if not self._writing.acquire(timeout=WRITE_S):  # a thread that writes when the station ends is waited for
            return
        try:
            with self._queueing:
                lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if lines and not self._has_ended:
                self._append_to_file(lines)
        except OSError as e:
            self._has_ended = True
            log.error("recording %s: %s; the rest is not recorded", self._path, e.strerror or e)
        finally:
            self._writing.release()

    def _append_to_file(self, lines: list[bytes]) -> None:
        """Append lines. Raises ``OSError``."""
        with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
            if file.tell() and not self._has_written:  # an agent that was killed may have left half a line
                file.write(b"\n")
            self._has_written = True
            for line in lines:
                if file.tell() + len(line) > self._bytes_max:
                    self._has_ended = True
                    file.write(_json_line({"kind": "end", "why": "the file is full"}))
                    log.warning("recording %s has %d bytes and ends here", self._path, file.tell())
                    return
                file.write(line)


def _instant_text(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_line(content: Facts) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"
