"""Board, meter and card reader of a station of a fleet, at the level of their ports: no wire, no poll, no wait.

They keep the contracts of ``agent.ports``: ``tests/fleet/test_outlet_ports.py`` runs the checks of ``drivers.testkit``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any

from agent.fleet.simulated_outlet import LEAST_A, PHASES, RATED_A, SimulatedOutlet, ignore_change
from agent.model.board import EvseState, EvseTraits
from agent.model.fastclass import replace
from agent.model.slim_event import SlimEvent
from agent.model.types import Limit, MeterIdentity, Reading, Stamp, Token
from agent.ports import Refused
from agent.ports.reader import Tap
from agent.services.devices.supervisor import DeviceSupervisor, MeterSupervisor
from agent.services.watchdog import LivenessSignal
from agent.station_file.tables import NOMINAL_V

TRAITS = EvseTraits(min_a=LEAST_A, max_a=RATED_A, counts_plugged=True, tells_pilot=False)


class OutletBoard:
    """``agent.ports.evse.EvsePort`` on an outlet."""

    traits = TRAITS

    def __init__(self, outlet: SimulatedOutlet) -> None:
        self._outlet = outlet
        self._changed = SlimEvent()

    async def state(self) -> EvseState:
        return replace(self._outlet.state, plugged_s=self._outlet.plugged_time_s())

    async def states(self) -> AsyncIterator[EvseState]:
        self._outlet.follow_changes(self._changed.set)
        shown: EvseState | None = None
        while True:
            self._changed.clear()
            if self._outlet.state != shown:
                shown = self._outlet.state
                yield await self.state()
            else:
                await self._changed.wait()

    async def set_release(self, on: bool) -> None:
        self._outlet.set_release(on)

    async def set_limit(self, limit: Limit) -> float:
        allowed_a = RATED_A if limit.current_a is None else min(limit.current_a, RATED_A)
        self._outlet.set_limit(allowed_a)
        return allowed_a if allowed_a >= LEAST_A else 0.0

    async def unlock(self) -> bool:
        if self._outlet.state.contactor:
            raise Refused("the contactor is closed: the plug stays locked")
        return self._outlet.unlock_plug()

    async def set_service(self, on: bool) -> None:
        self._outlet.set_available(on)

    async def set_hold(self, on: bool) -> None:
        """Nothing to do: this board cannot keep a plug (``traits.holds``)."""

    async def clear_fault(self) -> None:
        """Nothing to do: a fault ends when the fleet ends it."""

    async def beat(self) -> None:
        """Nothing to do: there is no watchdog between the two."""


class OutletMeter:
    """``agent.ports.meter.MeterPort`` on an outlet. ``now``: boot number and seconds of the station's clock."""

    def __init__(self, outlet: SimulatedOutlet, now: Callable[[], tuple[int, float]], identity: MeterIdentity) -> None:
        self._outlet, self._now, self.identity = outlet, now, identity

    async def read(self) -> Reading:
        boot, t_s = self._now()
        outlet = self._outlet
        used = outlet.phases
        currents = tuple(outlet.current_a if n < used else 0.0 for n in range(PHASES))
        return Reading(
            Stamp(boot, t_s), int(outlet.read_register_wh()), outlet.power_w, (NOMINAL_V,) * PHASES, currents,
            tuple(current * NOMINAL_V for current in currents),
        )  # fmt: skip

    read_billing = read


class NoWatchdog(LivenessSignal):
    """The board is in the same process: nothing has to be fed."""

    async def feed_watchdog(self, port: Any) -> None:
        """Return at once."""


class OutletMeterSupervisor(MeterSupervisor):
    """The supervisor of every meter, without what costs a station of a fleet and shows nothing: an idle meter is not
    polled, and no reading waits for a meter that is away."""

    async def run(self) -> None:
        await DeviceSupervisor.run(self)

    async def wait_for_request(self) -> None:
        while not self._requests:
            self._requested.clear()
            await self._requested.wait()


class CardReader:
    """``agent.ports.reader.ReaderPort``: cards that the drivers of the fleet present."""

    def __init__(self) -> None:
        self._cards: list[Token] = []
        self._presented = SlimEvent()

    def present_card(self, token: Token) -> None:
        self._cards.append(token)
        self._presented.set()

    async def taps(self) -> AsyncIterator[Tap]:
        while True:
            await self._presented.wait()
            self._presented.clear()
            while self._cards:
                yield Tap(self._cards.pop(0))


@asynccontextmanager
async def open_board(outlet: SimulatedOutlet) -> AsyncIterator[OutletBoard]:
    """Open the board of an outlet. It comes up, and is left, with release withdrawn."""
    outlet.set_release(False)
    try:
        yield OutletBoard(outlet)
    finally:
        outlet.follow_changes(ignore_change)
        outlet.set_release(False)


def always_open(port: Any) -> Callable[[], AbstractAsyncContextManager[Any]]:
    """Return how a supervisor opens a port that is never away."""
    return lambda: nullcontext(port)
