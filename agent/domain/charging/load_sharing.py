"""What a station may draw is split among its EVSEs: fairly by need, never above any of the bounds.

IEC 61851-1 knows nothing between 0 and 6 A, so when there is not enough for all, some wait:
vehicles that ask for energy go first, then those that came first. What is left is filled up evenly,
first to those that ask. A vehicle at a full bound stays there, the others go on rising.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.model.fastclass import frozen
from agent.model.types import EvseId

_NONE = 1e-9


@frozen
class Budget:
    """Something that is shared: watts of the station, amperes of a phase. ``weights``: how much of
    it an ampere of each EVSE takes; an EVSE that is missing takes none."""

    amount: float
    weights: Mapping[EvseId, float]

    def weight_of_evse(self, evse: EvseId) -> float:
        return self.weights.get(evse, 0.0)


@frozen
class Claim:
    """``eager``: its vehicle asks for energy. ``insists``: it gets its least in any case, since it cannot be made to
    wait. In the order in which they came."""

    evse: EvseId
    most_a: float
    least_a: float = 6.0
    eager: bool = True
    insists: bool = False


def share_current(budgets: Sequence[Budget], claims: Sequence[Claim]) -> dict[EvseId, float]:
    """Amperes per EVSE: 0 (wait) or ``least_a`` to ``most_a``; the weighted sum is within every budget, unless what
    those take who cannot wait is more."""
    given = {c.evse: 0.0 for c in claims}
    left = [b.amount for b in budgets]
    admitted: list[Claim] = []
    for claim in sorted(claims, key=lambda c: (not c.insists, not c.eager)):
        needed = [claim.least_a * b.weight_of_evse(claim.evse) for b in budgets]
        fits = all(n <= room for n, room in zip(needed, left, strict=True) if n)
        if claim.insists or (claim.most_a >= claim.least_a and fits):
            left = [room - n for n, room in zip(needed, left, strict=True)]
            given[claim.evse] = claim.least_a
            admitted.append(claim)
    for eager in (True, False):
        _fill_up_evenly(left, budgets, [c for c in admitted if c.eager is eager], given)
    return given


def room_a(budgets: Iterable[Budget], taken_a: Mapping[EvseId, float], evse: EvseId) -> float:
    """Amperes that are left for this EVSE beside what the others have; infinity without a bound."""
    rooms = [float("inf")]
    for budget in budgets:
        if weight := budget.weight_of_evse(evse):
            taken = sum(a * budget.weight_of_evse(other) for other, a in taken_a.items() if other != evse)
            rooms.append(max(0.0, budget.amount - taken) / weight)
    return min(rooms)


def _fill_up_evenly(
    left: list[float], budgets: Sequence[Budget], claims: Sequence[Claim], given: dict[EvseId, float]
) -> None:
    """Raise the lowest claims first, together."""
    open_ = list(claims)
    while open_ := [c for c in open_ if given[c.evse] < c.most_a and _has_room(c, budgets, left)]:
        floor_a = min(given[c.evse] for c in open_)
        lowest = [c for c in open_ if given[c.evse] == floor_a]
        level_a = min([c.most_a for c in lowest] + [given[c.evse] for c in open_ if given[c.evse] > floor_a])
        for budget, room in zip(budgets, left, strict=True):
            if weight := sum(budget.weight_of_evse(c.evse) for c in lowest):
                level_a = min(level_a, floor_a + room / weight)
        for claim in lowest:
            given[claim.evse] = level_a
        for i, budget in enumerate(budgets):
            left[i] -= (level_a - floor_a) * sum(budget.weight_of_evse(c.evse) for c in lowest)


def _has_room(claim: Claim, budgets: Sequence[Budget], left: Sequence[float]) -> bool:
    return all(room > _NONE for b, room in zip(budgets, left, strict=True) if b.weight_of_evse(claim.evse))
