"""Tariffs that a backend sets (OCPP 2.1 I07 to I12): which one a session begins with, what it costs, and that one
engine computes it for the screen and for the backend."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from agent.domain.backend_tariff import BackendTariff, without_replaced_tariffs
from agent.domain.events import (
    BoardOpened,
    CablePlugged,
    CardPresented,
    DriverTariffReceived,
    LimitReceived,
    MeterFailed,
    MeterRead,
    RequestReceived,
    TokenAuthorized,
    VehicleConnected,
    VehicleLeft,
)
from agent.domain.evse import SessionState
from agent.domain.messages import StopReason, TransactionEnded, TransactionStarted, TransactionUpdated, TriggerReason
from agent.domain.orders import AuthorizeToken, ReadMeter, Response, Send
from agent.domain.reading_purposes import end_reading
from agent.domain.requests import (
    BackendRequest,
    ChangeTransactionTariffRequest,
    ClearTariffsRequest,
    GetTariffsRequest,
    SetDefaultTariffRequest,
)
from agent.domain.tariff import Tariff
from agent.domain.transaction import TxPoint
from agent.model.fastclass import replace
from agent.model.types import TransactionLimit
from tests.domain.playbook import (
    ACCEPTED,
    EMPTY,
    LINK,
    PLUGGED,
    UTC0_S,
    A,
    B,
    Playbook,
    charging,
    energised,
    make_site,
    wh,
)
from tests.domain.test_plays_payment import unplugged
from tests.support.reading_purposes import LIVE

TAKING: dict[str, Any] = {"takes_tariffs": True}
CHEAP, DEAR = Tariff(kwh=Decimal("0.20")), Tariff(kwh=Decimal("0.50"), session=Decimal(1), vat_percent=Decimal(17))


def street(evses: int = 1, **options: Any) -> Playbook:
    return Playbook(lambda: make_site(evses, **TAKING, **options))


def asked(play: Playbook, request: BackendRequest, link: str = LINK) -> tuple[str, Any]:
    [answer] = [o for o in play.feed(RequestReceived(link, "r1", request)) if isinstance(o, Response)]
    play.skip()
    return answer.status, answer.data


def set_tariff(
    play: Playbook, id_: str, tariff: Tariff = CHEAP, evse: int = 0, since_s: float | None = None
) -> tuple[str, Any]:
    return asked(play, SetDefaultTariffRequest(evse, BackendTariff(id_, tariff, since_s)))


def present(play: Playbook, evse: int = 0) -> list[tuple[str, list[int]]]:
    _, data = asked(play, GetTariffsRequest(evse))
    return [(t["id"], t["evses"]) for t in data.get("tariffs", ())]


def drawn(play: Playbook, more_wh: int) -> Playbook:
    play.feed(MeterRead(1, LIVE, wh(1000 + more_wh)))
    return play.skip()


def sent(play: Playbook, kind: type[Any]) -> list[Any]:
    return [o.message for o in play.log if isinstance(o, Send) and isinstance(o.message, kind)]


def named(play: Playbook) -> list[str]:
    return [m.tariff_id for m in sent(play, TransactionUpdated | TransactionEnded) if m.tariff_id]


def test_a_default_tariff_of_one_evse_or_of_all() -> None:
    """I07.FR.11, I07.FR.12, I09.FR.01 to I09.FR.04."""
    play = street(2)
    assert asked(play, GetTariffsRequest(0))[0] == "NoTariff"
    assert set_tariff(play, "T1")[0] == "Accepted"
    assert set_tariff(play, "T2", DEAR, evse=2)[0] == "Accepted"
    assert present(play) == [("T1", [1]), ("T2", [2])]
    assert present(play, 2) == [("T2", [2])]
    assert asked(play, GetTariffsRequest(3)) == ("Rejected", {"reason": "UnknownEVSE"})


def test_what_is_wrong_with_a_default_tariff() -> None:
    """I07.FR.04, I07.FR.06."""
    play = street(2)
    set_tariff(play, "T1", evse=1)
    assert set_tariff(play, "T1", DEAR, evse=2)[0] == "DuplicateTariffId"
    assert set_tariff(play, "T9", evse=3) == ("Rejected", {"reason": "UnknownEVSE"})
    for later in range(1, 4):
        assert set_tariff(play, f"L{later}", evse=1, since_s=UTC0_S + later * 9999)[0] == "Accepted"
    assert set_tariff(play, "L4", evse=1, since_s=UTC0_S + 99_999)[0] == "Rejected"
    other = asked(play, SetDefaultTariffRequest(1, BackendTariff("X", CHEAP)), link="another")
    assert other == ("Rejected", {"reason": "NotAllowed"})


@pytest.mark.parametrize(
    ("tariffs", "left"),
    [
        ([("A", None), ("B", None)], ["B"]),
        ([("A", None), ("B", 5.0)], ["B"]),
        ([("A", None), ("B", 15.0)], ["A", "B"]),
        ([("A", 2.0), ("B", 5.0)], ["B"]),
        ([("A", 5.0), ("B", 2.0)], ["A"]),
        ([("A", 15.0), ("B", 12.0)], ["B", "A"]),
        ([("A", 5.0), ("B", None)], ["A"]),
        ([], []),
    ],
)
def test_a_later_tariff_replaces_an_earlier_one(tariffs: list[tuple[str, float | None]], left: list[str]) -> None:
    """I07.FR.19 to I07.FR.23, at 10.0 s."""
    found = without_replaced_tariffs([BackendTariff(i, CHEAP, s) for i, s in tariffs], 10.0)
    assert [t.id for t in found] == left


def test_without_a_clock_a_tariff_of_a_certain_time_waits() -> None:
    tariffs = (BackendTariff("A", CHEAP), BackendTariff("B", DEAR, 5.0))
    assert without_replaced_tariffs(tariffs, None) == tariffs


def test_a_tariff_becomes_valid_by_itself() -> None:
    """I07.FR.19, I07.FR.20."""
    play = street()
    set_tariff(play, "T1")
    set_tariff(play, "T2", DEAR, since_s=UTC0_S + 100)
    assert [t for t, _ in present(play)] == ["T1", "T2"]
    play.wait(200).skip()
    assert [t for t, _ in present(play)] == ["T2"]


def test_default_tariffs_outlive_the_agent() -> None:
    """I07.FR.13."""
    play = street(2)
    set_tariff(play, "T1")
    play.store["default_tariffs"]["9"] = play.store["default_tariffs"]["1"]
    play.store["default_tariffs"]["2"] = {"tariffs": [{"id": "unreadable"}]}
    play.restart().skip()
    assert present(play) == [("T1", [1])]
    assert list(play.store["default_tariffs"]) == ["1"]


def test_a_session_costs_what_the_backends_tariff_says() -> None:
    """I07.FR.14, I07.FR.32, I12.FR.01, I12.FR.42: the screen and costDetails are the same cents."""
    play = street()
    set_tariff(play, "T2", DEAR)
    charging(play)
    drawn(play, 5000)
    screen = play.screens[1]
    assert (screen.values["cost_micro"], screen.values["cost_estimated"]) == (3_500_000, False)
    assert named(play) == ["T2"]
    unplugged(play, 6000 + 1000).skip()
    [ended] = sent(play, TransactionEnded)
    assert (ended.cost.cents, ended.cost.parts) == (400, (("kwh", 300), ("session", 100)))
    assert (ended.cost.tariff_id, ended.cost.vat_percent, ended.cost.energy_wh) == ("T2", "17", 6000)
    assert ended.cost.begun == sent(play, TransactionStarted)[0].at
    assert play.evse().pricing.priced.cents == 400
    assert play.evse().pricing.priced.final
    assert named(play) == ["T2"], "once"


def test_the_tariff_of_a_session_holds_until_its_end() -> None:
    """I07.FR.24, I10.FR.07."""
    play = street()
    set_tariff(play, "T1")
    charging(play)
    set_tariff(play, "T2", DEAR)
    assert set_tariff(play, "T1")[0] == "DuplicateTariffId"
    asked(play, ClearTariffsRequest())
    unplugged(play, 6000).skip()
    [ended] = sent(play, TransactionEnded)
    assert (ended.cost.tariff_id, ended.cost.cents) == ("T1", 100)


@pytest.mark.parametrize(
    ("request_", "results", "left"),
    [
        (ClearTariffsRequest(), [("T1", "Accepted"), ("T2", "Accepted")], []),
        (ClearTariffsRequest(("T1", "x")), [("T1", "Accepted"), ("x", "NoTariff")], [("T2", [2])]),
        (ClearTariffsRequest(evse=2), [("T2", "Accepted")], [("T1", [1])]),
        (ClearTariffsRequest(("T1",), 2), [("T1", "NoTariff")], [("T1", [1]), ("T2", [2])]),
        (ClearTariffsRequest(evse=7), [("", "NoTariff")], [("T1", [1]), ("T2", [2])]),
    ],
)
def test_default_tariffs_are_cleared(request_: Any, results: Any, left: Any) -> None:
    """I10.FR.01 to I10.FR.06."""
    play = street(2)
    set_tariff(play, "T1", evse=1)
    set_tariff(play, "T2", evse=2)
    assert asked(play, request_) == ("Accepted", {"results": results})
    assert present(play) == left


def test_another_backend_clears_nothing() -> None:
    play = street()
    set_tariff(play, "T1")
    assert asked(play, ClearTariffsRequest(), "another")[1] == {"results": [("", "Rejected")]}
    assert present(play) == [("T1", [1])]


def test_the_tariff_of_a_driver_comes_before_the_default() -> None:
    """I08.FR.04, I08.FR.06, I09.FR.05, I09.FR.06."""
    play = street()
    set_tariff(play, "T1")
    play.feed(DriverTariffReceived(LINK, A, BackendTariff("M1", DEAR)))
    play.feed(DriverTariffReceived(LINK, B, BackendTariff("M2", DEAR)))
    play.feed(DriverTariffReceived("another", A, BackendTariff("M3", DEAR)))
    charging(play)
    _, data = asked(play, GetTariffsRequest(0))
    assert [(t["id"], t["evses"], t.get("tokens")) for t in data["tariffs"]] == [
        ("T1", [1], None), ("M1", [1], [A.value]), ("M2", [], [B.value]),
    ]  # fmt: skip
    unplugged(play, 2000).skip()
    assert sent(play, TransactionEnded)[-1].cost.tariff_id == "M1"
    assert [t["id"] for t in asked(play, GetTariffsRequest(0))[1]["tariffs"]] == ["T1", "M2"]


@pytest.mark.parametrize("known_before", [False, True])
def test_a_drivers_tariff_that_cannot_be_computed_leaves_the_cost_to_the_backend(known_before: bool) -> None:
    """I08.FR.33."""
    play = street()
    set_tariff(play, "T1")
    if known_before:
        play.feed(DriverTariffReceived(LINK, A, BackendTariff("M1", DEAR)))
    play.feed(DriverTariffReceived(LINK, A, None))
    charging(play)
    unplugged(play, 2000).skip()
    assert sent(play, TransactionEnded)[-1].cost is None
    assert named(play) == []


def test_an_authorization_without_a_tariff_withdraws_the_one_before() -> None:
    play = street()
    set_tariff(play, "T1")
    play.feed(DriverTariffReceived(LINK, A, BackendTariff("M1", DEAR)))
    play.feed(DriverTariffReceived(LINK, A, is_given=False))
    charging(play)
    assert named(play) == ["T1"]


def test_no_more_tariffs_of_drivers_are_kept_than_come_soon() -> None:
    play = street()
    for n in range(40):
        play.feed(DriverTariffReceived(LINK, type(A)(f"card {n}"), BackendTariff(f"M{n}", DEAR)))
    assert len(asked(play, GetTariffsRequest(0))[1]["tariffs"]) == 16


def change_tariff_of(play: Playbook, session: str, id_: str, tariff: Tariff, link: str = LINK) -> str:
    return asked(play, ChangeTransactionTariffRequest(session, BackendTariff(id_, tariff)), link)[0]


def test_the_tariff_of_a_running_transaction_is_changed() -> None:
    """I11.FR.06, I11.FR.07, I11.FR.08: what was used before costs what it cost, and the fee is due once."""
    play = street()
    set_tariff(play, "T1", Tariff(kwh=Decimal("0.20"), session=Decimal("0.50"), vat_percent=Decimal(17)))
    charging(play)
    drawn(play, 3000)
    play.wait(30).skip()
    changed_at = play.now.stamp
    assert change_tariff_of(play, play.session().id, "T2", DEAR) == "Accepted"
    [tariff_update] = [m for m in sent(play, TransactionUpdated) if m.trigger is TriggerReason.TARIFF_CHANGED]
    assert tariff_update.tariff_id == "T2"
    assert play.evse().pricing.priced.cents == 110, "nothing is computed again"
    drawn(play, 4000)
    screen = play.screens[1]
    assert (screen.values["cost_micro"], screen.values["tariff_kwh_micro"]) == (1_600_000, 500_000)
    assert "tariff_session_micro" not in screen.values
    assert [(t["id"], t["tokens"]) for t in asked(play, GetTariffsRequest(1))[1]["tariffs"] if "tokens" in t] == [
        ("T2", [A.value])
    ]
    unplugged(play, 6000).skip()
    [ended] = sent(play, TransactionEnded)
    started = sent(play, TransactionStarted)[0].at
    assert (ended.cost.cents, ended.cost.parts) == (210, (("kwh", 160), ("session", 50)))
    assert (ended.cost.tariff_id, ended.cost.begun, ended.cost.energy_wh) == ("T2", changed_at, 5000)
    [(before, begun, energy_wh, charging_s, idle_s)] = ended.cost.periods
    assert (before, begun, energy_wh, idle_s) == ("T1", started, 3000, 0)
    assert 30 <= charging_s <= ended.cost.charging_s


@pytest.mark.parametrize(("most_cents", "cents"), [(None, 160), (50, 60), (100, 100)])
def test_a_highest_price_takes_nothing_back(most_cents: int | None, cents: int) -> None:
    """I11.FR.08, I12.FR.39."""
    play = street()
    set_tariff(play, "T1")
    charging(play)
    drawn(play, 3000)
    assert change_tariff_of(play, play.session().id, "T2", Tariff(kwh=Decimal("0.50"), max_cents=most_cents)) == (
        "Accepted"
    )
    unplugged(play, 6000).skip()
    assert sent(play, TransactionEnded)[0].cost.cents == cents


def test_what_a_highest_price_has_cut_stays_cut() -> None:
    play = street()
    set_tariff(play, "T1", Tariff(kwh=Decimal("0.20"), max_cents=40))
    charging(play)
    drawn(play, 3000)
    assert change_tariff_of(play, play.session().id, "T2", CHEAP) == "Accepted"
    assert play.evse().pricing.priced.cents == 40
    unplugged(play, 5000).skip()
    assert sent(play, TransactionEnded)[0].cost.cents == 60


def test_a_transaction_without_a_tariff_gets_one() -> None:
    """I11.FR.07: whether or not a tariff was associated before. It counts from now on."""
    play = charging(street())
    drawn(play, 3000)
    assert change_tariff_of(play, play.session().id, "T2", CHEAP) == "Accepted"
    assert named(play) == ["T2"]
    unplugged(play, 5000).skip()
    [ended] = sent(play, TransactionEnded)
    assert (ended.cost.cents, ended.cost.energy_wh, ended.cost.periods) == (20, 1000, ())


def test_a_changed_tariff_outlives_the_agent() -> None:
    play = street()
    cheap = replace(CHEAP, vat_percent=DEAR.vat_percent)
    set_tariff(play, "T1", cheap)
    charging(play)
    drawn(play, 1001)
    session = play.session().id
    for n, tariff in enumerate((DEAR, cheap)):
        assert change_tariff_of(play, session, f"C{n}", tariff) == "Accepted"
        drawn(play, 2001 + 1000 * n)
    play.wait(61).skip()
    drawn(play, 3001)
    play.restart(state=PLUGGED).skip()
    assert play.session().id == session
    unplugged(play, 5001).skip()
    [ended] = sent(play, TransactionEnded)
    assert ended.cost.cents == 110, "1.001 kWh at 0.20, 1.000 at 0.50, 2.000 at 0.20: rounded once"
    assert [(p[0], p[2]) for p in ended.cost.periods] == [("T1", 1001), ("C0", 1000)]


def test_a_change_before_the_session_begins_is_its_tariff() -> None:
    play = street(settings={"tx_start_points": (TxPoint.AUTHORIZED, TxPoint.POWER_PATH)})
    set_tariff(play, "T1")
    play.feed(CardPresented(1, A))
    [order] = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    [register] = [o for o in play.log if isinstance(o, ReadMeter)]
    play.feed(MeterRead(1, register.purpose, wh(1000)))
    play.skip()
    open_id = play.evse().tx.id
    assert change_tariff_of(play, open_id, "T2", DEAR) == "Accepted"
    assert [m.tariff_id for m in sent(play, TransactionUpdated)] == ["T2"]
    for event in (CablePlugged(1), VehicleConnected(1)):
        play.feed(event)
    energised(play.skip())
    unplugged(play, 3000).skip()
    assert sent(play, TransactionEnded)[0].cost.tariff_id == "T2"


def test_a_restart_before_the_session_ends_the_transaction_whose_tariff_was_changed() -> None:
    """The tariff is in memory only (decision 61). No session at another price takes over its transaction: it ends, and
    the driver who shows the card again has a transaction of its own."""
    ids = count(1)
    points = {"tx_start_points": (TxPoint.AUTHORIZED, TxPoint.POWER_PATH)}
    play = street(settings=points, new_id=lambda: f"s{next(ids)}")
    set_tariff(play, "T1")
    play.feed(CardPresented(1, A))
    [order] = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(order.request, order.token, ACCEPTED))
    [register] = [o for o in play.log if isinstance(o, ReadMeter)]
    play.feed(MeterRead(1, register.purpose, wh(1000)))
    changed = play.skip().evse().tx.id
    assert change_tariff_of(play, changed, "T2", DEAR) == "Accepted"
    play.skip().restart()
    play.feed(CardPresented(1, A))  # before the board is there
    play.feed(BoardOpened(1, EMPTY, play.traits))
    [ended] = sent(play, TransactionEnded)
    assert (ended.session, ended.reason, ended.cost) == (changed, StopReason.POWER_LOSS, None)
    charging(play.skip())
    assert play.session().id != changed
    unplugged(play, 3000).skip()
    assert [m.cost.tariff_id for m in sent(play, TransactionEnded)[1:]] == ["T1"]


def test_a_changed_tariff_is_of_its_transaction_alone() -> None:
    """Its session never came: the next one of the same card has the default of the EVSE."""
    play = street(settings={"tx_start_points": (TxPoint.AUTHORIZED, TxPoint.POWER_PATH), "connection_timeout_s": 30})
    set_tariff(play, "T1")
    play.feed(CardPresented(1, A))
    [ask] = [o for o in play.log if isinstance(o, AuthorizeToken)]
    play.feed(TokenAuthorized(ask.request, ask.token, ACCEPTED))
    [first] = [o for o in play.log if isinstance(o, ReadMeter)]
    play.feed(MeterRead(1, first.purpose, wh(1000)))
    play.skip()
    assert change_tariff_of(play, play.evse().tx.id, "T2", DEAR) == "Accepted"
    play.wait(40).skip()
    for order in [o for o in play.log if isinstance(o, ReadMeter) and o is not first]:
        play.feed(MeterRead(1, order.purpose, wh(1000)))
    assert play.skip().evse().tx is None
    assert ("T2", []) not in present(play)
    charging(play)
    assert play.evse().pricing.priced.tariff_id == "T1"


def test_a_change_while_the_session_recovers_counts_no_absence() -> None:
    """The agent was away: of that time no more is charging than may have passed since the usage was stored."""
    play = street()
    set_tariff(play, "T1", Tariff(minute=Decimal("1.00")))
    drawn(charging(play), 1000).wait(61).skip()
    drawn(play, 1001)
    session = play.session().id
    play.restart(after_s=280.0).skip()
    assert play.state() is SessionState.RECOVERING
    assert change_tariff_of(play, session, "T2", Tariff(minute=Decimal("1.00"))) == "Accepted"
    assert play.evse().pricing.priced.cents == 202, "1.02 before, and a minute of 280 s"


@pytest.mark.parametrize(("is_stopped", "cents"), [(False, 202), (True, 132)])
def test_a_session_that_is_not_resumed_counts_no_absence(is_stopped: bool, cents: int) -> None:
    """The vehicle is gone when the board is there again. Time ends with a stop that was on disk."""
    play = street()
    set_tariff(play, "T1", Tariff(minute=Decimal("1.00")))
    drawn(charging(play), 1000).wait(61).skip()
    drawn(play, 1001)
    if is_stopped:
        play.t_s += 18
        play.feed(VehicleLeft(1))
    play.skip().restart(after_s=280.0, state=EMPTY).skip()
    play.feed(MeterRead(1, end_reading(1), wh(2001)))
    [ended] = sent(play.skip(), TransactionEnded)
    assert ended.cost.cents == cents


def test_transaction_and_cost_have_one_register_if_the_meter_is_dead() -> None:
    play = street()
    set_tariff(play, "T1")
    drawn(charging(play), 1000).wait(61).skip()
    drawn(play, 1001)
    play.restart(new_boot=True, state=EMPTY).skip()
    for n in (1, 2, 3):
        play.feed(MeterFailed(1, end_reading(n)))
        play.skip().wait(6).skip()
    [ended] = sent(play, TransactionEnded)
    assert (ended.meter_wh, ended.cost.energy_wh) == (2001, 1001)


def test_which_changes_are_refused() -> None:
    """I11.FR.04, I11.FR.05."""
    play = street()
    assert change_tariff_of(play, "nothing", "T2", DEAR) == "TxNotFound"
    set_tariff(play, "T1")
    charging(play)
    session = play.session().id
    dollars = Tariff(kwh=Decimal("0.50"), currency="USD")
    assert change_tariff_of(play, session, "T2", dollars) == "NoCurrencyChange"
    assert change_tariff_of(play, session, "T2", DEAR, link="another") == "Rejected"
    assert change_tariff_of(play, session, "T2", replace(CHEAP, vat_percent=Decimal(17))) == "Rejected", "one bill"
    assert play.evse().pricing.priced.tariff_id == "T1"
    unplugged(play, 2000).skip()
    assert change_tariff_of(play, session, "T2", DEAR) == "TxNotFound", "it is over"
    assert sent(play, TransactionEnded)[0].cost.cents == 20


def test_the_cost_of_a_session_outlives_the_agent() -> None:
    play = street()
    set_tariff(play, "T2", DEAR)
    charging(play)
    session = play.session().id
    drawn(play, 1000)
    play.wait(61).skip()
    drawn(play, 2000)
    play.store["tariff_session"]["gone"] = play.store["tariff_session"][session]
    play.restart(state=PLUGGED).skip()
    assert list(play.store["tariff_session"]) == [session]
    assert play.session().id == session
    assert play.evse().pricing.priced.cents == 200
    asked(play, ClearTariffsRequest())
    unplugged(play, 5000).skip()
    [ended] = sent(play, TransactionEnded)
    assert (ended.cost.cents, ended.cost.tariff_id) == (300, "T2")
    assert play.store["tariff_session"] == {}


PLAIN = {"usage": {}, "priced_by": {"id": "T", "tariff": CHEAP.to_record(), "valid_from_utc_s": None}, "begun": [1, 0]}


@pytest.mark.parametrize(
    "broken", [{"usage": "broken"}, {**PLAIN, "carried": [["kwh", "1/0"]]}, {**PLAIN, "carried": [["kwh", "x"]]}]
)
def test_an_unreadable_cost_is_none_and_no_lost_end(broken: dict[str, Any]) -> None:
    play = street()
    set_tariff(play, "T2", DEAR)
    charging(play)
    play.store["tariff_session"] = {play.session().id: broken}
    play.restart(state=PLUGGED).skip()
    unplugged(play, 5000).skip()
    assert sent(play, TransactionEnded)[-1].cost is None


def test_a_limit_of_the_cost_counts_by_the_tariff_of_the_backend() -> None:
    """E16 with I12: the station reckons, so it holds the limit by itself."""
    play = street(limits_transactions=True)
    set_tariff(play, "T1")
    charging(play)
    play.feed(LimitReceived(LINK, play.session().id, TransactionLimit(cost_cents=100)))
    play.skip()
    drawn(play, 4990)
    drawn(play, 5000)
    assert [m.trigger for m in sent(play, TransactionUpdated)][-1] is TriggerReason.COST_LIMIT


def test_a_station_without_such_a_backend_has_no_such_block() -> None:
    assert asked(Playbook(), GetTariffsRequest(0)) == ("NotImplemented", {})
