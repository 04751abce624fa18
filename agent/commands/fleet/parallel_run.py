"""A fleet in several processes of one machine: an event loop uses one core, so each core gets a part of the fleet.

A part is a child that was forked before anything was opened. It reports its figures once a second, and its result at
the end. When this process is gone, its parts end too.
"""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection as connections
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from agent.fleet.figures import FleetFigures
from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_result import FleetResult, merge_results
from agent.fleet.fleet_run import FleetRun, make_station_kinds
from agent.fleet.situation import FleetSituation
from agent.model.fastclass import frozen
from agent.ocpp.transport.families import preload_libraries

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    Pipe: TypeAlias = Connection[Any, Any]

LOOK_S = 0.5
SHOW_EVERY_S = 1.0
END_PROFILE = "end the profile"
STATIONS_PER_PROCESS = 500
"""Fewer stations are not worth a second process, which takes 25 MiB."""


def usual_process_count(stations: int) -> int:
    """Return how many processes a fleet of this size has: at most one for each core that this process may use."""
    return max(1, min(len(os.sched_getaffinity(0)), stations // STATIONS_PER_PROCESS))


@frozen
class PartReport:
    """What a part shows while it runs. The course in ``figures`` is what has come to it since the report before."""

    phase: str
    figures: FleetFigures


class FleetPart:
    """A part of the fleet and its process."""

    def __init__(self, plan: FleetPlan, process: ForkProcess, pipe: Pipe) -> None:
        self.plan, self.process, self.pipe = plan, process, pipe
        self.report = PartReport("starting", FleetFigures())
        self.result: FleetResult | None = None
        self.is_running = True

    def read_message(self) -> None:
        """Take a message of the process, or note that it has ended. Raises what it could not do."""
        try:
            message = self.pipe.recv()
        except (EOFError, OSError):
            self.is_running = False
            return
        if isinstance(message, PartReport):
            course = self.report.figures.course
            course += message.figures.course
            message.figures.course = course
            self.report = message
        elif isinstance(message, Exception):
            raise message
        else:
            self.result, self.is_running = message, False

    @property
    def latest_figures(self) -> FleetFigures:
        return self.report.figures if self.result is None else self.result.figures

    def final_result(self) -> FleetResult:
        """Return the result. The stations of a process that was killed were never heard of again."""
        if self.result is not None:
            return self.result
        self.process.join()
        ids = self.plan.station_ids()
        on = " (the same command with the same folder goes on)" if self.plan.store_folder is not None else ""
        note = f"the process of the stations {ids[0]} to {ids[-1]} has ended with {self.process.exitcode}{on}"
        return FleetResult(self.plan.count, self.report.figures, (), (), (note,), self.plan.describe_plan())


class ParallelRun:
    """``run`` forks the parts and returns the merged result. ``show``: is called about once a second; None: nothing is
    shown."""

    def __init__(self, plan: FleetPlan, processes: int, show: Callable[[FleetSituation], None] | None) -> None:
        self._plan, self._processes, self._show = plan, processes, show
        self._parts: list[FleetPart] = []
        self._is_end_wanted = self._is_end_passed_on = False
        self._shown_s = 0.0

    def run(self) -> FleetResult:
        """Run the fleet. The first Ctrl-C ends the profile, the second one the program. Raises ``SettingsError``,
        ``OSError``."""
        preload_libraries([self._plan.url])  # what is loaded here is shared
        with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
            make_station_kinds(self._plan, Path(folder))
        try:
            for plan in self._plan.split_plan(self._processes):
                self._parts.append(self._fork_part(plan))
            with self._interrupts_noted():
                while any(part.is_running for part in self._parts):
                    self._follow_parts()
            if self._show is not None:  # a short run may end before its first second was shown
                self._show_situation(self._show)
        finally:
            for part in self._parts:
                if part.result is None:
                    part.process.terminate()
        return merge_results([part.final_result() for part in self._parts])

    def _fork_part(self, plan: FleetPlan) -> FleetPart:
        context = get_context("fork")
        mine, theirs = context.Pipe()
        inherited = [mine, *(part.pipe for part in self._parts)]  # open in the child, they would hide our end from it
        process = context.Process(target=run_part, args=(plan, theirs, inherited, self._show is not None), daemon=True)
        process.start()
        theirs.close()
        return FleetPart(plan, process, mine)

    def _follow_parts(self) -> None:
        running = {part.pipe: part for part in self._parts if part.is_running}
        for pipe in connections.wait([*running], timeout=LOOK_S):
            running[pipe].read_message()  # type: ignore[index]
        if self._is_end_wanted and not self._is_end_passed_on:
            self._is_end_passed_on = True
            for part in self._parts:
                _send_message(part.pipe, END_PROFILE)
        if self._show is not None and time.monotonic() >= self._shown_s + SHOW_EVERY_S:
            self._shown_s = time.monotonic()
            self._show_situation(self._show)

    def _show_situation(self, show: Callable[[FleetSituation], None]) -> None:
        figures = FleetFigures()
        figures.add_figures([part.latest_figures for part in self._parts])
        if figures.course:
            show(FleetSituation(self._plan.count, self._slowest_phase(), figures))

    def _slowest_phase(self) -> str:
        return next((part for part in self._parts if part.is_running), self._parts[0]).report.phase

    @contextmanager
    def _interrupts_noted(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note_interrupt(number: int, frame: object) -> None:
            self._is_end_wanted = True
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in before:
            signal.signal(number, note_interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


# --- in the child ----------------------------------------------------------------------------------------------------


def run_part(plan: FleetPlan, pipe: Pipe, inherited: Sequence[Pipe], is_shown: bool) -> None:
    """Run a part of the fleet. This is called in a child."""
    os.setpgid(0, 0)  # the Ctrl-C of a terminal is for the process before, which passes it on
    for one in inherited:
        one.close()
    try:
        ended: FleetResult | Exception = asyncio.run(_run_stations(plan, pipe, is_shown))
    except OSError as e:
        ended = e
    _send_message(pipe, ended)


class PartReporter:
    """Reports of a part, in a thread: a process that does not read (one that was suspended) does not hold the stations.
    While a report waits to be read, the next one is left out; what it had of the course comes with a later one."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._sending: asyncio.Future[None] | None = None
        self._points_sent = 0

    def report_situation(self, run: FleetRun) -> None:
        """Report the present situation. This is called on the event loop."""
        if self._sending is not None and not self._sending.done():
            return
        figures = copy.copy(run.figures)
        figures.course = run.figures.course[self._points_sent :]
        self._points_sent += len(figures.course)
        data = pickle.dumps(PartReport(run.phase, figures))  # here, where nothing counts meanwhile
        self._sending = asyncio.get_running_loop().run_in_executor(None, _send_octets, self._pipe, data)


async def _run_stations(plan: FleetPlan, pipe: Pipe, is_shown: bool) -> FleetResult:
    fleet = FleetRun(plan, PartReporter(pipe).report_situation if is_shown else lambda run: None)
    asyncio.get_running_loop().add_reader(pipe.fileno(), _take_order, pipe, fleet)
    try:
        return await fleet.run()
    finally:
        asyncio.get_running_loop().remove_reader(pipe.fileno())


def _take_order(pipe: Pipe, fleet: FleetRun) -> None:
    """End the profile. Without the process that waits for the result, end at once."""
    try:
        pipe.recv()
    except (EOFError, OSError):
        os._exit(1)
    fleet.end_early()


def _send_message(pipe: Pipe, message: Any) -> None:
    _send_octets(pipe, pickle.dumps(message))


def _send_octets(pipe: Pipe, data: bytes) -> None:
    """Send a pickled message. That the other process is gone is found by who reads."""
    try:
        pipe.send_bytes(data)
    except OSError:
        pass
