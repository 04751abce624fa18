"""Set, report and clear the messages of a backend for drivers (OCPP 2.x O01 to O06). ``domain/display_messages.py``
decides which of them a screen shows."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.display_messages import MESSAGES_MAX, DisplayMessage, MessagePriority, MessageRefusal
from agent.domain.events import ClockTrusted, Event, SessionClosed, SituationChanged, Started, TransactionClosed
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.orders import Persist, WakeMe
from agent.domain.requests import ClearDisplayMessageRequest, GetDisplayMessagesRequest, SetDisplayMessageRequest
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, Moment

KIND = "display_message"
ROUND_S = 0.001
"""UTC as a number is not finer than that by much: a timer that comes a hair early waits so long again."""


class DisplayMessages:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(Started)
    def restore_display_messages(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the messages. Their transactions are restored by now."""
        for key, record in event.remembered.get(KIND, {}).items():
            try:
                message = DisplayMessage.from_record(record)
            except (KeyError, TypeError, ValueError, OverflowError):
                yield Persist(KIND, key, None)
                continue
            self._site.display_messages[message.id] = message
        yield from self._drop_outdated(now)
        yield from self._arm_message_timer(now)

    # --- requests of the backend -------------------------------------------------------------------------------

    @answers_requests(SetDisplayMessageRequest)
    def answer_set_display_message(
        self, request: SetDisplayMessageRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Keep the message, in the place of one with the same id (O06) and of another one that stands always in front
        (O01.FR.16, O02.FR.18)."""
        new, messages = request.message, self._site.display_messages
        replaced = [m for m in messages.values() if _takes_place_of(new, m)]
        if refusal := self._message_refusal(new, len(messages) - len(replaced), now):
            yield reply(refusal.status, {"reason": refusal})
            return
        for old in replaced:
            yield from self._forget_message(old)
        messages[new.id] = new
        yield Persist(KIND, str(new.id), new.to_record())
        yield reply("Accepted")
        yield from self._show_changed_messages(now)

    def _message_refusal(self, new: DisplayMessage, kept: int, now: Moment) -> MessageRefusal | None:
        """Return why the message is refused. ``kept``: how many messages stay beside it. A message that could never be
        seen is refused: its sender has made a mistake."""
        if new.transaction and new.session not in self._open_transactions():
            return MessageRefusal("UnknownTxId", "no such transaction is running here", "UnknownTransaction")
        if new.has_passed_end(now):
            return MessageRefusal("InvalidValue", "endDateTime: has passed")
        if new.start_utc_s is not None and new.end_utc_s is not None and new.end_utc_s <= new.start_utc_s:
            return MessageRefusal("InvalidValue", "endDateTime: must be after startDateTime")
        if kept >= MESSAGES_MAX:
            return MessageRefusal("TooManyElements", f"{MESSAGES_MAX} messages are set: clear one before")
        if not self._site.store_ok:
            return MessageRefusal("OutOfStorage", "the disk of the station takes nothing")
        return None

    @answers_requests(GetDisplayMessagesRequest)
    def answer_get_display_messages(
        self, request: GetDisplayMessagesRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Answer with the messages that meet each criterion that is given (O03, O04)."""
        found = tuple(
            message
            for _, message in sorted(self._site.display_messages.items())
            if (not request.ids or message.id in request.ids)
            and request.priority in (None, message.priority)
            and request.state in (None, message.state)
        )
        yield reply("Accepted" if found else "Unknown", {"messages": found})

    @answers_requests(ClearDisplayMessageRequest)
    def answer_clear_display_message(
        self, request: ClearDisplayMessageRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        message = self._site.display_messages.get(request.id)
        if message is None:
            yield reply("Unknown")
            return
        yield from self._forget_message(message)
        yield reply("Accepted")
        yield from self._show_changed_messages(now)

    # --- begin and end -----------------------------------------------------------------------------------------

    @handles_events(SessionClosed, TransactionClosed)
    def drop_messages_of_transaction(self, event: Event, now: Moment) -> Iterator[Yielded]:
        """Forget the messages of a transaction that has ended (O02.FR.02). One may outlive its session."""
        before = len(self._site.display_messages)
        yield from self._drop_outdated(now)
        if len(self._site.display_messages) < before:
            yield from self._show_changed_messages(now)

    @handles_timer(TimerKind.DISPLAY_MESSAGE)
    @handles_events(ClockTrusted)
    def begin_and_end_in_time(self, event: Event, now: Moment) -> Iterator[Yielded]:
        if self._site.display_messages:
            yield from self._drop_outdated(now)
            yield from self._show_changed_messages(now)

    def _drop_outdated(self, now: Moment) -> Iterator[Yielded]:
        """Forget what is over (O01.FR.07): its time, or its transaction."""
        running = self._open_transactions()
        for message in list(self._site.display_messages.values()):
            if message.has_passed_end(now) or (message.session and message.session not in running):
                yield from self._forget_message(message)

    def _forget_message(self, message: DisplayMessage) -> Iterator[Yielded]:
        del self._site.display_messages[message.id]
        yield Persist(KIND, str(message.id), None)

    def _show_changed_messages(self, now: Moment) -> Iterator[Yielded]:
        yield from self._arm_message_timer(now)
        yield SituationChanged(STATION)

    def _arm_message_timer(self, now: Moment) -> Iterator[Yielded]:
        """Wake when the next message begins or ends. Without a known time none does."""
        times = [s for m in self._site.display_messages.values() for s in (m.start_utc_s, m.end_utc_s) if s is not None]
        next_utc_s = min((s for s in times if now.utc_s is not None and s > now.utc_s), default=None)
        at_s = None
        if next_utc_s is not None and now.utc_s is not None:
            at_s = now.t_s + max(ROUND_S, next_utc_s - now.utc_s)
        yield WakeMe(Timer(TimerKind.DISPLAY_MESSAGE), at_s)

    def _open_transactions(self) -> set[str]:
        return {evse.open_transaction_id for evse in self._site.evses.values()} - {""}


def _takes_place_of(new: DisplayMessage, old: DisplayMessage) -> bool:
    return new.id == old.id or new.priority is old.priority is MessagePriority.ALWAYS_FRONT
