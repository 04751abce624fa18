"""What a fleet counts while it runs: answers and their times, errors by kind, and the course of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from agent.fleet.latency_histogram import LatencyHistogram
from agent.model.fastclass import frozen


@frozen
class CoursePoint:
    """The fleet at one moment. ``at_s``: real seconds since the start; ``calls`` and ``errors``: since the point
    before; ``power_kw``: of all outlets together."""

    at_s: float
    online: int
    charging: int
    calls: int
    errors: int
    power_kw: float

    def to_record(self) -> dict[str, float | int]:
        return {name: getattr(self, name) for name in ("at_s", "online", "charging", "calls", "errors", "power_kw")}


class FleetFigures:
    """The figures of one process. All methods are called on its event loop.

    ``latencies``: how long the backend took to answer a CALL, by action. ``served``: how long a station took to answer
    a request of the backend, by action. ``errors``: by kind. ``counts``: all that is no error. ``accepted_s``: when
    each station was accepted for the first time, real seconds since the start.
    """

    def __init__(self) -> None:
        self.latencies: dict[str, LatencyHistogram] = {}
        self.served: dict[str, LatencyHistogram] = {}
        self.errors: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.course: list[CoursePoint] = []
        self.accepted_s: list[float] = []
        self.call_count = self.online_count = 0

    def record_answer(self, action: str, seconds: float) -> None:
        """The backend has answered a CALL of this action."""
        self.call_count += 1
        histogram = self.latencies.get(action)
        if histogram is None:
            histogram = self.latencies[action] = LatencyHistogram()
        histogram.record_time(seconds)

    def record_served_request(self, action: str, seconds: float) -> None:
        """A station has answered a request of this action."""
        histogram = self.served.get(action)
        if histogram is None:
            histogram = self.served[action] = LatencyHistogram()
        histogram.record_time(seconds)

    @property
    def error_count(self) -> int:
        return sum(self.errors.values())

    def worst_p99_ms(self) -> float:
        """Return the 99th percentile of the slowest action (ms)."""
        return max((histogram.percentile_ms(0.99) for histogram in self.latencies.values()), default=0.0)

    def add_figures(self, others: Sequence[FleetFigures]) -> None:
        """Add the figures of other processes. The course of the run is added up second by second."""
        for other in others:
            for mine, theirs in ((self.latencies, other.latencies), (self.served, other.served)):
                for action, histogram in theirs.items():
                    mine.setdefault(action, LatencyHistogram()).add_histogram(histogram)
            self.errors += other.errors
            self.counts += other.counts
            self.accepted_s += other.accepted_s
            self.call_count += other.call_count
            self.online_count += other.online_count
        self.course = _sum_courses([self.course, *(other.course for other in others)])

    def to_record(self) -> dict[str, Any]:
        """Return all of it for another process."""
        return {
            "latencies": {action: one.to_record() for action, one in self.latencies.items()},
            "served": {action: one.to_record() for action, one in self.served.items()},
            "errors": dict(self.errors), "counts": dict(self.counts), "accepted_s": self.accepted_s,
            "course": [point.to_record() for point in self.course],
            "call_count": self.call_count, "online_count": self.online_count,
        }  # fmt: skip

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FleetFigures:
        made = cls()
        made.latencies = {a: LatencyHistogram.from_record(r) for a, r in record["latencies"].items()}
        made.served = {a: LatencyHistogram.from_record(r) for a, r in record["served"].items()}
        made.errors, made.counts = Counter(record["errors"]), Counter(record["counts"])
        made.accepted_s, made.course = list(record["accepted_s"]), [CoursePoint(**r) for r in record["course"]]
        made.call_count, made.online_count = record["call_count"], record["online_count"]
        return made


def _sum_courses(courses: Sequence[Sequence[CoursePoint]]) -> list[CoursePoint]:
    sums: dict[int, list[float]] = {}
    for course in courses:
        for p in course:
            row = sums.setdefault(round(p.at_s), [0.0] * 5)
            values = (p.online, p.charging, p.calls, p.errors, p.power_kw)
            row[:] = [a + b for a, b in zip(row, values, strict=True)]
    return [
        CoursePoint(float(at_s), int(row[0]), int(row[1]), int(row[2]), int(row[3]), row[4])
        for at_s, row in sorted(sums.items())
    ]
