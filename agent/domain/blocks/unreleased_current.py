"""Detect energy that flows though nothing is released: a contactor that does not open, or a board
that something else releases. Most boards do not see the first (those that do: ``contactor.py``),
none sees the second; the outlet's own meter sees both. This energy is not billed, and the outlet
may be live without a vehicle."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.energized import describe_flow
from agent.domain.events import BoardOpened, FaultRaised, MeterRead
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.orders import LogNote
from agent.model.types import EvseId, Fault, Moment

LASTS_S = 20.0
"""A board may wait 6 s until it opens under load (IEC 61851-1); an idle meter is read every 10
s."""


class UnreleasedCurrent:
    def __init__(self, site: StationState) -> None:
        self._site = site
        self._since_s: dict[EvseId, float] = {}

    @handles_events(MeterRead)
    def detect_unreleased_current(self, event: MeterRead, now: Moment) -> Iterator[Yielded]:
        evse = self._site.evses[event.evse]
        why = describe_flow(event.reading)
        if not why or evse.release_order.given or not evse.board.known or Fault.BOARD_SILENT in evse.faults:
            self._since_s.pop(evse.number, None)
            return
        at_s = event.reading.at.t_s
        since_s = self._since_s.setdefault(evse.number, at_s)
        if at_s - since_s >= LASTS_S * max(1.0, self._site.config.io_s) and Fault.CONTACTOR_WELDED not in evse.faults:
            yield LogNote(
                evse.number, f"{why} though nothing is released: its contactor does not open, or something else "
                "releases it (its release mode, an input); switch it off and check it", "board"
            )  # fmt: skip
            yield FaultRaised(evse.number, Fault.CONTACTOR_WELDED)

    @handles_events(BoardOpened)
    def restart_detection(self, event: BoardOpened, now: Moment) -> Iterator[Yielded]:
        """Restart the detection: release was withdrawn a moment ago."""
        self._since_s.pop(event.evse, None)
        yield from ()
