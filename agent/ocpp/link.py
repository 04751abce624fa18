"""The link to one backend: it connects again and again, boots, sends, and answers requests. Nothing
that the backend does leaves this module as an exception.

Three activities share a connection. ``_read_messages`` reads what comes, ``_answer_requests``
answers requests in their order, and ``_send_calls`` sends our CALLs one at a time
(``message_sender.py``). ``silence_watch.py`` looks for a sign of life. Time-outs are real
seconds. What the domain or the backend schedules (heartbeat, retries, boot interval) is domain
time, scaled by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from agent.domain.events import LinkChanged, SecurityNoticed, TokenAuthorized
from agent.domain.messages import HeartbeatWanted, Message
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.security_events import SecurityEvent
from agent.model.slim_event import SlimEvent
from agent.ocpp.boot_procedure import BootProcedure
from agent.ocpp.dialects.dialect import BootAnswer, Dialect, ResponseEffects
from agent.ocpp.inbound.queue import InboundQueue
from agent.ocpp.inbound.requests import InboundRequests
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.link_parts import make_link_parts
from agent.ocpp.message_sender import MessageSender
from agent.ocpp.silence_watch import SilenceWatch
from agent.ocpp.transport.backoff import Backoff
from agent.ocpp.transport.call_channel import ConnectionLost
from agent.ocpp.transport.connect_problems import UNKNOWN_PROBLEM
from agent.ocpp.transport.timeouts import WakeTimer, wait_for_event
from agent.ocpp.transport.transport import Closed, NoConnection, Transport
from agent.ocpp.wire.calls import Answered, Called, Dropped, Errored, SendNow, Unprocessed
from agent.ports.store import OutboxRow

log = logging.getLogger("agent.ocpp")


class Link:
    """The connection to one backend, with its queues."""

    def __init__(self, config: LinkConfig, hooks: LinkHooks, ports: LinkPorts) -> None:
        backend, timeouts = config.backend, config.timeouts
        self.name = backend.name
        self.connect_error, self.connect_problem = "", UNKNOWN_PROBLEM
        """Why the last attempt to connect has failed, for people and for programs; "" once there is a connection."""
        self._timeouts = timeouts
        self._clock, self._settings, self._post_event = ports.clock, ports.settings, hooks.post_event
        parts = make_link_parts(config, hooks, ports, self._take_late_answer, backend.call_timeout_s)
        self._connector, self._ctx, self._channel = parts.connector, parts.ctx, parts.channel
        backoff = Backoff(config.jitter, timeouts.boot_retry_s, timeouts.boot_retry_s)
        self._boot = BootProcedure(self._ctx, self._channel, backoff, self._boot_status_changed)
        self._sender = MessageSender(
            self._ctx, self._channel, self._boot, hooks.post_event, backend.call_timeout_s, timeouts.store_retry_s
        )
        self._silence = SilenceWatch(config, hooks, ports.settings, self._channel, self._sender, self._send_if_up)
        self._inbox = InboundQueue()
        self._requests = InboundRequests(self._ctx, hooks.post_event, timeouts.answer_s)
        self._work_arrived, self._close_demanded = SlimEvent(), SlimEvent()
        self._progressed, self._is_access_outdated = SlimEvent(), False
        self._is_up, self._resend_statuses, self._down_since_s, self._connected_s = False, False, 0.0, 0.0

    # --- what the rest of the agent sees -------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the link is connected and its boot accepted."""
        return self._is_up

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, accepted or not."""
        return self._channel.transport is not None

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
    def can_csms_settle(self) -> bool:
        """Whether a backend can settle card payments in the OCPP version in use."""
        return self._present_dialect.csms_settles

    @property
    def reported_statuses(self) -> dict[int, dict[str, str]]:
        """The latest status sent for each EVSE."""
        last_sent = self._sender.statuses.last_sent
        return {n: {"status": t.status, "error": t.error} for n, t in last_sent.items()}

    @property
    def dropped_frames(self) -> int:
        """The number of unreadable frames since the start."""
        return self._channel.dropped_messages

    @property
    def unprocessed(self) -> Unprocessed | None:
        """What the latest CALL got instead of an answer of OCPP; None: it got one, or nothing."""
        return self._channel.unprocessed

    @property
    def refusal_code(self) -> str:
        """The error code of the latest answer; "": it was none."""
        return self._channel.refusal_code

    @property
    def has_open_exchange(self) -> bool:
        """Whether a CALL waits for its answer, or a request of the backend for ours."""
        return self._channel.is_waiting or self._requests.is_busy

    def address_over(self, bearer_via: str = "") -> tuple[str, int]:
        """Return host and port of the backend over a bearer whose table has this ``via``."""
        return self._connector.address_over(bearer_via)

    def send(self, message: Message) -> None:
        """Queue a message that is not billed. Never blocks, never raises."""
        self._sender.queue_message(message, self._is_up)
        self._work_arrived.set()

    def _send_if_up(self, message: Message) -> bool:
        if self._is_up:
            self.send(message)
        return self._is_up

    def queue_changed(self) -> None:
        """Note that a row was added to a durable queue."""
        self._work_arrived.set()

    def authorize(self, order: AuthorizeToken) -> None:
        """Ask the backend about a token. ``TokenAuthorized`` follows, at the latest after the call
        time-out."""
        if not self._is_up:
            self._post_event(TokenAuthorized(order.request, order.token, None))
            return
        self._sender.authorizations.add_request(order)
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
                while self._is_up and self._sender.has_sendable_row:
                    self._progressed.clear()
                    await self._progressed.wait()
        except TimeoutError:
            return False
        return not self._sender.queues.transactions.waiting_count

    def reconnect(self) -> None:
        """Close the connection in order and open a new one at once, whatever waits for an answer (another bearer)."""
        self._close_demanded.set()

    def reconnect_if_changed(self) -> None:
        """Reconnect if the address or credentials to use have changed, as soon as nothing waits for an answer: a
        StartTransaction that is sent again may be a second transaction."""
        if self._channel.transport is not None and self._connector.is_outdated:
            self._is_access_outdated = True
            self._work_arrived.set()

    # --- connecting ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the link connected. Ends only by cancellation, or with a bug of ours."""
        while True:
            self._close_demanded.clear()
            self._is_access_outdated = False
            try:
                transport = await self._connector.connect_until(self._close_demanded)
            except NoConnection as e:
                self.connect_error, self.connect_problem = str(e), e.problem
                self._channel.log_seldom(self.connect_error)
            else:
                try:
                    await self._serve_connection(transport)
                finally:
                    await self._end_connection(transport)
            if not (self._close_demanded.is_set() or self._is_access_outdated):
                await wait_for_event(self._close_demanded, self._connector.next_pause_s())

    async def _serve_connection(self, transport: Transport) -> None:
        """Use one connection from its handshake to its end."""
        self._begin_connection(transport)
        beside = (self._send_calls(), self._silence.run(), self._close_on_demand(transport))
        reader, answerer = self._read_messages(transport), self._answer_requests()
        await _run_until_closed(transport, reader, answerer, self._inbox, beside, self._timeouts.answer_s)

    def _begin_connection(self, transport: Transport) -> None:
        if transport.dialect is not self._present_dialect:
            self._sender.statuses.reproject_all(transport.dialect.project_status)
            self._resend_statuses = True
        self._channel.attach_connection(transport)
        self._channel.url, self.connect_error = self.url, ""
        self._sender.connection_opened()
        self._connected_s = time.monotonic()
        self._inbox = InboundQueue()
        log.info("%s: connected to %s, OCPP %s", self.name, self.url, self.ocpp_version)
        was_accepted = self._boot.is_accepted
        if self._boot.survives_reconnect():
            self._go_up()
        elif was_accepted:
            self._resend_statuses = True

    def _go_up(self) -> None:
        if not self._is_up:
            self._is_up = True
            now_s = self._clock.now().t_s
            long = now_s - (self._down_since_s or now_s) > self._settings.int_value("offline_threshold_s")
            if self._resend_statuses or (long and self._present_dialect.resends_statuses):
                self._sender.statuses.requeue_all(self._present_dialect.project_status, now_s)
            self._resend_statuses = False
            self._post_event(LinkChanged(self.name, True))

    def _go_down(self) -> None:
        self._sender.authorizations.fail_all_requests()
        if self._is_up:
            self._is_up, self._down_since_s = False, self._clock.now().t_s
            self._progressed.set()
            self._post_event(LinkChanged(self.name, False))

    async def _end_connection(self, transport: Transport) -> None:
        self._channel.transport = None
        self._requests.responses_sent()
        self._go_down()
        if time.monotonic() - self._connected_s >= self._timeouts.lasting_s:
            self._connector.backend_answered()
        log.info("%s: disconnected (%s)", self.name, transport.end_reason)
        await transport.close()

    async def _close_on_demand(self, transport: Transport) -> None:
        await self._close_demanded.wait()
        await transport.close()

    # --- listening and answering ---------------------------------------------------------------------------------

    async def _read_messages(self, transport: Transport) -> None:
        try:
            while True:
                finding, size = await self._channel.receive_message()
                if isinstance(finding, Called | SendNow):
                    self._channel.last_exchange_s = self._channel.last_received_s
                    await self._inbox.put(finding, size)
                elif isinstance(finding, Answered | Errored):
                    self._connector.backend_answered()
                elif isinstance(finding, Dropped):
                    self._channel.log_seldom(f"{self.url}: dropped a frame: {finding.why}")
                    self._post_event(SecurityNoticed(SecurityEvent.INVALID_MESSAGES, finding.why, self.name))
        except Closed:
            self._channel.log_seldom(f"{self.url}: connection ended (code {transport.end_reason}): trying again")

    def _take_late_answer(self, subject: Any, effects: ResponseEffects | None) -> None:
        if isinstance(subject, OutboxRow):
            for event in self._sender.queues.take_late_answer(subject, effects):
                self._post_event(event)
        elif effects is not None and effects.boot is not None and self.boot_status != "Accepted":
            self._boot.boot_answered(effects.boot)
            if self._boot.is_accepted:
                self.send(HeartbeatWanted())  # a late answer says the time less exactly
        self._work_arrived.set()

    async def _answer_requests(self) -> None:
        with contextlib.suppress(Closed):
            while True:
                await self._answer_next()

    async def _answer_next(self) -> None:
        """Answer the next request. Raises ``Closed``."""
        item = await self._inbox.get()
        if isinstance(item, SendNow):
            await self._channel.send_response(item)
        elif self.boot_status == "Rejected" and self._present_dialect.silent_when_rejected:
            self._channel.log_seldom(
                f"{self.url}: sent a request although it has rejected this station: not answered (OCPP 1.6 4.2)"
            )
        else:
            self._sender.heartbeat.interval_in_force()  # so that GetConfiguration reports the interval in force
            served = await self._requests.serve_request(item, self._present_dialect)
            await self._channel.send_response(served.response)
            self._requests.responses_sent()
            for message in served.follow_up:
                self.send(message)
            self._silence.interval_changed()  # the request may have changed an interval
            self.reconnect_if_changed()
        self._work_arrived.set()

    # --- sending -------------------------------------------------------------------------------------------------

    @property
    def _is_answer_awaited(self) -> bool:
        """Whether the backend waits for an answer on this connection, or a driver for one of the backend."""
        return self._requests.is_busy or not self._inbox.is_empty or self._sender.authorizations.has_requests

    async def _send_calls(self) -> None:
        timer = WakeTimer(self._work_arrived)
        try:
            while not self._is_access_outdated or self._is_answer_awaited:
                self._work_arrived.clear()
                is_sent = await self._sender.send_next()
                self._progressed.set()
                if not is_sent:
                    timer.wake_within(self._sender.idle_time_s())
                    await self._work_arrived.wait()
        except ConnectionLost as e:
            self._channel.log_seldom(f"{self.url}: {e}: connection closed, trying again")
        finally:
            timer.cancel_timer()

    def _boot_status_changed(self, boot: BootAnswer) -> None:
        if not self._boot.is_accepted:
            self._go_down()
            return
        self._channel.unknown_actions.clear()
        self._sender.heartbeat.boot_accepted(boot.interval_s)
        self._go_up()


async def _run_until_closed(
    transport: Transport,
    reader: Coroutine[Any, Any, None],
    answerer: Coroutine[Any, Any, None],
    inbox: InboundQueue,
    beside: Sequence[Coroutine[Any, Any, None]],
    patience_s: float,
) -> None:
    """Run the activities of a connection until one of them ends: then the connection is over. A transport that does not
    report that to the reader within ``patience_s`` is abandoned."""
    async with asyncio.TaskGroup() as group:
        reading, answering = group.create_task(reader), group.create_task(answerer)
        tasks = [reading, answering, *map(group.create_task, beside)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():  # what came before the end is still read
            answering.cancel()  # a request that comes now could be carried out, but not answered
            inbox.close()
            await transport.close()
            await asyncio.wait([reading], timeout=patience_s)
        for task in tasks:
            task.cancel()
