"""Limits that a backend sets for a transaction (OCPP 2.1 E16, and by it C24 and C25): confirmed once, kept over a
restart, and never passed without that energy ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.domain.charging.profiles import Kind, Period, Profile, Purpose, Schedule, Unit
from agent.domain.csms_cost import Cost
from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    CablePlugged,
    CostReceived,
    LimitReceived,
    MeterRead,
    RequestReceived,
    TimeCame,
    TokenAuthorized,
    VehicleConnected,
)
from agent.domain.evse import SessionState
from agent.domain.messages import ChargingState, SettlementReported, StopReason, TransactionUpdated, TriggerReason
from agent.domain.orders import AuthorizeToken, Send, SetLimit, SetRelease
from agent.domain.requests import RemoteStartRequest, SetChargingProfileRequest
from agent.domain.terminal_messages import CommitPayment, VoidPayment
from agent.domain.timers import Timer, TimerKind
from agent.domain.transaction import TxPoint
from agent.model.types import Token, TokenType, TransactionLimit
from tests.domain.playbook import ACCEPTED, LINK, PLUGGED, UTC0_S, Playbook, charging, energised, wh
from tests.domain.test_plays_payment import paid, till, unplugged
from tests.support.reading_purposes import LIVE

LIMITED: dict[str, Any] = {"limits_transactions": True}
WEB = Token("PSP-77", TokenType.DIRECT_PAYMENT)


def limited(**limits: int) -> tuple[Playbook, str]:
    play = charging(Playbook(**LIMITED)).skip()
    return set_limit(play, **limits), play.session().id


def set_limit(play: Playbook, link: str = LINK, **limits: int) -> Playbook:
    play.feed(LimitReceived(link, play.session().id, TransactionLimit(**limits)))
    return play.skip()


def updates(play: Playbook, trigger: TriggerReason | None = None) -> list[TransactionUpdated]:
    sent = [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, TransactionUpdated)]
    return [m for m in sent if trigger in (None, m.trigger)]


def drawn(play: Playbook, more_wh: int) -> Playbook:
    play.feed(MeterRead(1, LIVE, wh(1000 + more_wh)))
    return play.skip()


def released(play: Playbook) -> bool:
    return [o.on for o in play.log if isinstance(o, SetRelease)][-1]


def test_a_limit_is_confirmed_once() -> None:
    """E16.FR.03, C24.FR.03, C25.FR.25."""
    play, _ = limited(energy_wh=5000)
    set_limit(play, energy_wh=5000)
    assert [m.limit for m in updates(play, TriggerReason.LIMIT_SET)] == [TransactionLimit(energy_wh=5000)]
    set_limit(play, energy_wh=6000, time_s=3600)
    assert updates(play, TriggerReason.LIMIT_SET)[-1].limit == TransactionLimit(energy_wh=6000, time_s=3600)
    assert released(play)


@pytest.mark.parametrize("link", ["another", ""])
def test_only_the_backend_that_authorizes_limits(link: str) -> None:
    play = charging(Playbook(**LIMITED)).skip()
    set_limit(play, link, energy_wh=0)
    assert updates(play, TriggerReason.LIMIT_SET) == []
    play.feed(LimitReceived(LINK, "no such transaction", TransactionLimit(energy_wh=0)))
    assert updates(play, TriggerReason.LIMIT_SET) == []
    assert released(play)


def test_energy_is_withheld_at_the_limit_and_given_again_above_it() -> None:
    """E16.FR.05, E16.FR.14."""
    play, _ = limited(energy_wh=5000)
    drawn(play, 4999)
    assert released(play)
    drawn(play, 5000)
    assert not released(play)
    assert play.state() is SessionState.ACTIVE
    (said,) = updates(play, TriggerReason.ENERGY_LIMIT)
    assert said.charging is ChargingState.SUSPENDED_EVSE
    drawn(play, 5001)
    assert len(updates(play, TriggerReason.ENERGY_LIMIT)) == 1
    set_limit(play, energy_wh=8000)
    assert released(play)
    drawn(play, 8000)
    assert not released(play)
    assert len(updates(play, TriggerReason.ENERGY_LIMIT)) == 2


@pytest.mark.parametrize(
    ("limit", "reason", "trigger"),
    [
        ({"energy_wh": 100}, StopReason.ENERGY_LIMIT, TriggerReason.ENERGY_LIMIT),
        ({"time_s": -1}, StopReason.TIME_LIMIT, TriggerReason.TIME_LIMIT),
        ({"cost_cents": 0}, StopReason.LOCAL_OUT_OF_CREDIT, TriggerReason.COST_LIMIT),
    ],
)
def test_the_transaction_ends_where_its_stop_point_is_the_end_of_energy(
    limit: dict[str, int], reason: StopReason, trigger: TriggerReason
) -> None:
    """E16.FR.06, and at once where the limit is passed already (E16.FR.10)."""
    play = charging(Playbook(settings={"tx_stop_points": (TxPoint.ENERGY,)}, **LIMITED)).skip()
    drawn(play, 200)
    set_limit(play, **limit)
    stop = play.session().stop
    assert stop is not None
    assert (stop.reason, stop.trigger) == (reason, trigger)


def test_a_limit_that_is_raised_while_the_vehicle_cannot_charge_gives_energy_afterwards() -> None:
    """A DC board has ended the session of its vehicle; the next one begins after the limit was raised."""
    play, _ = limited(energy_wh=500)
    drawn(play, 500)
    used = replace(PLUGGED, released=False, spent=True)
    play.feed(BoardChanged(1, used))
    set_limit(play, energy_wh=900)
    assert not released(play)
    play.feed(BoardChanged(1, replace(used, spent=False)))
    drawn(play, 510)
    assert (released(play), play.session().withheld_by) == (True, frozenset())


def test_time_counts_from_the_start_of_the_transaction() -> None:
    """E16.FR.09."""
    play = charging(Playbook(**LIMITED)).skip()
    play.wait(100).skip()
    set_limit(play, time_s=160)
    play.wait(50).skip()
    assert released(play)
    play.wait(20).skip()
    assert not released(play)
    assert len(updates(play, TriggerReason.TIME_LIMIT)) == 1


def test_what_the_backend_reports_counts_as_the_cost() -> None:
    """E16.FR.15."""
    play = charging(Playbook(settings={"cost_display": True}, **LIMITED)).skip()
    set_limit(play, cost_cents=500)
    play.feed(CostReceived(LINK, play.session().id, Cost(4_990_000)))
    assert released(play)
    play.skip().feed(CostReceived(LINK, play.session().id, Cost(5_000_000)))
    assert not released(play)
    assert updates(play, TriggerReason.COST_LIMIT)[-1].charging is ChargingState.SUSPENDED_EVSE


def test_no_limit_exceeds_what_a_bank_holds() -> None:
    """E16.FR.04 the other way round: a backend may lower what a card has, not raise it."""
    play = till(**LIMITED)
    paid(play)
    set_limit(play, cost_cents=99_999)
    assert updates(play, TriggerReason.LIMIT_SET)[-1].limit == TransactionLimit(cost_cents=5000)
    set_limit(play, cost_cents=100)
    drawn(play, 1980)
    assert released(play)
    drawn(play, 2000)
    assert not released(play)


def test_a_limit_outlives_the_agent() -> None:
    play, session = limited(energy_wh=5000)
    drawn(play, 5000)
    play.skip().restart(state=PLUGGED).skip()
    assert play.session().id == session
    assert play.session().held
    set_limit(play, energy_wh=5000)
    assert len(updates(play, TriggerReason.LIMIT_SET)) == 1, "the same limit is no change"
    play.store["tx_limit"]["gone"] = {"limit": {"$": "TransactionLimit"}, "withholds": False}
    play.store["tx_limit"][session] = {"limit": "unreadable"}
    play.restart(state=PLUGGED).skip()
    assert play.store["tx_limit"] == {}, "one of another session, or unreadable, is forgotten"


def with_ten_amperes() -> Playbook:
    """A session whose backend offers 10 A, at the end of its energy."""
    play = Playbook(**LIMITED)
    ten_a = Schedule(Unit.A, (Period(0, 10.0),), None, UTC0_S)
    profile = Profile(1, 0, Purpose.TX_DEFAULT, Kind.ABSOLUTE, ten_a)
    play.feed(RequestReceived(LINK, "p1", SetChargingProfileRequest(1, profile, True)))
    charging(play.skip())
    set_limit(play, energy_wh=5000)
    return drawn(play, 5000)


def levels_since(play: Playbook, begin: int) -> list[float | bool]:
    """Limits and releases as they were ordered of the board since then."""
    orders = [o for o in play.log[begin:] if isinstance(o, SetLimit | SetRelease)]
    return [o.on if isinstance(o, SetRelease) else o.limit.current_a or 0.0 for o in orders]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_board_that_was_reopened_has_its_limit_before_energy_is_given_again(restarted: bool) -> None:
    """It comes up at its own maximum, and the session was withheld at that time."""
    play = with_ten_amperes()
    reopened = BoardOpened(1, replace(PLUGGED, plugged_s=play.t_s), replace(play.traits, counts_plugged=True))
    if restarted:
        play.skip().restart()
        play.feed(TimeCame(Timer(TimerKind.CHARGING_LIMITS)))  # the shares are computed before the board is there
    begin = len(play.skip().log)
    play.feed(reopened)
    play.skip()
    assert play.session().held
    set_limit(play, energy_wh=8000)
    levels = levels_since(play, begin)
    assert (levels[-1], 10.0 in levels) == (True, True), levels


def test_a_limit_ends_with_its_session() -> None:
    play, session = limited(energy_wh=5000, time_s=9000)
    assert session in play.store["tx_limit"]
    unplugged(play, 2000).skip()
    assert play.store["tx_limit"] == {}
    assert not [t for t in play.timers if t.kind.name == "TRANSACTION_LIMIT"]


def test_a_remote_start_by_a_payment_is_limited_by_its_backend() -> None:
    """C24.FR.04, C25.FR.26: the payment was made at a kiosk or a page."""
    play = Playbook(state=PLUGGED, **LIMITED)
    play.feed(RequestReceived(LINK, "r1", RemoteStartRequest(1, WEB, "5")))
    for order in [o for o in play.log if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    play.skip()
    energised(play)
    assert play.session().token == WEB
    set_limit(play, energy_wh=1000)
    drawn(play, 1000)
    assert not released(play)


def test_what_was_paid_elsewhere_is_settled_elsewhere() -> None:
    """C24.FR.10, C25.FR.40: at the kiosk or at the page. The terminal of the station has no part in it."""
    play = till(settlement_links=(LINK,), **LIMITED)
    (play >> [CablePlugged(1), VehicleConnected(1)]).skip()
    play.feed(RequestReceived(LINK, "r1", RemoteStartRequest(1, WEB, "5")))
    for order in [o for o in play.log if isinstance(o, AuthorizeToken)]:
        play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    energised(play.skip())
    unplugged(play, 6000).skip()
    [ended] = play.ended()
    assert (ended.meter_wh, ended.cost) == (6000, None)
    assert not [o for o in play.log if isinstance(o, CommitPayment | VoidPayment)]
    assert not [o for o in play.log if isinstance(o, Send) and isinstance(o.message, SettlementReported)]


def test_a_station_without_such_a_backend_has_no_such_block() -> None:
    play = charging(Playbook()).skip()
    set_limit(play, energy_wh=0)
    assert released(play)
