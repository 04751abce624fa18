"""Which EVSE a card or a remote start is for, where the driver has not said it: the outlet that shows
that this driver is meant, otherwise the newest plug, otherwise a free one. A vehicle that has charged for
another driver comes last."""

from __future__ import annotations

from enum import IntEnum

from agent.domain.admission import group_may_charge, why_closed_for
from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.events import CardPresented
from agent.domain.evse import WITHOUT_SESSION, EvseRecord, SessionState, StationState
from agent.domain.known_verdicts import KnownVerdicts
from agent.domain.outlet_claims import OutletClaims
from agent.domain.pending_authorization import Pending
from agent.domain.requests import RemoteStartRequest
from agent.domain.session_records import Authorization
from agent.model.types import Moment, Token, Verdict


class StartLikelihood(IntEnum):
    """How likely a driver who names no outlet means it, the most likely last."""

    OTHERS_CHARGED_VEHICLE = 0
    """A vehicle that has charged, for another driver. It is charged again only where no other outlet is open."""
    NO_VEHICLE = 1
    OWN_CHARGED_VEHICLE = 2
    NEW_VEHICLE = 3


class EvseSelection:
    def __init__(self, site: StationState, choice: OutletSelection, known: KnownVerdicts, claims: OutletClaims) -> None:
        self._site, self._outlet_selection = site, choice
        self._known, self._claims = known, claims

    def select_for_card(self, event: CardPresented, now: Moment) -> tuple[EvseRecord | None, bool, list[EvseRecord]]:
        """Return the EVSE that a card at this reader is for, whether the first cable may still
        choose another one, and the EVSEs that are equally likely (the returned one is among
        them). Where the driver has named an outlet, the card is for that one or for none: a cable at
        another one is perhaps another driver's."""
        evses = self._site.evses
        if event.evse:
            return evses.get(event.evse), False, []
        own = [
            e
            for e in evses.values()
            if event.token and any(event.token.matches_token(t) for t in self._tokens_at_evse(e))
        ]
        if own:
            return own[0], False, []
        if (named := self._find_named_outlet(now)) is not None:
            return evses.get(named.number), False, []
        reserved = [e for e in evses.values() if event.token and self._is_reserved_for(e, event.token)]
        if reserved:
            return reserved[0], False, []
        trapped = [e for e in evses.values() if e.holds_only_kept_cable]
        of_group = [e for e in trapped if e.kept and event.token and self._is_of_group(event.token, e.kept.group, now)]
        if of_group:
            return of_group[0], False, []
        open_ = [
            e
            for e in evses.values()
            if not why_closed_for(self._site, e, event.token) and not self._claims.is_asked_about(e.number)
        ]
        open_ = [e for e in open_ if not e.holds_only_kept_cable]
        open_ = [e for e in open_ if e.payer_until_s is None and not e.board.session_used] or open_
        order = {e.number: self._start_order(e, event.token, None, now) for e in open_ if e.state in WITHOUT_SESSION}
        if order:
            best = evses[max(order, key=lambda number: order[number])]
            alike = [evses[number] for number in order if order[number][0] is order[best.number][0]]
            return best, len(order) > 1, alike if best.board.vehicle_connected and event.token else []
        by_group = [
            e
            for e in evses.values()
            if e.accepts_authorization and group_may_charge(self._site, e) and not self.has_pending_authorization(e)
        ]
        busy = [e for e in evses.values() if e.state is SessionState.ACTIVE]
        return next(iter((*by_group, *busy, *trapped)), None), False, []

    def _find_named_outlet(self, now: Moment) -> EvseRecord | None:
        """Return the outlet, of this station or of a satellite, whose button was pressed a moment ago. Where a right
        or a session is by now, the button was most likely that driver's, and names nothing for the next card."""
        own = [e for e in self._site.evses.values() if e.state in WITHOUT_SESSION]
        of_satellites = [outlet.record for outlet in self._site.satellite_outlets.values() if outlet.is_open]
        return self._outlet_selection.find_chosen_outlet([*own, *of_satellites], now)

    def select_for_remote_start(self, request: RemoteStartRequest, now: Moment) -> EvseRecord | None:
        """Select the EVSE: first one reserved for this token, then an open one, the most likely by ``StartLikelihood``.
        One that another driver pays for is meant only where it is named, or no other is left but that of a web
        page."""
        wanted = [e for e in self._site.evses.values() if request.evse in (None, e.number)]
        is_taken = self._claims.is_asked_about if request.evse is None else self._claims.is_authorizing_at
        asked = [e for e in wanted if e.accepts_authorization and not is_taken(e.number)]
        open_ = [e for e in asked if not why_closed_for(self._site, e, request.token, request.group or None)]
        open_ = [e for e in open_ if e.payer_until_s is None] or open_
        own = [e for e in open_ if self._is_reserved_for(e, request.token)]
        by_group = [] if request.group else [e for e in asked if group_may_charge(self._site, e)]
        group = request.group or None
        order = {e.number: self._start_order(e, request.token, group, now) for e in own or open_ or by_group}
        return self._site.evses[max(order, key=lambda number: order[number])] if order else None

    def _start_order(
        self, evse: EvseRecord, token: Token | None, group: str | None, now: Moment
    ) -> tuple[StartLikelihood, float]:
        """Sort key of an EVSE without a session: how likely a driver who names no outlet means it, then the time of the
        plug (s)."""
        if not evse.board.vehicle_connected:
            return StartLikelihood.NO_VEHICLE, 0.0
        plugged_s = evse.board.plugged_at.t_s if evse.board.plugged_at else 0.0
        if not evse.has_charged:
            return StartLikelihood.NEW_VEHICLE, plugged_s
        if self._has_charged_for(evse, token, group, now):
            return StartLikelihood.OWN_CHARGED_VEHICLE, plugged_s
        return StartLikelihood.OTHERS_CHARGED_VEHICLE, plugged_s

    def _has_charged_for(self, evse: EvseRecord, token: Token | None, group: str | None, now: Moment) -> bool:
        """True if the latest session was of this token or, as far as is known, of its group."""
        last = evse.last_session
        if last is None or token is None:
            return False
        is_of_group = last.group is not None and (group == last.group or self._is_of_group(token, last.group, now))
        return is_of_group or token.matches_token(last.token)

    def has_charged_for_another(self, evse: EvseRecord, right: Authorization, now: Moment) -> bool:
        """True if the vehicle here has charged for another driver than the one who has this right."""
        group = right.verdict.group if right.verdict else None
        return self._start_order(evse, right.token, group, now)[0] is StartLikelihood.OTHERS_CHARGED_VEHICLE

    def select_after_verdict(self, pending: Pending, verdict: Verdict) -> EvseRecord:
        """Return the EVSE that the authorization is for in the end. A cable that was plugged in at
        another EVSE while the backend answered decides, unless it is another driver's, and so does
        the list of EVSEs for which the token is valid."""
        evse = self._site.evses[pending.evse]
        if not pending.movable_by_cable or (evse.board.vehicle_connected and verdict.holds_at(evse.number)):
            return evse
        good = [e for e in self._site.evses.values() if verdict.holds_at(e.number)]
        good = [e for e in good if e is evse or not self._claims.is_for_another(e, pending.token)]
        open_ = [e for e in good if e.accepts_authorization and not why_closed_for(self._site, e, pending.token)]
        plugged = [e for e in open_ if e.board.vehicle_connected and e.state is SessionState.OCCUPIED]
        return next(iter(plugged), evse if evse in open_ else next(iter(open_), evse))

    def _is_of_group(self, token: Token, group: str | None, now: Moment) -> bool:
        """True if the token is of this group, as far as list or cache know."""
        known = self._known.find_known_verdict(token, now)
        return group is not None and known is not None and known.group == group

    def is_token_here(self, token: Token | None) -> bool:
        """True if this token is at an EVSE already. Then no plug is needed to show which EVSE is
        meant."""
        return token is not None and any(
            token.matches_token(t) for e in self._site.evses.values() for t in self._tokens_at_evse(e)
        )

    def _tokens_at_evse(self, evse: EvseRecord) -> set[Token]:
        """Return the tokens at this EVSE: those that charge, wait for the cable, or are being
        authorized."""
        tokens = {p.token for p in self._claims.pending.values() if p.evse == evse.number}
        if evse.authorization:
            tokens.add(evse.authorization.token)
        if evse.session:
            tokens.add(evse.session.token)
        elif evse.kept and evse.holds_only_kept_cable:
            tokens.add(evse.kept.token)
        return tokens

    def _is_reserved_for(self, evse: EvseRecord, token: Token) -> bool:
        own = any(r.evse == evse.number and token.matches_token(r.token) for r in self._site.reservations.values())
        return (
            own
            and evse.accepts_authorization
            and not why_closed_for(self._site, evse, token)
            and not self.has_pending_authorization(evse)
        )

    def has_pending_authorization(self, evse: EvseRecord) -> bool:
        return self._claims.is_authorizing_at(evse.number)

    def find_movable_authorization(self, evse: EvseRecord) -> EvseRecord | None:
        """Return the EVSE with a waiting authorization whose driver has named no outlet, and that may be used here."""
        waiting = [e for e in self._site.evses.values() if e.authorization and e.authorization.movable_by_cable]
        return next((e for e in waiting if self._is_movable(e, evse)), None)

    def find_newly_named_outlet(self, evse: EvseRecord, now: Moment) -> EvseRecord | None:
        """Return the outlet whose button the driver whose right waits at this EVSE has pressed before holding up the
        badge again, if the right may move there."""
        named, right = self._find_named_outlet(now), evse.authorization
        if named is None or right is None or self._site.evses.get(named.number) is not named:
            return None
        is_open = named.accepts_authorization and not self.has_charged_for_another(named, right, now)
        return named if right.movable_by_badge and is_open and self._is_movable(evse, named) else None

    def _is_movable(self, other: EvseRecord, evse: EvseRecord) -> bool:
        """Return whether the authorization that waits at the other EVSE may be used here."""
        moved = other.authorization
        if other is evse or other.state is not SessionState.AUTHORIZED or moved is None:
            return False
        group = moved.verdict.group if moved.verdict else None
        elsewhere = moved.verdict is not None and not moved.verdict.holds_at(evse.number)
        if elsewhere or self._claims.is_for_another(evse, moved.token):
            return False
        return not why_closed_for(self._site, evse, moved.token, group, leaving=other)
