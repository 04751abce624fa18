"""What a run has shown: figures, books against meters, and whether it passes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.fleet.books import StationBalance
from agent.fleet.figures import FleetFigures
from agent.model.fastclass import frozen

SHOWN_MAX = 20
"""Stations whose books do not agree that are named."""
FORMAT = 1


@frozen
class Thresholds:
    """What a run must keep. None: it may be anything."""

    max_p99_ms: float | None = None
    """Of the slowest action."""
    max_errors: int | None = None


@frozen
class ProcessCost:
    """What one process took: real seconds, CPU seconds and resident memory, before the first station and at most."""

    lasted_s: float
    cpu_s: float
    memory_before_kib: int
    memory_kib: int

    def to_record(self) -> dict[str, float]:
        return {
            name: round(getattr(self, name), 3) for name in ("lasted_s", "cpu_s", "memory_before_kib", "memory_kib")
        }


@frozen
class FleetResult:
    """``stations``: how many there were. ``notes``: what happened to the processes of the fleet."""

    stations: int
    figures: FleetFigures
    balances: tuple[StationBalance, ...]
    costs: tuple[ProcessCost, ...]
    notes: tuple[str, ...] = ()
    described: Mapping[str, Any] = field(default_factory=dict)
    """The plan in words: backend, profile, versions."""

    @property
    def disagreeing(self) -> list[StationBalance]:
        return [balance for balance in self.balances if not balance.agrees]

    @property
    def never_accepted(self) -> int:
        return self.stations - len(self.figures.accepted_s)

    def failures(self, thresholds: Thresholds) -> list[str]:
        """Return why the run does not pass, one line each."""
        return [*self._own_failures(), *self._exceeded(thresholds)]

    def _own_failures(self) -> Iterable[str]:
        if self.never_accepted:
            yield f"{self.never_accepted} of {self.stations} stations were never accepted"
        if missing := self.stations - len(self.balances):
            yield f"the books of {missing} stations are missing"
        if wrong := self.disagreeing:
            named = ", ".join(balance.station for balance in wrong[:3]) + ", ..." * (len(wrong) > 3)
            yield f"the books of {len(wrong)} stations do not agree with their meters: {named}"

    def _exceeded(self, thresholds: Thresholds) -> Iterable[str]:
        worst_ms, errors = self.figures.worst_p99_ms(), self.figures.error_count
        most_ms = thresholds.max_p99_ms
        if most_ms is not None and worst_ms > most_ms:
            yield f"the 99th percentile of the slowest action is {worst_ms:.1f} ms, more than {most_ms:g} ms"
        if thresholds.max_errors is not None and errors > thresholds.max_errors:
            yield f"{errors} errors, more than {thresholds.max_errors}"

    def to_report(self, thresholds: Thresholds) -> dict[str, Any]:
        """Return the report as JSON has it (docs/fleet.md)."""
        failures, figures = self.failures(thresholds), self.figures
        return {
            "format": FORMAT, "passed": not failures, "failures": failures, "notes": list(self.notes),
            "plan": dict(self.described),
            "thresholds": {"max_p99_ms": thresholds.max_p99_ms, "max_errors": thresholds.max_errors},
            "stations": {"count": self.stations, "accepted": len(figures.accepted_s), **_accepted_times(figures)},
            "calls": {action: one.to_summary() for action, one in sorted(figures.latencies.items())},
            "requests": {action: one.to_summary() for action, one in sorted(figures.served.items())},
            "errors": dict(figures.errors.most_common()), "counts": dict(sorted(figures.counts.items())),
            "books": self._books_record(),
            "processes": [cost.to_record() for cost in self.costs],
            "course": [point.to_record() for point in figures.course],
            "balances": [balance.to_record() for balance in self.balances],
        }  # fmt: skip

    def _books_record(self) -> dict[str, Any]:
        balances = self.balances
        return {
            "agree": not self.disagreeing and len(balances) == self.stations,
            "transactions": sum(b.transactions for b in balances),
            "open_transactions": sum(b.open_transactions for b in balances),
            "waiting_messages": sum(b.waiting for b in balances),
            "refused_messages": sum(b.dead for b in balances),
            "billed_wh": round(sum(b.billed_wh for b in balances), 1),
            "metered_wh": round(sum(b.metered_wh for b in balances), 1),
            "disagreeing": [b.to_record() for b in self.disagreeing[:SHOWN_MAX]],
        }


def _accepted_times(figures: FleetFigures) -> dict[str, float]:
    """Return when the first and the last station was accepted (real seconds since the start)."""
    times_s = figures.accepted_s
    return {"first_s": round(min(times_s), 3), "all_s": round(max(times_s), 3)} if times_s else {}


def merge_results(results: Sequence[FleetResult], notes: Sequence[str] = ()) -> FleetResult:
    """Return the results of the parts of a fleet as one."""
    figures = FleetFigures()
    figures.add_figures([result.figures for result in results])
    return FleetResult(
        sum(result.stations for result in results),
        figures,
        tuple(balance for result in results for balance in result.balances),
        tuple(cost for result in results for cost in result.costs),
        (*(note for result in results for note in result.notes), *notes),
        results[0].described if results else {},
    )
