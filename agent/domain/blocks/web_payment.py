"""Show the QR code of an EVSE, and hold the EVSE for a driver who is paying (OCPP 2.1 C25 and its
back-port).

The screen shows a code with a one-time token if a backend has set it up, otherwise the fixed
address; and no code, with a reason, while a payment could not lead to a charge. A driver who has
begun to pay at the web page has the EVSE alone for a while: cards are refused there, the remote
start that follows is not."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.cost_screen import Values
from agent.domain.events import (
    CardRefused,
    ClockTrusted,
    Event,
    SessionOpened,
    SettingChanged,
    SituationChanged,
    TimeCame,
    TokenAccepted,
)
from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.orders import WakeMe
from agent.domain.outlet_claims import OutletClaims
from agent.domain.requests import WebPaymentFailedRequest, WebPaymentStartedRequest
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import OUTLETS_MOST, Value, ValueChecks
from agent.domain.web_payment import (
    VERSION,
    WebPaymentConfig,
    add_limit_parameters,
    address_problem,
    fill_template,
    one_time_token,
    receipt_problem,
    template_problem,
    totp_time_slot,
)
from agent.model.fastclass import frozen
from agent.model.types import STATION, EvseId, Moment, TransactionLimit

HOLD_MOST_S = 300
_TEMPLATE, _ENABLED = "template", "enabled"


@frozen
class Code:
    """The QR code of an EVSE."""

    url: str = ""
    """Empty if no code can be shown."""
    why: str = ""
    """Why no code can be shown, a key of the texts; "" for no reason."""
    until_s: float | None = None
    """When another code takes its place, on the stamp clock."""
    quality: str = ""
    """Of its error correction, if a backend has set one."""


class WebPayments:
    def __init__(self, site: StationState, claims: OutletClaims) -> None:
        self._site, self._payment_plan, self._claims = site, site.config.web_payment, claims

    def value_checks(self) -> ValueChecks:
        checks: ValueChecks = {"receipt_url": self._is_valid_receipt_url}
        for number in (STATION, *self._site.evses):
            checks[f"web{number}_{_TEMPLATE}"] = self._is_valid_template
            checks[f"qr{number}_url"] = self._is_valid_address
        return checks

    @property
    def payment_plan(self) -> WebPaymentConfig:
        return self._payment_plan

    def _is_valid_template(self, value: Value) -> bool:
        return not value or not template_problem(str(value), self._payment_plan.hosts)

    def _is_valid_address(self, value: Value) -> bool:
        return not value or not address_problem(str(value), self._payment_plan.hosts)

    def _is_valid_receipt_url(self, value: Value) -> bool:
        return not value or not receipt_problem(str(value), self._payment_plan.hosts)

    # --- the QR code -------------------------------------------------------------------------------------------------

    def current_code(self, evse: EvseRecord, now: Moment) -> Code:
        site, settings = self._site, self._site.settings
        if site.config.free_vending or (self._payment_plan.plugged and not evse.board.vehicle_connected):
            return Code()
        number = self._settings_number(evse)
        known = number <= OUTLETS_MOST  # an EVSE above has no settings of its own
        dynamic = self._payment_plan.dynamic and known and settings.bool_value(f"web{number}_enabled")
        keyed = evse.number <= OUTLETS_MOST
        own = settings.text_value(f"qr{evse.number}_url") if keyed else self._payment_plan.fixed.get(evse.number)
        fixed = own or site.config.qr_url
        if not dynamic and not fixed:
            return Code()
        if not site.backend_online:
            return Code(why="offline")
        if site.service_state(evse) is not ServiceState.IN_SERVICE:
            return Code(why="unavailable")
        return self._dynamic_code(evse, number, now) if dynamic else Code(fixed)

    def _settings_number(self, evse: EvseRecord) -> EvseId:
        return STATION if self._payment_plan.shared else evse.number

    def _dynamic_code(self, evse: EvseRecord, number: EvseId, now: Moment) -> Code:
        settings = self._site.settings
        template, secret = settings.text_value(f"web{number}_template"), settings.text_value(f"web{number}_secret")
        if not template or not secret:
            return Code()
        if now.utc_s is None:  # a token of another time would be refused, or be an old one
            return Code(why="clock")
        validity_s, length = settings.int_value(f"web{number}_validity_s"), settings.int_value(f"web{number}_length")
        at = totp_time_slot(now.utc_s, validity_s)
        roaming = settings.text_value(f"web{number}_roaming_id") or self._payment_plan.ids.get(evse.number, "")
        values = {
            "chargingstationid": self._payment_plan.station,
            "roamingcsid": self._payment_plan.station_roaming_id or self._payment_plan.station,
            "evse": str(evse.number),
            "evseid": str(evse.number),
            "roamingevseid": roaming or f"{self._payment_plan.station}*{evse.number}",
            "totp": one_time_token(secret, at, length),
            "version": VERSION,
        }
        until_s = now.t_s + (at + 1) * validity_s - now.utc_s
        url = fill_template(template, values)
        if evse.driver_limit is not None:
            url = add_limit_parameters(url, evse.driver_limit)
        return Code(url, until_s=until_s, quality=settings.text_value(f"web{number}_quality"))

    def idle_screen_values(self, evse: EvseRecord, now: Moment) -> Values:
        """Return the values for the idle screen."""
        code = self.current_code(evse, now)
        said = {"no_code": code.why, "qr_quality": code.quality}
        limit = evse.driver_limit if code.until_s is not None else None
        return {
            "qr_url": code.url,
            **{name: text for name, text in said.items() if text},
            **({} if limit is None else _limit_values(limit)),
        }

    @handles_events(SettingChanged)
    def refresh_on_code_setting(self, event: SettingChanged, now: Moment) -> Iterator[Yielded]:
        if event.name.startswith(("web", "qr")):
            yield SituationChanged(STATION)

    @handles_events(SituationChanged, ClockTrusted)
    def arm_code_timers(self, event: Event, now: Moment) -> Iterator[Yielded]:
        """Wake at the end of the slot whose code is shown."""
        for evse in self._site.evses.values():
            if self._payment_plan.dynamic and evse.session is None:
                yield WakeMe(Timer(TimerKind.WEB_PAYMENT_CODE, evse.number), self.current_code(evse, now).until_s)

    @handles_timer(TimerKind.WEB_PAYMENT_CODE)
    def renew_code_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield SituationChanged(event.timer.evse)

    @handles_timer(TimerKind.WEB_PAYMENT_HOLD)
    def renew_hold_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        if evse.payer_until_s is not None and now.t_s >= evse.payer_until_s:
            yield from self._end_payer_hold(evse)
        else:
            yield from self._arm_countdown(evse, now)

    # --- a driver is paying -------------------------------------------------------------------------------------------

    @answers_requests(WebPaymentStartedRequest)
    def answer_web_payment_started(
        self, request: WebPaymentStartedRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        evse = self._site.evses.get(request.evse)
        if reply.link != self._site.config.links[0]:  # another backend only observes: it keeps no driver away
            yield reply("Rejected", {"reason": "notAllowed"})
        elif evse is None:
            yield reply("Rejected", {"reason": "invalidConnectorId"})
        elif not 0 <= request.timeout_s <= HOLD_MOST_S:
            yield reply("Rejected", {"reason": "invalidTimeout"})
        elif request.timeout_s and not self._may_pay_at_page(evse):
            yield reply("Rejected", {"reason": "connectorNotAvailable"})
        else:
            yield reply("Accepted")
            if request.timeout_s:
                if evse.payer_until_s is None:  # the driver has seen the price of then
                    evse.payer_tariff = self._site.presented_tariff(evse)
                evse.payer_until_s = now.t_s + request.timeout_s
                yield from self._arm_countdown(evse, now)
            else:
                yield from self._end_payer_hold(evse)

    def _may_pay_at_page(self, evse: EvseRecord) -> bool:
        """True if the outlet can be kept for a driver: not where bank or backend are asked about another one. The one
        that it is kept for already may need longer."""
        is_in_service = evse.accepts_authorization and self._site.service_state(evse) is ServiceState.IN_SERVICE
        return is_in_service and (evse.payer_until_s is not None or not self._claims.is_asked_about(evse.number))

    @answers_requests(WebPaymentFailedRequest)
    def answer_web_payment_failed(
        self, request: WebPaymentFailedRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        evse = self._site.evses.get(request.evse)
        if evse is None or reply.link != self._site.config.links[0]:
            reason = "invalidConnectorId" if evse is None else "notAllowed"
            yield reply("Rejected", {"reason": reason})
            return
        yield reply("Accepted")
        if evse.payer_until_s is not None:
            yield from self._end_payer_hold(evse)
            yield CardRefused(evse.number, "web_failed", request.message)

    @handles_events(TokenAccepted, SessionOpened)
    def end_hold_on_start(self, event: TokenAccepted | SessionOpened, now: Moment) -> Iterator[Yielded]:
        yield from self._end_payer_hold(self._site.evses[event.evse])

    def _end_payer_hold(self, evse: EvseRecord) -> Iterator[Yielded]:
        if evse.payer_until_s is not None:
            evse.payer_until_s = evse.payer_tariff = None
            yield WakeMe(Timer(TimerKind.WEB_PAYMENT_HOLD, evse.number), None)
            yield SituationChanged(evse.number)

    def _arm_countdown(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """Wake once a second for the countdown on the screen."""
        if evse.payer_until_s is not None:
            again_s = min(evse.payer_until_s, now.t_s + self._site.config.io_s)
            yield WakeMe(Timer(TimerKind.WEB_PAYMENT_HOLD, evse.number), again_s)
            yield SituationChanged(evse.number)


def _limit_values(limit: TransactionLimit) -> Values:
    """Return what a driver has chosen, as screen values."""
    values: Values = {
        "limit_energy_wh": limit.energy_wh,
        "limit_time_s": limit.time_s,
        "limit_cost_micro": None if limit.cost_cents is None else limit.cost_cents * 10**4,
    }
    return {name: value for name, value in values.items() if value is not None}
