"""Run the session table for every EVSE, and resume the sessions that were open when the agent
stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.domain.events import (
    EvseEvent,
    FaultRaised,
    Started,
    StopRequested,
    StopWanted,
    StoreLost,
    TimeCame,
    TransactionAcknowledged,
)
from agent.domain.evse import EvseRecord, SessionState, StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import LogNote, Persist, WakeMe
from agent.domain.serialization import UnreadableRecord
from agent.domain.session.active import limit_invalid_token_energy, mark_session_alive
from agent.domain.session.end import end_session, end_session_from_disk
from agent.domain.session.release import set_release
from agent.domain.session.resume import RECOVER_S, await_board
from agent.domain.session.table import EVENTS, apply_session_event
from agent.domain.session_records import Session
from agent.domain.timers import SESSION_TIMERS, Timer, TimerKind
from agent.model.types import AuthorizationStatus, Fault, Judge, Moment, Verdict

_OF_ONE_EVSE = tuple(e for e in EVENTS if issubclass(e, EvseEvent))


class Sessions:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(*_OF_ONE_EVSE)
    def run_session_table(self, event: Any, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses.get(event.evse)
        if evse is not None:
            yield from apply_session_event(self._site, evse, event, now)

    @handles_timer(*SESSION_TIMERS)
    def run_table_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from apply_session_event(self._site, self._site.evses[event.timer.evse], event, now)

    @handles_events(Started)
    def resume_sessions(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Resume open sessions: they wait for their board. A record that cannot be read is set
        aside, and its EVSE stays out of service; the rest of the station runs."""
        for key, record in event.remembered.get("poisoned", {}).items():
            if key.startswith("session/") and not record.get("told"):  # the store could not read it
                yield Persist("poisoned", key, {**record, "told": True})
                yield from self._take_out_of_service(record.get("evse") or _evse_number_in(str(record.get("record"))))
        for key, record in event.remembered.get("session", {}).items():
            try:
                session = Session.from_record(key, record)
                evse = self._site.evses[session.evse]
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError) as e:
                yield from self._set_record_aside(key, record, str(e))
                continue
            if evse.session is not None:
                yield from self._set_record_aside(key, record, "second open session of the same EVSE")
                continue
            await_board(evse, session)
            yield WakeMe(Timer(TimerKind.SESSION_RECOVERY, evse.number), now.t_s + RECOVER_S)
        for key, record in event.remembered.get("lost", {}).items():
            yield Persist("lost", key, None)
            ended = record.get("ended")
            known = ended.items() if isinstance(ended, Mapping) else ()
            yield StoreLost(str(record.get("text")), {str(k): wh for k, wh in known if isinstance(wh, int)})

    @handles_events(StoreLost)
    def end_sessions_of_lost_store(self, event: StoreLost, now: Moment) -> Iterator[Yielded]:
        """Bill sessions that ended in the lost part of the store, with the register they ended
        with, or the last one on disk. Energy above it belongs to other sessions."""
        for evse in self._site.evses.values():
            if evse.session is not None and evse.session.id in event.ended:
                yield from end_session_from_disk(self._site, evse, event.ended[evse.session.id], now)

    def _set_record_aside(self, key: str, record: Any, why: str) -> Iterator[Yielded]:
        yield Persist("poisoned", key, {"record": record, "why": why})
        yield Persist("session", key, None)
        yield from self._take_out_of_service(record.get("evse") if isinstance(record, Mapping) else None)

    def _take_out_of_service(self, number: Any) -> Iterator[Yielded]:
        """Take the EVSE of this session out of service until the next start, or all of them: energy
        may be unbilled."""
        known = [e for e in self._site.evses.values() if e.number == number]
        for evse in known or self._site.evses.values():
            yield FaultRaised(evse.number, Fault.RECORD_POISONED)

    @handles_events(StopRequested)
    def withdraw_release_on_stop(self, event: StopRequested, now: Moment) -> Iterator[Yielded]:
        """Withdraw release on SIGTERM: no energy without an agent. The session stays open for the
        restart."""
        self._site.stop_requested = True
        for evse in self._site.evses.values():
            if evse.release_order.given:
                yield from set_release(self._site, evse, False)
            if evse.session is not None:
                mark_session_alive(evse, now)
                yield Persist("session", evse.session.id, evse.session.to_record())

    @handles_events(TransactionAcknowledged)
    def stop_refused_session(self, event: TransactionAcknowledged, now: Moment) -> Iterator[Yielded]:
        """Stop a running session whose token the backend refuses (OCPP 1.6,
        StartTransaction.conf)."""
        evse = next((e for e in self._site.evses.values() if e.open_transaction_id == event.session), None)
        if event.link != self._site.config.links[0]:
            return  # one backend authorizes; one that only observes does not decide
        if evse is None or event.verdict is None or event.verdict.is_accepted:
            return
        holder = evse.session or evse.authorization
        if event.token and holder and not event.token.matches_token(holder.token):
            return  # said of the card that has stopped what was here before
        if not self._is_heeded(evse, event.verdict):
            said = f"the backend does not know the token of a bank card ({event.verdict.status}); its session goes on"
            yield LogNote(evse.number, said, "backend")
            return
        wanted = StopWanted(evse.number, StopReason.DEAUTHORIZED, TriggerReason.DEAUTHORIZED)
        if not self._site.settings.bool_value("stop_on_invalid_id"):
            yield from limit_invalid_token_energy(self._site, evse, event.verdict, now)
        elif evse.session is None:
            if evse.authorization is not None:  # reported before there was a session: the authorization is gone
                yield wanted
        elif evse.state in (SessionState.ACTIVE, SessionState.RECOVERING):
            yield from end_session(self._site, evse, wanted, now)

    def _is_heeded(self, evse: EvseRecord, verdict: Verdict) -> bool:
        """True if a refusal by the backend ends what was begun. The token of a bank card is made here, and its driver
        has paid: that a backend does not know it says nothing, unless it was asked before (decision 68)."""
        holder = evse.session or evse.authorization
        if holder is None or holder.judged_by not in (Judge.BANK, Judge.BANK_AND_AUTHORIZE):
            return True
        heeds = self._site.settings.text_value("payment_heed_start_verdict")
        if heeds == "known" and holder.judged_by is Judge.BANK:
            return verdict.status not in (AuthorizationStatus.INVALID, AuthorizationStatus.UNKNOWN)
        return heeds != "none"


def _evse_number_in(damaged: str) -> int | None:
    """Return the EVSE's number in what is left of a session's record."""
    _, found, rest = damaged.partition('"evse":')
    digits = rest.split(",")[0].strip()
    return int(digits) if found and digits.isascii() and digits.isdigit() and len(digits) < 6 else None
