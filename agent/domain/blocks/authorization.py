"""Authorize cards and remote starts: who may charge, who may stop, the authorization cache, and
what applies while the backend cannot be asked.

Order of the questions (OCPP 1.6 3.5, 4.1, 4.2; 2.x C10-C14): local list, cache, backend. Offline,
list and cache decide if ``local_authorize_offline`` is set; unknown tokens are accepted only if
``offline_tx_for_unknown_id`` is set. Online, an Accepted entry of list or cache is enough if
``local_pre_authorize`` is set. For any other entry the backend is asked again, unless
``list_settles`` or ``cache_settles`` is set. With ``local_authorization_only`` the backend is never
asked. A token of ``master_group`` stops transactions and starts none (``master_pass.py``). A reader
at which card after card is refused pauses (``card_rate_limit.py``). ``known_verdicts.py`` knows what
list and cache say, ``evse_selection.py`` which EVSE is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.domain.admission import group_may_charge, why_closed_for
from agent.domain.authorization_cache import AuthorizationCache
from agent.domain.blocks.card_rate_limit import CardRateLimit
from agent.domain.blocks.outlet_selection import OutletSelection
from agent.domain.blocks.startup_taps import StartupTaps
from agent.domain.charging.profile_phases import phases_problem
from agent.domain.charging.profiles import Purpose, profile_problem
from agent.domain.events import (
    BoardOpened,
    CableClaimed,
    CardPresented,
    CardRefused,
    MasterPassAnswered,
    OutletChosen,
    SessionClosed,
    SituationChanged,
    Started,
    StopWanted,
    TokenAccepted,
    TokenAuthorized,
    TransactionAcknowledged,
    VehicleConnected,
)
from agent.domain.evse import EvseRecord, ServiceState, SessionState, StationState
from agent.domain.evse_selection import EvseSelection
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events
from agent.domain.kept_cable import CARDLESS
from agent.domain.known_verdicts import LOCALLY, KnownVerdicts
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, Persist
from agent.domain.outlet_claims import OutletClaims
from agent.domain.pending_authorization import Pending
from agent.domain.requests import ClearCacheRequest, RemoteStartRequest
from agent.model.types import STATION, AuthorizationStatus, EvseId, Judge, Moment, Token, TokenType, Verdict

_REFUSAL_DETAIL = {
    AuthorizationStatus.BLOCKED: "blocked",
    AuthorizationStatus.EXPIRED: "expired",
    AuthorizationStatus.CONCURRENT_TX: "concurrent",
}


class AuthorizationBlock:
    def __init__(
        self,
        site: StationState,
        choice: OutletSelection,
        early: StartupTaps,
        claims: OutletClaims,
        is_token_used_up: Callable[[Token], bool] = lambda token: False,
    ) -> None:
        """``is_token_used_up``: a bank card's payment has this token, which may begin nothing."""
        self._site, self._outlet_selection, self._startup_taps = site, choice, early
        self._is_token_used_up = is_token_used_up
        self._rate_limit = CardRateLimit(site)
        self.cache = AuthorizationCache(site.settings)
        self._known = KnownVerdicts(site, self.cache)
        self._pending = claims.pending
        self._selection = EvseSelection(site, choice, self._known, claims)
        self._request_count = 0

    # --- the authorization cache -------------------------------------------------------------------------------

    @handles_events(Started)
    def recall_cache(self, event: Started, now: Moment) -> Iterator[Yielded]:
        yield from self.cache.load_remembered(event.remembered.get("cache", {}))

    @answers_requests(ClearCacheRequest)
    def answer_clear_cache(self, request: ClearCacheRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        if not self.cache.is_enabled:
            yield reply("Rejected")
            return
        yield from self.cache.clear_all()
        yield reply("Accepted")

    @handles_events(TransactionAcknowledged)
    def learn_from_transaction_response(self, event: TransactionAcknowledged, now: Moment) -> Iterator[Yielded]:
        """Store what the answer says of the token, also when the session has ended meanwhile (OCPP 1.6
        3.5.1). The tokens of free vending and of bank cards are not presented again; what was cleared of a customer
        stays cleared."""
        if event.link != self._site.config.links[0] or event.verdict is None:
            return
        evse = next((e for e in self._site.evses.values() if e.open_transaction_id == event.session), None)
        session = evse.session if evse else None
        driver = session.token if session else _token_of_open_transaction(evse)
        token = event.token or driver
        if token is None:
            return
        if token.type not in CARDLESS and not self.cache.is_cleared(token):
            yield from self._known.store_verdict(token, event.verdict, now)
        if session and token.matches_token(session.token) and event.verdict.group not in (None, session.group):
            session.group = event.verdict.group
            yield Persist("session", session.id, session.to_record())

    # --- a card is presented -----------------------------------------------------------------------------------

    @handles_events(CardPresented)
    def authorize_card(self, event: CardPresented, now: Moment) -> Iterator[Yielded]:
        if self._startup_taps.is_early(event, now) and not self._selection.is_token_here(event.token):
            yield from self._startup_taps.keep_early_card(event)
            return
        if self._outlet_selection.is_master_pass_again(event):
            yield from self._outlet_selection.choose_all_outlets()
            return
        evse, movable, among = self._selection.select_for_card(event, now)
        if evse is not None and self._outlet_selection.should_ask_driver(among):
            yield from self._outlet_selection.ask_for_outlet(event, among, evse, now)
            return
        if evse is None:
            yield CardRefused(event.evse, "unavailable")
            return
        if event.token is None:
            yield CardRefused(evse.number, event.reason or "unreadable")
        elif len(event.token.value) > self._site.collaborators.max_token_length():
            yield CardRefused(evse.number, "too_long")
        elif self._selection.has_pending_authorization(evse) and not self._is_owner_card(evse, event.token):
            return
        elif self._rate_limit.is_limit_reached(event.evse, now) and not self._is_known_good(event.token, now):
            yield CardRefused(evse.number, "patience")
        elif evse.state in (SessionState.ACTIVE, SessionState.RECOVERING) or evse.holds_only_kept_cable:
            yield from self._authorize_stop_by_card(evse, event.evse, event.token, now)
        elif named := None if event.evse else self._selection.find_newly_named_outlet(evse, now):
            yield from self._move_authorization(evse, named)
        elif evse.state in (SessionState.BEGINNING, SessionState.ENDING, SessionState.AUTHORIZED):
            yield from self._answer_card_while_waiting(evse, event.token)
        elif evse.payer_until_s is not None:
            yield CardRefused(evse.number, "paying")
        elif evse.board.session_used or (
            why_closed_for(self._site, evse, event.token) and not group_may_charge(self._site, evse)
        ):
            yield self._unavailable_refusal(evse)
        else:
            is_shared = event.evse == STATION and len(self._site.evses) > 1
            pending = Pending(evse.number, event.token, event.evse, movable, movable_by_badge=is_shared)
            yield from self._authorize_token(pending, now)

    def _is_known_good(self, token: Token, now: Moment) -> bool:
        known = self._known.find_known_verdict(token, now)
        return self._selection.is_token_here(token) or (known is not None and known.is_accepted)

    def _unavailable_refusal(self, evse: EvseRecord) -> CardRefused:
        service = self._site.service_state(evse)
        if evse.board.session_used and service is ServiceState.IN_SERVICE:
            return CardRefused(evse.number, "spent")
        return CardRefused(evse.number, "reserved" if service is ServiceState.RESERVED else "unavailable")

    def _is_owner_card(self, evse: EvseRecord, token: Token) -> bool:
        """True for the card that owns the session or the kept cable. It stops at once, even while
        another card is being authorized."""
        owner = evse.session or (evse.kept if evse.holds_only_kept_cable else None)
        return owner is not None and token.matches_token(owner.token)

    def _authorize_stop_by_card(self, evse: EvseRecord, reader: EvseId, token: Token, now: Moment) -> Iterator[Yielded]:
        """Stop the session, or free the kept cable, if this card may do so."""
        owner = evse.session or evse.kept
        assert owner is not None
        if token.matches_token(owner.token):
            yield _stop_or_claim_cable(evse, token)
        elif owner.group is None and not self._master_group:
            yield from self._refuse_bad_card(evse, reader, "wrong_card", now)
        else:
            yield from self._authorize_token(Pending(evse.number, token, reader, stops=True), now)

    def _refuse_bad_card(self, evse: EvseRecord, reader: EvseId | None, why: str, now: Moment) -> Iterator[Yielded]:
        yield CardRefused(evse.number, why)
        if reader is not None:
            yield from self._rate_limit.count_refused_card(reader, now)

    def _answer_card_while_waiting(self, evse: EvseRecord, token: Token) -> Iterator[Yielded]:
        if evse.authorization is None or token.matches_token(evse.authorization.token):
            yield SituationChanged(evse.number)  # a second tap to be sure: show the state again
        else:
            yield CardRefused(evse.number, "concurrent")

    # --- the Authorize request ---------------------------------------------------------------------------------

    def _authorize_token(self, pending: Pending, now: Moment) -> Iterator[Yielded]:
        known = self._known.find_known_verdict(pending.token, now)
        if not self._site.backend_online:
            yield from self._authorize_offline(pending, known, now)
        elif known and self._known.is_settled_locally(pending.token, known):
            yield from self._authorize_locally(pending, known, now, offline=False)
        elif self._site.settings.bool_value(LOCALLY):
            yield from self._refuse_bad_card(self._site.evses[pending.evse], pending.reader, "invalid", now)
        else:
            self._request_count += 1
            request = f"token:{self._request_count}"
            self._pending[request] = pending
            yield AuthorizeToken(self._site.config.links[0], request, pending.token, pending.evse)
            yield SituationChanged(pending.evse)

    @handles_events(TokenAuthorized)
    def apply_authorize_response(self, event: TokenAuthorized, now: Moment) -> Iterator[Yielded]:
        pending = self._pending.pop(event.request, None)
        if pending is None:
            return
        if event.verdict is None:
            yield from self._authorize_offline(pending, self._known.find_known_verdict(pending.token, now), now)
        else:
            yield from self._known.store_verdict(pending.token, event.verdict, now) if event.remembered else ()
            yield from self._apply_verdict(pending, event.verdict, now, Judge.AUTHORIZE)
        yield SituationChanged(pending.evse)

    def _authorize_offline(self, pending: Pending, known: Verdict | None, now: Moment) -> Iterator[Yielded]:
        settings = self._site.settings
        if known is not None and settings.bool_value("local_authorize_offline"):
            yield from self._authorize_locally(pending, known, now, offline=True)
        elif known is None and settings.bool_value("offline_tx_for_unknown_id") and not pending.stops:
            yield from self._apply_verdict(
                pending, Verdict(AuthorizationStatus.ACCEPTED), now, Judge.UNJUDGED, offline=True
            )
        else:
            yield CardRefused(pending.evse, "offline")

    def _authorize_locally(self, pending: Pending, known: Verdict, now: Moment, offline: bool) -> Iterator[Yielded]:
        if known.is_accepted:
            yield from self.cache.mark_used(pending.token, now)
        judge = Judge.CACHE if self._known.find_listed_verdict(pending.token) is None else Judge.LIST
        yield from self._apply_verdict(pending, known, now, judge, offline)

    def _apply_verdict(
        self, pending: Pending, verdict: Verdict, now: Moment, judge: Judge, offline: bool = False
    ) -> Iterator[Yielded]:
        evse = self._selection.select_after_verdict(pending, verdict)
        if not verdict.is_accepted:
            yield from self._refuse_bad_card(evse, pending.reader, _REFUSAL_DETAIL.get(verdict.status, "invalid"), now)
        elif self._master_group and verdict.group == self._master_group:
            yield from self._use_master_pass(pending, now)
        elif pending.stops:
            yield from self._stop_by_group(evse, pending, verdict, now)
        elif not verdict.holds_at(evse.number):
            yield CardRefused(evse.number, "unavailable")
        elif why_closed_for(self._site, evse, pending.token, verdict.group) or not evse.accepts_authorization:
            yield self._unavailable_refusal(evse)  # the situation changed while the backend answered
        else:
            yield TokenAccepted(
                evse.number, pending.token, verdict, pending.remote_id, pending.movable_by_cable, offline,
                pending.profile, judged_by=judge, movable_by_badge=pending.movable_by_badge,
            )  # fmt: skip

    def _stop_by_group(self, evse: EvseRecord, pending: Pending, verdict: Verdict, now: Moment) -> Iterator[Yielded]:
        owner = evse.session or (evse.kept if evse.holds_only_kept_cable else None)
        if owner is not None and verdict.group is not None and verdict.group == owner.group:
            yield _stop_or_claim_cable(evse, pending.token)
        else:
            yield from self._refuse_bad_card(evse, pending.reader, "wrong_card", now)

    @property
    def _master_group(self) -> str:
        return self._site.settings.text_value("master_group")

    def _use_master_pass(self, pending: Pending, now: Moment) -> Iterator[Yielded]:
        """Stop what its holder chooses, or all transactions where nothing can be chosen (2.x C16)."""
        from agent.domain.master_pass import stop_transactions, stoppable_evses  # most stations have no master pass

        evses = [] if pending.remote_id else stoppable_evses(self._site)
        if not evses:
            yield CardRefused(pending.evse, "master")
        elif self._site.config.has_display and self._outlet_selection.should_ask_driver(evses):
            yield from self._outlet_selection.ask_master_pass(pending.token, evses, now)
        else:
            yield from stop_transactions(self._site, [e.number for e in evses], pending.token)

    @handles_events(MasterPassAnswered)
    def stop_chosen_transactions(self, event: MasterPassAnswered, now: Moment) -> Iterator[Yielded]:
        from agent.domain.master_pass import stop_transactions

        yield from stop_transactions(self._site, event.evses, event.token)

    def is_closed(self, evse: EvseRecord) -> bool:
        """True if this EVSE is closed to a driver without a card."""
        return why_closed_for(self._site, evse, None)

    # --- without a card ----------------------------------------------------------------------------------------

    @handles_events(VehicleConnected, BoardOpened, SessionClosed)
    def move_authorization_to_cable(
        self, event: VehicleConnected | BoardOpened | SessionClosed, now: Moment
    ) -> Iterator[Yielded]:
        """Move an authorization that waits at another EVSE to the first cable."""
        evse = self._site.evses[event.evse]
        fresh = (SessionState.FREE, SessionState.OCCUPIED, SessionState.ENDED)[
            : 3 if isinstance(event, VehicleConnected) else 2
        ]
        if evse.state not in fresh or not evse.board.vehicle_connected or evse.board.session_used:
            return
        if moved := self._selection.find_movable_authorization(evse):
            yield from self._move_authorization(moved, evse)

    @handles_events(OutletChosen)
    def move_authorization_to_chosen_outlet(self, event: OutletChosen, now: Moment) -> Iterator[Yielded]:
        """Move the right of a bank card that has named no EVSE yet to the chosen one. That of a badge moves when the
        badge is held up again (``authorize_card``): the next driver may have pressed the button."""
        evse = self._site.evses[event.evse]
        moved = self._selection.find_movable_authorization(evse) if evse.accepts_authorization else None
        is_of_badge = moved is not None and moved.authorization is not None and moved.authorization.movable_by_badge
        if moved and not is_of_badge and not evse.board.vehicle_connected:
            yield from self._move_authorization(moved, evse)

    def _move_authorization(self, other: EvseRecord, evse: EvseRecord) -> Iterator[Yielded]:
        m = other.authorization
        assert m is not None
        yield StopWanted(other.number, StopReason.OTHER, TriggerReason.AUTHORIZED, note="moved")
        yield TokenAccepted(
            evse.number, m.token, m.verdict, m.remote_id, False, m.offline, m.profile, m.wait_s, m.judged_by,
            m.tariff, m.payment, m.needs_confirmation, m.movable_by_badge,
        )  # fmt: skip

    @answers_requests(RemoteStartRequest)
    def answer_remote_start(self, request: RemoteStartRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        evse = self._selection.select_for_remote_start(request, now)
        master = bool(request.group) and request.group == self._master_group
        closed_without_card = (
            evse
            and request.token.type is TokenType.NO_AUTHORIZATION
            and why_closed_for(self._site, evse, request.token)
        )
        too_long = len(request.token.value) > self._site.collaborators.max_token_length()
        wrong = (
            too_long
            or master
            or _is_profile_impossible(self._site, evse, request)
            or self._is_token_used_up(request.token)
        )
        if evse is None or closed_without_card or wrong:
            yield reply("Rejected")
            return
        yield reply("Accepted", _transaction_to_authorize(evse))
        remote_id = f"{reply.link}/{request.remote_id}" if request.remote_id else "remote"
        group, profile = request.group or None, request.profile
        doubtful = why_closed_for(
            self._site, evse, request.token, group
        )  # the backend has to say whether it is of the group
        asks = self._site.settings.bool_value("authorize_remote_start") if request.asks is None else request.asks
        if (asks or doubtful) and request.token.type is not TokenType.NO_AUTHORIZATION:
            yield from self._authorize_token(
                Pending(evse.number, request.token, remote_id=remote_id, profile=profile), now
            )
        else:
            verdict = Verdict(AuthorizationStatus.ACCEPTED, group) if group else None
            judge = Judge.REMOTE_START
            yield TokenAccepted(evse.number, request.token, verdict, remote_id, profile=profile, judged_by=judge)


def _is_profile_impossible(site: StationState, evse: EvseRecord | None, request: RemoteStartRequest) -> bool:
    """Return whether the profile of a remote start cannot be kept at this EVSE (2.x K05.FR.05)."""
    profile = request.profile
    if profile is None or evse is None:
        return False
    if profile.purpose is not Purpose.TX or profile_problem(profile, site.settings) is not None:
        return True
    phase_switching = site.settings.bool_value("phase_switching")
    return request.binding_phases and phases_problem(profile, (evse,), phase_switching) is not None


def _token_of_open_transaction(evse: EvseRecord | None) -> Token | None:
    """Return the token with which a transaction began that has no session yet."""
    return evse.tx.token if evse and evse.tx and not evse.tx.stop else None


def _transaction_to_authorize(evse: EvseRecord) -> dict[str, str]:
    """Return the open transaction that a remote start is to authorize, for its answer (2.x F01.FR.13)."""
    return {"transaction": evse.tx.id} if evse.tx is not None and evse.tx.waits_for_authorization else {}


def _stop_or_claim_cable(evse: EvseRecord, token: Token) -> StopWanted | CableClaimed:
    """Stop the session, or claim the kept cable, for a card that may do so."""
    if evse.session is None:
        return CableClaimed(evse.number)
    return StopWanted(evse.number, StopReason.LOCAL, TriggerReason.STOP_AUTHORIZED, token)
