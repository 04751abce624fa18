"""Let a driver charge here whose bank card was read at the terminal of another station, the payment master (decision
73): which outlets may be paid for there, and the authorization that comes of a grant."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import (
    AuthorizationDropped,
    CardRefused,
    ClockTrusted,
    Event,
    EvseEvent,
    LinkChanged,
    NoticeShown,
    SettingChanged,
    SituationChanged,
    StopRequested,
    StopWanted,
    StoreFailed,
    StoreRecovered,
    TokenAccepted,
    TokenAuthorized,
)
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.messages import StopReason, TriggerReason
from agent.domain.orders import AuthorizeToken, SendToMaster
from agent.domain.outlet_claims import OutletClaims
from agent.domain.satellite_grant import GrantBook, SatelliteGrant
from agent.domain.satellite_messages import (
    Grant,
    GrantRefused,
    GrantWithdrawn,
    MasterConnected,
    MasterLost,
    MasterMessageReceived,
    OutletNotice,
    OutletReport,
    OutletsReported,
)
from agent.model.types import STATION, AuthorizationStatus, EvseId, Judge, Moment, Verdict

_REQUEST = "grant:"
_ACCEPTED = Verdict(AuthorizationStatus.ACCEPTED)
_UNPAID = (StopReason.OTHER, TriggerReason.ABNORMAL_CONDITION)


class SatelliteGrants:
    """In front of ``SatelliteSessions``, which reports what has begun."""

    def __init__(self, site: StationState, book: GrantBook, claims: OutletClaims) -> None:
        self._site, self._book, self._claims = site, book, claims
        claims.payer_checks.append(self.is_checking_grant)
        self._reported: tuple[OutletReport, ...] | None = None

    # --- the connection ----------------------------------------------------------------------------------------------

    @handles_events(MasterConnected)
    def report_outlets_on_connect(self, event: MasterConnected, now: Moment) -> Iterator[Yielded]:
        self._site.master_online, self._reported = True, None
        yield from self._report_outlets(now)
        yield SituationChanged(STATION)  # off line the screens show whether cards are taken

    @handles_events(MasterLost)
    def drop_unused_grants(self, event: MasterLost, now: Moment) -> Iterator[Yielded]:
        """Drop what no session was begun with: the master releases it now. Sessions go on."""
        self._site.master_online = False
        for g in self._book.unused_grants():
            yield from self._drop_grant(g)
        yield SituationChanged(STATION)

    @handles_events(
        SituationChanged, SettingChanged, StoreFailed, StoreRecovered, StopRequested, LinkChanged, ClockTrusted
    )
    def report_changed_outlets(self, event: Event, now: Moment) -> Iterator[Yielded]:
        yield from self._report_outlets(now)

    def _report_outlets(self, now: Moment) -> Iterator[Yielded]:
        outlets = tuple(self._outlet_report(evse, now) for evse in self._site.evses.values())
        if self._site.master_online and outlets != self._reported:
            self._reported = outlets
            yield SendToMaster(OutletsReported(outlets))

    def _outlet_report(self, evse: EvseRecord, now: Moment) -> OutletReport:
        return OutletReport(
            evse.number, not self._why_closed(evse, now), evse.board.vehicle_connected, evse.has_charged,
            self._site.known_tariff(evse, now),
        )  # fmt: skip

    def _why_closed(self, evse: EvseRecord, now: Moment) -> str:
        """Return why no driver with a bank card may begin here; "": one may."""
        site = self._site
        if site.known_tariff(evse, now) is None:
            return "other_price"
        if site.stopping or not site.store_ok or evse.payer_until_s is not None or not evse.board.known:
            return "unavailable"
        if not evse.accepts_authorization or site.service_state(evse) is not ServiceState.IN_SERVICE:
            return "unavailable"
        return "" if site.backend_online or site.settings.bool_value("offline_payments") else "offline"

    # --- a grant -----------------------------------------------------------------------------------------------------

    @handles_events(MasterMessageReceived)
    def obey_master(self, event: MasterMessageReceived, now: Moment) -> Iterator[Yielded]:
        match event.message:
            case Grant() as grant:
                yield from self._take_grant(grant, now)
            case GrantWithdrawn(payment):
                yield from self._withdraw_grant(payment)
            case OutletNotice(evse, why) if evse in self._site.evses:
                yield NoticeShown((evse,), why)
            case _:
                pass

    def _take_grant(self, grant: Grant, now: Moment) -> Iterator[Yielded]:
        """Authorize charging at the granted outlet, if it is still what the driver has seen."""
        if grant.payment in self._book.grants:
            return
        evse = self._site.evses.get(grant.evse)
        if evse is None:
            yield SendToMaster(GrantRefused(grant.payment, "unavailable"))
            return
        why = self._why_closed(evse, now)
        if not why and self._site.presented_tariff(evse) != grant.tariff:
            why = "other_price"
        if not why and self._claims.is_authorizing_at(evse.number):
            why = "unavailable"  # the vehicle there is another driver's
        if why:
            yield SendToMaster(GrantRefused(grant.payment, why))
            yield CardRefused(evse.number, why)
            return
        g = self._book.grants[grant.payment] = SatelliteGrant.from_message(grant, now.stamp, now.utc_s)
        if self._site.settings.bool_value("payment_authorize_first") and self._site.backend_online:
            yield AuthorizeToken(self._site.config.links[0], f"{_REQUEST}{g.payment}", g.token, g.evse, g.details)
        else:
            yield from self._accept_grant(g, Judge.BANK)

    @handles_events(TokenAuthorized)
    def apply_backend_verdict(self, event: TokenAuthorized, now: Moment) -> Iterator[Yielded]:
        """Follow the backend's word about the token of a grant."""
        payment = event.request.removeprefix(_REQUEST)
        g = self._book.grants.get(payment) if event.request.startswith(_REQUEST) else None
        if g is None or g.is_accepted:
            return
        if event.verdict is None and self._site.settings.bool_value("offline_payments"):
            yield from self._accept_grant(g, Judge.BANK)
        elif event.verdict is None or not event.verdict.is_accepted:
            why = "offline" if event.verdict is None else "invalid"
            del self._book.grants[g.payment]
            yield SendToMaster(GrantRefused(g.payment, why))
            yield CardRefused(g.evse, why)
        else:
            yield from self._accept_grant(g, Judge.BANK_AND_AUTHORIZE)

    def _accept_grant(self, g: SatelliteGrant, judge: Judge) -> Iterator[Yielded]:
        g.is_accepted = True
        yield TokenAccepted(
            g.evse, g.token, _ACCEPTED, offline=not self._site.backend_online, wait_s=g.wait_s, judged_by=judge,
            tariff=g.tariff, payment=g.details, needs_confirmation=True,
        )  # fmt: skip

    @handles_events(TokenAccepted)
    def check_given_authorization(self, event: TokenAccepted, now: Moment) -> Iterator[Yielded]:
        """Refuse the grant if the outlet was taken meanwhile."""
        g = self._book.grant_of_token(event.token)
        is_ours = g is not None and g.is_accepted and not g.session and g.evse == event.evse
        if g is not None and is_ours and self._authorized_evse(g) is None:
            del self._book.grants[g.payment]
            yield SendToMaster(GrantRefused(g.payment, "unavailable"))
            yield CardRefused(g.evse, "unavailable")

    @handles_events(AuthorizationDropped)
    def report_dropped_grant(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        """Report that no session will begin: no vehicle came, or the driver has stopped it."""
        for g in self._book.unused_grants():
            if g.evse == event.evse and g.is_accepted and self._authorized_evse(g) is None:
                del self._book.grants[g.payment]
                yield SendToMaster(GrantRefused(g.payment, "no session was begun"))

    def _withdraw_grant(self, payment: str) -> Iterator[Yielded]:
        g = self._book.grants.get(payment)
        if g is not None and not g.session:
            yield from self._drop_grant(g)
        elif g is not None and g.is_running and not g.is_confirmed:
            yield StopWanted(g.evse, *_UNPAID)

    def _drop_grant(self, g: SatelliteGrant) -> Iterator[Yielded]:
        del self._book.grants[g.payment]
        evse = self._authorized_evse(g)
        if evse is not None:
            yield StopWanted(evse.number, *_UNPAID)
            yield CardRefused(evse.number, "unavailable")

    def is_checking_grant(self, evse: EvseId) -> bool:
        """True while the backend is asked about a grant for this EVSE."""
        return any(g.evse == evse and not g.is_accepted for g in self._book.unused_grants())

    def _authorized_evse(self, g: SatelliteGrant) -> EvseRecord | None:
        """Return the EVSE where the authorization waits for its vehicle."""
        evse = self._site.evses[g.evse]
        waits = evse.authorization is not None and evse.authorization.token.matches_token(g.token)
        return evse if waits else None
