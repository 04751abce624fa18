"""Keep LAN and Wi-Fi up: order it at once when one is down, and again with growing pauses. It costs nothing, and an
interface that another program manages is left as it is by its driver."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.events import BearerReported, TimeCame
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events, handles_timer
from agent.domain.orders import SetBearer, WakeMe
from agent.domain.timers import Timer, TimerKind
from agent.model.bearer import BearerKind, BearerState
from agent.model.types import Moment

PAUSE_S, MOST_PAUSE_S = 75.0, 300.0
"""From one order to the next: more than an attempt lasts, doubled each time."""


class InterfaceUpkeep:
    def __init__(self, site: StationState) -> None:
        self._orders = {c.name: 0 for c in site.config.bearers if c.kind is not BearerKind.GPRS}
        """How many were given since it was last up, or away."""

    @handles_events(BearerReported)
    def follow_interface(self, event: BearerReported, now: Moment) -> Iterator[Yielded]:
        orders = self._orders.get(event.bearer)
        if orders is None:
            return
        if event.status.state is BearerState.DOWN:
            yield from self._order_connection(event.bearer, now) if not orders else ()
        elif orders:
            self._orders[event.bearer] = 0
            yield WakeMe(_upkeep_timer(event.bearer), None)

    @handles_timer(TimerKind.INTERFACE_UPKEEP)
    def repeat_order(self, event: TimeCame, now: Moment) -> Iterator[Yielded]:
        yield from self._order_connection(event.timer.detail, now)

    def _order_connection(self, name: str, now: Moment) -> Iterator[Yielded]:
        pause_s = min(PAUSE_S * 2 ** min(self._orders[name], 8), MOST_PAUSE_S)
        self._orders[name] += 1
        yield SetBearer(name, True)
        yield WakeMe(_upkeep_timer(name), now.t_s + pause_s)


def _upkeep_timer(name: str) -> Timer:
    return Timer(TimerKind.INTERFACE_UPKEEP, detail=name)
