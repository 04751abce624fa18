"""Share the station's current among its EVSEs: the limits of charging profiles, of an external system, of the feed and
of the outlets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from agent.domain.charging.composite_schedule import (
    Bound,
    Outlet,
    ProfileTable,
    bound_of_evse,
    next_change_s,
    station_wide_bounds,
)
from agent.domain.charging.load_sharing import Budget, Claim, room_a, share_current
from agent.domain.charging.profiles import InstalledProfile, Unit
from agent.domain.events import LimitChanged
from agent.domain.evse import FEED, EvseRecord, SessionState, StationState
from agent.domain.faults import LIVE
from agent.domain.functional_block import Yielded
from agent.domain.orders import Persist, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.fastclass import replace
from agent.model.types import EvseId, Moment, Stamp

YIELD_S = 5.0
"""How long a vehicle may take to follow a lower offer (IEC 61851-1, annex A). Only then another one
may get the current."""
UNHEARD_S = 60.0
"""How long a board may have heard nothing before it counts as silent (real seconds): looks that were not answered, a
withdrawal that is tried several times, and a second opening that failed, on a line that is shared with other boards.
Too long costs a little room after a silence, too short exceeds the feed."""
SAME_A = 1e-6
"""Currents that differ by less are the same."""
PhaseCurrents: TypeAlias = tuple[float, float, float]
"""Amperes of L1, L2 and L3 of an outlet; 0: a phase that is not used."""
NO_CURRENTS: PhaseCurrents = (0.0, 0.0, 0.0)
KEPT_SHARE = "kept_share"
"""Kind of the record of a share that is kept."""
LONG_AGO = Stamp(0, 0.0)
EARLY_S = 0.001
"""A timer that fires this much too early counts as due."""


class StationLimits:
    """Keeps nothing of its own: what vehicles may still draw is state of the station."""

    def __init__(self, site: StationState) -> None:
        self._site = site

    def compute_starting_limit(self, evse: EvseRecord, now: Moment) -> None:
        """Compute the share of an EVSE before its session gets energy, as far as the others have
        left it already. Too little for it: none. Another EVSE that charged when the agent stopped,
        or when its board was lost, and whose board was not opened since, still has what it was
        given then: its share, as far as it is known."""
        self._forget_currents_no_longer_drawn()
        running = self._evses_drawing_energy()
        table, at_s = self.profile_table(now), _axis_s(now)
        owns = {e.number: bound_of_evse(table, self.outlet_of_evse(e, now), at_s) for e in running}
        had_currents_a = _phase_currents(evse.allowed_a or 0.0, evse.used_phases)
        evse.allowed_phases = owns[evse.number].phases
        claims = [self._claim_of_evse(e, owns[e.number], len(running) == 1) for e in running]
        others = [e for e in running if e is not evse]
        drawn_a = {e.number: self._still_drawn_a(e, now) for e in others}
        drawn_phases = {number: sum(a > 0 for a in currents_a) for number, currents_a in drawn_a.items()}
        budgets = self._station_budgets(running, now, drawn_phases)
        fair_a = share_current(budgets, claims)
        had_a = {e.number: fair_a[e.number] if e.allowed_a is None else e.allowed_a for e in others}
        taken_a = {number: max(had_a[number], *currents_a) for number, currents_a in drawn_a.items()}
        allowed_a = min(fair_a[evse.number], room_a(budgets, taken_a, evse.number))
        least_a = next(c.least_a for c in claims if c.evse == evse.number)
        evse.allowed_a = allowed_a if allowed_a >= least_a else 0.0
        lowered = _any_above(had_currents_a, _phase_currents(evse.allowed_a, evse.used_phases))
        if lowered and evse.board.contactor_closed:  # the vehicle goes on
            self._note_still_drawn(evse, had_currents_a, now)

    def _evses_drawing_energy(self) -> list[EvseRecord]:
        """Return the EVSEs with a share in the station's maximum, in the order in which they
        came."""
        running = [e for e in self._site.evses.values() if _may_draw_energy(e)]
        return sorted(running, key=lambda e: (e.session.started if e.session else LONG_AGO, e.number))

    def _station_budgets(
        self, running: list[EvseRecord], now: Moment, drawn_phases: Mapping[EvseId, int]
    ) -> list[Budget]:
        """Return the bounds of the whole station (its feed, an external limit, the maximum of a
        backend) as budgets: amperes are per phase, watts for all phases. An EVSE loads
        ``drawn_phases`` where these are more than it is to use."""
        phases = {e.number: max(e.used_phases, drawn_phases.get(e.number, 0)) for e in running}
        most_phases = max((e.config.phases for e in running), default=3)
        bounds = station_wide_bounds(self.profile_table(now), most_phases, _axis_s(now))
        efficiency = {e.number: e.config.efficiency for e in running}
        per_phase_a = [b.limit for b in bounds if b.unit is Unit.A]
        out = [
            Budget(
                min(per_phase_a),
                {
                    e.number: 1 / efficiency[e.number]
                    for e in running
                    if phase in e.feed_phases_loaded_by(phases[e.number])
                },
            )
            for phase in FEED
            if per_phase_a
        ]
        volts = {e.number: e.config.nominal_v * phases[e.number] for e in running}
        watts_per_a = {number: volts[number] / efficiency[number] for number in volts}
        return [*out, *(Budget(b.limit, watts_per_a) for b in bounds if b.unit is Unit.W)]

    def forget_unused_share(self, evse: EvseRecord) -> None:
        """Forget the share of an EVSE without a session. One that cannot be asked, or cannot be switched off, keeps it:
        that its session is over says nothing of its contactor."""
        if not _may_draw_energy(evse):
            evse.allowed_a = None

    def store_kept_share(self, evse: EvseRecord) -> Iterator[Yielded]:
        """Store the share of an EVSE without a session that keeps it, since its board could not be asked. Forget it on
        disk when it is forgotten here."""
        is_kept = evse.session is None and bool(evse.allowed_a) and (evse.may_supply_unseen or evse.share_kept)
        if is_kept or evse.share_kept:
            evse.share_kept = is_kept
            record = {"amperes": evse.allowed_a, "phases": evse.used_phases}
            yield Persist(KEPT_SHARE, str(evse.number), record if is_kept else None)

    def restore_kept_share(self, evse: EvseRecord, record: Mapping[str, Any]) -> None:
        """Restore what ``store_kept_share`` has stored. Raises ``KeyError``, ``TypeError`` or ``ValueError`` where the
        record cannot be read."""
        amperes, phases = float(record["amperes"]), int(record["phases"])
        if not (0 < amperes < math.inf and 1 <= phases <= len(NO_CURRENTS)):
            raise ValueError(f"{amperes} A of {phases} phases")
        evse.allowed_a, evse.allowed_phases, evse.share_kept = amperes, phases, True

    def keep_unheard_share(self, evse: EvseRecord, now: Moment) -> None:
        """Keep for an EVSE whose board was lost what its vehicle was to leave: the order may not have reached the
        board."""
        for currents_a, _ in self._lately_offered(evse, now) if evse.board_lost else ():
            evse.allowed_a = max(evse.allowed_a or 0.0, *currents_a)
            evse.allowed_phases = max(evse.used_phases, sum(a > 0 for a in currents_a))

    def _lately_offered(self, evse: EvseRecord, now: Moment) -> list[tuple[PhaseCurrents, float]]:
        """Return what was offered before each order to take less that the board may not have heard, and when."""
        since_s = now.t_s - max(YIELD_S, 2 * self._site.config.io_s) - UNHEARD_S * self._site.config.io_s
        return [offer for offer in self._site.lowered_offers.get(evse.number, ()) if offer[1] > since_s]

    def _forget_currents_no_longer_drawn(self) -> None:
        """Forget what a vehicle may still draw once it draws nothing: what it had is another one's by
        now, also when it asks for energy again a moment later."""
        for evse in self._site.evses.values():
            if not (_may_draw_energy(evse) and _may_draw_now(evse)):
                self._site.still_drawn.pop(evse.number, None)
                self._site.lowered_offers.pop(evse.number, None)

    def recompute_limits(self, now: Moment) -> Iterator[Yielded]:
        self._forget_currents_no_longer_drawn()
        running = self._evses_drawing_energy()
        table, at_s = self.profile_table(now), _axis_s(now)
        outlets = [self.outlet_of_evse(e, now) for e in running]
        owns = {e.number: bound_of_evse(table, o, at_s) for e, o in zip(running, outlets, strict=True)}
        had_phases = {e.number: e.used_phases for e in running}
        for evse in running:
            if not _keeps_what_it_has(evse):
                evse.allowed_phases = owns[evse.number].phases
        budgets = self._station_budgets(running, now, {})
        wanted = share_current(budgets, [self._claim_of_evse(e, owns[e.number], len(running) == 1) for e in running])
        again_s = self._wait_for_room(wanted, had_phases, running, now) if budgets else math.inf
        for evse in running:
            switched = evse.used_phases != had_phases[evse.number]
            if evse.allowed_a is None or switched or abs(wanted[evse.number] - evse.allowed_a) > SAME_A:
                evse.allowed_a = wanted[evse.number]
                yield LimitChanged(evse.number)
        ahead_s = min(next_change_s(table, outlets, at_s) - at_s + EARLY_S, again_s) if running else math.inf
        yield WakeMe(Timer(TimerKind.CHARGING_LIMITS), None if ahead_s == math.inf else now.t_s + ahead_s)

    def _claim_of_evse(self, evse: EvseRecord, own: Bound, alone: bool) -> Claim:
        """Return the claim of an EVSE. ``minChargingRate`` decides which EVSE waits when there is
        not enough for all. An EVSE that is alone does not wait, and one that cannot wait gets no
        more for it. One whose board was not seen since the restart, or was lost, learns of no limit:
        it keeps what it has."""
        if _keeps_what_it_has(evse):
            had_a = evse.allowed_a or 0.0
            return Claim(evse.number, had_a, had_a, insists=True)
        waits = not (alone or evse.cannot_pause or own.least > own.limit)
        least_a = max(evse.minimum_a, own.least) if waits else evse.minimum_a
        return Claim(evse.number, own.limit, least_a, _wants_energy(evse), evse.cannot_pause)

    def _wait_for_room(
        self, wanted: dict[EvseId, float], had_phases: Mapping[EvseId, int], running: list[EvseRecord], now: Moment
    ) -> float:
        """Hold raises back while another EVSE has to be lowered, except to what the vehicle may
        draw anyway: vehicles take a moment to follow, whatever is reported in between. A phase more
        is a raise too, a phase less leaves room only when the vehicle has followed. Return when to
        look again."""
        had_a = {e.number: _phase_currents(e.allowed_a or 0.0, had_phases[e.number]) for e in running}
        wanted_a = {e.number: _phase_currents(wanted[e.number], e.used_phases) for e in running}
        for e in running:
            if _any_above(had_a[e.number], wanted_a[e.number]) and _may_draw_now(e):
                self._note_still_drawn(e, had_a[e.number], now)
        down = [e for e in running if any(self._still_drawn_a(e, now))]
        up = [e for e in running if _any_above(wanted_a[e.number], had_a[e.number])]
        again_s = math.inf
        for evse in up:
            if others := [self._site.still_drawn[e.number][1] - now.t_s for e in down if e is not evse]:
                may_draw_a = had_a[evse.number]
                # otherwise the others yield after it has; what is paused is about to draw nothing
                if any(may_draw_a) and self._draws_until_s(evse) - now.t_s >= max(others):
                    may_draw_a = _highest(may_draw_a, self._still_drawn_a(evse, now))
                # on no more phases than it has: a phase that falls for another's sake would not be waited for
                evse.allowed_phases = min(evse.used_phases, had_phases[evse.number])
                wanted[evse.number] = min(wanted[evse.number], *may_draw_a[: evse.used_phases])
                again_s = min(again_s, max(others))
        return again_s

    def _note_still_drawn(self, evse: EvseRecord, had_a: PhaseCurrents, now: Moment) -> None:
        """Note what a vehicle was offered until now: it may draw that until it has followed."""
        until_s = now.t_s + max(YIELD_S, 2 * self._site.config.io_s)
        self._site.still_drawn[evse.number] = _highest(had_a, self._still_drawn_a(evse, now)), until_s
        self._site.lowered_offers[evse.number] = [*self._lately_offered(evse, now), (had_a, now.t_s)]

    def _still_drawn_a(self, evse: EvseRecord, now: Moment) -> PhaseCurrents:
        currents_a, until_s = self._site.still_drawn.get(evse.number, (NO_CURRENTS, 0.0))
        return currents_a if now.t_s < until_s and _may_draw_energy(evse) and _may_draw_now(evse) else NO_CURRENTS

    def _draws_until_s(self, evse: EvseRecord) -> float:
        """Return until when the vehicle may draw what it had before; 0: it has followed."""
        return self._site.still_drawn.get(evse.number, (NO_CURRENTS, 0.0))[1]

    @property
    def nominal_v(self) -> float:
        return float(self._site.settings.int_value("nominal_voltage_v"))

    def profile_table(self, now: Moment) -> ProfileTable:
        pending = [
            InstalledProfile(e.number, replace(e.session.profile, session=e.session.id))
            for e in self._site.evses.values()
            if e.session is not None and e.session.profile is not None
        ]
        return ProfileTable(
            (*pending, *self._site.charging_profiles.values()),
            self.nominal_v,
            trusted=now.utc_s is not None,
            switches=self._site.settings.bool_value("phase_switching"),
            feed_a=self._site.config.feed_a,
            external=self._site.external_limit,
        )

    def outlet_of_evse(self, evse: EvseRecord, now: Moment) -> Outlet:
        session = evse.session
        age_s = 0.0
        if session is not None and session.started.boot == now.stamp.boot:
            age_s = max(0.0, now.t_s - session.started.t_s)
        began_s = _axis_s(now) - EARLY_S - age_s
        of = session.id if session else evse.open_transaction_id
        surely_a = evse.minimum_a if evse.cannot_pause else 0.0
        config = evse.config
        return Outlet(evse.number, evse.maximum_a, config.phases, began_s, of, config.efficiency, config.dc, surely_a)


def _may_draw_energy(evse: EvseRecord) -> bool:
    """True if energy may flow: in a session (of a vehicle that takes any), at its end until the
    contactor is open, on a board that may go on by itself while the agent is away or the board
    cannot be reached, without a session while the contactor is closed (a board that was just opened
    may take seconds to open it), and where it cannot be switched off."""
    return (
        (evse.state is SessionState.ACTIVE and not evse.board.session_used)
        or (evse.state is SessionState.ENDING and _may_draw_now(evse))
        or evse.may_supply_unseen
        or (evse.session is None and evse.board.vehicle_connected and _is_contactor_closed(evse))
        or (evse.board.vehicle_connected and bool(LIVE & evse.faults))
    )


def _is_contactor_closed(evse: EvseRecord) -> bool:
    """True if the board shows it closed. What it showed before it was given up is not true any more."""
    return evse.board.contactor_closed and not evse.board.given_up


def _may_draw_now(evse: EvseRecord) -> bool:
    """True if the contactor is closed, or may be: the vehicle asks for energy, and release is given or
    its withdrawal is not confirmed. What the board reports of its contactor is up to one poll old. A
    board that was not seen since the restart, was lost, or cannot switch off, may supply its vehicle
    too."""
    released = evse.release_order.given or not evse.release_order.withdrawal_confirmed
    unseen = evse.may_supply_unseen or bool(LIVE & evse.faults)
    return unseen or evse.board.contactor_closed or (released and evse.board.requests_energy)


def _keeps_what_it_has(evse: EvseRecord) -> bool:
    """True if no limit reaches its board. One that was not seen since the restart has first to get a share."""
    return (evse.board_lost and evse.allowed_a is not None) or (evse.board_not_seen and bool(evse.allowed_a))


def _phase_currents(current_a: float, phases: int) -> PhaseCurrents:
    first, second, third = (current_a if number < phases else 0.0 for number in range(len(NO_CURRENTS)))
    return first, second, third


def _highest(one_a: PhaseCurrents, other_a: PhaseCurrents) -> PhaseCurrents:
    first, second, third = (max(pair) for pair in zip(one_a, other_a, strict=True))
    return first, second, third


def _any_above(some_a: PhaseCurrents, others_a: PhaseCurrents) -> bool:
    return any(a > other_a + SAME_A for a, other_a in zip(some_a, others_a, strict=True))


def _wants_energy(evse: EvseRecord) -> bool:
    """True if its vehicle asks for energy, or may: a board that was not opened yet reports nothing,
    and some see the request only some time after energy is offered."""
    if evse.board.requests_energy or not evse.board.known:
        return True
    return not (evse.traits.tells_pilot or (evse.release_order.given and evse.progress.state_settled))


def _axis_s(now: Moment) -> float:
    """Return the present time on the axis of all times: UTC, or the stamp clock while UTC is
    unknown."""
    return (now.t_s if now.utc_s is None else now.utc_s) + EARLY_S
