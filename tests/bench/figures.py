"""What was measured, as rows beside their goals: printed as they come, and written as a table of a document."""

from __future__ import annotations

import os
import platform
import sqlite3
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import ROOT

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


@dataclass(frozen=True)
class Goal:
    """``limit``: the least or most that ``value`` may be, in ``unit``; ``why``: what keeps it from the goal, if it
    does."""

    name: str
    what: str
    limit: float
    unit: str
    least: bool = False
    why: str = ""

    def met(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit

    def said(self) -> str:
        return f"{'≥' if self.least else '≤'} {self.limit:g} {self.unit}"


@dataclass(frozen=True)
class Row:
    goal: Goal
    value: float
    measured: str
    beside: str


class Figures:
    """``show`` is for what stands beside a goal, ``judge`` for a goal itself."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        self.rows: list[Row] = []
        self.skipped: list[tuple[str, str]] = []
        self._say = say

    def show(self, name: str, figure: str, beside: str = "") -> None:
        self._say(f"  {name:44s} {figure:>28s}   {beside}".rstrip())

    def judge(self, goal: Goal, value: float, measured: str, beside: str = "") -> None:
        self.rows.append(Row(goal, value, measured, beside))
        verdict = "met" if goal.met(value) else "MISSED"
        self.show(f"{goal.name} {goal.what}", f"{value:.2f} {goal.unit}", f"{verdict} ({goal.said()}); {measured}")

    def skip(self, section: str, why: str) -> None:
        self.skipped.append((section, why))
        self.show(f"skipped: {section}", "", why)


def machine() -> str:
    """What it was measured on, without a name of it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), platform.machine())
    return (
        f"{os.cpu_count()} × {model}, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}, "
        f"{ssl.OPENSSL_VERSION.rsplit(' ', 3)[0]}, SQLite {sqlite3.sqlite_version}"
    )


def commit() -> str:
    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "agent", "drivers", "tests/bench")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def table(figures: Figures, when: str, load: str) -> str:
    """Markdown between the markers, the markers included."""
    lines = [
        BEGIN,
        f"Commit {commit()}, {when}, one run of `make bench`. Machine: {machine()}; load average {load}.",
        "",
        "| goal | what | limit | here | measured, and beside what | |",
        "|---|---|---|---|---|---|",
    ]
    for row in figures.rows:
        verdict = "met" if row.goal.met(row.value) else "**missed**"
        lines.append(
            f"| {row.goal.name} | {row.goal.what} | {row.goal.said()} | {row.value:.2f} | "
            f"{'; '.join(x for x in (row.measured, row.beside) if x)} | {verdict} |"
        )
    reasons = (f"* {r.goal.name}: {r.goal.why}" for r in figures.rows if r.goal.why and not r.goal.met(r.value))
    if missed := list(dict.fromkeys(reasons)):
        lines += ["", "What is missed, and why:", "", *missed]
    lines += ["", *(f"Not measured: {section} ({why})." for section, why in figures.skipped), END]
    return "\n".join(lines)


def write(path: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Between the markers of ``path``. Raises ``ValueError`` where there are none."""
    old = path.read_text("utf-8")
    head, found, rest = old.partition(marks[0])
    _, closed, tail = rest.partition(marks[1])
    if not found or not closed:
        raise ValueError(f"{path}: no lines {marks[0]} and {marks[1]}")
    path.write_text(head + text + tail, "utf-8")
