"""The report of a fleet as lines of text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def summary_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines: stations, calls, errors, books, and whether it passed."""
    stations, books = report["stations"], report["books"]
    times = ""
    if "all_s" in stations:
        times = f", the first after {stations['first_s']:.1f} s, all after {stations['all_s']:.1f} s"
    yield f"{stations['accepted']} of {stations['count']} stations accepted{times}"
    yield from latency_lines(report["calls"])
    yield from (
        (f"  {count:8}  {kind}" for kind, count in report["errors"].items()) if report["errors"] else ("no error",)
    )
    yield (
        f"books: {books['transactions']} transactions, {books['billed_wh'] / 1000:.1f} kWh billed,"
        f" {books['metered_wh'] / 1000:.1f} kWh metered: {'they agree' if books['agree'] else 'THEY DO NOT AGREE'}"
    )
    yield from (f"note: {note}" for note in report["notes"])
    yield from (f"FAILED: {failure}" for failure in report["failures"])
    if report["passed"]:
        yield "PASSED"


def latency_lines(calls: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Yield a table of the answer times."""
    yield f"  {'action':28} {'answers':>9} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9} {'max ms':>9}"
    for action, row in calls.items():
        times = " ".join(f"{row[name]:9.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        yield f"  {action:28} {row['count']:9} {times}"
