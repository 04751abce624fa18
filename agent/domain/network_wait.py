"""Wait for the network with a transfer that the end of the process has interrupted.

The agent starts before a modem has dialled. The first link that is up shows that the network is there."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.functional_block import Yielded
from agent.domain.orders import WakeMe
from agent.domain.timers import Timer
from agent.model.types import Moment

PATIENCE_S = 300.0
"""After this time without a link a transfer is tried all the same: the file server may be within reach, on site. Each
wait is twice as long as the one before: a station that is off line for days writes little to its flash memory."""
RETRY_LEAST_S = 10.0


class NetworkWait:
    """What one block knows of the network. ``timer`` begins its transfer.

    ``is_waiting``: a transfer is to begin when the first link is up. ``is_early``: the transfer that runs was begun
    before that; if it fails, that is none of the tries that the backend has granted."""

    def __init__(self, timer: Timer) -> None:
        self._timer, self._patience_s = timer, PATIENCE_S
        self._was_up = self.is_waiting = self.is_early = False

    def await_network(self, now: Moment) -> Iterator[Yielded]:
        """Begin the transfer with the first link, or by the timer."""
        self.is_waiting = not self._was_up
        yield WakeMe(self._timer, now.t_s + (RETRY_LEAST_S if self._was_up else self._patience_s))
        self._patience_s *= 2

    def confirm_network(self) -> bool:
        """A link is up, or a request has come. Return whether a transfer has waited for that."""
        has_waited, self.is_waiting, self._was_up = self.is_waiting, False, True
        return has_waited

    def note_transfer_begun(self) -> None:
        self.is_waiting, self.is_early = False, not self._was_up
