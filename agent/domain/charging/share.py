"""One station maximum for several EVSEs: a fair split by need, never above it.

IEC 61851-1 knows nothing between 0 and 6 A, so when there is not enough for everybody some wait: who asks for energy
goes before who does not, then who came first. What is left is filled up evenly, first to those who ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from agent.frozen import frozen
from agent.kinds import EvseId


@frozen
class Claim:
    """``weight``: how much of the budget an ampere of this EVSE takes (1 for a budget in A, volt x phases for one in
    W). ``eager``: its vehicle asks for energy. In the order in which they came."""

    evse: EvseId
    most_a: float
    least_a: float = 6.0
    weight: float = 1.0
    eager: bool = True


def shares(budget: float, claims: Sequence[Claim]) -> Mapping[EvseId, float]:
    """Amperes per EVSE: 0 (wait) or ``least_a`` to ``most_a``; the weighted sum is at most ``budget``."""
    given = {c.evse: 0.0 for c in claims}
    admitted: list[Claim] = []
    for claim in sorted(claims, key=lambda c: not c.eager):
        needed = claim.least_a * claim.weight
        if claim.most_a >= claim.least_a and needed <= budget:
            budget -= needed
            given[claim.evse] = claim.least_a
            admitted.append(claim)
    for eager in (True, False):
        budget = _fill(budget, [c for c in admitted if c.eager is eager], given)
    return given


def _fill(budget: float, claims: Sequence[Claim], given: dict[EvseId, float]) -> float:
    """Raise the lowest ones first; returns what is left."""
    while True:
        open_ = [c for c in claims if given[c.evse] < c.most_a]
        if not open_ or budget <= 1e-9:
            return max(budget, 0.0)
        floor_a = min(given[c.evse] for c in open_)
        lowest = [c for c in open_ if given[c.evse] == floor_a]
        steps = [c.most_a for c in lowest] + [given[c.evse] for c in open_ if given[c.evse] > floor_a]
        level_a = min(min(steps), floor_a + budget / sum(c.weight for c in lowest))
        for claim in lowest:
            given[claim.evse] = level_a
            budget -= (level_a - floor_a) * claim.weight
        if level_a < min(steps):
            return 0.0
