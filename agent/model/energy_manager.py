"""What an energy manager reports: the limit of the station, or that it sets none."""

from __future__ import annotations

from agent.model.fastclass import frozen


@frozen
class LimitReport:
    """``limit``: in the unit of the station file (``rate_unit``: amperes of each phase, or watts); None: no limit.
    ``problem``: what was received is no limit, and why; ``limit`` has no meaning then. ``is_kept``: it is from before,
    kept by a broker, and no sign of life of the energy manager."""

    limit: float | None = None
    problem: str = ""
    is_kept: bool = False
