"""How long answers took, in a bounded number of counters, however many answers there are."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any

LEAST_S, STEPS, OCTAVES = 10e-6, 32, 24
"""From 10 us to 168 s, in steps of 2.2 %: a percentile is too high by that much at most."""


class LatencyHistogram:
    """Counts of times. Two of them can be added: the fleets of several processes make one report."""

    __slots__ = ("_counts", "count", "longest_s", "total_s")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * STEPS * OCTAVES))
        self.count, self.total_s, self.longest_s = 0, 0.0, 0.0

    def record_time(self, seconds: float) -> None:
        place = int(STEPS * math.log2(seconds / LEAST_S)) if seconds > LEAST_S else 0
        self._counts[min(place, STEPS * OCTAVES - 1)] += 1
        self.count += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)

    def percentile_ms(self, share: float) -> float:
        """Return the time that ``share`` of all do not exceed (ms); 0 without any."""
        wanted, seen = max(math.ceil(share * self.count), 1), 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return 1000.0 * min(LEAST_S * math.exp2((place + 1) / STEPS), self.longest_s)
        return 0.0

    def add_histogram(self, other: LatencyHistogram) -> None:
        for place, count in enumerate(other._counts):
            self._counts[place] += count
        self.count += other.count
        self.total_s += other.total_s
        self.longest_s = max(self.longest_s, other.longest_s)

    def to_summary(self) -> dict[str, float | int]:
        """Return the figures that a report shows (ms)."""
        percentiles = {f"p{round(100 * share)}_ms": self.percentile_ms(share) for share in (0.5, 0.9, 0.95, 0.99)}
        mean_ms = 1000.0 * self.total_s / self.count if self.count else 0.0
        shown = {"mean_ms": mean_ms, **percentiles, "max_ms": 1000.0 * self.longest_s}
        return {"count": self.count, **{name: round(ms, 2) for name, ms in shown.items()}}

    def to_record(self) -> dict[str, Any]:
        """Return all of it for another process."""
        counts = {str(place): count for place, count in enumerate(self._counts) if count}
        return {"counts": counts, "total_s": self.total_s, "longest_s": self.longest_s}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LatencyHistogram:
        made = cls()
        for place, count in record["counts"].items():
            made._counts[int(place)] = count
        made.count = sum(record["counts"].values())
        made.total_s, made.longest_s = record["total_s"], record["longest_s"]
        return made
