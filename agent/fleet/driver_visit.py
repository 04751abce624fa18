"""The drivers of a fleet: each plugs a vehicle in, presents a card, stays, presents the card again and leaves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from agent.fleet.fleet_station import FleetStation
from agent.fleet.profile_file import Visits
from agent.fleet.simulated_outlet import SimulatedOutlet, Vehicle
from agent.model.fastclass import frozen
from agent.model.types import Token, TokenType
from agent.ocpp.transport.timeouts import wait_for_event

WALK_S = 3.0
"""From the plug to the reader, of the station's time."""
ENERGY_WITHIN_S = 60.0
"""So long a driver waits for energy after the card, of the station's time (``FleetPlan.least_wait_s``: real time)."""
LEAVE_SPREAD_S = 3.0
"""Real seconds over which the drivers leave who are there when the run ends."""
LOCKED_MOST_S = 86400.0


@frozen
class PlannedVisit:
    """What one driver will do."""

    card: Token
    vehicle: Vehicle
    stay_s: float
    """Of the station's time."""
    patience_s: float
    """How long the driver waits for energy, and for the plug (real seconds)."""


def plan_visit(visits: Visits, cards: Sequence[Token], patience_s: float, rng: random.Random) -> PlannedVisit:
    """Draw a visit at random."""
    vehicle = Vehicle(
        max_a=rng.choice(visits.max_a),
        phases=rng.choice(visits.phases),
        energy_wh=1000.0 * rng.uniform(*visits.energy_kwh),
    )
    return PlannedVisit(rng.choice(cards), vehicle, rng.uniform(*visits.stay_s), patience_s)


def make_cards(count: int) -> tuple[Token, ...]:
    """Return cards with a UID of 7 bytes, for a backend that knows every card."""
    return tuple(Token(f"04{number:012X}") for number in range(1, count + 1))


def read_cards(text: str) -> tuple[Token, ...]:
    """Return the cards of a file: one in each line, behind # nothing counts."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(Token.of_text(line, TokenType.ISO14443, TokenType.CENTRAL) for line in lines if line)


class DriverVisit:
    """One visit. ``closing`` is set when the run ends: then the driver comes back."""

    def __init__(self, station: FleetStation, outlet: SimulatedOutlet, plan: PlannedVisit, closing: asyncio.Event):
        self._station, self._outlet, self._plan, self._closing = station, outlet, plan, closing
        self._rate = station.shared.rate
        self._figures = station.shared.figures

    async def make_visit(self) -> None:
        self._outlet.plug_vehicle_in(self._plan.vehicle, self._plan.card.value)
        self._figures.counts["visits"] += 1
        await asyncio.sleep(WALK_S / self._rate)
        was_online = self._station.is_online and not self._outlet.faults
        self._station.present_card(self._plan.card)
        if await self._outlet.wait_until(lambda outlet: bool(outlet.state.contactor), self._plan.patience_s):
            self._figures.counts["sessions"] += 1
            await wait_for_event(self._closing, self._plan.stay_s / self._rate)
            await self._end_session()
        elif was_online and self._station.is_online and not self._outlet.faults:
            self._figures.errors["a card, but no energy"] += 1
        else:
            self._figures.counts["visits without energy"] += 1
        await self._leave_outlet()

    async def resume_visit(self) -> None:
        """Go on with the visit of a driver whose vehicle is here since an earlier process."""
        self._figures.counts["visits of an earlier process"] += 1
        await wait_for_event(self._closing, self._plan.stay_s / self._rate)
        await self._end_session()
        await self._leave_outlet()

    async def _end_session(self) -> None:
        if self._closing.is_set():
            await asyncio.sleep(self._station.shared.jitter.uniform(0.0, LEAVE_SPREAD_S))
        if self._outlet.state.released:  # a fault or the backend may have ended it
            self._station.present_card(self._plan.card)

    async def _leave_outlet(self) -> None:
        """Pull the plug as soon as it is free."""
        if not await self._outlet.wait_until(_is_plug_free, self._plan.patience_s):
            self._figures.errors["a plug that stays locked"] += 1
            await self._outlet.wait_until(_is_plug_free, LOCKED_MOST_S)
        self._outlet.pull_plug_out()


def _is_plug_free(outlet: SimulatedOutlet) -> bool:
    return not outlet.state.locked
