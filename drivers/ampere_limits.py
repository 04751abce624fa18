"""The limit that a board of amperes can be given."""

from __future__ import annotations

from agent.model.board import EvseTraits
from agent.model.types import Limit

NOMINAL_V = 230.0


def limit_in_amperes(limit: Limit, traits: EvseTraits) -> float:
    """Return the most amperes of each phase that the limit and the board allow. Watts are shared by the phases."""
    bounds = [traits.max_a]
    if limit.current_a is not None:
        bounds.append(limit.current_a)
    if limit.power_w is not None:
        bounds.append(limit.power_w / (NOMINAL_V * (limit.phases or traits.phases)))
    return min(bounds)
