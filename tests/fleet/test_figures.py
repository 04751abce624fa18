"""Figures, books and plans of a fleet: arithmetic."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from agent.commands.fleet.course_chart import course_drawing
from agent.commands.fleet.report_html import fleet_report_html
from agent.commands.fleet.report_text import summary_lines
from agent.fleet.books import StationBooks
from agent.fleet.conversation import StationConversation
from agent.fleet.driver_visit import make_cards, plan_visit, read_cards
from agent.fleet.figures import CoursePoint, FleetFigures
from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_result import FleetResult, ProcessCost, Thresholds, merge_results
from agent.fleet.latency_histogram import LatencyHistogram
from agent.fleet.profile_file import (
    FaultRate,
    FleetProfile,
    Outage,
    Peak,
    Visits,
    Wave,
    load_profile,
    parse_profile,
    shipped_profiles,
)
from agent.model.fastclass import field_specs
from agent.model.types import TokenType
from agent.station_file.parser import SettingsError


def histogram_of(*seconds: float) -> LatencyHistogram:
    made = LatencyHistogram()
    for one in seconds:
        made.record_time(one)
    return made


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_exact_to_a_step(seed: int) -> None:
    rng = random.Random(seed)
    times = [rng.lognormvariate(-5, 1.5) for _ in range(2000)]
    found = histogram_of(*times)
    for share in (0.5, 0.9, 0.99):
        exact = sorted(times)[int(share * len(times)) - 1]
        assert exact * 0.999 <= found.percentile_ms(share) / 1000 <= exact * 1.023
    assert found.percentile_ms(1.0) == pytest.approx(1000 * max(times))


def test_times_outside_of_the_range_count() -> None:
    found = histogram_of(0.0, 1e-9, 1e6)
    assert found.count == 3
    assert found.percentile_ms(1.0) > 100_000
    assert LatencyHistogram().percentile_ms(0.99) == 0.0


def test_figures_of_two_processes_are_added() -> None:
    one, other = FleetFigures(), FleetFigures()
    for figures, seconds in ((one, 0.001), (other, 0.1)):
        figures.record_answer("Heartbeat", seconds)
        figures.record_served_request("Reset", seconds)
        figures.errors["no answer"] += 1
        figures.accepted_s.append(seconds)
        figures.course.append(CoursePoint(1.0, 5, 2, 10, 1, 7.5))
    other = FleetFigures.from_record(json.loads(json.dumps(other.to_record())))
    both = FleetFigures()
    both.add_figures([one, other])
    assert both.call_count == both.latencies["Heartbeat"].count == 2
    assert both.latencies["Heartbeat"].longest_s == 0.1
    assert both.errors == {"no answer": 2}
    assert both.course == [CoursePoint(1.0, 10, 4, 20, 2, 15.0)]
    assert sorted(both.accepted_s) == [0.001, 0.1]


# --- the conversation ------------------------------------------------------------------------------------------------


class Wire:
    """A conversation, and frames of both sides."""

    def __init__(self) -> None:
        self.figures, self.books = FleetFigures(), StationBooks()
        self.conversation = StationConversation(self.figures, self.books)

    def out(self, *frame: object) -> None:
        self.conversation.trace_frame("out", "chargy", "1.6", json.dumps(frame))

    def came(self, *frame: object) -> None:
        self.conversation.trace_frame("in", "chargy", "1.6", json.dumps(frame, indent=1))


def test_answers_are_counted_by_action_and_errors_by_code() -> None:
    wire = Wire()
    wire.out(2, "a1", "Heartbeat", {})
    wire.came(3, "a1", {"currentTime": "x"})
    wire.out(2, "a2", "Authorize", {"idTag": "04"})
    wire.came(4, "a2", "InternalError", "", {})
    wire.out(2, "a3", "Heartbeat", {})
    wire.out(2, "a4", "Heartbeat", {})
    wire.came(3, "a4", {})
    wire.came(3, "unknown", {})
    assert wire.figures.latencies["Heartbeat"].count == 2
    assert wire.figures.errors == {"Authorize: InternalError": 1, "Heartbeat: no answer": 1}


def test_what_a_lost_connection_cuts_off_is_not_counted_twice() -> None:
    wire = Wire()
    wire.out(2, "a1", "Heartbeat", {})
    wire.conversation.connection_ended()
    wire.out(2, "a2", "BootNotification", {})
    assert wire.figures.errors == {}


def test_requests_of_the_backend_are_timed_until_the_answer() -> None:
    wire = Wire()
    wire.came(2, "b1", "Reset", {"type": "Soft"})
    wire.out(3, "b1", {"status": "Accepted"})
    assert wire.figures.served["Reset"].count == 1
    assert wire.figures.latencies == {}


def test_a_transaction_is_booked_when_the_backend_has_answered() -> None:
    wire = Wire()
    wire.out(2, "a1", "StartTransaction", {"meterStart": 100})
    assert wire.books.transactions == {}
    wire.came(3, "a1", {"transactionId": 7, "idTagInfo": {"status": "Accepted"}})
    wire.out(2, "a2", "StopTransaction", {"transactionId": 7, "meterStop": 1600})
    assert wire.books.balance_against("S", 1500.4, 0, 0).open_transactions == 1
    wire.came(3, "a2", {})
    balance = wire.books.balance_against("S", 1500.4, 0, 0)
    assert (balance.transactions, balance.billed_wh, balance.agrees) == (1, 1500, True)


@pytest.mark.parametrize(
    ("metered_wh", "waiting", "dead", "agrees"),
    [(1500.9, 0, 0, True), (1502.0, 0, 0, False), (1490.0, 0, 0, False), (1500.0, 1, 0, False), (1500.0, 0, 1, False)],
)
def test_books_agree_with_meters_to_the_watt_hour(metered_wh: float, waiting: int, dead: int, agrees: bool) -> None:
    wire = Wire()
    wire.out(2, "a1", "StartTransaction", {"meterStart": 100})
    wire.came(3, "a1", {"transactionId": 7})
    wire.out(2, "a2", "StopTransaction", {"transactionId": 7, "meterStop": 1600})
    wire.came(3, "a2", {})
    assert wire.books.balance_against("S", metered_wh, waiting, dead).agrees is agrees


@pytest.mark.parametrize("is_killed", [True, False])
def test_a_start_that_was_sent_again_is_one_transaction(is_killed: bool) -> None:
    """A station that was killed before it had noted the answer sends its start again: the backend gives another number.
    A station that was not killed must not do that."""
    written: list[dict[str, Any]] = []
    books = StationBooks(written.append)
    start = {"connectorId": 1, "idTag": "A", "meterStart": 1000, "timestamp": "2026-11-29T10:00:00Z"}
    other = {**start, "timestamp": "2026-11-29T09:00:00Z"}
    for call_id, number, payload in (("a", 6, other), ("b", 7, start), ("c", 8, start)):
        if is_killed and call_id == "c":
            books = StationBooks(written.append)
            for record in [*written]:
                books.restore_record(record)
        books.note_call(call_id, "StartTransaction", json.dumps([2, call_id, "StartTransaction", payload]))
        books.enter_answer(call_id, json.dumps([3, call_id, {"transactionId": number}]))
    assert [*books.transactions] == (["6", "8"] if is_killed else ["6", "7", "8"])
    for call_id, number in (("d", 6), ("e", 8)):
        stop = {"transactionId": number, "meterStop": 1100, "timestamp": "2026-11-29T10:05:00Z"}
        books.note_call(call_id, "StopTransaction", json.dumps([2, call_id, "StopTransaction", stop]))
        books.enter_answer(call_id, json.dumps([3, call_id, {}]))
    assert books.balance_against("CP-1", 200, 0, 0).agrees is is_killed
    again = StationBooks()
    for record in written:
        again.restore_record(record)
    if is_killed:
        assert again.transactions == books.transactions


def test_a_refused_stop_is_not_booked() -> None:
    wire = Wire()
    wire.out(2, "a1", "StartTransaction", {"meterStart": 100})
    wire.came(3, "a1", {"transactionId": 7})
    wire.out(2, "a2", "StopTransaction", {"transactionId": 7, "meterStop": 1600})
    wire.came(4, "a2", "InternalError", "", {})
    assert wire.books.balance_against("S", 1500.0, 0, 0).open_transactions == 1


def test_events_of_a_transaction_are_booked_by_their_registers() -> None:
    wire = Wire()

    def event(number: str, kind: str, *values: dict[str, object]) -> None:
        meter_values = [{"sampledValue": list(values)}]
        transaction = {"transactionId": "T"}
        payload = {"eventType": kind, "transactionInfo": transaction, "meterValue": meter_values}
        wire.out(2, number, "TransactionEvent", payload)
        wire.came(3, number, {})

    event("a1", "Started", {"value": 100.0})
    event("a2", "Updated", {"value": 900.0, "phase": "L1"}, {"value": 7.2, "measurand": "Power.Active.Import"})
    kwh = {"value": 1.6, "measurand": "Energy.Active.Import.Register", "unitOfMeasure": {"unit": "kWh"}}
    event("a3", "Ended", kwh)
    balance = wire.books.balance_against("S", 1500.0, 0, 0)
    assert (balance.open_transactions, balance.billed_wh) == (0, 1500.0)


# --- plans and profiles ----------------------------------------------------------------------------------------------


def plan_of(count: int, versions: dict[str, float]) -> FleetPlan:
    return FleetPlan(count, "ws://x", versions, FleetProfile(), make_cards(1))


def test_versions_keep_their_shares_in_a_mixed_order() -> None:
    chosen = plan_of(12, {"1.6": 3, "2.0.1": 2, "2.1": 1}).versions_of_stations()
    assert {v: chosen.count(v) for v in chosen} == {"1.6": 6, "2.0.1": 4, "2.1": 2}
    assert {v: chosen[:6].count(v) for v in chosen} == {"1.6": 3, "2.0.1": 2, "2.1": 1}


@pytest.mark.parametrize(("count", "parts"), [(10, 3), (2, 4), (1, 1), (10_000, 7)])
def test_the_parts_of_a_plan_are_the_plan(count: int, parts: int) -> None:
    plan = plan_of(count, {"1.6": 1})
    found = list(plan.split_plan(parts))
    assert [i for part in found for i in part.station_ids()] == plan.station_ids()
    assert max(p.count for p in found) - min(p.count for p in found) <= 1
    assert sum(p.profile.ramp_per_s for p in found) == pytest.approx(plan.profile.ramp_per_s)


def test_cards_come_from_a_file() -> None:
    cards = read_cards("04A1B2C3D4E5F6 # a badge\n\nLU-ABC-C12345678-X\n# none\n")
    assert [(c.value, c.type) for c in cards] == [
        ("04A1B2C3D4E5F6", TokenType.ISO14443),
        ("LU-ABC-C12345678-X", TokenType.CENTRAL),
    ]


def test_a_visit_keeps_within_the_profile() -> None:
    visits, rng = Visits(stay_s=(10.0, 20.0), energy_kwh=(1.0, 2.0), max_a=(16.0,), phases=(1,)), random.Random(1)
    for _ in range(50):
        plan = plan_visit(visits, make_cards(3), 5.0, rng)
        assert 10 <= plan.stay_s <= 20
        assert 1000 <= plan.vehicle.energy_wh <= 2000
        assert (plan.vehicle.max_a, plan.vehicle.phases) == (16.0, 1)


def test_every_shipped_profile_is_right_and_says_what_it_is() -> None:
    for name in shipped_profiles():
        profile = load_profile(name)
        assert profile.about, name
        ends = [o.at_s + o.for_s for o in profile.outage] + [p.to_s for p in profile.peak]
        assert all(end < profile.duration_s for end in ends), f"{name}: something lasts longer than the run"


def test_the_document_names_every_key_of_a_profile_and_every_shipped_one() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "fleet.md").read_text("utf-8")
    keys = [name for cls in (FleetProfile, Peak, Wave, Outage, Visits, FaultRate) for name in field_specs(cls)]
    assert [key for key in (*keys, *shipped_profiles()) if key not in text] == []


def test_a_peak_takes_the_place_of_the_usual_number() -> None:
    profile = parse_profile({"visits": {"per_hour": 1}, "peak": [{"from_s": 10, "to_s": 20, "per_hour": 5}]}, Path("p"))
    assert [profile.visits_per_hour(t) for t in (9.9, 10.0, 19.9, 20.0)] == [1, 5, 5, 1]
    assert profile.most_per_hour == 5


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"visits": {"stay_s": [5, 1]}}, "p: visits.stay_s: the first number must not be greater"),
        ({"peak": [{"from_s": 5, "to_s": 5, "per_hour": 1}]}, "p: peak[0].to_s: must be after from_s"),
        ({"outage": [{"at_s": 5}]}, "for_s: is missing"),
        ({"versions": {"1.6": 0}}, "p: versions.1.6: must be a share greater than 0"),
        ({"faults": {"kinds": ["GroundFailure", "Nonsense"]}}, "faults.kinds"),
        ({"durations": 5}, "did you mean 'duration_s'"),
    ],
)
def test_a_wrong_profile_is_refused(tables: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_profile(tables, Path("p"))
    assert said in str(refused.value)


# --- reports ---------------------------------------------------------------------------------------------------------


def result_of(figures: FleetFigures, stations: int = 1) -> FleetResult:
    wire = Wire()
    balances = tuple(wire.books.balance_against(f"S-{n}", 0.0, 0, 0) for n in range(stations))
    return FleetResult(stations, figures, balances, (ProcessCost(1.0, 0.5, 1000, 2000),), (), {"profile": "<test>"})


def test_results_of_two_processes_are_one_report() -> None:
    figures = FleetFigures()
    figures.accepted_s = [0.5]
    merged = merge_results([result_of(figures), result_of(figures)], ["one worker was lost"])
    report = merged.to_report(Thresholds())
    assert report["stations"] == {"count": 2, "accepted": 2, "first_s": 0.5, "all_s": 0.5}
    assert report["notes"] == ["one worker was lost"]
    assert len(report["processes"]) == 2
    assert report["passed"]


def test_a_report_without_anything_can_be_shown() -> None:
    report = result_of(FleetFigures()).to_report(Thresholds(1.0, 0))
    assert report["failures"] == ["1 of 1 stations were never accepted"]
    page = fleet_report_html(report)
    assert "&lt;test&gt;" in page
    assert "<svg" not in page
    assert "no error" in "\n".join(summary_lines(report))


def test_a_course_is_drawn_from_two_points_on() -> None:
    points = [CoursePoint(float(s), s, s, 10 * s, s % 2, 1.5 * s).to_record() for s in range(1, 60)]
    assert course_drawing(points[:1]) is None
    drawing = course_drawing(points)
    assert drawing is not None
    assert "At most 59 stations were on line" in drawing.says
    assert drawing.height > 400
