"""``chargy-agent doctor``: why a station does not connect, rung by rung, with what to do."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

from agent.assembly.doctor.findings import RUNGS, Verdict
from agent.commands.command import EXIT_CANNOT, add_language_argument, add_station_argument
from agent.model.command import Command

if TYPE_CHECKING:
    import argparse

    from agent.assembly.doctor.findings import Finding
    from agent.commands.doctor.page import DoctorTexts

EXIT = {Verdict.GOOD: 0, Verdict.WRONG: 1, Verdict.WARNING: 3, Verdict.NOT_JUDGED: 3}
ENDED = 130
LANGUAGES = ("en", "fr", "de")

ABOUT = """\
Why does the station not connect? A ladder from what is at hand to the backend: station file, disk, devices, SIM,
registration, bearer, route, name, TCP, TLS, HTTP upgrade, BootNotification, clock, latency, large packets. Each rung
has a verdict, a reason and what to do. What cannot be tried because a rung before it fails is "not judged".

  chargy-agent doctor station.toml                    beside a running agent, or while it is stopped
  chargy-agent doctor station.toml --language fr      in French (de: German, en: English)
  chargy-agent doctor station.toml --json             for machines, on standard output
  chargy-agent doctor station.toml --json-lines       likewise, each finding as soon as it is there
  chargy-agent doctor station.toml --dial             agent stopped: also connect a modem that is down
  chargy-agent doctor station.toml --boot             agent stopped: also send BootNotification

A running agent is not disturbed: it says what it knows of devices, bearers and links; the doctor tests route, name,
TCP, TLS and latency by sockets of its own and never connects as the charge point. While the agent is stopped, the
devices are opened and read, and the doctor connects to the backend as the charge point for some seconds; only --boot
registers it there. No PIN is used, no release is given, no secret is shown.

Exit code: 0 nothing is wrong, 1 something is wrong, 2 the station file cannot be read, 3 there are only warnings, or
the way to the backend could not be judged.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument("--json", action="store_true", help="for machines, on standard output")
    parser.add_argument(
        "--json-lines", action="store_true", help="for machines that show it live: a line for each step of the work"
    )
    add_language_argument(parser, LANGUAGES, "of the texts")
    parser.add_argument("--boot", action="store_true", help="send BootNotification: the backend sees it")
    parser.add_argument("--dial", action="store_true", help="connect a modem that is down: it costs data")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="how long one step in the network may take (10)"
    )


def run(options: argparse.Namespace) -> int:
    from agent.commands.doctor.page import DoctorTexts

    if not options.verbose:  # the findings say it
        for name in ("agent", "drivers"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_examine(options, DoctorTexts(options.language)))
    except asyncio.CancelledError:
        return ENDED


async def _examine(options: argparse.Namespace, texts: DoctorTexts) -> int:
    from agent.commands.doctor.examination import DoctorOptions
    from agent.commands.doctor.ladder import Ladder
    from agent.commands.doctor.page import machine_page, overall_verdict

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):  # a modem that was dialled is hung up
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    timeout_s = max(0.1, options.timeout)
    output = OUTPUTS["lines" if options.json_lines else "page" if options.json else "text"](texts)
    ladder = Ladder(DoctorOptions(options.boot, options.dial, timeout_s), output.add_finding, output.show_progress)
    file = await ladder.climb(options.station)
    output.end_progress_line()
    if ladder.is_beside_agent and (options.boot or options.dial):
        print(texts.table["words"]["no_effect"], file=sys.stderr)
    output.print_end_of_run(machine_page(file, ladder, texts))
    return EXIT_CANNOT if file is None else EXIT[overall_verdict(ladder.findings)]


class ProgressLine:
    """One line on a terminal that shows what is judged now; nothing where standard error is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()

    def show(self, what: str) -> None:
        if self._is_terminal:
            print(f"\r\x1b[K... {what}", end="", file=sys.stderr, flush=True)

    def clear_line(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class TextOutput:
    """What a person reads: each finding at once, the summary at the end."""

    def __init__(self, texts: DoctorTexts) -> None:
        self.texts, self._progress = texts, ProgressLine()

    def show_progress(self, what: str) -> None:
        self._progress.show(self.texts.title_of(what))

    def end_progress_line(self) -> None:
        self._progress.clear_line()

    def add_finding(self, finding: Finding) -> None:
        self.end_progress_line()
        print("\n".join(self.texts.finding_lines(finding)), flush=True)

    def print_end_of_run(self, page: dict[str, Any]) -> None:
        print(f"\n{page['summary']}")


class PageOutput(TextOutput):
    """The page as one JSON object."""

    def add_finding(self, finding: Finding) -> None:
        self.end_progress_line()

    def print_end_of_run(self, page: dict[str, Any]) -> None:
        print(json.dumps(page, indent=2, ensure_ascii=False))


class LinesOutput(PageOutput):
    """One JSON object a line: ``rungs`` (all of them with their titles), ``judging``, ``finding``, and ``page``."""

    def __init__(self, texts: DoctorTexts) -> None:
        super().__init__(texts)
        self._print_line(rungs=[{"rung": rung, "title": texts.title_of(rung)} for rung in RUNGS])

    def show_progress(self, what: str) -> None:
        name = what.partition(" ")[0]
        self._print_line(judging={"rung": name if name in RUNGS else None, "title": self.texts.title_of(what)})

    def add_finding(self, finding: Finding) -> None:
        from agent.commands.doctor.page import finding_entry

        self._print_line(finding={"rung": finding.rung, **finding_entry(finding, self.texts)})

    def print_end_of_run(self, page: dict[str, Any]) -> None:
        self._print_line(page=page)

    def _print_line(self, **entry: Any) -> None:
        print(json.dumps(entry, ensure_ascii=False), flush=True)


OUTPUTS: dict[str, type[TextOutput]] = {"text": TextOutput, "page": PageOutput, "lines": LinesOutput}

COMMAND = Command(
    "doctor", "Why the station does not connect: each step to the backend, and what to do.", add_arguments, run, ABOUT
)
