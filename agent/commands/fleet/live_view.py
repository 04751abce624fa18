"""What a terminal shows while a fleet runs: a table that is renewed once a second, or a line for every ten seconds.

The table needs ``rich`` (the extra ``fleet``); without it, or where the output is no terminal, lines are written.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.fleet.situation import FleetSituation

LINE_EVERY = 10
ERRORS_SHOWN = 6


@contextmanager
def open_live_view(is_quiet: bool) -> Iterator[Callable[[FleetSituation], None]]:
    """Open the view. What it yields is called once a second."""
    if is_quiet:
        yield lambda fleet: None
    elif sys.stderr.isatty() and _has_rich():
        with _open_table() as show:
            yield show
    else:
        yield LineWriter().write_due_line


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None


class LineWriter:
    """Writes the first situation, and one of every ten points of the course. A busy machine, or a fleet in several
    processes, shows some points together."""

    def __init__(self) -> None:
        self._next_length = 1

    def write_due_line(self, fleet: FleetSituation) -> None:
        length = len(fleet.figures.course)
        if length >= self._next_length:
            self._next_length = length - (length - 1) % LINE_EVERY + LINE_EVERY
            print(situation_line(fleet), file=sys.stderr, flush=True)


def situation_line(fleet: FleetSituation) -> str:
    """Return the situation in one line."""
    point, figures = fleet.figures.course[-1], fleet.figures
    return (
        f"{point.at_s:6.0f} s  {fleet.phase}: {point.online} of {fleet.count} on line, {point.charging} charging"
        f" with {point.power_kw:.0f} kW, {figures.call_count} answers ({point.calls}/s), {figures.error_count} errors"
    )


@contextmanager
def _open_table() -> Iterator[Callable[[FleetSituation], None]]:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda fleet: live.update(_make_table(fleet), refresh=True)


def _make_table(fleet: FleetSituation) -> Any:
    from rich.table import Table

    table = Table(title=situation_line(fleet), title_justify="left", expand=False)
    for name in ("action", "answers", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(name, justify="left" if name == "action" else "right")
    for action, histogram in sorted(fleet.figures.latencies.items()):
        row = histogram.to_summary()
        times = (f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        table.add_row(action, str(row["count"]), *times)
    for kind, count in fleet.figures.errors.most_common(ERRORS_SHOWN):
        table.add_row(kind, str(count), style="red")
    return table
