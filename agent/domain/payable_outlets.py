"""Where a driver may begin a session with a bank card, at which price, and which sessions a card has
begun there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agent.domain.evse import WITHOUT_SESSION, EvseRecord, ServiceState, SessionState, StationState
from agent.domain.outlet_claims import OutletClaims
from agent.domain.payment import Payment, PayState
from agent.domain.payment_table import PaymentJournal
from agent.model.types import STATION, EvseId, Moment

if TYPE_CHECKING:
    from agent.domain.tariff import Tariff

_RUNNING = (SessionState.ACTIVE, SessionState.RECOVERING)


class PayableOutlets:
    def __init__(self, site: StationState, journal: PaymentJournal, claims: OutletClaims) -> None:
        self._site, self._journal, self._claims = site, journal, claims
        self.being_authorized: set[str] = set()
        """The payments about which the backend is being asked."""
        claims.payer_checks.append(self.is_checking_payment)
        self.presented_prices: dict[EvseId, Mapping[EvseId, Tariff]] = {}
        """By terminal and EVSE, as its offers were last compared with them."""
        self._last_prices: dict[EvseId, Mapping[EvseId, Tariff]] = {}
        """Likewise, with the last price of each EVSE that has none now."""
        self.asked: dict[EvseId, EvseId] = {}
        """By terminal: the outlet for which the bank is asked, or was asked last in its present offer."""

    def may_begin(self) -> bool:
        """True if a session may begin: it can go on, and the backend is reached or not needed.
        Checked again at each answer of a driver, since the station may have been stopped by
        then."""
        if self._site.stopping or not self._site.store_ok:
            return False
        return self._site.backend_online or self._site.settings.bool_value("offline_payments")

    def known_tariff(self, evse: EvseRecord, now: Moment) -> Tariff | None:
        """Return the tariff at this EVSE. None: nothing is sold, or the price is unknown until the
        clock is."""
        outlet = self._site.satellite_outlets.get(evse.number)
        tariff = self._site.presented_tariff(evse) if outlet is None else outlet.tariff
        return tariff if tariff is not None and (now.utc_s is not None or not tariff.windows) else None

    def note_presented_prices(self, terminal: EvseId, now: Moment) -> bool:
        """Keep what is presented for this terminal now. Returns whether an outlet had another price before: no card
        is taken just after that, since its driver has read the former price. An outlet that comes or goes (the
        connection to its satellite) changes no price."""
        before = self._last_prices.get(terminal, {})
        self.presented_prices[terminal] = prices = self.known_tariffs(terminal, now)
        self._last_prices[terminal] = {**before, **prices}
        return _is_repriced(before, prices)

    def is_repriced(self, p: Payment, now: Moment) -> bool:
        """Return whether an outlet has another price now than when the payment was offered."""
        return _is_repriced(p.prices, self.known_tariffs(p.terminal, now))

    def extend_offered_prices(self, p: Payment, now: Moment) -> bool:
        """Let a payment that waits for its card be for the outlets that have come as well. Returns False, with nothing
        changed, if an outlet has another price."""
        if self.is_repriced(p, now):
            return False
        p.prices = {**p.prices, **self.known_tariffs(p.terminal, now)}
        return True

    def offered_evses(self, p: Payment, now: Moment) -> list[EvseRecord]:
        """Return the EVSEs that may be used and whose price was offered, best first."""
        return [e for e in self.unclaimed_evses(p.terminal, now) if e.number in p.prices]

    def outlets_of_decline(self, terminal: EvseId, now: Moment) -> list[EvseId]:
        """Return the outlet whose driver was declined: the one that the bank was asked for, or where it would be."""
        first = [e.number for e in self.ranked_open_evses(terminal, now)[:1]]
        return [self.asked.pop(terminal)] if terminal in self.asked else first

    def known_tariffs(self, terminal: EvseId, now: Moment) -> dict[EvseId, Tariff]:
        """Return the tariff at each EVSE of this terminal, as far as it is known."""
        served = (*self._own_evses(terminal), *self._satellite_evses(terminal))
        return {e.number: tariff for e in served if (tariff := self.known_tariff(e, now)) is not None}

    def costs_the_same(self, p: Payment, evse: EvseRecord, now: Moment) -> bool:
        """True if this EVSE has the price that was agreed at the outlet of the card."""
        return p.prices.get(evse.number, self.known_tariff(evse, now)) == p.tariff

    def open_evses(self, terminal: EvseId, now: Moment) -> list[EvseRecord]:
        """Return the EVSEs of this terminal where a driver without a reservation may begin, at a
        known price: own ones, then those of satellites."""
        priced = [e for e in self._own_evses(terminal) if self.known_tariff(e, now) is not None]
        open_ = [
            e
            for e in priced
            if e.payer_until_s is None
            and e.board.known
            and e.accepts_authorization
            and self._site.service_state(e) is ServiceState.IN_SERVICE
        ]
        outlets = self._site.satellite_outlets
        open_ += [e for e in self._satellite_evses(terminal) if outlets[e.number].is_open and outlets[e.number].tariff]
        if self._site.settings.text_value("payment_start") == "plug":
            return [e for e in open_ if e.board.vehicle_connected]
        return open_

    def _own_evses(self, terminal: EvseId) -> list[EvseRecord]:
        return [self._site.evses[n] for n in self._journal.terms.terminals[terminal]]

    def _satellite_evses(self, terminal: EvseId) -> list[EvseRecord]:
        """Return the outlets of satellites: the terminal of the station serves them."""
        return [outlet.record for outlet in self._site.satellite_outlets.values()] if terminal == STATION else []

    def ranked_open_evses(self, terminal: EvseId, now: Moment) -> list[EvseRecord]:
        """Return the EVSEs that may be used, best first: the newest plug, then free ones."""
        open_ = self.open_evses(terminal, now)
        plugged = sorted((e for e in open_ if e.board.vehicle_connected), key=_plug_order, reverse=True)
        waiting = (PayState.AUTH_PENDING, PayState.AUTHORIZED)
        taken = {p.evse for p in self._journal.payments.values() if p.state in waiting}
        return [e for e in (*plugged, *(e for e in open_ if not e.board.vehicle_connected)) if e.number not in taken]

    def unclaimed_evses(self, terminal: EvseId, now: Moment) -> list[EvseRecord]:
        """Return the same EVSEs without those for which a token is being authorized: a vehicle there is another
        driver's. The terminal goes on waiting for a card meanwhile."""
        return [e for e in self.ranked_open_evses(terminal, now) if not self._claims.is_authorizing_at(e.number)]

    def nameable_evses(self, terminal: EvseId, now: Moment) -> list[EvseRecord]:
        """Return the EVSEs that a button may name before a bank card: those that may be used, and those of this
        station that may not. Not where a driver has a right or a session: the button was most likely that driver's."""
        without_session = [e for e in self._own_evses(terminal) if e.state in WITHOUT_SESSION]
        return [*self.ranked_open_evses(terminal, now), *without_session]

    def is_checking_payment(self, evse: EvseId) -> bool:
        """True while the bank or the backend is asked for this EVSE."""
        waiting = (p for p in self._journal.payments.values() if p.evse == evse)
        return any(
            (p.state is PayState.AUTH_PENDING and not p.withdrawn)
            or (p.state is PayState.AUTHORIZED and p.id in self.being_authorized)
            for p in waiting
        )

    def satellite_sessions(self, terminal: EvseId) -> list[Payment]:
        """Return the payments of sessions at satellites that a card at this terminal began."""
        return [p for p in self._journal.payments_at_terminal(terminal, PayState.ACTIVE) if p.satellite]

    def question_for_payer(
        self, p: Payment, evses: list[EvseRecord], has_buttons: Callable[[list[EvseRecord]], bool]
    ) -> tuple[str, list[EvseRecord]]:
        """Return the question that the driver must answer before anything is held, and its outlets;
        "": no question."""
        best = evses[0]
        has_charged = best.board.vehicle_connected and best.has_charged
        may_mean_free_outlet = has_charged and not all(e.board.vehicle_connected for e in evses)
        if best.board.vehicle_connected and not may_mean_free_outlet:
            alike = [e for e in evses if e.board.vehicle_connected and e.has_charged is best.has_charged]
            if len(alike) == 1 and not self._pays_at_lost_satellite(p):
                return "", alike
            return "choose_outlet" if has_buttons(alike) else "choose_cable", alike
        if self.sessions_paid_here(p.terminal) or self.satellite_sessions(p.terminal):
            return "new_charge", evses  # perhaps a second card of a driver who is charging, to stop
        if any(e.number in self._site.satellite_outlets for e in evses):
            return "choose_plug", evses  # the driver may stand before any of several stations
        dearer = any(p.prices[e.number] != p.prices[best.number] for e in evses)
        return "choose_plug" if dearer or may_mean_free_outlet else "", evses

    def _pays_at_lost_satellite(self, p: Payment) -> bool:
        """Return whether the same card pays for a session at a satellite that is away: its driver may mean to stop, and
        the vehicle that waits here may be another driver's."""
        lost = (o for o in self.satellite_sessions(p.terminal) if o.satellite not in self._site.satellites_online)
        return any(p.card.mark and o.card.mark == p.card.mark for o in lost)

    def satellite_of(self, evse: EvseRecord) -> str:
        """Return the satellite of this outlet; "": it is one of this station."""
        outlet = self._site.satellite_outlets.get(evse.number)
        return "" if outlet is None else outlet.satellite

    def screen_of(self, number: EvseId) -> EvseId:
        """Return where a driver sees what is shown about this outlet: all screens of this station if it is at a
        satellite."""
        return number if number in self._site.evses else STATION

    def sessions_paid_here(self, terminal: EvseId) -> list[tuple[EvseRecord, Payment]]:
        """Return the sessions that a card at this terminal began."""
        active = self._journal.payments_at_terminal(terminal, PayState.ACTIVE)
        sessions = {e.session.id: e for e in self._site.evses.values() if e.session and e.state in _RUNNING}
        return [(sessions[p.session], p) for p in active if p.session in sessions]


def _is_repriced(before: Mapping[EvseId, Tariff], now: Mapping[EvseId, Tariff]) -> bool:
    return any(before.get(number, tariff) != tariff for number, tariff in now.items())


def _plug_order(evse: EvseRecord) -> tuple[bool, float]:
    """Sort key: a vehicle that has charged already comes after one that has not."""
    return not evse.has_charged, evse.board.plugged_at.t_s if evse.board.plugged_at else 0.0
