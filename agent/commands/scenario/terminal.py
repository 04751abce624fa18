"""The terminal of a run: a progress bar with the time left, lines above it, and what a person types."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque

from agent.scenario.outcome import ScenarioOutcome, StepOutcome, Verdict
from agent.scenario.scenario_model import Scenario, Step
from agent.scenario.target import CannotCarryOut
from agent.scenario.wording import step_title

BAR = 24
WIDTH = 110


class Terminal:
    """Writes to standard error. Without a terminal there is no bar, only lines."""

    def __init__(self, total_steps: int = 0) -> None:
        self._bar_shown, self._is_terminal = False, sys.stderr.isatty()
        self.total_steps, self.done_steps = max(total_steps, 1), 0
        self._began_s = time.monotonic()
        self._title = ""

    # --- progress ----------------------------------------------------------------------------------------------------

    def begin_scenario(self, scenario: Scenario, version: str) -> None:
        self._title = f"{scenario.id} ({version or 'no version yet'})"
        self.show_bar("")

    def begin_step(self, step: Step, done: int, total: int) -> None:
        self.show_bar(f"{step.number} {step_title(step.kind, step.values)}")

    def end_step(self, outcome: StepOutcome) -> None:
        self.done_steps += 1
        if outcome.verdict in (Verdict.FAIL, Verdict.ERROR):
            place = f"{self._title}, step {outcome.step_id}, line {outcome.step.line}"
            self.print_line(f"{outcome.verdict} {place}: {outcome.says}")

    def end_scenario(self, outcome: ScenarioOutcome) -> None:
        more = f": {outcome.says}" if outcome.says else ""
        words = f"{outcome.final_verdict} {outcome.scenario.id} (OCPP {outcome.version}), {outcome.took_s:.1f} s{more}"
        self.done_steps += len(outcome.not_reached)
        self.print_line(words)

    def show_bar(self, what: str) -> None:
        """Draw the bar: how much is done, how long the rest takes at this pace, what is done now."""
        if not self._is_terminal:
            return
        share = min(self.done_steps / self.total_steps, 1.0)
        bar = "#" * round(BAR * share) + "." * (BAR - round(BAR * share))
        line = f"[{bar}] {self.done_steps}/{self.total_steps} {self._time_left_in_words()} {self._title} {what}"
        sys.stderr.write(f"\r{line[:WIDTH]}\x1b[K")
        sys.stderr.flush()
        self._bar_shown = True

    def _time_left_in_words(self) -> str:
        if not self.done_steps:
            return "time left unknown,"
        left_s = (time.monotonic() - self._began_s) / self.done_steps * (self.total_steps - self.done_steps)
        minutes, seconds = divmod(max(round(left_s), 0), 60)
        return f"{minutes}:{seconds:02} left,"

    def print_line(self, text: str) -> None:
        """Write a line above the bar."""
        if self._bar_shown:
            sys.stderr.write("\r\x1b[K")
            self._bar_shown = False
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class TypedLines:
    """The lines that a person types, from standard input. A line that is typed between two questions is dropped."""

    def __init__(self) -> None:
        self._buffer, self._lines, self._ended = b"", deque[str](), False

    def drop_typed(self) -> None:
        """Forget what was typed before a question, where a terminal is used."""
        if sys.stdin.isatty():
            self._lines.clear()

    async def next_line(self) -> str:
        """Return the next line. Raises ``CannotCarryOut`` if there is none any more."""
        fd, loop, ready = sys.stdin.fileno(), asyncio.get_running_loop(), asyncio.Event()
        while not self._lines:
            if self._ended:
                raise CannotCarryOut("there is no person at the terminal (standard input has ended)")
            try:
                loop.add_reader(fd, ready.set)
            except OSError:  # a plain file is always ready
                ready.set()
            try:
                await ready.wait()
            finally:
                loop.remove_reader(fd)
            ready.clear()
            self._read_available_input(fd)
        return self._lines.popleft()

    def _read_available_input(self, fd: int) -> None:
        chunk = os.read(fd, 4096)
        *whole, self._buffer = (self._buffer + chunk).split(b"\n")
        self._lines += [line.decode("utf-8", "replace").strip() for line in whole]
        self._ended = not chunk
