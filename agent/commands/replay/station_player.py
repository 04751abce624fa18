"""Play the station's side of a recorded conversation again: its messages in their order, at the times of the recording
or as fast as the backend answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from agent.audit.conversation_figures import latency_json
from agent.commands.replay.backend_requests import RecordedRequests
from agent.commands.replay.payload_comparison import TransactionIds, compare_answers
from agent.commands.replay.recorded_conversation import (
    ConnectionEnd,
    OutsideEvent,
    RecordedConversation,
    RecordedItem,
)
from agent.commands.replay.replay_outcome import DifferenceKind, PresentAnswer, ReplayDifference, ReplayOutcome
from agent.commands.scenario.people import run_user_command
from agent.model.fastclass import frozen
from agent.model.secret_texts import HIDDEN
from agent.ocpp.transport.basic_auth import basic_auth
from agent.scenario.frames import CALL, CALL_ERROR, CALL_RESULT, Frame, FrameLog
from agent.scenario.station_proxy import trusting_context
from agent.scenario.target import CannotCarryOut, NotApplicable

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

OPEN_S = 20.0
MOST_BYTES = 64 * 2**20
_TIMES = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"')
"""Instants in the text of a message."""


class CannotReplay(Exception):
    """The replay cannot be done. ``str()``: why, for a person."""


@frozen
class ReplayRequest:
    """What the command line asks for. ``speed``: of the recording's time; None: as fast as the backend answers.
    ``shift_times``: times in the messages are moved, so that the recording begins now. ``new_ids``: transactions
    of OCPP 2.x get new ids. ``request_wait_s``: how long a recorded request of the backend is waited for.
    ``backend_command``: has the backend send a request."""

    backend_url: str
    station_id: str
    password: str = ""
    trusted: Path | None = None
    speed: float | None = None
    shift_times: bool = False
    new_ids: bool = False
    patience_s: float = 30.0
    request_wait_s: float = 2.0
    backend_command: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class StationPlayer:
    """One replay. ``frames``: the present conversation, as far as it is."""

    def __init__(
        self, conversation: RecordedConversation, request: ReplayRequest,
        show_progress: Callable[[int, Frame], None] = lambda done, frame: None,
    ) -> None:  # fmt: skip
        self.frames, self.outcome = FrameLog(), ReplayOutcome()
        self._conversation, self._request, self._show_progress = conversation, request, show_progress
        self._ids = TransactionIds()
        self._requests = RecordedRequests(conversation, self._ids, request.ignored)
        self._connection: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._version = ""
        self._asked: Frame | None = None
        """The recorded request that waits for its answer."""
        self._begin_s, self._shift_s = time.monotonic(), 0.0
        self._has_connected = False

    async def play_conversation(self) -> ReplayOutcome:
        """Play all of it. Raises ``CannotReplay`` if the backend cannot be reached at the beginning."""
        items = self._conversation.items
        self._begin_s = time.monotonic()
        if self._request.shift_times:
            first_utc_s = next((i.utc_s for i in items if i.utc_s), 0.0)
            self._shift_s = time.time() - first_utc_s
        try:
            for number, item in enumerate(items):
                await self._wait_until_due(item)
                if not await self._play_item(item):
                    self._note_unplayed(items[number:])
                    break
        finally:
            await self._close_connection()
        self._requests.note_missing_requests()
        self.outcome.others += self._requests.differences
        self.outcome.requests_met = self._requests.met_count
        self.outcome.latency = [row for row in latency_json(self.frames.frames) if row["sender"] == "station"]
        return self.outcome

    async def _wait_until_due(self, item: RecordedItem) -> None:
        if self._request.speed is not None:
            due_s = self._begin_s + (item.at_s - self._conversation.items[0].at_s) / self._request.speed
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))

    async def _play_item(self, item: RecordedItem) -> bool:
        """Play one item. Returns False if the backend does not take this station any more."""
        if isinstance(item, ConnectionEnd):
            await self._close_connection()
        elif isinstance(item, OutsideEvent) or item.kind in (CALL_RESULT, CALL_ERROR):
            pass  # what happened at the station is in its messages; an answer is sent when its request comes
        elif not item.from_station:
            await self._meet_request(item)
        elif item.text != HIDDEN:
            return await self._send_frame(item)
        return True

    def _note_unplayed(self, items: Sequence[RecordedItem]) -> None:
        calls = [i for i in items if isinstance(i, Frame) and i.kind == CALL and i.from_station]
        self.outcome.unplayed = len(calls)

    # --- the station's messages --------------------------------------------------------------------------------------

    async def _send_frame(self, recorded: Frame) -> bool:
        """Send a message of the station. Returns False if there is no connection to send it on."""
        from websockets.exceptions import ConnectionClosed

        try:
            connection = await self._open_connection(recorded.version)
        except CannotReplay as e:
            if not self._has_connected:
                raise
            self._note_lost_connection(recorded, str(e))
            return False
        first, began_s = self.frames.next_seq, time.monotonic()
        text = self._present_text(recorded)
        self.frames.add_text(True, recorded.version, text)
        self._asked = recorded
        try:
            await connection.send(text)
            if recorded.kind == CALL:
                answer = await self._wait_for_answer(recorded, first)
                self._note_answer(recorded, answer, time.monotonic() - began_s)
        except ConnectionClosed as e:
            self._note_lost_connection(recorded, f"closed by the backend ({e.rcvd.code if e.rcvd else 'no reason'})")
            await self._close_connection()
        return True

    def _present_text(self, recorded: Frame) -> str:
        """Return the text of a recorded message with the ids of transactions, and the times if they are shifted, of
        now."""
        text = recorded.text
        if isinstance(recorded.payload, Mapping) and recorded.kind == CALL:
            if self._request.new_ids:
                self._ids.renew_texts(recorded.payload)
            payload = self._ids.as_present(recorded.payload)
            if payload != recorded.payload:
                text = json.dumps([CALL, recorded.message_id, recorded.action, payload], ensure_ascii=False)
        return shift_instants(text, self._shift_s) if self._shift_s else text

    async def _wait_for_answer(self, recorded: Frame, first: int) -> Frame | None:
        """Return the answer to a request that was sent as frame ``first``; None: there is none in time. Raises
        ``ConnectionClosed``."""
        end_s = time.monotonic() + self._request.patience_s
        assert self._connection is not None
        while True:
            for frame in self.frames.frames[first:]:
                if frame.answers is not None and frame.answers.seq == first:
                    return frame
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return None
            if self._reader is not None and self._reader.done():
                self._reader.result()  # raises what is wrong here
                await self._connection.recv()  # raises: the connection is closed
            await self.frames.wait_for_change(left_s)

    def _note_answer(self, recorded: Frame, answer: Frame | None, took_s: float) -> None:
        before = self._conversation.answers.get(recorded.seq)
        found: list[ReplayDifference] = []
        if answer is None and before is not None:
            words = f"nothing within {self._request.patience_s:g} s"
            found.append(ReplayDifference(DifferenceKind.NO_ANSWER, recorded.action, recorded, "", "an answer", words))
        elif answer is not None and before is not None:
            found += [
                ReplayDifference(DifferenceKind.ANSWER, recorded.action, recorded, d.path, d.recorded, d.present)
                for d in compare_answers(recorded.action, before, answer, self._ids, self._request.ignored)
            ]
        self.outcome.answers.append(PresentAnswer(recorded, answer, took_s * 1000.0, tuple(found)))
        self._show_progress(len(self.outcome.answers), recorded)

    def _note_lost_connection(self, recorded: Frame, words: str) -> None:
        self.outcome.others.append(
            ReplayDifference(DifferenceKind.CONNECTION, recorded.action, recorded, "", "a connection", words)
        )

    # --- the backend's requests --------------------------------------------------------------------------------------

    async def _meet_request(self, recorded: Frame) -> None:
        """Wait until the backend has sent a recorded request. It may have done so already."""
        if recorded.kind != CALL:
            return
        end_s = time.monotonic() + self._request.request_wait_s
        if self._request.backend_command and not self._requests.is_met(recorded):
            payload = json.dumps(self._ids.as_present(recorded.payload), ensure_ascii=False)
            words = (recorded.action, payload, self._request.station_id)
            with contextlib.suppress(CannotCarryOut, NotApplicable):  # then the request is missing, which is said
                await run_user_command(self._request.backend_command, words, self._request.patience_s)
                end_s = time.monotonic() + self._request.patience_s
        while not self._requests.is_met(recorded) and (left_s := end_s - time.monotonic()) > 0:
            if self._reader is None or self._reader.done():
                return
            await self.frames.wait_for_change(left_s)

    async def _read_frames(self, connection: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for raw in connection:
                text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
                self.frames.add_text(False, self._version, text)
                frame = self.frames.frames[-1]
                self._learn_number(frame)
                if frame.kind == CALL:
                    answer = self._requests.take_request(frame)
                    await connection.send(answer)
                    self.frames.add_text(True, self._version, answer)
        self.frames.notify_change()

    def _learn_number(self, answer: Frame) -> None:
        """Learn the number of a transaction at once: the next frame of the backend may be about it."""
        if answer.answers is not None and answer.action == "StartTransaction" and self._asked is not None:
            before = self._conversation.answers.get(self._asked.seq)
            if before is not None and answer.message_id == self._asked.message_id:
                self._ids.learn_numbers(before.payload, answer.payload)

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _open_connection(self, version: str) -> ClientConnection:
        """Return the connection, a new one if there is none in this version of OCPP. Raises ``CannotReplay``."""
        is_open = self._connection is not None and self._reader is not None and not self._reader.done()
        if self._connection is None or not is_open or version != self._version:
            await self._close_connection()
            self._connection = await _connect_station(self._request, version)
            self._version, self._has_connected = version, True
            self.frames.set_connection(True, version)
            self._reader = asyncio.create_task(self._read_frames(self._connection))
        return self._connection

    async def _close_connection(self) -> None:
        connection, reader, self._connection, self._reader = self._connection, self._reader, None, None
        if connection is not None:
            await connection.close()
            self.frames.set_connection(False)
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader


async def _connect_station(request: ReplayRequest, version: str) -> ClientConnection:
    """Connect as the station does. Raises ``CannotReplay``."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.typing import Subprotocol

    url = f"{request.backend_url.rstrip('/')}/{quote(request.station_id, safe='')}"
    login = {"Authorization": basic_auth(request.station_id, request.password.encode())} if request.password else {}
    try:
        context = trusting_context(request.trusted) if urlsplit(url).scheme == "wss" else None
        connection = await connect(
            url, subprotocols=[Subprotocol(f"ocpp{version}")], additional_headers=login, ssl=context, compression=None,
            ping_interval=None, open_timeout=OPEN_S, max_size=MOST_BYTES, user_agent_header=None, proxy=None,
        )  # fmt: skip
    except InvalidStatus as e:
        raise CannotReplay(f"the backend refuses {request.station_id}: HTTP {e.response.status_code}") from None
    except (OSError, TimeoutError, InvalidHandshake) as e:
        raise CannotReplay(f"the backend cannot be reached at {request.backend_url}: {e}") from None
    if connection.subprotocol is None:
        await connection.close()
        raise CannotReplay(f"the backend does not speak OCPP {version}")
    return connection


def shift_instants(text: str, shift_s: float) -> str:
    """Return a message whose instants are later by ``shift_s``."""

    def shifted(found: re.Match[str]) -> str:
        try:
            instant = datetime.fromisoformat(found[1]) + timedelta(seconds=shift_s)
        except (ValueError, OverflowError):
            return found[0]
        return f'"{instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")}"'

    return _TIMES.sub(shifted, text)
