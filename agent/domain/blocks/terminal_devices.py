"""Keep who the payment terminals are, for the device model and the technician (OCPP 2.1: PaymentCtrlr)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, handles_events
from agent.domain.terminal_messages import TerminalLost, TerminalOpened
from agent.model.types import Moment


class TerminalDevices:
    def __init__(self, site: StationState) -> None:
        self._site = site

    @handles_events(TerminalOpened, TerminalLost)
    def note_terminal(self, event: TerminalOpened | TerminalLost, now: Moment) -> Iterator[Yielded]:
        """Note what the terminal says of itself. One that is lost is still the one that was there."""
        if isinstance(event, TerminalOpened):
            self._site.terminals[event.terminal] = event.identity
            self._site.terminals_open.add(event.terminal)
        else:
            self._site.terminals_open.discard(event.terminal)
        yield from ()
