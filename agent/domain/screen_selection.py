"""Select the screen and the lamp of an EVSE: what a driver who stands there needs to know now."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

from agent.domain.cost_screen import Values, cost_values, tariff_line, unknown_cost_values
from agent.domain.csms_cost import text_in_language
from agent.domain.evse import EvseRecord, ServiceState, SessionState, StationState
from agent.domain.faults import JAMS, blocks_charging, most_severe_first
from agent.domain.messages import ChargingState
from agent.domain.session_records import Session
from agent.domain.tariff_screen import (
    adhoc_tariff_values,
    agreed_tariff_values,
    bill_of_session,
    bill_values,
    session_cost_values,
)
from agent.model.fastclass import frozen
from agent.model.types import EvseId, Fault, Lamp, MessageContent, Moment, ScreenName, TokenType

QUESTIONS = ("choose_outlet", "choose_cable", "choose_plug", "new_charge", "stop_which")
"""Notices that ask the driver which outlet is meant, or whether one is meant, and how to answer."""


@frozen
class Notice:
    """Words that are shown for a short time. ``why``: a detail key of the texts; ``message``: what a
    backend says instead."""

    why: str
    until_s: float
    message: tuple[MessageContent, ...] = ()


@frozen
class Result:
    """How a session ended, for the screen."""

    detail: str
    energy_wh: int
    since_s: int | None
    until_s: float
    """When the screen drops the result once the cable is gone."""
    session: str = ""
    late: bool = False
    """The agent was away since, and the driver must still see the cost."""


class ScreenSelection:
    """``is_checking``: a card is being authorized at this EVSE. ``message_for``: the price in the
    words of the backend. ``code_values``: the QR code of an EVSE that is free."""

    def __init__(
        self,
        site: StationState,
        is_checking: Callable[[EvseId], bool],
        message_for: Callable[[EvseRecord], tuple[MessageContent, ...]],
        code_values: Callable[[EvseRecord, Moment], Values],
    ) -> None:
        self._site = site
        self._is_checking, self._message_for, self._code_values = is_checking, message_for, code_values
        self.offers_languages = False
        """There is a button for the language."""

    def select_screen(
        self, evse: EvseRecord, notice: Notice | None, result: Result | None, now: Moment
    ) -> tuple[ScreenName, str, Values]:
        """Select the screen: what a driver at this EVSE needs to know now. The first match wins."""
        service = self._site.service_state(evse)
        if self._site.dark:
            return ScreenName.OUT_OF_SERVICE, str(Fault.POWER_LOSS), {}
        if notice and now.t_s < notice.until_s and not self._is_checking(evse.number):
            if notice.why in QUESTIONS:
                return ScreenName.CHOOSE_OUTLET, notice.why, {"remaining_s": ceil(notice.until_s - now.t_s)}
            words = text_in_language(notice.message, self._site.language)
            return ScreenName.REFUSED, notice.why, {"words": words} if words else {}
        if service is ServiceState.FAULTED and evse.session is None:
            return ScreenName.OUT_OF_SERVICE, self._heaviest_fault(evse), {}
        if evse.session is None and evse.board.cable_plugged and Fault.UNLOCK_FAILURE in evse.faults:
            return ScreenName.OUT_OF_SERVICE, str(Fault.UNLOCK_FAILURE), {}
        if evse.session is not None and evse.state in (
            SessionState.ACTIVE,
            SessionState.ENDING,
            SessionState.RECOVERING,
        ):
            return self._session_screen(evse, evse.session, now)
        if evse.state is SessionState.BEGINNING:
            return ScreenName.PREPARING, "", agreed_tariff_values(self._site, evse, self._message_for(evse), now)
        if evse.state is SessionState.AUTHORIZED:
            left_s = evse.authorization.until_s - now.t_s if evse.authorization else 0.0
            price = agreed_tariff_values(self._site, evse, self._message_for(evse), now)
            return ScreenName.PLUG_IN, "", {"remaining_s": max(0, ceil(left_s)), **price}
        if self._is_checking(evse.number):
            return ScreenName.CHECKING, "", {}
        if (payer_s := _payer_hold_s(evse, now)) is not None:
            return ScreenName.CHECKING, "paying", {"remaining_s": payer_s}
        if result and self._shows_result(evse, result, now):
            return ScreenName.FINISHED, result.detail, {
                "energy_wh": result.energy_wh, "since_s": result.since_s,
                **self._bill_values(evse, result, now), **self._next_price_values(evse, service, now),
            }  # fmt: skip
        return self._idle_screen(evse, service, now)

    def _shows_result(self, evse: EvseRecord, result: Result, now: Moment) -> bool:
        if evse.state is SessionState.ENDED:
            return True
        return now.t_s < result.until_s and (
            evse.state is SessionState.FREE or (result.late and evse.state is SessionState.OCCUPIED)
        )

    def _bill_values(self, evse: EvseRecord, result: Result, now: Moment) -> Values:
        account = evse.pricing.account
        if (bill := bill_of_session(evse, result.session)) is not None:
            return bill_values(self._site, bill, now)
        if account is None or account.session != result.session or not self._site.settings.bool_value("cost_display"):
            return {}
        if account.cost is None:
            return unknown_cost_values(self._site)
        return cost_values(self._site, account.cost, account.start_wh + result.energy_wh, now)

    def _next_price_values(self, evse: EvseRecord, service: ServiceState, now: Moment) -> Values:
        """Return the price of the next session beside the result of the last one: the terminal takes cards already."""
        is_open = evse.accepts_authorization and service is ServiceState.IN_SERVICE
        return adhoc_tariff_values(self._site, evse, now) if is_open and self._sells_to_bank_cards(evse, now) else {}

    def _idle_screen(self, evse: EvseRecord, service: ServiceState, now: Moment) -> tuple[ScreenName, str, Values]:
        site = self._site
        if not evse.board.known:
            return ScreenName.STARTING, "", {}
        if service is ServiceState.UNAVAILABLE:
            return ScreenName.OUT_OF_SERVICE, "unavailable", {}
        if service is ServiceState.RESERVED:
            return ScreenName.RESERVED, "", {}
        if evse.board.session_used:
            return ScreenName.FINISHED, "spent", {}
        if not site.backend_online and not self._may_start_offline(evse, now):
            return ScreenName.OFFLINE, "", {}
        values: Values = {
            "price_line": tariff_line(site),
            **adhoc_tariff_values(site, evse, now),
            **self._code_values(evse, now),
            "free": site.config.free_vending,
            "plugged": evse.board.vehicle_connected,
        }
        if self.offers_languages and len(site.config.languages) > 1:
            values = {**values, "languages": " ".join(site.config.languages).upper()}
        return ScreenName.IDLE, "", values

    def _may_start_offline(self, evse: EvseRecord, now: Moment) -> bool:
        settings = self._site.settings
        return (
            self._site.config.free_vending
            or settings.bool_value("local_authorize_offline")
            or settings.bool_value("offline_tx_for_unknown_id")
            or self._sells_to_bank_cards(evse, now)
        )

    def _sells_to_bank_cards(self, evse: EvseRecord, now: Moment) -> bool:
        """Return whether a terminal sells here now, as far as is known. A satellite off line does not know: no message
        of its payment master says whether the terminal takes cards."""
        site = self._site
        sells_offline = site.settings.bool_value("offline_payments") and not site.config.is_satellite
        is_selling = (site.backend_online or sells_offline) and site.takes_bank_cards(evse)
        return is_selling and site.known_tariff(evse, now) is not None

    def _session_screen(self, evse: EvseRecord, session: Session, now: Moment) -> tuple[ScreenName, str, Values]:
        reading = evse.metering.reading
        same_boot = session.started.boot == now.stamp.boot
        register_wh = max(session.last_wh, reading.energy_wh if reading else 0)
        values: Values = {
            "energy_wh": register_wh - session.start_wh,
            "power_w": round(reading.power_w) if reading and reading.power_w is not None else None,
            "since_s": int(now.t_s - session.started.t_s) if same_boot else None,
            "limit_a": None if evse.config.dc else evse.board.offered_a or evse.charging_limit.current_a,
            "soc_percent": reading.soc_percent if reading else None,
            "stop_hint": self._stop_hint(session),
            **session_cost_values(self._site, evse, register_wh, now),
        }
        if evse.state is SessionState.ENDING or evse.progress.charging is ChargingState.EV_CONNECTED:
            return ScreenName.PREPARING, "", values
        if evse.progress.charging is ChargingState.CHARGING:
            return ScreenName.CHARGING, "", values
        return ScreenName.PAUSED, self._pause_detail(evse, session), values

    def _stop_hint(self, session: Session) -> str:
        """Return how the driver can stop. Without a card: by unplugging, if that ends the
        session."""
        if session.web or session.token.type is TokenType.NO_AUTHORIZATION:
            return "unplug" if self._site.settings.bool_value("stop_on_ev_disconnect") else ""
        return "card"

    def _pause_detail(self, evse: EvseRecord, session: Session) -> str:
        """Return what pauses the session. ``refused``: the board gives no release although this
        vehicle should have it."""
        if evse.progress.charging is ChargingState.SUSPENDED_EV:
            return "car"
        may_have_energy = not (session.held or self._site.stopping)
        should = evse.state is SessionState.ACTIVE and evse.board.vehicle_connected and may_have_energy
        return "refused" if should and not evse.release_order.requested else "station"

    def _heaviest_fault(self, evse: EvseRecord) -> str:
        heavy = [f for f in most_severe_first(frozenset(evse.faults)) if blocks_charging(f)]
        if heavy and heavy[0] in JAMS & evse.latched:  # plugging in again does not help
            return str(Fault.MREC25)
        return str(heavy[0]) if heavy else "StoreFailed"


def select_lamp(evse: EvseRecord, name: ScreenName) -> Lamp:
    if name in (ScreenName.OUT_OF_SERVICE, ScreenName.OFFLINE, ScreenName.STARTING):
        return Lamp.RED
    if name is ScreenName.CHARGING:
        return Lamp.BLUE
    if name in (ScreenName.IDLE, ScreenName.FINISHED) and not evse.session:
        return Lamp.GREEN
    return Lamp.YELLOW


def _payer_hold_s(evse: EvseRecord, now: Moment) -> int | None:
    """Return how long the EVSE is still held for a driver who pays; None: it is not."""
    left_s = None if evse.payer_until_s is None else evse.payer_until_s - now.t_s
    return None if left_s is None or left_s <= 0 else ceil(left_s)
