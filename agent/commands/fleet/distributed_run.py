"""A fleet on several machines, by Dask ``distributed``: the fleet is split into parts, each worker runs some of them.

The workers are started by Dask's own command (``dask worker``). With ``--store`` on a folder that all of them share,
the stations of a lost worker go on at another one where they have stopped; the report says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_result import FleetResult, merge_results
from agent.model.fastclass import frozen

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 1.0
CONNECT_S = 30.0
KEY = "chargy-agent-fleet"


@frozen
class PartResult:
    """What one part has shown, and the worker that it has ended at."""

    result: FleetResult
    worker: str


def run_part(plan: FleetPlan) -> PartResult:
    """Run a part of a fleet. This is called in a worker of Dask.

    It leaves the worker's pool of threads, so that the worker can take the stations of a lost one besides.
    """
    from distributed import get_worker, secede

    from agent.fleet.fleet_run import FleetRun

    worker = get_worker().address
    secede()
    logging.getLogger("agent").setLevel(logging.CRITICAL)  # what fails is counted
    return PartResult(asyncio.run(FleetRun(plan).run()), worker)


class DistributedRun:
    """``run`` splits the plan and returns the merged result. ``show``: gets a line about once a second."""

    def __init__(self, plan: FleetPlan, scheduler: str, show: Callable[[str], None] = lambda line: None) -> None:
        self._plan, self._scheduler, self._show = plan, scheduler, show
        self._notes: list[str] = []
        self._began_s = time.monotonic()
        self._places: dict[str, str] = {}
        """The worker of each part, by its key."""

    def run(self) -> FleetResult:
        """Raises ``OSError`` if there is no scheduler or no worker."""
        from distributed import Client

        with Client(self._scheduler, timeout=CONNECT_S) as client:
            client.wait_for_workers(1, timeout=CONNECT_S)
            workers = sorted(client.nthreads())
            parts = list(self._plan.split_plan(len(workers)))
            futures = [self._submit_part(client, part, workers[n]) for n, part in enumerate(parts)]
            self._follow_workers(client, futures, workers)
            results: list[PartResult] = [future.result() for future in futures]
        for part, found in zip(parts, results, strict=True):
            self._note_moved_part(part, found.worker)
        return merge_results([found.result for found in results], self._notes)

    def _submit_part(self, client: Client, part: FleetPlan, worker: str) -> Future:
        key = f"{KEY}-{time.time_ns()}-{part.first}"
        self._places[_name_part(part)] = worker
        return client.submit(run_part, part, key=key, pure=False, workers=[worker], allow_other_workers=True)

    def _follow_workers(self, client: Client, futures: Sequence[Future], workers: Sequence[str]) -> None:
        """Wait for the parts, and note each worker that is lost meanwhile."""
        from distributed import wait

        there = set(workers)
        while True:
            now = set(client.nthreads())
            for lost in sorted(there - now):
                self._notes.append(f"the worker {lost} was lost after {time.monotonic() - self._began_s:.0f} s")
            there = now
            done = sum(future.done() for future in futures)
            after_s = time.monotonic() - self._began_s
            self._show(f"{after_s:6.0f} s  {done} of {len(futures)} parts done, {len(now)} workers")
            try:
                wait(list(futures), timeout=LOOK_S)
                return
            except TimeoutError:
                continue

    def _note_moved_part(self, part: FleetPlan, worker: str) -> None:
        before = self._places[_name_part(part)]
        if worker != before:
            went_on = "went on" if part.store_folder is not None else "lost their sessions, and were started again"
            self._notes.append(f"the stations {_name_part(part)} of {before} {went_on} at {worker}")


def _name_part(part: FleetPlan) -> str:
    ids = part.station_ids()
    return f"{ids[0]} to {ids[-1]}"


def missing_engine() -> str:
    """Return what to install; "": nothing."""
    from agent.ports.driver import missing_module

    return missing_module(("distributed",), "chargy-agent[cluster]")
