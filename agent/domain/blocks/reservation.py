"""Answer ReserveNow and CancelReservation, and end reservations (OCPP 1.6 5.4, 5.13; 2.x H01-H04).
A reservation is stored before it is accepted. It ends by use, by time, by the backend, or when the
reserved EVSE cannot be used. ``domain/reservation_claims.py`` decides which EVSE is kept for which
reservation."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import ClockTrusted, Event, SessionOpened, SituationChanged, Started
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.faults import GRACE_S, blocks_charging
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import ReservationEnded
from agent.domain.orders import Persist, Send, WakeMe
from agent.domain.requests import CancelReservationRequest, ReserveNowRequest
from agent.domain.reservation_claims import (
    Reservation,
    claim_reservation,
    count_served_wishes,
    evses_without_reservation,
    is_reserved,
    unclaimed_reservations,
)
from agent.domain.serialization import UnreadableRecord
from agent.domain.timers import Timer, TimerKind
from agent.model.types import STATION, EvseId, Moment

ROUND_S = 0.001


class Reservations:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._kept_evses: tuple[EvseId, ...] = ()

    @handles_events(Started)
    def restore_reservations(self, event: Started, now: Moment) -> Iterator[Yielded]:
        for name, record in event.remembered.get("reservation", {}).items():
            try:
                reservation = Reservation.from_record(name, record)
            except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError):
                yield Persist("reservation", name, None)
                continue
            self._site.reservations[name] = reservation
        yield from self._expire_reservations(now)

    # --- requests of the backend -------------------------------------------------------------------------------

    @answers_requests(ReserveNowRequest)
    def answer_reserve_now(self, request: ReserveNowRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        """Reserve. The same number again replaces the reservation if the new one is possible;
        otherwise the old one stays."""
        name = f"{reply.link}/{request.number}"
        old = self._site.reservations.pop(name, None)
        status = self._reserve_now_status(request, now)
        if status != "Accepted" or now.utc_s is None:
            if old is not None:
                self._site.reservations[name] = old
            yield reply(status)
            return
        left_s = request.expires_utc_s - now.utc_s
        new = Reservation(
            name,
            request.evse,
            request.token,
            request.expires_utc_s,
            now.stamp,
            left_s,
            request.group or None,
            request.connector,
        )
        self._unbind_authorization(name)
        self._site.reservations[name] = new
        yield Persist("reservation", name, new.to_record())
        yield reply("Accepted")
        yield from self._arm_expiry_timer(now)
        yield SituationChanged(STATION)

    def _reserve_now_status(self, request: ReserveNowRequest, now: Moment) -> str:
        """Return the ReserveNowStatusEnumType. Without a known time the end of a reservation would
        be unknown."""
        site = self._site
        offered = site.settings.bool_value("reservation_enabled") and (
            request.evse or site.settings.bool_value("reserve_any")
        )
        if not offered or site.stopping or now.utc_s is None or request.expires_utc_s <= now.utc_s:
            return "Rejected"
        fitting = [
            e
            for e in site.evses.values()
            if request.evse in (STATION, e.number) and request.connector in ("", e.connector_type)
        ]
        if not fitting:
            return "Rejected"
        if request.evse:
            return self._reserve_evse_status(fitting[0])
        open_ = [e.connector_type for e in evses_without_reservation(site)]
        pool = [r.connector for r in unclaimed_reservations(site) if not r.evse]
        if count_served_wishes(open_, [*pool, request.connector]) > count_served_wishes(open_, pool):
            return "Accepted"
        states = {self._reserve_evse_status(e) for e in fitting} - {"Accepted"}
        return next((s for s in ("Occupied", "Faulted", "Unavailable") if s in states), "Occupied")

    def _reserve_evse_status(self, evse: EvseRecord) -> str:
        """Return the status of a reservation of this very EVSE."""
        service = self._site.service_state(evse)
        if service is ServiceState.FAULTED:
            return "Faulted"
        if service is ServiceState.UNAVAILABLE or not evse.board.known:
            return "Unavailable"
        return "Accepted" if evse.is_vacant and claim_reservation(self._site, evse, None) == "" else "Occupied"

    @answers_requests(CancelReservationRequest)
    def answer_cancel_reservation(
        self, request: CancelReservationRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        name = f"{reply.link}/{request.number}"
        if name not in self._site.reservations:
            yield reply("Rejected")
            return
        yield from self._forget_reservation(name, now)
        yield reply("Accepted")

    # --- end of a reservation ----------------------------------------------------------------------------------

    def _forget_reservation(self, name: str, now: Moment) -> Iterator[Yielded]:
        del self._site.reservations[name]
        self._unbind_authorization(name)
        yield Persist("reservation", name, None)
        yield from self._arm_expiry_timer(now)
        yield SituationChanged(STATION)

    def _unbind_authorization(self, name: str) -> None:
        """Keep an authorization that was given already, but without this reservation."""
        for evse in self._site.evses.values():
            if evse.authorization and evse.authorization.reservation == name:
                evse.authorization.reservation = ""

    @handles_events(SessionOpened)
    def use_up_reservation(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        session = self._site.evses[event.evse].session
        if session is not None and session.reservation in self._site.reservations:
            yield from self._forget_reservation(session.reservation, now)

    @handles_events(SituationChanged)
    def end_unusable_reservations(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        """End a reservation whose EVSE is faulty or closed (2.x H01.FR.09). What may pass in
        seconds (a silent board, a reset) ends none."""
        for reservation in list(self._site.reservations.values()):
            evse = self._site.evses.get(reservation.evse)
            if evse is not None and self._is_out_of_use(evse):
                yield from self._forget_reservation(reservation.id, now)
                yield from self._report_reservation_ended(reservation, expired=False)

    @handles_events(SituationChanged)
    def refresh_other_evses(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        """Refresh EVSEs that are kept or free now: an event at one EVSE may make another one the
        last that is left for a reservation."""
        now_kept = tuple(e.number for e in self._site.evses.values() if is_reserved(self._site, e))
        changed, self._kept_evses = set(self._kept_evses) ^ set(now_kept), now_kept
        for number in changed - {event.evse} if event.evse != STATION else ():
            yield SituationChanged(number)

    def _is_out_of_use(self, evse: EvseRecord) -> bool:
        return not self._site.is_operative(evse) or any(blocks_charging(f) and f not in GRACE_S for f in evse.faults)

    @handles_timer(TimerKind.RESERVATION_EXPIRY)
    @handles_events(ClockTrusted)
    def expire_on_timer(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield from self._expire_reservations(now)

    def _expire_reservations(self, now: Moment) -> Iterator[Yielded]:
        for reservation in list(self._site.reservations.values()):
            if _due_s(reservation, now) <= now.t_s + ROUND_S:
                yield from self._forget_reservation(reservation.id, now)
                yield from self._report_reservation_ended(reservation, expired=True)
        yield from self._arm_expiry_timer(now)

    def _arm_expiry_timer(self, now: Moment) -> Iterator[Yielded]:
        yield WakeMe(
            Timer(TimerKind.RESERVATION_EXPIRY),
            min((_due_s(r, now) for r in self._site.reservations.values()), default=None),
        )

    def _report_reservation_ended(self, reservation: Reservation, expired: bool) -> Iterator[Yielded]:
        if reservation.link_name in self._site.config.links:
            yield Send(reservation.link_name, ReservationEnded(reservation.id, expired))


def _due_s(reservation: Reservation, now: Moment) -> float:
    """Return when the reservation ends, on the stamp clock. Without UTC this is the latest possible
    time, since a later boot began after it was made."""
    if now.utc_s is not None:
        return now.t_s + reservation.expires_utc_s - now.utc_s
    began_s = reservation.at.t_s if reservation.at.boot == now.stamp.boot else 0.0
    return began_s + reservation.left_s
