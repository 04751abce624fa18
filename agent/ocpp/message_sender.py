"""Which message a link sends next. OCPP-J allows one CALL in flight, so the order decides who waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from agent.domain.events import Event
from agent.domain.messages import BootWanted, HeartbeatWanted, IdleMessage, Message, StatusChanged
from agent.ocpp.boot_procedure import BootProcedure
from agent.ocpp.dialects.dialect import MessageRow, RowContext
from agent.ocpp.outbound.authorize_queue import AuthorizeQueue
from agent.ocpp.outbound.delivery import deliver_row
from agent.ocpp.outbound.durable_queues import DurableQueues
from agent.ocpp.outbound.heartbeat import Heartbeat
from agent.ocpp.outbound.status_queue import ALL_SETTLED, QueuedStatus, StatusQueue
from agent.ocpp.transport.backoff import growing_pause_s
from agent.ocpp.transport.call_channel import CallChannel, ConnectionLost, NoAnswer

STATUS_RETRY_S = 60.0
"""Domain seconds until an unanswered status is sent again, and until a message follows an idle one
that was not answered. The pause grows while the silence lasts."""
HEARTBEAT = "Heartbeat"
"""The action that shows whether there is a backend. After one that was itself not processed the next message does."""
IDLE_KEPT = 100
"""Messages that wait until nothing else does. Of more the oldest are given up."""


class MessageSender:
    """Sends the messages of one link, the most urgent first: BootNotification until it is
    accepted, then Authorize, triggered messages, statuses, the durable queues, then what may wait
    until nothing else does, and last the heartbeat. The durable queues wait until the time is known
    (``Heartbeat.time_wait_left_s``)."""

    def __init__(
        self,
        ctx: RowContext,
        channel: CallChannel,
        boot: BootProcedure,
        post_event: Callable[[Event], None],
        call_timeout_s: float,
        store_retry_s: float,
    ) -> None:
        self.queues = DurableQueues(ctx, store_retry_s)
        self.statuses = StatusQueue()
        self.authorizations = AuthorizeQueue(post_event, call_timeout_s)
        self.heartbeat = Heartbeat(ctx.settings, ctx, channel, ctx.clock)
        self._ctx, self._channel, self._boot, self._post_event = ctx, channel, boot, post_event
        self._urgent: list[Message] = []
        self._idle: list[Message] = []
        self._idle_silences, self._idle_losses, self._idle_not_before_s = 0, 0, 0.0
        self._status_silences = self._status_losses = 0

    def queue_message(self, message: Message, is_up: bool) -> None:
        """Queue a message that is not billed."""
        if isinstance(message, StatusChanged):
            self._queue_status(message, is_up)
        elif isinstance(message, BootWanted) and not self._boot.is_accepted:
            self._boot.boot_triggered()
        elif not isinstance(self._channel.dialect.message_row(type(message)), MessageRow):
            return
        elif isinstance(message, IdleMessage):
            self._idle.append(message)
            del self._idle[:-IDLE_KEPT]
        elif message not in self._urgent:
            self._urgent.append(message)

    def _queue_status(self, message: StatusChanged, is_up: bool) -> None:
        if not self._boot.is_accepted and not message.forced:
            return  # all statuses are sent once the boot is accepted
        self.statuses.add_status(
            message,
            self._channel.dialect.project_status(message),
            self._ctx.clock.now().t_s,
            float(self._ctx.settings.int_value("minimum_status_duration_s")),
            self.queues.transactions.status_barrier() if is_up else 0,
            is_up,
        )

    def connection_opened(self) -> None:
        """Start with a new connection."""
        self.queues.connection_opened(self._channel.dialect, self._channel.unprocessed is not None)
        self._status_silences = self._idle_silences = 0
        self._idle_not_before_s = 0.0
        if self._idle_losses > 1:
            self._rest_idle_messages(self._idle_losses - 1)

    @property
    def has_sendable_row(self) -> bool:
        """Whether a row of a durable queue waits that may be sent now."""
        return self.queues.has_sendable_row and not self.heartbeat.time_wait_left_s()

    async def send_next(self) -> bool:
        """Send the most urgent message and wait for its answer. Return False if there is nothing
        to send now. Raises ``ConnectionLost``."""
        if self._boot.is_due:
            await self._boot.send_boot()
            return True
        doubt = self._channel.unprocessed
        if self._boot.is_accepted and doubt is not None and doubt.action != HEARTBEAT:
            await self._send_message(HeartbeatWanted())  # is it the backend, or that message?
            self._channel.unprocessed = None
            return True
        if self._boot.is_accepted and (question := self.authorizations.next_unsent()):
            self.authorizations.settle_request(question, await self._channel.try_send_message(question))
            return True
        if self._boot.status in ("Accepted", "Pending") and self._urgent:
            await self._send_urgent(self._urgent.pop(0))
            return True
        if status := self._next_status():
            await self._send_status(status)
            return True
        if self._boot.is_accepted and self.queues.take_repeated_loss(self._channel.last_answer_s):
            await self._send_message(HeartbeatWanted())  # is it the network, or that row?
            return True
        return self._boot.is_accepted and await self._send_when_idle()

    async def _send_urgent(self, message: Message) -> None:
        if isinstance(message, BootWanted):
            await self._boot.send_boot(triggered=True)
        else:
            await self._send_message(message)

    async def _send_when_idle(self) -> bool:
        if not self.heartbeat.time_wait_left_s() and (found := await self.queues.next_row()):
            await deliver_row(*found, self._channel.dialect, self._channel, self._post_event)
            return True
        if self._idle and time.monotonic() >= self._idle_not_before_s:
            await self._send_idle()
            return True
        if time.monotonic() < self.heartbeat.due_s():
            return False
        await self._send_message(HeartbeatWanted())
        return True

    def _next_status(self) -> QueuedStatus | None:
        """Return the next status to send. While the boot is pending only triggered messages may
        be sent (1.6 4.2)."""
        if self._boot.status not in ("Accepted", "Pending"):
            return None
        settled = ALL_SETTLED if self.heartbeat.time_wait_left_s() else self.queues.transactions.settled_for_status()
        return self.statuses.take_due(self._ctx.clock.now().t_s, settled, self._boot.status == "Pending")

    def idle_time_s(self) -> float:
        """Return the seconds until the next message is due by time alone."""
        now_s = time.monotonic()
        if not self._boot.is_accepted:
            return self._boot.due_in_s
        dues_s, clock = [self.heartbeat.due_s() - now_s], self._ctx.clock
        if self._idle:
            dues_s.append(self._idle_not_before_s - now_s)
        domain_s = clock.now().t_s
        status_s = self.statuses.next_due_s(domain_s)
        if status_s is not None:
            dues_s.append((status_s - domain_s) / clock.rate)
        time_wait_s = self.heartbeat.time_wait_left_s()
        return max(0.001, min(dues_s + ([time_wait_s] if time_wait_s else self.queues.dues_s())))

    async def _send_message(self, message: Message) -> None:
        began_s = time.monotonic()
        effects = await self._channel.try_send_message(message)
        for event in effects.events if effects else ():
            self._post_event(event)
        if isinstance(message, HeartbeatWanted):
            self.heartbeat.heartbeat_sent()
            if self._channel.last_answer_s >= began_s:
                self.queues.transactions.unanswered.end_doubt()

    async def _send_idle(self) -> None:
        """Send the oldest message that could wait. One that gets no answer is not sent again, and those behind it rest:
        a backend that is silent about them must not hold up what is billed. Nor must one that ends the connection
        instead of an answer: after the second time the message is given up, and the others rest on the next one."""
        message = self._idle.pop(0)
        try:
            await self._channel.send_message(message)
        except (ConnectionLost, asyncio.CancelledError):
            self._idle_losses += 1
            if self._idle_losses == 1 and len(self._idle) < IDLE_KEPT:
                self._idle.insert(0, message)
            raise
        except NoAnswer:
            self._idle_silences += 1
            self._rest_idle_messages(self._idle_silences)
        else:
            self._idle_silences = self._idle_losses = 0

    def _rest_idle_messages(self, times: int) -> None:
        pause_s = growing_pause_s(STATUS_RETRY_S, times) / self._ctx.clock.rate
        self._idle_not_before_s = time.monotonic() + pause_s

    async def _send_status(self, status: QueuedStatus) -> None:
        try:
            await self._channel.send_message(status.message)
        except (ConnectionLost, asyncio.CancelledError):
            self._requeue_status(status, self._status_losses)  # after the second loss others go first
            self._status_losses += 1
            raise
        except NoAnswer:
            self._status_silences += 1
            self._requeue_status(status, self._status_silences)
        else:
            self._status_silences = self._status_losses = 0

    def _requeue_status(self, status: QueuedStatus, times: int) -> None:
        self.statuses.requeue_failed(status, self._ctx.clock.now().t_s + growing_pause_s(STATUS_RETRY_S, times))
