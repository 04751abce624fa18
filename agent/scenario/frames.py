"""The OCPP conversation with one station as it goes over the wire, and a wait for the next part of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from agent.model.fastclass import frozen

CALL, CALL_RESULT, CALL_ERROR = 2, 3, 4
KEPT_TEXT = 4096
"""Characters of a frame in a report."""


@frozen
class Frame:
    """One frame. ``at_s``: monotonic instant of its arrival here, ``utc_s`` the same for people. ``answers``: the
    request that it answers."""

    seq: int
    at_s: float
    utc_s: float
    from_station: bool
    version: str
    text: str
    kind: int
    message_id: str
    action: str
    payload: Any
    answers: Frame | None = None

    def as_json(self, mask: Callable[[Frame], str]) -> dict[str, Any]:
        """Return the frame for a report, with secrets masked."""
        text = mask(self)
        cut = f"{text[:KEPT_TEXT]} [{len(text) - KEPT_TEXT} characters cut]" if len(text) > KEPT_TEXT else text
        sender = "station" if self.from_station else "backend"
        return {"seq": self.seq, "utc_s": round(self.utc_s, 3), "sender": sender, "frame": cut}


class FrameLog:
    """Every frame since the beginning. ``connected``: whether the station has a connection now."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.connected = False
        self.version = ""
        self.listeners: list[Callable[[Frame], None]] = []
        self.connection_listeners: list[Callable[[bool, str], None]] = []
        self._open_calls: dict[tuple[bool, str], Frame] = {}
        self._changed = asyncio.Event()

    @property
    def next_seq(self) -> int:
        return len(self.frames)

    def add_text(
        self, from_station: bool, version: str, text: str, utc_s: float | None = None, at_s: float | None = None
    ) -> None:
        """Add a frame. Text that is no frame of OCPP-J is kept as evidence, without action. It arrives now, unless
        ``at_s`` and ``utc_s`` say when an earlier run has recorded it."""
        kind, message_id, action, payload = _parse_frame(text)
        answered = None
        if kind in (CALL_RESULT, CALL_ERROR):
            answered = self._open_calls.pop((not from_station, message_id), None)
            action = answered.action if answered else ""
        frame = Frame(
            self.next_seq, time.monotonic() if at_s is None else at_s, time.time() if utc_s is None else utc_s,
            from_station, version, text, kind, message_id, action, payload, answered,
        )  # fmt: skip
        if kind == CALL:
            self._open_calls[from_station, message_id] = frame
        self.frames.append(frame)
        self.version = version or self.version
        for listen in self.listeners:
            listen(frame)
        self.notify_change()

    def set_connection(self, connected: bool, version: str = "") -> None:
        self.connected = connected
        self.version = version or self.version
        for listen in self.connection_listeners:
            listen(connected, self.version)
        self.notify_change()

    def notify_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, timeout_s: float) -> None:
        """Return at the next change, or after ``timeout_s``."""
        changed = self._changed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(timeout_s, 0)):
                await changed.wait()


def _parse_frame(text: str) -> tuple[int, str, str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return 0, "", "", None
    match message:
        case [int(kind), str(message_id), str(action), dict(payload)] if kind == CALL:
            return kind, message_id, action, payload
        case [int(kind), str(message_id), dict(payload)] if kind == CALL_RESULT:
            return kind, message_id, "", payload
        case [int(kind), str(message_id), str(code), str(words), *_] if kind == CALL_ERROR:
            return kind, message_id, "", {"error": code, "description": words}
        case _:
            return 0, "", "", None
