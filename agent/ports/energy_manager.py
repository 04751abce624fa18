"""Port of an energy manager: the system on site that says how much the station may draw."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from agent.model.energy_manager import LimitReport


class EnergyManagerPort(Protocol):
    """Must: report the limit when the energy manager gives it, each change at most 2 s late, also
    when nothing has changed: a report is its sign of life. Must report what makes no sense as a
    ``problem``. Must not: repeat a limit of which it does not know that it is still the energy
    manager's, nor replace one that makes no sense. Raises (out of ``limits``): ``Unreachable``, also
    when the energy manager gives no sign of life; ``Garbled``, ``Broken``."""

    def limits(self) -> AsyncIterator[LimitReport]: ...
