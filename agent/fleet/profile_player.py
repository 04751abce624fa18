"""A profile at the stations of one process: vehicles come, networks go away, outlets fail.

``rate`` is how many seconds of the stations pass in a real one; the event loop gets real ones.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from agent.fleet.driver_visit import ENERGY_WITHIN_S, DriverVisit, PlannedVisit, plan_visit
from agent.fleet.figures import FleetFigures
from agent.fleet.fleet_plan import FleetPlan
from agent.fleet.fleet_station import FleetStation
from agent.fleet.profile_file import Outage, Wave
from agent.fleet.simulated_outlet import SimulatedOutlet
from agent.model.fastclass import replace
from agent.model.types import Fault, Token
from agent.ocpp.transport.timeouts import wait_for_event

TRIES = 5
"""So many outlets are looked at before a driver drives on."""
HOUR_S = 3600.0


class ProfilePlayer:
    """``await play_profile()`` lasts as long as the profile, or until ``end_early``. Then ``await end_visits()``."""

    def __init__(
        self, plan: FleetPlan, stations: Sequence[FleetStation], figures: FleetFigures, rng: random.Random
    ) -> None:
        self._plan, self._profile, self._stations = plan, plan.profile, stations
        self._figures, self._rng, self._rate = figures, rng, plan.profile.rate
        self._outlets = [(station, outlet) for station in stations for outlet in station.outlets.values()]
        self._closing, self._end_wanted = asyncio.Event(), asyncio.Event()
        self._visits: set[asyncio.Task[None]] = set()
        self._disturbances: list[asyncio.Task[None]] = []
        self._began_s = 0.0

    @property
    def seconds(self) -> float:
        """The time of the profile, in seconds of the stations."""
        return (time.monotonic() - self._began_s) * self._rate if self._began_s else 0.0

    def end_early(self) -> None:
        self._end_wanted.set()

    async def play_profile(self) -> None:
        self._began_s = time.monotonic()
        self._resume_visits()
        works: list[Coroutine[Any, Any, None]] = [self._bring_vehicles(), self._cause_faults()]
        works += [self._play_wave(wave) for wave in self._profile.wave]
        works += [self._play_outage(outage) for outage in self._profile.outage]
        self._disturbances = [asyncio.create_task(work) for work in works]
        try:
            await wait_for_event(self._end_wanted, self._profile.duration_s / self._rate)
        finally:
            await self._stop_disturbances()

    async def _stop_disturbances(self) -> None:
        """Nothing comes, goes away or fails any more; what was taken away comes back."""
        for task in self._disturbances:
            task.cancel()
        for end in await asyncio.gather(*self._disturbances, return_exceptions=True):
            if isinstance(end, Exception):
                raise end
        self._disturbances = []

    async def end_visits(self, timeout_s: float) -> None:
        """The drivers come back, end their sessions and leave."""
        self._closing.set()
        if self._visits:
            await asyncio.wait(self._visits, timeout=timeout_s)
        for visit in self._visits:
            self._figures.errors["a driver who could not leave"] += 1
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    # --- vehicles ------------------------------------------------------------------------------------------------

    async def _bring_vehicles(self) -> None:
        """Bring vehicles at random, as many per hour as the profile says at the time (a Poisson process: those of its
        greatest rate, thinned out)."""
        most_per_s = self._profile.most_per_hour * len(self._outlets) / HOUR_S * self._rate
        while most_per_s > 0:
            await asyncio.sleep(self._rng.expovariate(most_per_s))
            share = self._profile.visits_per_hour(self.seconds) / self._profile.most_per_hour
            if self._rng.random() < share:
                self._bring_vehicle()

    def _bring_vehicle(self) -> None:
        for _ in range(TRIES):
            station, outlet = self._rng.choice(self._outlets)
            if not outlet.is_occupied:
                self._begin_visit(station, outlet)
                return
        self._figures.counts["drivers who found no free outlet"] += 1

    def _begin_visit(self, station: FleetStation, outlet: SimulatedOutlet) -> None:
        self._follow_visit(DriverVisit(station, outlet, self._plan_visit(), self._closing).make_visit())

    def _plan_visit(self) -> PlannedVisit:
        patience_s = max(ENERGY_WITHIN_S / self._rate, self._plan.least_wait_s)
        return plan_visit(self._profile.visits, self._plan.cards, patience_s, self._rng)

    def _resume_visits(self) -> None:
        """Bring back the drivers whose vehicles are at the outlets since an earlier process."""
        for station, outlet in self._outlets:
            if outlet.is_occupied:
                plan = replace(self._plan_visit(), card=Token(outlet.card))
                self._follow_visit(DriverVisit(station, outlet, plan, self._closing).resume_visit())

    def _follow_visit(self, visit: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(visit)
        self._visits.add(task)
        task.add_done_callback(self._visit_over)

    def _visit_over(self, task: asyncio.Task[None]) -> None:
        self._visits.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._figures.errors[f"defect: {type(failure).__name__}"] += 1

    async def _play_wave(self, wave: Wave) -> None:
        await asyncio.sleep(wave.at_s / self._rate)
        chosen = self._rng.sample(self._outlets, round(wave.share * len(self._outlets)))
        for station, outlet in chosen:
            await asyncio.sleep(wave.within_s / self._rate / len(chosen))
            if not outlet.is_occupied:
                self._begin_visit(station, outlet)

    # --- what goes wrong -----------------------------------------------------------------------------------------

    async def _play_outage(self, outage: Outage) -> None:
        await asyncio.sleep(outage.at_s / self._rate)
        chosen = self._rng.sample(list(self._stations), round(outage.share * len(self._stations)))
        self._figures.counts["stations that lost their network"] += len(chosen)
        for station in chosen:
            station.cut_network_off()
        try:
            await asyncio.sleep(outage.for_s / self._rate)
        finally:
            for station in chosen:
                station.bring_network_back()

    async def _cause_faults(self) -> None:
        faults = self._profile.faults
        per_s = faults.per_hour * len(self._outlets) / HOUR_S * self._rate
        ends: list[asyncio.TimerHandle] = []
        try:
            while per_s > 0:
                await asyncio.sleep(self._rng.expovariate(per_s))
                _, outlet = self._rng.choice(self._outlets)
                if outlet.faults:
                    continue
                outlet.set_faults(frozenset({Fault(self._rng.choice(faults.kinds))}))
                self._figures.counts["faults"] += 1
                lasts_s = self._rng.uniform(*faults.for_s) / self._rate
                loop = asyncio.get_running_loop()
                ends = [handle for handle in ends if handle.when() > loop.time()]
                ends.append(loop.call_later(lasts_s, outlet.set_faults, frozenset()))
        finally:
            for handle in ends:
                handle.cancel()
            for _, outlet in self._outlets:
                if outlet.faults:
                    outlet.set_faults(frozenset())
