"""Stand-ins for the rooms around the link: an outbox in memory, a clock, and a central system on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agent.domain.backend_connection import ConnectionProfile
from agent.domain.events import Event, RequestReceived
from agent.domain.orders import Response
from agent.domain.variables import Settings
from agent.model.types import Moment, Stamp
from agent.ocpp.dialects.dialect import Dialect, FixedAnswer, Identity, LocalAnswer, RowContext
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.traffic import TrafficCounter
from agent.ocpp.transport.transport import WireOptions
from agent.ocpp.v16 import V16
from agent.ports.pki import PkiPort
from agent.ports.store import OutboxRow, Put, StoreError
from agent.station_file.settings import Backend
from tests.support.busy_machine import Deadline, stretched

UTC_S = 1_795_600_800.0  # 2026-11-25T10:00:00Z


class Clock:
    """Domain time runs with ``rate``; ``at`` stamps are seconds after ``UTC_S``. ``heard``: what counts as the time of
    the first backend."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        self.heard: list[tuple[float, float]] = []

    def now(self) -> Moment:
        return Moment(Stamp(1, time.monotonic() * self.rate), UTC_S)

    def utc_s(self, stamp: Stamp) -> float:
        return UTC_S + stamp.t_s

    def heard_utc(self, utc_s: float, round_trip_s: float, is_preliminary: bool = False) -> None:
        if not is_preliminary:
            self.heard.append((utc_s, round_trip_s))


class Outbox:
    """``broken``: how many of the next writes the store does not take."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []
        self.dead: list[tuple[OutboxRow, str]] = []
        self.facts: dict[tuple[str, str], Any] = {}
        self.broken = 0
        self._seq = 0
        self._numbers: Counter[tuple[str, str]] = Counter()

    def put(self, message: Any, session: str = "s1", link: str = "chargy") -> OutboxRow:
        self._seq += 1
        number = self._numbers[link, session]
        self._numbers[link, session] += 1
        row = OutboxRow(self._seq, link, session, message, 0, number)
        self.rows.append(row)
        return row

    def queued_count(self, link: str) -> int:
        return sum(r.link == link for r in self.rows)

    def requeued_count(self) -> int:
        return 0

    async def is_queued(self, link: str, session: str) -> bool:
        return any((r.link, r.session) == (link, session) for r in self.rows)

    async def oldest_rows(self, link: str, count: int = 1, after: int = 0) -> list[OutboxRow]:
        return [r for r in self.rows if r.link == link and r.seq > after][:count]

    def _write(self) -> None:
        if self.broken:
            self.broken -= 1
            raise StoreError("disk full: make room")

    async def remove_delivered(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self._write()
        gone = {row.seq, *(r.seq for r in row.followers)}
        self.rows = [r for r in self.rows if r.seq not in gone]
        self._put(facts)

    async def remove_with_next_commit(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        await self.remove_delivered(row, facts)

    def _put(self, facts: Sequence[Put]) -> None:
        for put in facts:
            self.facts[put.kind, put.key] = put.value

    async def put_facts(self, facts: Sequence[Put]) -> None:
        self._put(facts)

    async def count_attempt(self, row: OutboxRow, facts: Sequence[Put] = ()) -> None:
        self._write()
        self._put(facts)
        self.rows = [replace(r, attempts=r.attempts + 1) if r.seq == row.seq else r for r in self.rows]

    async def dead_letter(self, rows: Sequence[OutboxRow], reason: str, facts: Sequence[Put] = ()) -> None:
        self._write()
        self._put(facts)
        gone = {r.seq for r in rows}
        self.dead += [(r, reason) for r in self.rows if r.seq in gone]
        self.rows = [r for r in self.rows if r.seq not in gone]

    async def requeue_rows(self, rows: Sequence[OutboxRow], facts: Sequence[Put] = ()) -> None:
        self._write()
        there, back_again = {r.seq for r in self.rows}, {r.seq for r in rows}
        self.dead = [(r, why) for r, why in self.dead if r.seq not in back_again]
        back = [r for r in rows if r.seq not in there]
        self.rows = sorted((*self.rows, *back), key=lambda r: r.seq)

    async def requeue_session(self, link: str, session: str, facts: Sequence[Put]) -> None:
        self._put(facts)

    async def open_sessions(self, link: str) -> list[str]:
        return [s for s in self.transaction_records(link) if await self.is_queued(link, s)]

    async def rows_of_session(self, link: str, session: str) -> list[OutboxRow]:
        return [r for r in self.rows if (r.link, r.session) == (link, session)]

    def transaction_record(self, link: str, session: str) -> Any:
        return self.facts.get(("transaction", f"{link}/{session}")) or {}

    def transaction_records(self, link: str) -> dict[str, Any]:
        known = [k.removeprefix(link + "/") for kind, k in self.facts if kind == "transaction" and k.startswith(link)]
        return {s: value for s in known if (value := self.transaction_record(link, s))}

    def transaction_id(self, link: str, session: str, version: str) -> str | None:
        known = self.transaction_record(link, session)
        return known["ids"].get(version) if "ids" in known else known.get("id")

    def session_of(self, link: str, transaction_id: str) -> str | None:
        known = self.transaction_records(link)
        return next((s for s, k in known.items() if transaction_id in (k["id"], *k.get("ids", {}).values())), None)


IDENTITY = Identity("Chargy", "SimStation", "SN-1", "1.0.0", "M-1", "EM340", "8935", "2700")


def desk(outbox: Outbox | None = None, settings: Settings | None = None) -> RowContext:
    return RowContext("chargy", outbox or Outbox(), Clock(), settings or Settings(), lambda: IDENTITY, (1, 2))


async def until(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "") -> Any:
    """Poll with a deadline; the value that made the condition true."""
    patience = Deadline(timeout_s)
    while not (found := condition()):
        if patience.over:
            raise AssertionError(f"did not come true within {timeout_s} s: {what or condition}")
        await asyncio.sleep(0.005)
    return found


def boot_answer(status: str = "Accepted", interval: int = 300) -> dict[str, Any]:
    return {"status": status, "currentTime": "2026-11-25T10:00:00Z", "interval": interval}


_ANSWERS: dict[str, dict[str, Any]] = {
    "BootNotification": boot_answer(),
    "Heartbeat": {"currentTime": "2026-11-25T10:00:00Z"},
    "Authorize": {"idTagInfo": {"status": "Accepted"}},
    "StartTransaction": {"transactionId": 42, "idTagInfo": {"status": "Accepted"}},
    "StopTransaction": {},
    "MeterValues": {},
    "StatusNotification": {},
    "FirmwareStatusNotification": {},
    "DiagnosticsStatusNotification": {},
}


@dataclass
class Central:
    """A scripted central system. ``answer``: what to say to a CALL: a payload, a whole text, or None for silence."""

    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: list[list[Any]] = field(default_factory=list)
    frames: list[str] = field(default_factory=list)
    connections: list[Any] = field(default_factory=list)
    script: dict[str, list[Any]] = field(default_factory=dict)
    """action -> what the next calls get; the last entry stays."""
    behind: dict[str, list[Any]] = field(default_factory=dict)
    """action -> the frame that follows its answer at once."""
    port: int = 0
    attend: Callable[[Any], Awaitable[None]] | None = None

    @property
    def ws(self) -> Any:
        return self.connections[-1]

    def actions(self) -> list[str]:
        return [a for _, a, _ in self.calls]

    def of(self, action: str) -> list[dict[str, Any]]:
        return [p for _, a, p in self.calls if a == action]

    async def serve(self, ws: Any) -> None:
        self.connections.append(ws)
        if self.attend:
            await self.attend(ws)
            return
        async for text in ws:
            self.frames.append(text)
            frame = json.loads(text)
            if frame[0] != 2:
                self.answers.append(frame)
                continue
            self.calls.append((frame[1], frame[2], frame[3]))
            said = self._said(frame[2])
            if isinstance(said, dict):
                await ws.send(json.dumps([3, frame[1], said]))
            elif isinstance(said, str):
                await ws.send(said.replace("$ID", frame[1]))
            if frame[2] in self.behind:
                await ws.send(json.dumps(self.behind[frame[2]]))

    def _said(self, action: str) -> Any:
        queue = self.script.get(action)
        if not queue:
            return _ANSWERS.get(action, {})
        return queue.pop(0) if len(queue) > 1 else queue[0]

    async def ask(self, action: str, payload: Any, id_: str = "") -> list[Any]:
        """A CALL to the station; its whole answer frame."""
        id_ = id_ or f"c{len(self.answers)}-{random.random()}"[:36]
        await self.ws.send(json.dumps([2, id_, action, payload]))
        return await until(lambda: next((a for a in self.answers if a[1] == id_), None), what=f"answer to {action}")


@dataclass
class Room:
    """A link in its surroundings. ``domain``: what the domain answers to a question."""

    link: Link
    outbox: Outbox
    clock: Clock
    settings: Settings
    central: Central
    events: list[Event] = field(default_factory=list)
    traced: list[tuple[str, str, str, str]] = field(default_factory=list)
    domain: Callable[[RequestReceived], Response | None] = lambda asked: Response(asked.link, asked.request, "Accepted")

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, RequestReceived):
            reply = self.domain(event)
            if reply is not None:
                asyncio.get_running_loop().call_soon(self.link.respond, reply)

    def of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.events if isinstance(e, kind)]


QUICK = Timeouts(
    open_s=3.0, answer_s=3.0, pong_s=0.3, store_retry_s=0.05, backoff_s=0.03, backoff_random_s=0.02, boot_retry_s=0.05
)


def stretched_timeouts(patience: Timeouts) -> Timeouts:
    """Both ends are in this process: on a busy machine a living far end takes its time for a pong too. Pauses stay."""
    waits = {name: stretched(getattr(patience, name)) for name in ("open_s", "answer_s", "pong_s")}
    return replace(patience, **waits)


@contextlib.asynccontextmanager
async def served(
    central: Central, subprotocols: Sequence[str] = ("ocpp1.6",), **options: Any
) -> AsyncIterator[Central]:
    from websockets.asyncio.server import serve

    async with serve(central.serve, "127.0.0.1", central.port, subprotocols=subprotocols, **options) as server:
        central.port = next(iter(server.sockets)).getsockname()[1]
        yield central


def build(
    central: Central,
    *,
    dialects: Sequence[Dialect] = (V16,),
    patience: Timeouts = QUICK,
    rate: float = 1.0,
    primary: bool = True,
    access: Callable[[], ConnectionProfile] | None = None,
    pki: PkiPort | None = None,
    spoken: str = "",
    transports: Callable[[], Mapping[str, str]] = dict,
    interface: Callable[[], str] = lambda: "",
    silence_limit_s: Callable[[], float | None] = lambda: None,
    traffic: TrafficCounter | None = None,
    wire: WireOptions = WireOptions(),  # noqa: B008  frozen
    outbox: Outbox | None = None,
    is_known_address: Callable[[ConnectionProfile], bool] = lambda access: True,
    clock: Any = None,
    **changes: Any,
) -> Room:
    backend = Backend(
        **{
            "url": f"ws://127.0.0.1:{central.port}",
            "charge_point_id": "CP-1",
            "call_timeout_s": stretched(2.0),
            "reconnect_s": 0.03,
            **changes,
        }
    )
    outbox, clock, settings = outbox or Outbox(), clock or Clock(rate), Settings()
    room: Room
    config = LinkConfig(
        backend=backend,
        dialects=tuple(dialects),
        evse_numbers=(1, 2),
        is_primary=primary,
        last_version=spoken,
        timeouts=stretched_timeouts(patience),
        wire=wire,
        jitter=random.Random(1),
    )
    hooks = LinkHooks(
        post_event=lambda event: room.hear(event),
        identity=lambda: IDENTITY,
        traffic=traffic,
        trace=lambda *frame: room.traced.append(frame),
        password=lambda: backend.password or None,
        access=access,
        is_known_address=is_known_address,
        installed_transports=transports,
        interface=interface,
        silence_limit_s=silence_limit_s,
    )
    link = Link(config, hooks, LinkPorts(outbox, clock, settings, pki))
    room = Room(link, outbox, clock, settings, central)
    return room


@contextlib.asynccontextmanager
async def running(room: Room, up: bool = True) -> AsyncIterator[Room]:
    """The link runs; it must still run at the end (nothing that the far side does may end it)."""
    task = asyncio.create_task(room.link.run())
    try:
        if up:
            await until(lambda: room.link.is_up or task.done(), what="link up")
        yield room
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def linked(central: Central | None = None, up: bool = True, **changes: Any) -> AsyncIterator[Room]:
    async with served(central or Central()) as serving, running(build(serving, **changes), up) as room:
        yield room


def decoded(row: Any, payload: dict[str, Any], at: RowContext) -> Any:
    """What the domain is asked, or the payload of an answer in which it has no say."""
    if isinstance(row, FixedAnswer):
        return dict(row.payload)
    found = row.decode(payload, at)
    return dict(found.payload) if isinstance(found, LocalAnswer) else found
