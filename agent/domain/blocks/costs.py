"""What charging costs, for the screen: told by the backend that authorises, carried on with its prices in between, kept
over restarts; the meter values that it wants to see for it, and the end of what a place costs (2.x I01-I05)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from agent.domain.account import Account
from agent.domain.asks import AskCost, AskMessage
from agent.domain.block import Yielded, answers, on
from agent.domain.cost import Cost, Price, Triggers, micro
from agent.domain.events import (
    Asked,
    BoardOpened,
    CableRemoved,
    ClockTrusted,
    CostHeard,
    CostSettled,
    Event,
    MessageHeard,
    MeterRead,
    SessionClosed,
    SessionOpened,
    SituationChanged,
    Started,
    TimeCame,
    VehicleLeft,
)
from agent.domain.evse import Evse, Site, State
from agent.domain.messages import ChargingState, ConnectorUnplugged
from agent.domain.orders import ReadMeter, Remember, Reply, Tell, WakeMe
from agent.domain.record import Poisoned
from agent.kinds import MessageContent, Moment, Token

MESSAGES_MAX = 16
"""Prices of drivers that are not (yet) here: a remote start may follow its price."""
LATE_S = 120.0
"""How long after the vehicle has gone a final cost still has its reader (real seconds)."""
REFRESH_S = 20.0
"""How often the cost of a place is shown anew (real seconds)."""
_HYSTERESIS = 0.05
"""A power that stays this near to its threshold has not crossed it again."""


class Costs:
    def __init__(self, site: Site) -> None:
        self._site = site
        self._messages: dict[str, tuple[MessageContent, ...]] = {}
        self._above: dict[int, bool] = {}
        self._seen: dict[int, ChargingState] = {}

    # --- what the backend says -----------------------------------------------------------------------------------

    @answers(AskCost)
    def cost(self, event: Asked, now: Moment) -> Iterator[Yielded]:
        ask = event.ask
        assert isinstance(ask, AskCost)
        evse = self._of(event.link, ask.session, now)
        if evse is None or not self._newer(evse, ask.cost):
            yield Reply(event.link, event.request, "Rejected")
            return
        yield from self._take(evse, ask.cost, now)
        yield Reply(event.link, event.request, "Accepted")

    @on(CostHeard)
    def heard(self, event: CostHeard, now: Moment) -> Iterator[Yielded]:
        evse = self._of(event.link, event.session, now)
        if evse is not None and self._newer(evse, event.cost):
            yield from self._take(evse, event.cost, now)

    def _of(self, link: str, session: str, now: Moment) -> Evse | None:
        """Where this session's driver would read it. Only the backend that authorises has a say, and only of the
        latest session of an EVSE: nobody is shown what somebody else has paid."""
        if not self._site.settings.flag("cost_display") or link != self._site.links[0] or not session:
            return None
        evse = next((e for e in self._site.evses.values() if e.account and e.account.session == session), None)
        if evse is None or evse.account is None or evse.account.unplugged_s is None:
            return evse
        late_s = now.t_s - evse.account.unplugged_s
        return evse if late_s <= LATE_S * self._site.io_s and evse.grant is None else None

    def _newer(self, evse: Evse, cost: Cost) -> bool:
        known = evse.account.cost if evse.account else None
        return cost.final or known is None or not known.final

    def _take(self, evse: Evse, cost: Cost, now: Moment) -> Iterator[Yielded]:
        account = evse.account
        assert account is not None
        account.cost = replace(cost, triggers=self._ahead(evse, cost.triggers, now) if cost.triggers else None)
        if account.unplugged_s is None:
            yield Remember("account", account.session, account.record())
        yield from self._arm(evse, now)
        if cost.final:
            yield CostSettled(evse.number)
        yield SituationChanged(evse.number)

    def _ahead(self, evse: Evse, triggers: Triggers, now: Moment) -> Triggers:
        """What has been reached already is not answered with a meter value: its answer would bring the same again."""
        had_wh = evse.reading.energy_wh - evse.account.start_wh if evse.reading and evse.account else 0
        if triggers.energy_wh is not None and triggers.energy_wh <= had_wh:
            triggers = replace(triggers, energy_wh=None)
        if triggers.at_utc_s is not None and now.utc_s is not None and triggers.at_utc_s <= now.utc_s:
            triggers = replace(triggers, at_utc_s=None)
        return triggers

    @answers(AskMessage)
    def message(self, event: Asked, now: Moment) -> Iterator[Yielded]:
        ask = event.ask
        assert isinstance(ask, AskMessage)
        if not self._site.settings.flag("cost_display") or event.link != self._site.links[0]:
            yield Reply(event.link, event.request, "Rejected")
            return
        yield from self._tell_driver(ask.token, ask.texts)
        yield Reply(event.link, event.request, "Accepted")

    @on(MessageHeard)
    def told(self, event: MessageHeard, now: Moment) -> Iterator[Yielded]:
        if not self._site.settings.flag("cost_display") or event.link != self._site.links[0]:
            return
        if event.token is not None:
            yield from self._tell_driver(event.token, event.texts)
        evse = self._of(event.link, event.session, now)
        if evse is not None:
            yield from self._write_down(evse, event.texts)

    def _tell_driver(self, token: Token, texts: tuple[MessageContent, ...]) -> Iterator[Yielded]:
        """To where this token is, or as soon as it is somewhere."""
        key = token.value.casefold()
        self._messages.pop(key, None)
        self._messages[key] = texts
        while len(self._messages) > MESSAGES_MAX:
            del self._messages[next(iter(self._messages))]
        for evse in self._site.evses.values():
            if evse.session is not None and evse.session.token.same(token):
                yield from self._write_down(evse, texts)
            elif evse.grant is not None and evse.grant.token.same(token):
                yield SituationChanged(evse.number)

    def _write_down(self, evse: Evse, texts: tuple[MessageContent, ...]) -> Iterator[Yielded]:
        account = evse.account
        if account is not None and account.message != texts:
            account.message = texts
            yield Remember("account", account.session, account.record())
            yield SituationChanged(evse.number)

    def message_for(self, evse: Evse) -> tuple[MessageContent, ...]:
        """What the driver who is here was told of the price."""
        if evse.grant is not None:
            return self._messages.get(evse.grant.token.value.casefold(), ())
        return evse.account.message if evse.account is not None else ()

    # --- the life of a session -----------------------------------------------------------------------------------

    @on(SessionOpened)
    def opened(self, event: SessionOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        session = evse.session
        if session is None or not self._site.settings.flag("cost_display"):
            return
        if evse.account is not None and evse.account.session == session.id:
            return  # it goes on after a restart
        if evse.account is not None and evse.account.unplugged_s is None:  # charged again without unplugging
            yield from self._unplugged(evse, now)
        message = self._messages.pop(session.token.value.casefold(), ())
        own = self._own(session.start_wh, now) if session.offline else None
        evse.account = Account(session.id, evse.number, session.start_wh, message, own)
        self._above.pop(evse.number, None)
        yield Remember("account", session.id, evse.account.record())

    def _own(self, start_wh: int, now: Moment) -> Cost | None:
        """A session that begins off line: the prices that were agreed for that."""
        texts = [self._site.settings.text(f"offline_{part}_price") for part in ("kwh", "hour", "flat")]
        if not any(texts):
            return None
        price = Price(*(micro(text) if text else None for text in texts))
        return Cost(price.flat_micro or 0, estimated=True, meter_wh=start_wh, utc_s=now.utc_s, price=price)

    @on(SessionClosed)
    def closed(self, event: SessionClosed, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.account is None or evse.account.session != event.session:
            return
        evse.account.over = True
        cost = evse.account.cost
        if cost is not None and not (cost.idle or cost.final):  # no more energy, no more charging time
            total_micro = cost.at(evse.reading.energy_wh if evse.reading else 0, now.utc_s)
            evse.account.cost = replace(cost, total_micro=total_micro, price=None, next=None)
        if evse.vehicle and evse.known:
            yield Remember("account", event.session, evse.account.record())
        else:
            yield from self._unplugged(evse, now)

    @on(VehicleLeft, CableRemoved, BoardOpened)
    def left(self, event: VehicleLeft | CableRemoved | BoardOpened, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        if evse.account is not None and evse.account.over and not evse.vehicle:
            yield from self._unplugged(evse, now)

    def _unplugged(self, evse: Evse, now: Moment) -> Iterator[Yielded]:
        """Once, and as durable as a bill: the cost of the place ends here."""
        account = evse.account
        if account is None or account.unplugged_s is not None:
            return
        account.unplugged_s = now.t_s
        yield Remember("account", account.session, None)
        if self._site.settings.flag("idle_fee_after_stop"):
            for link in self._site.links:
                yield Tell(link, ConnectorUnplugged(account.session, evse.number, now.stamp))

    @on(Started)
    def started(self, event: Started, now: Moment) -> Iterator[Yielded]:
        """Nothing is lost but a text on the screen where a record cannot be read."""
        for key, record in event.remembered.get("account", {}).items():
            account = _read(key, record)
            evse = self._site.evses.get(account.evse) if account else None
            if evse is None or account is None or evse.account is not None:
                yield Remember("account", key, None)
                continue
            evse.account = account
            yield from self._arm(evse, now)

    # --- prices that change, meter values that are wanted --------------------------------------------------------

    def _arm(self, evse: Evse, now: Moment) -> Iterator[Yielded]:
        cost = evse.account.cost if evse.account else None
        self._above.pop(evse.number, None)
        wanted = cost.triggers.at_utc_s if cost and cost.triggers and not cost.final else None
        yield WakeMe(f"cost-look:{evse.number}", _in_time(wanted, now))
        turn = cost.next.at_utc_s if cost and cost.next and not cost.final else None
        yield WakeMe(f"cost-turn:{evse.number}", _in_time(turn, now))
        runs = cost is not None and cost.idle and not cost.final
        yield WakeMe(f"cost-idle:{evse.number}", now.t_s + REFRESH_S * self._site.io_s if runs else None)

    @on(ClockTrusted)
    def clock(self, event: Event, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            yield from self._arm(evse, now)

    @on(TimeCame)
    def time(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        kind, _, number = event.key.partition(":")
        if not kind.startswith("cost-"):
            return
        evse = self._site.evses[int(number)]
        account, cost = evse.account, evse.account.cost if evse.account else None
        if account is None or cost is None or account.unplugged_s is not None:
            return
        if kind == "cost-look" and cost.triggers:
            yield from self._fire(evse, replace(cost.triggers, at_utc_s=None))
        elif kind == "cost-turn" and cost.next:
            account.cost = cost.turned(evse.reading.energy_wh if evse.reading else cost.meter_wh or 0)
            yield Remember("account", account.session, account.record())
        yield from self._arm(evse, now)
        yield SituationChanged(evse.number)

    @on(MeterRead)
    def read(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        triggers = self._triggers(evse)
        if triggers is None or evse.account is None or evse.session is None:
            return
        had_wh = event.reading.energy_wh - evse.account.start_wh
        if triggers.energy_wh is not None and had_wh >= triggers.energy_wh:
            yield from self._fire(evse, replace(triggers, energy_wh=None))
        if triggers.power_w is not None and event.reading.power_w is not None:
            yield from self._crossed(evse, triggers.power_w, event.reading.power_w)

    def _crossed(self, evse: Evse, threshold_w: float, power_w: float) -> Iterator[Yielded]:
        before = self._above.get(evse.number)
        if before is None:
            self._above[evse.number] = power_w > threshold_w
        elif power_w < threshold_w * (1 - _HYSTERESIS) if before else power_w > threshold_w * (1 + _HYSTERESIS):
            self._above[evse.number] = not before
            yield ReadMeter(evse.number, "trigger")

    @on(SituationChanged)
    def situation(self, event: SituationChanged, now: Moment) -> Iterator[Yielded]:
        for evse in self._site.evses.values():
            state, before = _charging(evse), self._seen.get(evse.number)
            self._seen[evse.number] = state
            triggers = self._triggers(evse)
            if triggers is not None and before is not None and state is not before and state in triggers.states:
                yield ReadMeter(evse.number, "trigger")

    def _triggers(self, evse: Evse) -> Triggers | None:
        cost = evse.account.cost if evse.account else None
        return cost.triggers if cost is not None and not cost.final else None

    def _fire(self, evse: Evse, left: Triggers) -> Iterator[Yielded]:
        """Once for a time and for an energy: the answer to the meter values brings the next ones."""
        assert evse.account is not None
        assert evse.account.cost is not None
        evse.account.cost = replace(evse.account.cost, triggers=left)
        yield Remember("account", evse.account.session, evse.account.record())
        yield ReadMeter(evse.number, "trigger")


def _read(key: str, record: Mapping[str, Any]) -> Account | None:
    try:
        return Account.of(key, record)
    except (Poisoned, KeyError, TypeError, ValueError, OverflowError):
        return None


def _in_time(utc_s: float | None, now: Moment) -> float | None:
    """When the stamp clock will show this time; what has passed is due at once."""
    return None if utc_s is None or now.utc_s is None else now.t_s + max(0.0, utc_s - now.utc_s)


def _charging(evse: Evse) -> ChargingState:
    if evse.state in (State.ACTIVE, State.ENDING):
        return evse.charging
    return ChargingState.EV_CONNECTED if evse.vehicle else ChargingState.IDLE
