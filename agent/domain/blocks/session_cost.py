"""Keep the cost of charging for the screen. The backend that authorizes reports it; between its
reports it is continued with its prices, and it is kept over restarts. The end of what a place costs
is here too (2.x I01-I05)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.domain.blocks.cost_triggers import drop_reached_triggers, stamp_time_of_utc
from agent.domain.csms_cost import Cost, Price, parse_micro_amount
from agent.domain.driver_cost import DriverCost
from agent.domain.events import (
    BoardOpened,
    CableRemoved,
    ClockTrusted,
    CostChanged,
    CostReceived,
    DriverMessageReceived,
    Event,
    EvseEvent,
    SessionClosed,
    SessionOpened,
    SituationChanged,
    Started,
    TimeCame,
    TransactionClosed,
    VehicleLeft,
)
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests, handles_events, handles_timer
from agent.domain.messages import ConnectorUnplugged
from agent.domain.orders import Persist, Send, WakeMe
from agent.domain.requests import CostUpdatedRequest, DriverMessageRequest
from agent.domain.serialization import UnreadableRecord
from agent.domain.session_records import Session
from agent.domain.timers import Timer, TimerKind
from agent.domain.variables import OFFLINE_PRICES, Value, ValueChecks
from agent.model.fastclass import replace
from agent.model.types import MessageContent, Moment, Token

MESSAGES_MAX = 16
"""Prices of drivers that are not here (yet): a remote start may follow its price."""
LATE_S = 120.0
"""How long after the vehicle has left a final cost is still shown (real seconds)."""
REFRESH_S = 20.0
"""How often the cost of a place is refreshed on the screen (real seconds)."""


class SessionCosts:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._driver_messages: dict[str, tuple[MessageContent, ...]] = {}
        self._open_sessions: dict[int, Session] = {}

    def value_checks(self) -> ValueChecks:
        return {name: self._price_check_for(name) for name in OFFLINE_PRICES}

    def _price_check_for(self, name: str) -> Callable[[Value], bool]:
        """Return a check of a price setting. Where the backend's default price is the ad-hoc price,
        it must be a lawful one."""

        def is_lawful(value: Value) -> bool:
            offers = (e.config.offer for e in self._site.evses.values())
            return all(offer is None or offer.allows_backend_price(name, value) for offer in offers)

        return is_lawful

    # --- costs and messages of the backend -----------------------------------------------------------------------

    @answers_requests(CostUpdatedRequest)
    def answer_cost_updated(self, request: CostUpdatedRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        evse = self._evse_of_session(reply.link, request.session, now)
        if evse is None or not self._may_replace_cost(evse, request.cost):
            yield reply("Rejected")
            return
        yield from self._apply_cost(evse, request.cost, now)
        yield reply("Accepted")

    @handles_events(CostReceived)
    def apply_received_cost(self, event: CostReceived, now: Moment) -> Iterator[Yielded]:
        evse = self._evse_of_session(event.link, event.session, now)
        if evse is not None and self._may_replace_cost(evse, event.cost):
            yield from self._apply_cost(evse, event.cost, now)

    def _evse_of_session(self, link: str, session: str, now: Moment) -> EvseRecord | None:
        """Return the EVSE where this session's driver would read the cost. Only the backend that
        authorizes may set it, and only for the latest session of an EVSE: no driver sees what
        another one has paid."""
        if not self._site.settings.bool_value("cost_display") or link != self._site.config.links[0] or not session:
            return None
        known = ((e, e.pricing.account) for e in self._site.evses.values() if e.pricing.account)
        evse, account = next((pair for pair in known if pair[1].session == session), (None, None))
        if evse is None or account is None or account.unplugged_s is None:
            return evse
        late_s = now.t_s - account.unplugged_s
        return evse if late_s <= LATE_S * self._site.config.io_s and evse.authorization is None else None

    def _may_replace_cost(self, evse: EvseRecord, cost: Cost) -> bool:
        known = evse.pricing.account.cost if evse.pricing.account else None
        return cost.final or known is None or not known.final

    def _apply_cost(self, evse: EvseRecord, cost: Cost, now: Moment) -> Iterator[Yielded]:
        account = evse.pricing.account
        assert account is not None
        account.cost = replace(
            cost, triggers=drop_reached_triggers(evse, cost.triggers, now) if cost.triggers else None
        )
        if cost.texts and not cost.final:
            account.message = cost.texts
        yield from account.persist_while_plugged()
        yield from self._arm_price_timers(evse, now)
        yield CostChanged(evse.number)
        yield SituationChanged(evse.number)

    @answers_requests(DriverMessageRequest)
    def answer_driver_message(self, request: DriverMessageRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
        if not self._site.settings.bool_value("cost_display") or reply.link != self._site.config.links[0]:
            yield reply("Rejected")
            return
        yield from self._show_driver_message(request.token, request.texts)
        yield reply("Accepted")

    @handles_events(DriverMessageReceived)
    def apply_received_message(self, event: DriverMessageReceived, now: Moment) -> Iterator[Yielded]:
        if not self._site.settings.bool_value("cost_display") or event.link != self._site.config.links[0]:
            return
        if event.token is not None:
            yield from self._show_driver_message(event.token, event.texts)
        evse = self._evse_of_session(event.link, event.session, now)
        if evse is not None:
            yield from self._keep_driver_message(evse, event.texts)

    def _show_driver_message(self, token: Token, texts: tuple[MessageContent, ...]) -> Iterator[Yielded]:
        """Show the message where this token is, or as soon as it comes."""
        key = token.value.casefold()
        self._driver_messages.pop(key, None)
        self._driver_messages[key] = texts
        while len(self._driver_messages) > MESSAGES_MAX:
            del self._driver_messages[next(iter(self._driver_messages))]
        for evse in self._site.evses.values():
            if evse.session is not None and evse.session.token.matches_token(token):
                yield from self._keep_driver_message(evse, texts)
            elif evse.authorization is not None and evse.authorization.token.matches_token(token):
                yield SituationChanged(evse.number)

    def _keep_driver_message(self, evse: EvseRecord, texts: tuple[MessageContent, ...]) -> Iterator[Yielded]:
        account = evse.pricing.account
        if account is not None and account.message != texts:
            account.message = texts
            yield from account.persist_while_plugged()
            yield SituationChanged(evse.number)

    def message_for(self, evse: EvseRecord) -> tuple[MessageContent, ...]:
        """Return the price message for the driver who is here."""
        if evse.authorization is not None:
            return self._driver_messages.get(evse.authorization.token.value.casefold(), ())
        return evse.pricing.account.message if evse.pricing.account is not None else ()

    # --- begin and end of a session ------------------------------------------------------------------------------

    @handles_events(SessionOpened)
    def open_session_account(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        session = evse.session
        if session is None or not self._site.settings.bool_value("cost_display"):
            return
        self._open_sessions[evse.number] = session
        account = evse.pricing.account
        if account is not None and account.session == session.id:
            return  # the session goes on after a restart
        if account is not None and account.unplugged_s is None:  # charges again without unplugging
            yield from self._end_account(evse, now)
        message = self._driver_messages.pop(session.token.value.casefold(), ())
        own = self._offline_cost(session.start_wh, now) if session.offline else None
        evse.pricing.account = DriverCost(session.id, evse.number, session.start_wh, message, own)
        yield from evse.pricing.account.persist_while_plugged()

    def _offline_cost(self, start_wh: int, now: Moment) -> Cost | None:
        """Return the cost of a session that begins offline, by the prices that are agreed for
        that."""
        texts = [self._site.settings.text_value(f"offline_{part}_price") for part in ("kwh", "hour", "flat")]
        if not any(texts):
            return None
        price = Price(*(parse_micro_amount(text) if text else None for text in texts))
        return Cost(price.flat_micro or 0, estimated=True, meter_wh=start_wh, utc_s=now.utc_s, price=price)

    @handles_events(SessionClosed)
    def close_session_account(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.pricing.account is None or evse.pricing.account.session != event.session:
            return
        session = self._open_sessions.pop(evse.number, None)
        billed_wh = event.end_wh
        if billed_wh is None:
            billed_wh = evse.metering.reading.energy_wh if evse.metering.reading else 0
        register_wh = max(evse.pricing.account.start_wh, billed_wh)
        evse.pricing.account.energy_wh = register_wh - evse.pricing.account.start_wh
        evse.pricing.account.session_over = True
        evse.pricing.account.reported = session is None or session.reported or evse.pricing.account.energy_wh > 0
        cost = evse.pricing.account.cost
        if cost is not None and not (cost.idle or cost.final):  # no more energy, no more charging time
            total_micro = cost.cost_at_register(register_wh, now.utc_s)
            evse.pricing.account.cost = replace(cost, total_micro=total_micro, price=None, next=None)
        if evse.board.vehicle_connected and evse.board.known:
            yield from evse.pricing.account.persist_while_plugged()
        else:
            yield from self._end_account(evse, now)

    @handles_events(VehicleLeft, CableRemoved, BoardOpened, TransactionClosed)
    def end_account_of_left_vehicle(self, event: EvseEvent, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.pricing.account is not None and evse.pricing.account.session_over and not evse.board.vehicle_connected:
            yield from self._end_account(evse, now)

    def _end_account(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        """End the account, once and as durable as a bill. The cost of the place ends here, but not
        before its transaction, which may outlast its session (decision 9)."""
        account = evse.pricing.account
        if account is None or account.unplugged_s is not None:
            return
        if evse.tx is not None and evse.tx.id == account.session:
            yield from account.persist_while_plugged()
            return
        account.unplugged_s = now.t_s
        yield Persist("account", account.session, None)
        if account.reported and self._site.settings.bool_value("idle_fee_after_stop"):
            for link in self._site.config.links:
                yield Send(link, ConnectorUnplugged(account.session, evse.number, now.stamp))

    @handles_events(Started)
    def restore_accounts(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Restore the accounts. Where a record cannot be read, only a text on the screen is
        lost."""
        for key, record in event.remembered.get("account", {}).items():
            account = _account_from_record(key, record)
            evse = self._site.evses.get(account.evse) if account else None
            if evse is None or account is None or evse.pricing.account is not None:
                yield Persist("account", key, None)
                continue
            evse.pricing.account = account
            if evse.session is not None and not account.session_over:
                self._open_sessions[evse.number] = evse.session
            yield from self._arm_price_timers(evse, now)
            if account.cost is not None and not account.cost.final:
                yield CostChanged(evse.number)

    # --- changes of price ----------------------------------------------------------------------------------------

    def _arm_price_timers(self, evse: EvseRecord, now: Moment) -> Iterator[Yielded]:
        cost = evse.pricing.account.cost if evse.pricing.account else None
        turn = cost.next.at_utc_s if cost and cost.next and not cost.final else None
        yield WakeMe(Timer(TimerKind.PRICE_CHANGE, evse.number), stamp_time_of_utc(turn, now))
        runs = cost is not None and cost.idle and not cost.final
        yield WakeMe(
            Timer(TimerKind.COST_REFRESH, evse.number), now.t_s + REFRESH_S * self._site.config.io_s if runs else None
        )

    @handles_events(ClockTrusted)
    def arm_price_timers_on_clock(self, event: Event, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            yield from self._arm_price_timers(evse, now)

    @handles_timer(TimerKind.PRICE_CHANGE, TimerKind.COST_REFRESH)
    def change_price_on_timer(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.timer.evse]
        account, cost = evse.pricing.account, evse.pricing.account.cost if evse.pricing.account else None
        if account is None or cost is None or account.unplugged_s is not None:
            return
        if event.timer.kind is TimerKind.PRICE_CHANGE and cost.next:
            reading = evse.metering.reading
            account.cost = cost.with_next_prices(reading.energy_wh if reading else cost.meter_wh or 0)
            yield from account.persist_while_plugged()
        yield from self._arm_price_timers(evse, now)
        yield SituationChanged(evse.number)


def _account_from_record(key: str, record: Mapping[str, Any]) -> DriverCost | None:
    try:
        return DriverCost.from_record(key, record)
    except (UnreadableRecord, KeyError, TypeError, ValueError, OverflowError):
        return None
