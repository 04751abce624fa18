"""The link to one backend: connects for ever, boots, tells, asks, answers. Nothing that the far side does gets out of
here as an exception.

Three activities share a connection: ``_listen`` reads frames, ``_work`` answers requests in their order, ``_talk``
sends our CALLs one at a time (OCPP-J allows one in flight): Authorize overtakes everything, then what was triggered,
statuses, the durable queues, and at last the heartbeat. ``_watch`` pings after silence. Time-outs are real seconds;
what the domain or the backend schedules (heartbeat, retries, boot interval) is domain time, scaled by the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from agent.domain.backend_connection import Access
from agent.domain.events import Event, LinkChanged, SecurityNoticed, TokenJudged
from agent.domain.messages import BootWanted, HeartbeatWanted, Message, StatusChanged
from agent.domain.orders import JudgeToken, Reply
from agent.domain.security_events import SecurityEvent
from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import Boot, Desk, Dialect, Heard, Identity, Out
from agent.ocpp.inbound.queue import Inbox
from agent.ocpp.inbound.requests import Asking
from agent.ocpp.outbound.authorize_queue import Judging
from agent.ocpp.outbound.delivery import deliver
from agent.ocpp.outbound.durable_queues import DurableQueues
from agent.ocpp.outbound.heartbeat import Heartbeat
from agent.ocpp.outbound.status_queue import Statuses, Waiting
from agent.ocpp.registration import Registration
from agent.ocpp.transport import connector
from agent.ocpp.transport.backoff import Backoff, growing_s
from agent.ocpp.transport.call_channel import Gone, Line, Silent
from agent.ocpp.transport.reconnect import Connecting
from agent.ocpp.transport.timeouts import Patience, wait
from agent.ocpp.transport.websocket import Closed, WebSocket
from agent.ocpp.wire.rpc import Answered, Called, Dropped, Errored, Say
from agent.ports.clock import ClockPort
from agent.ports.pki import PkiPort
from agent.ports.store import OutboxPort, OutboxRow
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")

STATUS_RETRY_S = 60.0
"""Domain seconds until a status that met silence is told again; grows while the silence lasts."""


class Link:
    """``primary``: the station's AuthorizationKey is the secret between the station and this backend, its first one.
    Every other link knows only its own ``password``: neither may learn, use or set the other's. ``password`` of a
    primary link is asked only while no AuthorizationKey is set."""

    def __init__(
        self,
        *,
        backend: Backend,
        dialects: Sequence[Dialect],
        identity: Callable[[], Identity],
        outbox: OutboxPort,
        clock: ClockPort,
        settings: Settings,
        evse_numbers: Sequence[int],
        hear: Callable[[Event], None],
        trace: Callable[[str, str, str, str], None] = lambda direction, link, version, text: None,
        password: Callable[[], str | None] = lambda: None,
        jitter: random.Random | None = None,
        patience: Patience | None = None,
        primary: bool = True,
        access: Callable[[], Access] | None = None,
        pki: PkiPort | None = None,
        spoken: str = "",  # its version before the agent was started anew: it rules until there is a connection
    ) -> None:
        self.name = backend.name
        self._dialects, self._clock, self._settings, self._hear = tuple(dialects), clock, settings, hear
        self._patience = patience or Patience()
        jitter = jitter or random.Random()
        self._connecting = Connecting(
            backend, dialects, settings, hear, password, primary, self._patience, jitter, access, pki, clock.rate
        )
        self._desk = Desk(backend.name, outbox, clock, settings, identity, tuple(evse_numbers), primary=primary)
        self._line = Line(
            self._desk,
            next((d for d in self._dialects if d.name == spoken), self._dialects[0]),
            self.url,
            trace,
            self._late,
            backend.call_timeout_s,
            self._patience.pong_s,
        )
        self._asking = Asking(self._desk, self._line.rpc, hear, self._patience.answer_s)
        self._queues = DurableQueues(self._desk, self._patience.store_retry_s)
        self._statuses = Statuses()
        boot_retry_s = self._patience.boot_retry_s
        self._registration = Registration(self._desk, Backoff(jitter, boot_retry_s, boot_retry_s), clock.rate)
        self._wake, self._watching, self._leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._inbox = Inbox()
        self._moved = asyncio.Event()
        self._status_silences = 0
        self._up, self._retell, self._down_since_s, self._connected_s = False, False, 0.0, 0.0
        self._heartbeat = Heartbeat(settings, self._desk, self._line, clock)
        self._judging = Judging(hear, backend.call_timeout_s)
        self._urgent: deque[Message] = deque()
        self.trouble = ""
        """Why the last attempt to connect has failed, for people; "" once there is a connection."""

    # --- what the rest of the agent sees -------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Connected, and the boot is accepted."""
        return self._up

    @property
    def boot(self) -> str | None:
        """The backend's last word to a BootNotification."""
        return self._desk.boot

    @property
    def _dialect(self) -> Dialect:
        return self._line.dialect

    @property
    def version(self) -> str:
        return self._dialect.name

    @property
    def url(self) -> str:
        """For people: without user and password."""
        return self._connecting.url

    @property
    def max_token_length(self) -> int:
        return self._dialect.max_token_length

    @property
    def told(self) -> dict[int, dict[str, str]]:
        return {n: {"status": t.status, "error": t.error} for n, t in self._statuses.told.items()}

    @property
    def dropped(self) -> int:
        """Frames that could not be read, since the start."""
        return self._line.rpc.dropped

    def tell(self, message: Message) -> None:
        """Something that is not billed. Never blocks, never fails."""
        if isinstance(message, StatusChanged):
            if self.boot != "Accepted" and not message.forced:
                return  # the whole situation is told anew once the boot is accepted
            settle_s = float(self._settings.number("minimum_status_duration_s"))
            told, now_s = self._dialect.project(message), self._clock.now().t_s
            self._statuses.add(
                message, told, now_s, settle_s, self._queues.billing.barrier() if self._up else 0, self._up
            )
        elif isinstance(message, BootWanted) and self.boot != "Accepted":
            self._registration.triggered()
        elif message not in self._urgent and isinstance(self._dialect.outgoing(type(message)), Out):
            self._urgent.append(message)
        self._wake.set()

    def wake(self) -> None:
        """A row was added to a durable queue."""
        self._wake.set()

    def judge(self, order: JudgeToken) -> None:
        """``TokenJudged`` follows, at the latest after the call time-out."""
        if not self._up:
            self._hear(TokenJudged(order.request, order.token, None))
            return
        self._judging.add(order)
        self._wake.set()

    def reply(self, order: Reply) -> None:
        self._asking.reply(order)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until what was replied is written, and, as long as the backend takes it, until nothing waits in the
        durable queues any more. False: not all that is billed in time, or nobody takes it."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._asking.flush()
                while self._up and self._queues.moving:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return not self._queues.billing.waiting

    def reconnect(self) -> None:
        """Close the connection in order and open a new one at once (new password, new address)."""
        self._leave.set()

    def refresh(self) -> None:
        """Connect anew if something else is to be dialled with now; what is being answered is answered first."""
        if self._line.ws is not None and self._connecting.stale and not self._asking.busy:
            self.reconnect()

    # --- connecting ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever. Ends only by cancellation, or with a bug of ours."""
        while True:
            self._leave.clear()
            try:
                connection = await self._connecting.connect()
            except connector.NoConnection as e:
                self.trouble = str(e)
                self._line.say(self.trouble)
            else:
                try:
                    await self._converse(connection)
                finally:
                    await self._close(connection)
            if not self._leave.is_set():
                await wait(self._leave, self._connecting.pause_s())

    async def _converse(self, ws: WebSocket) -> None:
        """One connection from handshake to its end."""
        self._begin(ws)
        async with asyncio.TaskGroup() as group:
            beside = (self._work(), self._talk(), self._watch(), self._leaving(ws))
            tasks = [group.create_task(c) for c in beside]
            await self._listen(ws)
            for task in tasks:
                task.cancel()

    def _begin(self, ws: WebSocket) -> None:
        dialect = next((d for d in self._dialects if d.subprotocol == ws.subprotocol), self._dialects[0])
        if dialect is not self._dialect:
            self._statuses.respell(dialect.project)
            self._retell = True
        self._line.attach(ws, dialect)
        self._line.url, self.trouble = self.url, ""
        self._queues.reconnected(dialect)
        self._status_silences, self._connected_s = 0, time.monotonic()
        self._inbox = Inbox()
        log.info("%s: connected to %s, OCPP %s", self.name, self.url, dialect.name)
        was_accepted = self._registration.accepted
        if self._registration.connected(dialect.name, self.url):
            self._go_up()
        elif was_accepted:
            self._retell = True

    def _go_up(self) -> None:
        if not self._up:
            self._up = True
            now_s = self._clock.now().t_s
            long = now_s - (self._down_since_s or now_s) > self._settings.number("offline_threshold_s")
            if self._retell or (long and self._dialect.retells):
                self._statuses.retell(self._dialect.project, now_s)
            self._retell = False
            self._hear(LinkChanged(self.name, True))

    def _go_down(self) -> None:
        self._judging.nobody()
        if self._up:
            self._up, self._down_since_s = False, self._clock.now().t_s
            self._moved.set()
            self._hear(LinkChanged(self.name, False))

    async def _close(self, ws: WebSocket) -> None:
        self._line.ws = None
        self._asking.sent()
        self._go_down()
        if time.monotonic() - self._connected_s >= self._patience.lasting_s:
            self._connecting.worked()
        log.info("%s: disconnected (%s)", self.name, ws.close_code)
        await ws.close()

    async def _leaving(self, ws: WebSocket) -> None:
        await self._leave.wait()
        await ws.close()

    # --- listening and answering ---------------------------------------------------------------------------------

    async def _listen(self, ws: WebSocket) -> None:
        try:
            while True:
                data = await ws.recv()
                finding = self._line.receive(data)
                if isinstance(finding, Called | Say):
                    self._line.exchanged_s = self._line.received_s
                    await self._inbox.put(finding, len(data))
                elif isinstance(finding, Answered | Errored):
                    self._connecting.worked()
                elif isinstance(finding, Dropped):
                    self._line.say(f"{self.url}: dropped a frame: {finding.why}")
                    self._hear(SecurityNoticed(SecurityEvent.INVALID_MESSAGES, finding.why, self.name))
        except Closed:
            self._line.say(f"{self.url}: connection ended (code {ws.close_code}): trying again")

    def _late(self, subject: Any, heard: Heard | None) -> None:
        if isinstance(subject, OutboxRow):
            for event in self._queues.late(subject, heard):
                self._hear(event)
        elif heard is not None and heard.boot is not None and self.boot != "Accepted":
            self._booted(heard.boot)
        self._wake.set()

    async def _work(self) -> None:
        while True:
            item = await self._inbox.get()
            if isinstance(item, Say):
                await self._line.send(item.text)
            elif self.boot == "Rejected" and self._dialect.silent_when_rejected:
                self._line.say(f"{self.url}: asks although it has rejected this station: not answered (OCPP 1.6 4.2)")
            else:
                self._heartbeat.interval()  # so that GetConfiguration tells the one in force
                await self._line.send(await self._asking.serve(item, self._dialect))
                self._asking.sent()
                while self._desk.owed:
                    self.tell(self._desk.owed.pop(0))
                self._wake.set()
                self._watching.set()  # an interval may have been changed
                self.refresh()

    # --- talking -------------------------------------------------------------------------------------------------

    async def _talk(self) -> None:
        try:
            while True:
                self._wake.clear()
                said = await self._say_next()
                self._moved.set()
                if not said:
                    await wait(self._wake, self._idle_s())
        except Gone:
            self._line.say(f"{self.url}: silent: connection given up, trying again")

    async def _say_next(self) -> bool:
        """Send what is first, and wait for its answer. False: there is nothing to say now."""
        if self._registration.is_due:
            return await self._boot()
        if self.boot == "Accepted" and (question := self._judging.take()):
            self._judging.settle(question, await self._ask(question))
            return True
        if self.boot in ("Accepted", "Pending") and self._urgent:
            message = self._urgent.popleft()
            if isinstance(message, BootWanted):
                self._desk.triggered = True
                return await self._boot()
            return await self._tell(message)
        if status := self._next_status():
            return await self._notify(status)
        if self.boot != "Accepted":
            return False
        if await self._deliver():
            return True
        if time.monotonic() >= self._heartbeat.due_s():
            return await self._tell(HeartbeatWanted())
        return False

    async def _deliver(self) -> bool:
        if found := await self._queues.next_row():
            await deliver(*found, self._dialect, self._line, self._hear)
        return found is not None

    def _next_status(self) -> Waiting | None:
        """While pending only what was triggered may be told (1.6 4.2)."""
        if self.boot not in ("Accepted", "Pending"):
            return None
        return self._statuses.take(self._clock.now().t_s, self._queues.billing.passable(), self.boot == "Pending")

    def _idle_s(self) -> float:
        """Until the next thing is due by time alone."""
        now_s = time.monotonic()
        if self.boot != "Accepted":
            return self._registration.due_in_s
        dues_s, domain_s = [self._heartbeat.due_s() - now_s], self._clock.now().t_s
        status_s = self._statuses.next_due_s(domain_s)
        if status_s is not None:
            dues_s.append((status_s - domain_s) / self._clock.rate)
        return max(0.001, min(dues_s + self._queues.dues_s()))

    async def _ask(self, message: Message | JudgeToken) -> Heard | None:
        """None: nothing useful came back, or nothing at all."""
        with contextlib.suppress(Silent):
            return await self._line.tell(message)
        return None

    async def _boot(self) -> bool:
        heard = await self._ask(BootWanted())
        if heard is not None and heard.boot is not None:
            self._booted(heard.boot)
        elif self.boot != "Accepted":
            wait_s = self._registration.unanswered()
            self._line.say(f"{self.url}: BootNotification was not answered usefully: again in {wait_s:.0f} s")
        return True

    def _booted(self, boot: Boot) -> None:
        self._registration.answered(boot, self._dialect.name, self.url)
        if self._registration.accepted:
            self._line.unknown_actions.clear()
            self._heartbeat.accepted(boot.interval_s)
            self._go_up()
            return
        self._line.say(f"{self.url}: this station is {boot.status} there: check whether the backend knows it")
        self._go_down()

    async def _tell(self, message: Message) -> bool:
        heard = await self._ask(message)
        for event in heard.events if heard else ():
            self._hear(event)
        if isinstance(message, HeartbeatWanted):
            self._heartbeat.said()
        return True

    async def _notify(self, status: Waiting) -> bool:
        try:
            await self._line.tell(status.message)
        except (Gone, asyncio.CancelledError):
            self._statuses.give_back(status)
            raise
        except Silent:
            self._status_silences += 1
            pause_s = growing_s(STATUS_RETRY_S, self._status_silences)
            self._statuses.give_back(status, self._clock.now().t_s + pause_s)
        else:
            self._status_silences = 0
        return True

    # --- watching ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Ping after silence only. 0 switches it off: then keepalive and the call time-outs remain."""
        while True:
            self._watching.clear()
            interval_s = self._settings.number("ping_interval_s")
            quiet_s = time.monotonic() - self._line.received_s
            if interval_s == 0 or quiet_s < interval_s:
                await wait(self._watching, interval_s - quiet_s if interval_s else None)
            elif not await self._line.pong():
                self._line.say(f"{self.url}: silent: connection given up, trying again")
                return
