"""A fleet in one process at a bare far end: sessions, storms, refusals, resets, and the books of both sides."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.fleet.driver_visit import make_cards
from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_result import FleetResult, Thresholds
from agent.fleet.fleet_run import COLLECT_SELDOM, FREEZE_FROM, FleetRun, collecting_seldom
from agent.fleet.profile_file import parse_profile
from agent.model.fastclass import replace
from tests.fleet.bare_backend import BareBackend, open_bare_backend
from tests.support.busy_machine import deadline, stretched

LIVELY = {"per_hour": 120, "stay_s": [20, 60], "energy_kwh": [1, 5]}
"""Of ten stations: a vehicle every three seconds of the stations."""
NO_LIMITS = Thresholds()
ENDLESS_S = 600_000
"""Of a run that the test ends."""


def make_plan(backend: BareBackend, count: int = 10, versions: Any = None, **profile: Any) -> FleetPlan:
    tables = {"duration_s": 120, "rate": 60, "visits": LIVELY, **profile}
    return FleetPlan(
        count, f"ws://127.0.0.1:{backend.port}/ocpp", versions or {"1.6": 1}, parse_profile(tables, Path("profile")),
        make_cards(50), settle_s=stretched(60.0), accept_within_s=stretched(60.0), least_wait_s=stretched(5.0),
        name="test",
    )  # fmt: skip


async def run_plan(plan: FleetPlan) -> FleetResult:
    async with deadline(240):
        return await FleetRun(plan).run()


@dataclass
class RunningFleet:
    """A fleet that runs. ``ended``: its result, when it was left."""

    run: FleetRun
    ended: asyncio.Task[FleetResult]


@asynccontextmanager
async def running_fleet(plan: FleetPlan) -> AsyncIterator[RunningFleet]:
    """Run a fleet, and end its profile on the way out."""
    fleet = FleetRun(plan)
    running = RunningFleet(fleet, asyncio.create_task(fleet.run()))
    try:
        yield running
        fleet.end_early()
        async with deadline(240):
            await asyncio.wait([running.ended])
    finally:
        running.ended.cancel()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with deadline(120):
        while not condition():
            await asyncio.sleep(0.01)


def assert_books_of_both_sides(result: FleetResult, backend: BareBackend) -> None:
    """The far end has booked what the report says of each station, and that is what the meters have counted. A begin
    whose answer was lost came again."""
    report = result.to_report(NO_LIMITS)
    assert report["passed"], report["failures"]
    for row in report["balances"]:
        account = backend.accounts[row["station"]]
        ended_begins = [account.begins[number] for number in account.ended]
        lost_answers = set(account.begins) - account.ended
        assert all(account.begins[number] in ended_begins for number in lost_answers), "a transaction without an end"
        assert row["transactions"] == len(account.ended)
        assert row["billed_wh"] == pytest.approx(account.billed_wh, abs=0.1)
        assert abs(account.billed_wh - row["metered_wh"]) <= row["transactions"] + 0.5
    assert report["books"]["transactions"] == sum(len(a.ended) for a in backend.accounts.values()) > 0
    assert report["books"]["metered_wh"] > 0


async def test_ten_stations_charge_and_the_books_of_both_sides_agree() -> None:
    async with open_bare_backend() as backend:
        result = await run_plan(make_plan(backend))
    assert_books_of_both_sides(result, backend)
    figures = result.figures
    assert figures.errors == {}, figures.errors
    assert len(figures.accepted_s) == 10
    assert figures.counts["sessions"] == backend.calls["StartTransaction"] == backend.calls["StopTransaction"] > 0
    for action in ("BootNotification", "Authorize", "StartTransaction", "StopTransaction"):
        assert figures.latencies[action].count == backend.calls[action], action


async def test_three_versions_side_by_side() -> None:
    async with open_bare_backend() as backend:
        plan = make_plan(backend, 9, {"1.6": 1, "2.0.1": 1, "2.1": 1}, duration_s=180)
        result = await run_plan(plan)
    assert_books_of_both_sides(result, backend)
    assert backend.versions == {"ocpp1.6": 3, "ocpp2.0.1": 3, "ocpp2.1": 3}
    assert backend.calls["StartTransaction"] > 0
    assert backend.calls["TransactionEvent"] > 0
    assert result.figures.errors == {}, result.figures.errors


async def test_a_storm_of_reconnects_loses_nothing_and_is_no_error() -> None:
    async with open_bare_backend() as backend:
        plan = make_plan(backend, duration_s=ENDLESS_S, outage=[{"at_s": 60, "for_s": 60}])
        async with running_fleet(plan) as fleet:
            await wait_until(lambda: backend.opened == 20)  # each station connects twice
            started = backend.calls["StartTransaction"]
            await wait_until(lambda: backend.calls["StartTransaction"] > started)
        result = await fleet.ended
    assert_books_of_both_sides(result, backend)
    assert result.figures.counts["stations that lost their network"] == 10
    assert not any("lost" in kind or "not connected" in kind for kind in result.figures.errors), result.figures.errors


async def test_a_backend_that_restarts_under_load_is_an_error_for_each_station_and_loses_nothing() -> None:
    async with open_bare_backend() as backend:
        async with running_fleet(make_plan(backend, duration_s=ENDLESS_S)) as fleet:
            await wait_until(lambda: fleet.run.figures.counts["sessions"] > 0)
            await backend.restart()
            await wait_until(lambda: backend.opened == 20 and fleet.run.figures.online_count == 10)
        result = await fleet.ended
    assert_books_of_both_sides(result, backend)
    assert result.figures.errors["connection lost"] == 10


async def test_what_the_backend_does_not_take_shows_in_the_books() -> None:
    async with open_bare_backend() as backend:
        backend.refused = {"StopTransaction"}
        plan = make_plan(backend, 3)
        result = await run_plan(plan)
    failures = result.failures(NO_LIMITS)
    assert [f for f in failures if "do not agree" in f], failures
    assert result.figures.errors["StopTransaction: InternalError"] > 0
    assert any(balance.open_transactions for balance in result.disagreeing)


async def test_a_refused_card_is_an_error_and_a_threshold_sees_it() -> None:
    async with open_bare_backend() as backend:
        backend.verdict = "Blocked"
        result = await run_plan(replace(make_plan(backend, 3, duration_s=60), least_wait_s=1.0))
    assert result.figures.counts["sessions"] == 0
    assert result.figures.errors["a card, but no energy"] > 0
    assert result.failures(NO_LIMITS) == [], "no energy was drawn, none is billed"
    assert "errors, more than 0" in result.failures(Thresholds(max_errors=0))[0]


async def test_a_slow_backend_passes_no_threshold_of_latency() -> None:
    async with open_bare_backend() as backend:
        backend.delay_s = 0.05
        result = await run_plan(make_plan(backend, 2, duration_s=60))
    assert result.figures.worst_p99_ms() >= 50.0
    assert "99th percentile" in result.failures(Thresholds(max_p99_ms=20.0))[0]
    assert result.failures(Thresholds(max_p99_ms=60_000.0)) == []


async def test_a_backend_that_accepts_no_station_is_seen() -> None:
    async with open_bare_backend() as backend:
        backend.silent = {"BootNotification"}
        plan = replace(make_plan(backend, 2, duration_s=ENDLESS_S), settle_s=0.5)
        async with running_fleet(plan) as fleet:
            await wait_until(lambda: backend.calls["BootNotification"] >= 2)
        result = await fleet.ended
    assert result.failures(NO_LIMITS) == ["2 of 2 stations were never accepted"]


async def test_faults_end_sessions_and_the_books_agree() -> None:
    faults = {"per_hour": 120, "for_s": [5, 20], "kinds": ["GroundFailure", "HighTemperature"]}
    async with open_bare_backend() as backend:
        result = await run_plan(make_plan(backend, faults=faults, duration_s=180))
    assert_books_of_both_sides(result, backend)
    assert result.figures.counts["faults"] > 0


async def test_a_reset_of_the_backend_begins_a_new_life_on_the_same_store() -> None:
    async with open_bare_backend() as backend:
        async with running_fleet(make_plan(backend, 2, duration_s=ENDLESS_S)) as fleet:
            await wait_until(lambda: fleet.run.figures.counts["sessions"] > 0)
            for station in list(backend.connections):
                await backend.ask(station, "Reset", {"type": "Hard"})
            await wait_until(lambda: backend.calls["BootNotification"] == 4)
        result = await fleet.ended
    assert_books_of_both_sides(result, backend)
    assert result.figures.counts["restarts"] == 2
    assert result.figures.served["Reset"].count == 2


async def test_a_station_answers_what_the_backend_asks() -> None:
    async with open_bare_backend() as backend:
        plan = make_plan(backend, 1, duration_s=ENDLESS_S, visits={**LIVELY, "per_hour": 0})
        async with running_fleet(plan) as fleet:
            await wait_until(lambda: len(fleet.run.figures.accepted_s) == 1)
            await backend.ask("FLEET-00001", "GetConfiguration", {"key": ["HeartbeatInterval"]})
            await wait_until(lambda: bool(backend.answers))
        result = await fleet.ended
    (station, frame) = backend.answers[0]
    assert station == "FLEET-00001"
    assert frame[2]["configurationKey"][0]["key"] == "HeartbeatInterval"
    assert result.figures.served["GetConfiguration"].count == 1


async def test_a_station_file_is_that_of_all_stations(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(
        '[station]\nvendor = "Acme"\nmodel = "Twin"\n[backend]\nurl = "ws://elsewhere"\nversions = ["2.0.1"]\n'
        '[[evse]]\nnumber = 1\nboard = { driver = "evse_modbus" }\n[[evse]]\nnumber = 2\n[tariff]\nkwh = 0.4\n'
    )
    async with open_bare_backend() as backend:
        result = await run_plan(replace(make_plan(backend, 3), station_file=file))
    assert_books_of_both_sides(result, backend)
    assert backend.boots["FLEET-00001"]["chargePointVendor"] == "Acme"
    assert backend.evses == {0, 1, 2}


def test_garbage_of_a_large_fleet_is_collected_seldom_until_its_end() -> None:
    usual = gc.get_threshold()
    with collecting_seldom(FREEZE_FROM - 1):
        assert gc.get_threshold() == usual
    with pytest.raises(RuntimeError), collecting_seldom(FREEZE_FROM):
        assert gc.get_threshold() == COLLECT_SELDOM
        raise RuntimeError
    assert gc.get_threshold() == usual
