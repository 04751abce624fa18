"""A run of a fleet in one process: stations are switched on, the profile is played, the books are balanced."""

from __future__ import annotations

import asyncio
import gc
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent.fleet.books import StationBalance
from agent.fleet.figures import CoursePoint, FleetFigures
from agent.fleet.fleet_journal import FleetJournal
from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_result import FleetResult, ProcessCost
from agent.fleet.fleet_station import FleetStation, Surroundings
from agent.fleet.process_limits import allow_open_files, resident_memory_kib
from agent.fleet.profile_player import ProfilePlayer
from agent.fleet.simulated_outlet import FleetLoad
from agent.fleet.situation import FleetSituation
from agent.fleet.station_kind import StationKind, make_station_kind
from agent.ocpp.transport.families import preload_libraries
from agent.services.clock import kernel_boot_id

log = logging.getLogger(__name__)

COURSE_S, LOOK_S = 1.0, 0.05
REGISTERS_WH = (10_000, 50_000_000)
"""Between these is the register of each meter at the start."""
FREEZE_FROM = 200
"""A fleet of so many stations is exempted from garbage collection when it is complete: what it is made of stays, and
to look at all of it would hold the loop for a second."""
COLLECT_SELDOM = (50_000, 20, 100)
"""Thresholds of the garbage collection of such a fleet. The usual ones look through all stations again and again while
they are switched on, and take a tenth of the CPU time of a message."""
FILES_BESIDE = 200
"""Open files of the process beside the connections of its stations."""


def make_station_kinds(plan: FleetPlan, folder: Path) -> Mapping[str, StationKind]:
    """Return the kind of station of each version. Raises ``SettingsError``."""
    return {
        version: make_station_kind(version, plan.url, folder, plan.profile.rate, plan.station_file)
        for version in plan.versions
    }


class FleetRun:
    """``await run()`` once. ``watch`` is called about once a second, for a live view."""

    def __init__(self, plan: FleetPlan, watch: Callable[[FleetRun], None] = lambda run: None) -> None:
        self.plan, self.figures, self._load = plan, FleetFigures(), FleetLoad()
        self.stations: list[FleetStation] = []
        self.phase = "starting"
        self._watch, self._rng = watch, plan.random_source()
        self._player: ProfilePlayer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._journal: FleetJournal | None = None
        self._is_ended_early = False
        self._began_s = time.monotonic()
        self._memory_before_kib = self._memory_kib = 0
        self._notes: tuple[str, ...] = ()

    def end_early(self) -> None:
        """End the profile now, in order: sessions end, queues empty, books are balanced."""
        self._is_ended_early = True
        if self._player is not None:
            self._player.end_early()

    def real_seconds(self) -> float:
        """Return the real seconds since the start."""
        return time.monotonic() - self._began_s

    @property
    def situation(self) -> FleetSituation:
        return FleetSituation(self.plan.count, self.phase, self.figures)

    @property
    def profile_s(self) -> float:
        """The time of the profile, in seconds of the stations."""
        return self._player.seconds if self._player is not None else 0.0

    # --- the run -------------------------------------------------------------------------------------------------

    async def run(self) -> FleetResult:
        cpu_s = time.process_time()
        preload_libraries([self.plan.url])
        allow_open_files(self.plan.count + FILES_BESIDE)
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
            kinds = make_station_kinds(self.plan, Path(folder))
            self._open_journal()
            self._began_s, self._memory_before_kib = time.monotonic(), resident_memory_kib()
            course = asyncio.create_task(self._follow_course())
            try:
                with collecting_seldom(self.plan.count):
                    balances = await self._run_stations(kinds)
            finally:
                course.cancel()
                await self._cancel_stations()
                if self._journal is not None:
                    self._journal.close()
        cost = ProcessCost(self.real_seconds(), time.process_time() - cpu_s, self._memory_before_kib, self._memory_kib)
        return FleetResult(self.plan.count, self.figures, balances, (cost,), self._notes, self.plan.describe_plan())

    def _open_journal(self) -> None:
        if self.plan.store_folder is not None:
            self._journal = FleetJournal(self.plan.store_folder / f"part-{self.plan.first:05d}.jsonl")
            if self._journal.is_resumed:
                ids = self.plan.station_ids()
                self._notes = (f"the stations {ids[0]} to {ids[-1]} go on where an earlier process has stopped",)

    async def _run_stations(self, kinds: Mapping[str, StationKind]) -> tuple[StationBalance, ...]:
        await self._switch_on(kinds)
        self.phase = "waiting until all are accepted"
        await self._wait_until(self._is_accepted, self.plan.accept_within_s)
        if self.plan.count >= FREEZE_FROM:
            gc.freeze()  # without a collection before: of five thousand stations that is seconds without a heartbeat
        self._player = player = ProfilePlayer(self.plan, self.stations, self.figures, self._rng)
        self.phase = "playing the profile"
        if not self._is_ended_early:
            await player.play_profile()
        self.phase = "ending the sessions"
        await player.end_visits(self.plan.settle_s)
        self.phase = "emptying the queues"
        await asyncio.gather(*(station.drain_queues(self.plan.settle_s) for station in self.stations))
        self._memory_kib = max(self._memory_kib, resident_memory_kib())
        balances = tuple(station.balance_books() for station in self.stations)
        self._count_refused_messages()
        await self._switch_off()
        return balances

    async def _switch_on(self, kinds: Mapping[str, StationKind]) -> None:
        """Switch the stations on, so many per second as the profile says."""
        plan, rng = self.plan, self._rng
        shared = Surroundings(self.figures, self.real_seconds, kernel_boot_id(), plan.profile.rate, self._load, rng)
        self.phase = "switching on"
        for number, (station_id, version) in enumerate(
            zip(plan.station_ids(), plan.versions_of_stations(), strict=True)
        ):
            due_s = number / plan.profile.ramp_per_s
            await asyncio.sleep(max(0.0, due_s - self.real_seconds()))
            kind = kinds[version]
            registers_wh = [float(rng.randint(*REGISTERS_WH)) for _ in kind.file.evses]
            station = await self._make_station(kind, station_id, registers_wh, shared)
            self.stations.append(station)
            self._tasks.append(asyncio.create_task(self._run_station(station)))

    async def _make_station(
        self, kind: StationKind, station_id: str, registers_wh: Sequence[float], shared: Surroundings
    ) -> FleetStation:
        if self._journal is None:
            return FleetStation(kind, station_id, registers_wh, shared)
        station = FleetStation(kind, station_id, registers_wh, shared, self._journal.writer_of(station_id))
        await station.resume_from(self._journal.entries_of(station_id))
        return station

    async def _run_station(self, station: FleetStation) -> None:
        """Run a station. What a defect ends is counted, and the others go on."""
        try:
            await station.run()
        except Exception as e:
            kind = e.exceptions[0] if isinstance(e, ExceptionGroup) else e
            self.figures.errors[f"defect: {type(kind).__name__}"] += 1
            log.exception("%s: a defect, please report: this station has ended", station.id)

    async def _switch_off(self) -> None:
        self.phase = "switching off"
        for station in self.stations:
            station.stop_station()
        await asyncio.wait(self._tasks, timeout=self.plan.settle_s)

    async def _cancel_stations(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_accepted(self) -> bool:
        return len(self.figures.accepted_s) >= self.plan.count or self._is_ended_early

    async def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        for _ in range(round(timeout_s / LOOK_S)):
            if condition():
                return
            await asyncio.sleep(LOOK_S)

    def _count_refused_messages(self) -> None:
        for station in self.stations:
            for reason in station.store.dead_letter_reasons():
                self.figures.errors[f"not taken: {reason[:80]}"] += 1

    # --- the course ----------------------------------------------------------------------------------------------

    async def _follow_course(self) -> None:
        """Note the situation once a second."""
        calls = errors = 0
        while True:
            await asyncio.sleep(COURSE_S)
            self._memory_kib = max(self._memory_kib, resident_memory_kib())
            point = CoursePoint(
                round(self.real_seconds(), 1), self.figures.online_count, self._load.charging,
                self.figures.call_count - calls, self.figures.error_count - errors,
                round(self._load.power_w / 1000.0, 1),
            )  # fmt: skip
            calls, errors = self.figures.call_count, self.figures.error_count
            self.figures.course.append(point)
            self._watch(self)


@contextmanager
def collecting_seldom(count: int) -> Iterator[None]:
    """Inside, garbage of a fleet of so many stations is collected seldom."""
    before = gc.get_threshold()
    if count >= FREEZE_FROM:
        gc.set_threshold(*COLLECT_SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*before)
