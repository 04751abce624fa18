"""What a fleet shows while it runs, whether it runs in this process or in several."""

from __future__ import annotations

from agent.fleet.figures import FleetFigures
from agent.model.fastclass import frozen


@frozen
class FleetSituation:
    """``count``: how many stations there are; ``phase``: what the fleet does now, in words."""

    count: int
    phase: str
    figures: FleetFigures
