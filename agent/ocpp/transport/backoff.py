"""How long to wait before the next attempt (OCPP 2.0.1 part 4, 5.4; 1.6 says nothing and gets the same)."""

from __future__ import annotations

import random

from agent.domain.variables import Settings
from agent.model.fastclass import mutable

RETRY_MAX_S = 600.0


def growing_pause_s(interval_s: float, times: int, least_s: float = 0.0) -> float:
    """Return ``times`` x ``interval_s``, at most ten minutes, or the interval itself where it is
    longer."""
    return max(least_s, min(interval_s * times, max(interval_s, RETRY_MAX_S)))


@mutable
class Backoff:
    """Waits for the next attempt: ``minimum_s`` + random, then twice the previous + random,
    ``repeats`` times, then constant. The random part is drawn again also after the cap:
    otherwise a whole network comes back in step after an outage."""

    jitter: random.Random
    minimum_s: float = 10.0
    random_s: float = 10.0
    repeats: int = 5
    _step: int = 0

    def next_wait_s(self) -> float:
        """Return the next wait in seconds."""
        base_s = self.minimum_s * 2.0**self._step
        self._step = min(self._step + 1, self.repeats)
        return base_s + self.jitter.uniform(0.0, self.random_s)

    def apply_settings(self, settings: Settings) -> None:
        """Take what a backend has set since (2.x RetryBackOff...)."""
        self.minimum_s = float(settings.int_value("backoff_minimum_s"))
        self.random_s = float(settings.int_value("backoff_random_s"))
        self.repeats = settings.int_value("backoff_repeats")

    def reset(self) -> None:
        """Start again with the shortest wait."""
        self._step = 0
