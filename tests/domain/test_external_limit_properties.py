"""The limit of an energy manager is never exceeded, in whatever order reports, silence, profiles and vehicles come.

What is ordered of the boards is within the limit from the very event on that lowers it. What vehicles draw, which take
their time to follow (IEC 61851-1, annex A), is within the highest limit of that time.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.domain.charging.external_limit import ExternalLimitConfig, SilencePolicy
from agent.domain.charging.profiles import Unit
from agent.domain.charging.station_limits import YIELD_S
from agent.domain.events import ExternalLimitReported
from tests.domain.feed_watch import EVSES, FeedWatch
from tests.domain.test_feed_phase_properties import STEPS, take_step

VOLTS = 230.0
SILENT_S = 5.0
FALLBACK_A = 12.0
WATTS_PER_A = 3 * VOLTS


class LimitWatch(FeedWatch):
    """Knows by itself which limit is in force: that of the last report, or what the policy makes of silence."""

    def __init__(self, unit: Unit, policy: SilencePolicy) -> None:
        self.per_a = 1.0 if unit is Unit.A else WATTS_PER_A
        self.unit, self.policy = unit, policy
        self.fallback = FALLBACK_A * self.per_a if policy is SilencePolicy.FALL_BACK else None
        self.heard_limit, self.heard_s = self.fallback, math.inf
        self.limits: deque[tuple[float, float]] = deque()
        super().__init__(
            external_limit=ExternalLimitConfig(unit, silent_s=SILENT_S, on_silence=policy, fallback=self.fallback)
        )

    def report(self, amperes: float | None) -> None:
        self.heard_limit = None if amperes is None else amperes * self.per_a
        self.heard_s = self.t_s
        self.feed_and_check(ExternalLimitReported(self.heard_limit))

    def limit_in_force(self) -> float:
        limit = self.heard_limit
        if self.t_s >= self.heard_s + SILENT_S and self.policy is not SilencePolicy.KEEP:
            limit = self.fallback
        return math.inf if limit is None else limit

    def check_feed(self) -> None:
        super().check_feed()
        limit = self.limit_in_force()
        if not self.limits or self.limits[-1][1] != limit:
            self.limits.append((self.t_s, limit))
        while len(self.limits) > 1 and self.limits[1][0] <= self.t_s - YIELD_S:
            self.limits.popleft()
        ordered_a = [[offers[-1][1]] for number, offers in self.offers.items() if offers and self.released(number)]
        assert self.highest_sum(ordered_a) <= limit + 1e-6, (ordered_a, limit)
        drawn_a = [[a for _, a in offers] for number, offers in self.offers.items() if self.closed[number]]
        assert self.highest_sum(drawn_a) <= max(limit for _, limit in self.limits) + 1e-6, (drawn_a, self.limits)

    def highest_sum(self, offers_a: list[list[dict[str, float]]]) -> float:
        """Return the highest current of a phase, or the power of all of them, where each vehicle follows one of its
        offers."""
        if self.unit is Unit.W:
            return sum(max(VOLTS * sum(by_phase.values()) for by_phase in offers) for offers in offers_a)
        return max(sum(max(a.get(phase, 0.0) for a in offers) for offers in offers_a) for phase in "RST")


REPORTS = st.tuples(st.just("report limit"), st.sampled_from((None, 0.0, 5.0, 6.0, 7.5, 13.0, 20.0, 25.0, 60.0)))


def run_steps(play: LimitWatch, steps: list[Any]) -> None:
    for number in EVSES[:2]:
        play.begin_session(number)
        play.wait_and_check(6.0)
    for step in steps:
        if step[0] == "report limit":
            play.report(step[1])
        else:
            take_step(play, *step)


@pytest.mark.parametrize("policy", SilencePolicy)
@pytest.mark.parametrize("unit", Unit)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("report limit", 13.0), ("wait", 1.0), ("report limit", None), ("wait", 6.0), ("begin", 3), ("wait", 6.0)])
@example([("report limit", 13.0), ("wait", 0.5), ("profile", 1, 6, None, Unit.A), ("wait", 0.5), ("wait", 4.0)])
@example([("report limit", 20.0), ("wait", 4.0), ("report limit", 7.5), ("pause", 1), ("wait", 1.0), ("ready", 1)])
@given(steps=st.lists(st.one_of(REPORTS, STEPS), min_size=1, max_size=20))
def test_an_external_limit_is_never_exceeded(unit: Unit, policy: SilencePolicy, steps: list[Any]) -> None:
    run_steps(LimitWatch(unit, policy), steps)
