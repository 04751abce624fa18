"""The link to one backend: it connects again and again, boots, sends, and answers requests. Nothing
that the backend does leaves this module as an exception.

Three activities share a connection. ``_read_frames`` reads frames, ``_answer_requests`` answers
requests in their order, and ``_send_calls`` sends our CALLs one at a time (OCPP-J allows one in
flight). Authorize goes before everything else, then triggered messages, statuses, the durable
queues, and last the heartbeat. ``_ping_after_silence`` pings after silence. Time-outs are real
seconds. What the domain or the backend schedules (heartbeat, retries, boot interval) is domain
time, scaled by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from agent.domain.backend_connection import ConnectionProfile
from agent.domain.events import Event, LinkChanged, SecurityNoticed, TokenAuthorized
from agent.domain.messages import BootWanted, HeartbeatWanted, Message, StatusChanged
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.security_events import SecurityEvent
from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import BootAnswer, Dialect, Identity, Out, ResponseEffects, RowContext
from agent.ocpp.inbound.queue import InboundQueue
from agent.ocpp.inbound.requests import InboundRequests
from agent.ocpp.outbound.authorize_queue import AuthorizeQueue
from agent.ocpp.outbound.delivery import deliver_row
from agent.ocpp.outbound.durable_queues import DurableQueues
from agent.ocpp.outbound.heartbeat import Heartbeat
from agent.ocpp.outbound.status_queue import QueuedStatus, StatusQueue
from agent.ocpp.registration import Registration
from agent.ocpp.transport import connector
from agent.ocpp.transport.backoff import Backoff, growing_pause_s
from agent.ocpp.transport.call_channel import CallChannel, ConnectionLost, NoAnswer
from agent.ocpp.transport.reconnect import Reconnector
from agent.ocpp.transport.timeouts import Timeouts, wait_for_event
from agent.ocpp.transport.websocket import Closed, WebSocket
from agent.ocpp.wire.rpc import Answered, Called, Dropped, Errored, SendNow
from agent.ports.clock import ClockPort
from agent.ports.pki import PkiPort
from agent.ports.store import OutboxPort, OutboxRow
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")

STATUS_RETRY_S = 60.0
"""Domain seconds until an unanswered status is sent again. The pause grows while the silence
lasts."""


class Link:
    """The connection to one backend, with its queues.

    ``primary``: this is the station's first backend, and the AuthorizationKey is the shared
    secret with it. Every other link knows only its own ``password``: neither backend may learn,
    use or set the secret of the other. A primary link uses ``password`` only while no
    AuthorizationKey is set."""

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
        post_event: Callable[[Event], None],
        trace: Callable[[str, str, str, str], None] = lambda direction, link, version, text: None,
        password: Callable[[], str | None] = lambda: None,
        jitter: random.Random | None = None,
        timeouts: Timeouts | None = None,
        primary: bool = True,
        access: Callable[[], ConnectionProfile] | None = None,
        pki: PkiPort | None = None,
        last_version: str = "",  # its version before the restart: in force until there is a connection
    ) -> None:
        self.name = backend.name
        self._dialects, self._clock, self._settings, self._post_event = tuple(dialects), clock, settings, post_event
        self._timeouts = timeouts or Timeouts()
        jitter = jitter or random.Random()
        self._connector = Reconnector(
            backend, dialects, settings, post_event, password, primary, self._timeouts, jitter, access, pki, clock.rate
        )
        self._ctx = RowContext(backend.name, outbox, clock, settings, identity, tuple(evse_numbers), primary=primary)
        self._channel = CallChannel(
            self._ctx,
            next((d for d in self._dialects if d.name == last_version), self._dialects[0]),
            self.url,
            trace,
            self._take_late_answer,
            backend.call_timeout_s,
            self._timeouts.pong_s,
        )
        self._requests = InboundRequests(self._ctx, self._channel.rpc, post_event, self._timeouts.answer_s)
        self._queues = DurableQueues(self._ctx, self._timeouts.store_retry_s)
        self._statuses = StatusQueue()
        boot_retry_s = self._timeouts.boot_retry_s
        self._registration = Registration(self._ctx, Backoff(jitter, boot_retry_s, boot_retry_s), clock.rate)
        self._work_arrived, self._ping_changed, self._close_demanded = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._inbox = InboundQueue()
        self._progressed = asyncio.Event()
        self._status_silences = 0
        self._is_up, self._resend_statuses, self._down_since_s, self._connected_s = False, False, 0.0, 0.0
        self._heartbeat = Heartbeat(settings, self._ctx, self._channel, clock)
        self._authorizations = AuthorizeQueue(post_event, backend.call_timeout_s)
        self._urgent: deque[Message] = deque()
        self.connect_error = ""
        """Why the last attempt to connect has failed, for people; "" once there is a connection."""

    # --- what the rest of the agent sees -------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the link is connected and its boot accepted."""
        return self._is_up

    @property
    def boot_status(self) -> str | None:
        """The backend's latest answer to a BootNotification."""
        return self._ctx.boot

    @property
    def _present_dialect(self) -> Dialect:
        return self._channel.dialect

    @property
    def ocpp_version(self) -> str:
        """The OCPP version in use."""
        return self._present_dialect.name

    @property
    def url(self) -> str:
        """The backend's address for logs and displays, without user and password."""
        return self._connector.url

    @property
    def max_token_length(self) -> int:
        return self._present_dialect.max_token_length

    @property
    def reported_statuses(self) -> dict[int, dict[str, str]]:
        """The latest status sent for each EVSE."""
        return {n: {"status": t.status, "error": t.error} for n, t in self._statuses.last_sent.items()}

    @property
    def dropped_frames(self) -> int:
        """The number of unreadable frames since the start."""
        return self._channel.rpc.dropped

    def send(self, message: Message) -> None:
        """Queue a message that is not billed. Never blocks, never raises."""
        if isinstance(message, StatusChanged):
            if self.boot_status != "Accepted" and not message.forced:
                return  # all statuses are sent once the boot is accepted
            settle_s = float(self._settings.int_value("minimum_status_duration_s"))
            projection, now_s = self._present_dialect.project_status(message), self._clock.now().t_s
            self._statuses.add_status(
                message,
                projection,
                now_s,
                settle_s,
                self._queues.transactions.status_barrier() if self._is_up else 0,
                self._is_up,
            )
        elif isinstance(message, BootWanted) and self.boot_status != "Accepted":
            self._registration.boot_triggered()
        elif message not in self._urgent and isinstance(self._present_dialect.message_row(type(message)), Out):
            self._urgent.append(message)
        self._work_arrived.set()

    def queue_changed(self) -> None:
        """Note that a row was added to a durable queue."""
        self._work_arrived.set()

    def authorize(self, order: AuthorizeToken) -> None:
        """Ask the backend about a token. ``TokenAuthorized`` follows, at the latest after the call
        time-out."""
        if not self._is_up:
            self._post_event(TokenAuthorized(order.request, order.token, None))
            return
        self._authorizations.add_request(order)
        self._work_arrived.set()

    def respond(self, order: Response) -> None:
        """Pass on the domain's answer to a request of the backend."""
        self._requests.resolve_request(order)

    async def drain_queues(self, timeout_s: float) -> bool:
        """Wait until the pending responses are written and, as long as the backend accepts them,
        until the durable queues are empty. Return False if billed messages remain, because of
        the time-out or because the backend does not accept them."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._requests.wait_until_sent()
                while self._is_up and self._queues.has_sendable_row:
                    self._progressed.clear()
                    await self._progressed.wait()
        except TimeoutError:
            return False
        return not self._queues.transactions.waiting_count

    def reconnect(self) -> None:
        """Close the connection in order and open a new one at once (new password, new address)."""
        self._close_demanded.set()

    def reconnect_if_changed(self) -> None:
        """Reconnect if the address or credentials to use have changed. A request in progress is
        answered first."""
        if self._channel.ws is not None and self._connector.is_outdated and not self._requests.is_busy:
            self.reconnect()

    # --- connecting ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link connected. Ends only by cancellation, or with a bug of ours."""
        while True:
            self._close_demanded.clear()
            try:
                connection = await self._connector.connect()
            except connector.NoConnection as e:
                self.connect_error = str(e)
                self._channel.log_seldom(self.connect_error)
            else:
                try:
                    await self._serve_connection(connection)
                finally:
                    await self._end_connection(connection)
            if not self._close_demanded.is_set():
                await wait_for_event(self._close_demanded, self._connector.next_pause_s())

    async def _serve_connection(self, ws: WebSocket) -> None:
        """Use one connection from its handshake to its end."""
        self._begin_connection(ws)
        async with asyncio.TaskGroup() as group:
            beside = (
                self._answer_requests(),
                self._send_calls(),
                self._ping_after_silence(),
                self._close_on_demand(ws),
            )
            tasks = [group.create_task(c) for c in beside]
            await self._read_frames(ws)
            for task in tasks:
                task.cancel()

    def _begin_connection(self, ws: WebSocket) -> None:
        dialect = next((d for d in self._dialects if d.subprotocol == ws.subprotocol), self._dialects[0])
        if dialect is not self._present_dialect:
            self._statuses.reproject_all(dialect.project_status)
            self._resend_statuses = True
        self._channel.attach_connection(ws, dialect)
        self._channel.url, self.connect_error = self.url, ""
        self._queues.connection_opened(dialect)
        self._status_silences, self._connected_s = 0, time.monotonic()
        self._inbox = InboundQueue()
        log.info("%s: connected to %s, OCPP %s", self.name, self.url, dialect.name)
        was_accepted = self._registration.is_accepted
        if self._registration.survives_reconnect(dialect.name, self.url):
            self._go_up()
        elif was_accepted:
            self._resend_statuses = True

    def _go_up(self) -> None:
        if not self._is_up:
            self._is_up = True
            now_s = self._clock.now().t_s
            long = now_s - (self._down_since_s or now_s) > self._settings.int_value("offline_threshold_s")
            if self._resend_statuses or (long and self._present_dialect.resends_statuses):
                self._statuses.requeue_all(self._present_dialect.project_status, now_s)
            self._resend_statuses = False
            self._post_event(LinkChanged(self.name, True))

    def _go_down(self) -> None:
        self._authorizations.fail_all_requests()
        if self._is_up:
            self._is_up, self._down_since_s = False, self._clock.now().t_s
            self._progressed.set()
            self._post_event(LinkChanged(self.name, False))

    async def _end_connection(self, ws: WebSocket) -> None:
        self._channel.ws = None
        self._requests.responses_sent()
        self._go_down()
        if time.monotonic() - self._connected_s >= self._timeouts.lasting_s:
            self._connector.backend_answered()
        log.info("%s: disconnected (%s)", self.name, ws.close_code)
        await ws.close()

    async def _close_on_demand(self, ws: WebSocket) -> None:
        await self._close_demanded.wait()
        await ws.close()

    # --- listening and answering ---------------------------------------------------------------------------------

    async def _read_frames(self, ws: WebSocket) -> None:
        try:
            while True:
                data = await ws.receive_message()
                finding = self._channel.receive_frame(data)
                if isinstance(finding, Called | SendNow):
                    self._channel.last_exchange_s = self._channel.last_received_s
                    await self._inbox.put(finding, len(data))
                elif isinstance(finding, Answered | Errored):
                    self._connector.backend_answered()
                elif isinstance(finding, Dropped):
                    self._channel.log_seldom(f"{self.url}: dropped a frame: {finding.why}")
                    self._post_event(SecurityNoticed(SecurityEvent.INVALID_MESSAGES, finding.why, self.name))
        except Closed:
            self._channel.log_seldom(f"{self.url}: connection ended (code {ws.close_code}): trying again")

    def _take_late_answer(self, subject: Any, effects: ResponseEffects | None) -> None:
        if isinstance(subject, OutboxRow):
            for event in self._queues.take_late_answer(subject, effects):
                self._post_event(event)
        elif effects is not None and effects.boot is not None and self.boot_status != "Accepted":
            self._boot_answered(effects.boot)
        self._work_arrived.set()

    async def _answer_requests(self) -> None:
        while True:
            item = await self._inbox.get()
            if isinstance(item, SendNow):
                await self._channel.send_frame(item.text)
            elif self.boot_status == "Rejected" and self._present_dialect.silent_when_rejected:
                self._channel.log_seldom(
                    f"{self.url}: sent a request although it has rejected this station: not answered (OCPP 1.6 4.2)"
                )
            else:
                self._heartbeat.interval_in_force()  # so that GetConfiguration reports the interval in force
                await self._channel.send_frame(await self._requests.serve_request(item, self._present_dialect))
                self._requests.responses_sent()
                while self._ctx.messages_after_answer:
                    self.send(self._ctx.messages_after_answer.pop(0))
                self._work_arrived.set()
                self._ping_changed.set()  # the request may have changed an interval
                self.reconnect_if_changed()

    # --- talking -------------------------------------------------------------------------------------------------

    async def _send_calls(self) -> None:
        try:
            while True:
                self._work_arrived.clear()
                is_sent = await self._send_next()
                self._progressed.set()
                if not is_sent:
                    await wait_for_event(self._work_arrived, self._idle_time_s())
        except ConnectionLost:
            self._channel.log_seldom(f"{self.url}: no answer to a ping: connection closed, trying again")

    async def _send_next(self) -> bool:
        """Send the most urgent message and wait for its answer. Return False if there is nothing
        to send now."""
        if self._registration.is_due:
            return await self._send_boot()
        if self.boot_status == "Accepted" and (question := self._authorizations.next_unsent()):
            self._authorizations.settle_request(question, await self._send_and_wait(question))
            return True
        if self.boot_status in ("Accepted", "Pending") and self._urgent:
            message = self._urgent.popleft()
            if isinstance(message, BootWanted):
                self._ctx.triggered = True
                return await self._send_boot()
            return await self._send_message(message)
        if status := self._next_status():
            return await self._send_status(status)
        if self.boot_status != "Accepted":
            return False
        if await self._deliver_next_row():
            return True
        if time.monotonic() >= self._heartbeat.due_s():
            return await self._send_message(HeartbeatWanted())
        return False

    async def _deliver_next_row(self) -> bool:
        if found := await self._queues.next_row():
            await deliver_row(*found, self._present_dialect, self._channel, self._post_event)
        return found is not None

    def _next_status(self) -> QueuedStatus | None:
        """Return the next status to send. While the boot is pending only triggered messages may
        be sent (1.6 4.2)."""
        if self.boot_status not in ("Accepted", "Pending"):
            return None
        return self._statuses.take_due(
            self._clock.now().t_s, self._queues.transactions.settled_for_status(), self.boot_status == "Pending"
        )

    def _idle_time_s(self) -> float:
        """Return the seconds until the next message is due by time alone."""
        now_s = time.monotonic()
        if self.boot_status != "Accepted":
            return self._registration.due_in_s
        dues_s, domain_s = [self._heartbeat.due_s() - now_s], self._clock.now().t_s
        status_s = self._statuses.next_due_s(domain_s)
        if status_s is not None:
            dues_s.append((status_s - domain_s) / self._clock.rate)
        return max(0.001, min(dues_s + self._queues.dues_s()))

    async def _send_and_wait(self, message: Message | AuthorizeToken) -> ResponseEffects | None:
        """Send a message and return the effects of its answer; None if there was no useful
        answer."""
        with contextlib.suppress(NoAnswer):
            return await self._channel.send_message(message)
        return None

    async def _send_boot(self) -> bool:
        effects = await self._send_and_wait(BootWanted())
        if effects is not None and effects.boot is not None:
            self._boot_answered(effects.boot)
        elif self.boot_status != "Accepted":
            wait_s = self._registration.boot_unanswered()
            self._channel.log_seldom(f"{self.url}: no useful answer to BootNotification: sent again in {wait_s:.0f} s")
        return True

    def _boot_answered(self, boot: BootAnswer) -> None:
        self._registration.boot_answered(boot, self._present_dialect.name, self.url)
        if self._registration.is_accepted:
            self._channel.unknown_actions.clear()
            self._heartbeat.boot_accepted(boot.interval_s)
            self._go_up()
            return
        self._channel.log_seldom(f"{self.url}: this station is {boot.status} there: check whether the backend knows it")
        self._go_down()

    async def _send_message(self, message: Message) -> bool:
        effects = await self._send_and_wait(message)
        for event in effects.events if effects else ():
            self._post_event(event)
        if isinstance(message, HeartbeatWanted):
            self._heartbeat.heartbeat_sent()
        return True

    async def _send_status(self, status: QueuedStatus) -> bool:
        try:
            await self._channel.send_message(status.message)
        except (ConnectionLost, asyncio.CancelledError):
            self._statuses.requeue_failed(status)
            raise
        except NoAnswer:
            self._status_silences += 1
            pause_s = growing_pause_s(STATUS_RETRY_S, self._status_silences)
            self._statuses.requeue_failed(status, self._clock.now().t_s + pause_s)
        else:
            self._status_silences = 0
        return True

    # --- watching ------------------------------------------------------------------------------------------------

    async def _ping_after_silence(self) -> None:
        """Send a ping after silence only. A ping interval of 0 switches it off: then TCP
        keepalive and the call time-outs remain."""
        while True:
            self._ping_changed.clear()
            interval_s = self._settings.int_value("ping_interval_s")
            quiet_s = time.monotonic() - self._channel.last_received_s
            if interval_s == 0 or quiet_s < interval_s:
                await wait_for_event(self._ping_changed, interval_s - quiet_s if interval_s else None)
            elif not await self._channel.ping_or_abort():
                self._channel.log_seldom(f"{self.url}: no answer to a ping: connection closed, trying again")
                return
