"""Tariffs that a backend sets (OCPP 2.1 I07 to I12): which one a session begins with, what it costs, and that one
engine computes it for the screen and for the backend."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agent.domain.backend_tariff import BackendTariff, without_replaced_tariffs
from agent.domain.events import DriverTariffReceived, LimitReceived, MeterRead, RequestReceived
from agent.domain.messages import TransactionEnded, TransactionStarted, TransactionUpdated, TriggerReason
from agent.domain.orders import Response, Send
from agent.domain.requests import (
    BackendRequest,
    ChangeTransactionTariffRequest,
    ClearTariffsRequest,
    GetTariffsRequest,
    SetDefaultTariffRequest,
)
from agent.domain.tariff import Tariff
from agent.model.types import TransactionLimit
from tests.domain.playbook import LINK, PLUGGED, UTC0_S, A, B, Playbook, charging, make_site, wh
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


def test_the_price_of_a_running_session_does_not_change() -> None:
    """I11.FR.04; otherwise Rejected: a driver pays by the price of the begin."""
    play = charging(street())
    assert asked(play, ChangeTransactionTariffRequest("nothing"))[0] == "TxNotFound"
    assert asked(play, ChangeTransactionTariffRequest(play.session().id))[0] == "Rejected"


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


def test_an_unreadable_cost_is_none_and_no_lost_end() -> None:
    play = street()
    set_tariff(play, "T2", DEAR)
    charging(play)
    play.store["tariff_session"] = {play.session().id: {"usage": "broken"}}
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
