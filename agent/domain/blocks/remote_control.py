"""Answer the remote requests of a backend to stop, unlock, reset and trigger (OCPP 1.6 5.10-5.18;
2.x F03-F06, B11-B12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.domain.blocks.cable_lock import CableLock
from agent.domain.blocks.evse_status import EvseStatus
from agent.domain.blocks.fault_reset import FaultReset
from agent.domain.blocks.log_upload import LogUpload
from agent.domain.certificate_orders import SigningWanted
from agent.domain.events import (
    AuthorizationDropped,
    RestartExpected,
    SessionClosed,
    SituationChanged,
    StopWanted,
    TimeCame,
    TransactionAbandoned,
    TransactionClosed,
    UnlockTried,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import (
    BootWanted,
    FirmwareStatus,
    HeartbeatWanted,
    Message,
    StopReason,
    TriggerReason,
)
from agent.domain.orders import REMOTE_RESET, SCHEDULED_RESET, ReadMeter, Restart, Send, WakeMe
from agent.domain.reading_purposes import ReadingKind, ReadingPurpose
from agent.domain.requests import (
    DataTransferRequest,
    MessageTrigger,
    RemoteStopRequest,
    ResetRequest,
    TriggerMessageRequest,
    UnlockConnectorRequest,
)
from agent.domain.session.tx_points import report_requested_event
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import mutable
from agent.model.types import STATION, Moment

RESET_PATIENCE_S = 30.0
"""How long a reset waits for the end readings of running sessions. They are on disk and are
reported after the boot anyway."""

_PLAIN: dict[MessageTrigger, Message] = {
    MessageTrigger.BOOT: BootWanted(),
    MessageTrigger.HEARTBEAT: HeartbeatWanted(),
}


_RESET = (StopReason.IMMEDIATE_RESET, TriggerReason.RESET_COMMAND)


def _transaction_names(evse: EvseRecord) -> tuple[str, str]:
    """Return the names of the EVSE's session and transaction. A session has its name also before
    its transaction is reported."""
    return (evse.session.id if evse.session else "", evse.tx.id if evse.tx else "")


@mutable
class _Unlocking:
    reply: Replier
    asked_for: bool = False


class RemoteControl:
    def __init__(
        self,
        site: StationState,
        lock: CableLock,
        status: EvseStatus,
        firmware_status: Callable[[bool], FirmwareStatus],
        logs: LogUpload,
        fault_reset: FaultReset,
    ) -> None:
        self._site, self._lock, self._fault_reset = site, lock, fault_reset
        self._status, self._firmware_status, self._log_upload = status, firmware_status, logs
        self._unlocking: dict[int, _Unlocking] = {}
        self._pending_reset: ResetRequest | None = None
        self._pending_evse_resets: set[int] = set()

    @answers_requests(RemoteStopRequest)
    def answer_remote_stop(self, request: RemoteStopRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        evse = next(
            (e for e in self._site.evses.values() if request.session and request.session in _transaction_names(e)), None
        )
        if evse is None or (
            evse.session is not None and evse.state not in (SessionState.ACTIVE, SessionState.RECOVERING)
        ):
            yield reply("Rejected")
            return
        yield reply("Accepted")
        wanted = StopWanted if evse.session is not None or evse.authorization is not None else TransactionAbandoned
        yield wanted(evse.number, StopReason.REMOTE, TriggerReason.REMOTE_STOP)

    # --- unlock ------------------------------------------------------------------------------------------------

    @answers_requests(UnlockConnectorRequest)
    def answer_unlock_connector(
        self, request: UnlockConnectorRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        evse = self._site.evses.get(request.evse)
        status = self._unlock_refusal(evse, request)
        if status or evse is None:
            yield reply(status)
            return
        self._unlocking[evse.number] = _Unlocking(reply)
        if evse.state in (SessionState.ACTIVE, SessionState.RECOVERING, SessionState.BEGINNING):
            yield StopWanted(evse.number, StopReason.OTHER, TriggerReason.UNLOCK_COMMAND)
        if evse.session is None:
            yield from self._try_unlock(evse, now)

    def _unlock_refusal(self, evse: EvseRecord | None, request: UnlockConnectorRequest) -> str:
        if evse is None:
            return "UnknownConnector"
        if not evse.can_unlock_plug:
            return "NotSupported"
        if evse.number in self._unlocking or not evse.board.known:
            return "UnlockFailed"
        if (evse.session is not None or evse.state is SessionState.BEGINNING) and not request.stop_first:
            return "OngoingAuthorizedTransaction"
        return ""

    def _try_unlock(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        waiting = self._unlocking[evse.number]
        waiting.asked_for = True
        yield from self._lock.unlock_if_safe(evse, now, waiting.reply.request_key)

    @handles_events(SessionClosed)
    def continue_after_session(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        waiting = self._unlocking.get(event.evse)
        if waiting and not waiting.asked_for:
            yield from self._try_unlock(self._site.evses[event.evse], now)
        if event.evse in self._pending_evse_resets:
            self._pending_evse_resets.discard(event.evse)
            yield from self._fault_reset.reset_evse_faults(event.evse, now)
        if self._pending_reset and not (
            self._is_station_in_use() if self._pending_reset.on_idle else self._has_running_session()
        ):
            yield from self._restart_station()

    @handles_events(AuthorizationDropped, TransactionClosed)
    def continue_without_session(
        self, event: AuthorizationDropped | TransactionClosed, now: Moment
    ) -> Iterator[Yielded]:
        if event.evse in self._pending_evse_resets and self._site.evses[event.evse].session is None:
            self._pending_evse_resets.discard(event.evse)
            yield from self._fault_reset.reset_evse_faults(event.evse, now)
        if self._pending_reset and self._pending_reset.on_idle and not self._is_station_in_use():
            yield from self._restart_station()

    @handles_events(UnlockTried)
    def reply_unlock_outcome(self, event: UnlockTried, now: Moment) -> Iterator[Yielded]:
        waiting = self._unlocking.get(event.evse)
        if waiting and event.request == waiting.reply.request_key:
            del self._unlocking[event.evse]
            yield waiting.reply("Unlocked" if event.freed else "UnlockFailed")

    # --- reset -------------------------------------------------------------------------------------------------

    @answers_requests(ResetRequest)
    def answer_reset(self, request: ResetRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Accept the reset, end the sessions in order (once), then end the process."""
        if request.evse != STATION:
            yield from self._reset_evse(reply, request, now)
            return
        waiting = request.on_idle and self._is_station_in_use()
        yield reply("Scheduled" if waiting else "Accepted")
        if self._pending_reset is not None and (waiting or not self._pending_reset.on_idle):
            return
        self._pending_reset = request
        if waiting:
            self._site.draining = True
            yield SituationChanged(STATION)
            return
        self._site.reset_accepted = True
        for evse in self._site.evses.values():
            if evse.tx is not None and evse.session is None:
                yield TransactionAbandoned(evse.number, *_RESET, note="hard" if request.hard else "soft")
        if not self._has_running_session():
            yield from self._restart_station()
            return
        yield WakeMe(Timer(TimerKind.STATION_RESET), now.t_s + max(RESET_PATIENCE_S, 10 * self._site.config.io_s))
        for evse in self._site.evses.values():
            yield StopWanted(evse.number, *_RESET, note="hard" if request.hard else "soft")

    def _reset_evse(self, reply: Replier, request: ResetRequest, now: Moment) -> Iterator[Yielded]:
        """Reset one EVSE: its session ends, and its board gets the order to acknowledge its
        faults."""
        evse = self._site.evses.get(request.evse)
        if evse is None:
            yield reply("Rejected")
            return
        busy = evse.session is not None or evse.tx is not None
        yield reply("Scheduled" if busy and request.on_idle else "Accepted")
        if not busy:
            yield from self._fault_reset.reset_evse_faults(evse.number, now)
            return
        self._pending_evse_resets.add(evse.number)
        if not request.on_idle:
            wanted = StopWanted if evse.session is not None else TransactionAbandoned
            yield wanted(evse.number, *_RESET, note="soft")

    def _is_station_in_use(self) -> bool:
        """True if a session runs or may start any moment, or a transaction is open."""
        waiting = (SessionState.AUTHORIZED, SessionState.BEGINNING)
        return self._has_running_session() or any(
            e.state in waiting or e.tx is not None for e in self._site.evses.values()
        )

    def _has_running_session(self) -> bool:
        return any(e.session is not None for e in self._site.evses.values())

    @handles_timer(TimerKind.STATION_RESET)
    def restart_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._restart_station()

    def _restart_station(self) -> Iterator[Yielded]:
        """Restart the station. A reset that waited for its moment is scheduled (2.0.1 B12); one
        that found the station idle is not."""
        reset, self._pending_reset = self._pending_reset, None
        yield WakeMe(Timer(TimerKind.STATION_RESET), None)
        waited = reset is not None and reset.on_idle and not self._site.reset_accepted
        yield Restart(bool(reset and reset.hard), SCHEDULED_RESET if waited else REMOTE_RESET)

    @handles_events(RestartExpected)
    def drain_before_restart(self, event: RestartExpected, now: Moment) -> Iterator[Yielded]:
        """Let no other session start before the restart. A reset that waits keeps the station closed in any case."""
        self._site.draining = event.expected or self._pending_reset is not None
        yield SituationChanged(STATION)

    # --- trigger, data -----------------------------------------------------------------------------------------

    @answers_requests(TriggerMessageRequest)
    def answer_trigger_message(self, request: TriggerMessageRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        number = request.evse
        if number is not None and number != 0 and number not in self._site.evses:
            yield reply("Rejected")
            return
        evses = [e for e in self._site.evses.values() if not number or e.number == number]
        if request.what is MessageTrigger.SIGN:
            yield reply("Accepted" if reply.link == self._site.config.links[0] else "Rejected")
            if reply.link == self._site.config.links[0]:
                yield SigningWanted()
            return
        if request.what is MessageTrigger.TRANSACTION:
            evses = [e for e in evses if e.open_transaction_id]
        if not evses or self._has_no_measurands(request):
            yield reply("Rejected")
            return
        if request.what in (MessageTrigger.METER_VALUES, MessageTrigger.STATUS, MessageTrigger.TRANSACTION):
            yield reply("Accepted")
            if request.what is MessageTrigger.STATUS:
                yield from self._status.resend_status(reply.link, number, now)
            else:
                # an observing backend gets the values alone, on its own link
                alone = "" if reply.link == self._site.config.links[0] else reply.link
                kind = ReadingKind.TRIGGERED_OUTSIDE if request.loose else ReadingKind.TRIGGERED
                for evse in evses:
                    if request.what is MessageTrigger.TRANSACTION and evse.has_unplaced_transaction:
                        yield from report_requested_event(self._site, evse, now, alone)
                    else:
                        yield ReadMeter(evse.number, ReadingPurpose(kind, detail=alone))
            return
        yield reply("Accepted")
        yield Send(reply.link, self._triggered_message(request))

    def _has_no_measurands(self, request: TriggerMessageRequest) -> bool:
        """True if it asks for meter values and none are configured: nothing could be sent."""
        name = "aligned_measurands" if request.loose else "sampled_measurands"
        return request.what is MessageTrigger.METER_VALUES and not self._site.settings.list_value(name)

    def _triggered_message(self, request: TriggerMessageRequest) -> Message:
        if request.what is MessageTrigger.FIRMWARE_STATUS:
            return self._firmware_status(request.extended)
        if request.what is MessageTrigger.LOG_STATUS:
            return self._log_upload.current_status(request.extended)
        return _PLAIN[request.what]

    @answers_requests(DataTransferRequest)
    def answer_data_transfer(self, request: DataTransferRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Answer that no vendor extension is supported yet."""
        yield reply("UnknownVendorId")
