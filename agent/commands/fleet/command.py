"""``chargy-agent fleet``: many stations in few processes, to load a backend and to judge it."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.command import EXIT_CANNOT, print_problems
from agent.model.command import Command
from agent.station_file.parser import SettingsError

if TYPE_CHECKING:
    import argparse

    from agent.fleet.fleet_plan import FleetPlan
    from agent.fleet.fleet_result import FleetResult
    from agent.fleet.fleet_run import FleetRun
    from agent.fleet.profile_file import FleetProfile

PASSED, FAILED = 0, 1
STATIONS_MAX = 100_000
PROCESSES_MAX = 256
DEFAULT_PROFILE = "steady"

ABOUT = """\
Many stations in few processes at a backend: the domain, the link and the dialects of a board, on simulated devices
without wires. Vehicles come and go as the profile says; at the end the books are compared with the meters. The stations
keep their queues in memory. docs/fleet.md explains profiles and reports.

  chargy-agent fleet 50 --backend ws://HOST:PORT/ocpp                  a quiet ten minutes, OCPP 1.6
  chargy-agent fleet 500 --backend URL --ocpp 1.6=3 --ocpp 2.0.1=1     three of four speak 1.6, the others 2.0.1
  chargy-agent fleet 2000 --backend URL --profile reconnect_storm      a profile that comes with the program
  chargy-agent fleet 200 --backend URL --profile mine.toml --cards cards.txt --html report.html --json report.json
  chargy-agent fleet 500 --backend URL --max-p99-ms 500 --max-errors 0 --quiet     for CI
  chargy-agent fleet --list                                            the profiles that come with the program

Ctrl-C ends the profile early, in order. A second one ends at once.

Exit code: 0 passed, 1 a threshold is exceeded, a station was never accepted, or books and meters do not agree, 2 it
cannot be done (wrong profile or arguments), 130 interrupted.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("count", nargs="?", type=_station_count, metavar="N", help="how many stations")
    parser.add_argument("--backend", metavar="URL", help="central system (ws:// or wss://); the id is appended")
    parser.add_argument(
        "--ocpp", action="append", default=[], metavar="VERSION[=SHARE]",
        help="OCPP version (1.6); repeatable with shares: --ocpp 1.6=3 --ocpp 2.0.1=1; wins over the profile's",
    )  # fmt: skip
    parser.add_argument("--profile", default=DEFAULT_PROFILE, metavar="FILE", help="a file, or a name of --list")
    parser.add_argument("--list", action="store_true", help="list the profiles that come with the program")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds of the profile; wins over the file's")
    parser.add_argument("--rate", type=float, metavar="X", help="the stations' time runs X times as fast")
    parser.add_argument("--cards", type=Path, metavar="FILE", help="cards that the backend knows, one in each line")
    parser.add_argument(
        "--station", type=Path, metavar="STATION.toml",
        help="a station file: [station], [backend], [settings] and [[evse]] count for all stations",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, metavar="FOLDER",
        help="journal queues, books and meters there: a fleet that was killed goes on when it is started again",
    )  # fmt: skip
    parser.add_argument(
        "--scheduler", metavar="URL",
        help="run at the workers of this Dask scheduler (tcp://HOST:8786); each needs this program and the folder",
    )  # fmt: skip
    parser.add_argument(
        "--processes", type=_process_count, metavar="N",
        help="split the fleet among N processes (one for each core, of at least 500 stations each)",
    )  # fmt: skip
    parser.add_argument("--prefix", default="FLEET", metavar="TEXT", help="ids are TEXT-00001 and so on (FLEET)")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="number of the first station (1)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of all that is drawn at random (1)")
    _add_report_arguments(parser)


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report with plots, one file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures; - is the standard output")
    parser.add_argument("--max-p99-ms", type=float, metavar="MS", help="most that the slowest action may have (p99)")
    parser.add_argument("--max-errors", type=int, metavar="N", help="most errors that there may be")
    parser.add_argument("--settle", type=float, default=60.0, metavar="S", help="real seconds for the end (60)")
    parser.add_argument("--quiet", action="store_true", help="show the end alone")


def _station_count(text: str) -> int:
    import argparse

    if not text.isdecimal() or not 1 <= int(text) <= STATIONS_MAX:
        raise argparse.ArgumentTypeError(f"must be 1 to {STATIONS_MAX} stations, is {text!r}")
    return int(text)


def _process_count(text: str) -> int:
    import argparse

    if not text.isdecimal() or not 1 <= int(text) <= PROCESSES_MAX:
        raise argparse.ArgumentTypeError(f"must be 1 to {PROCESSES_MAX} processes, is {text!r}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    if options.list:
        return _list_profiles()
    if options.count is None or not options.backend:
        print("chargy-agent fleet: give the number of stations and --backend URL", file=sys.stderr)
        return EXIT_CANNOT
    try:
        plan = _plan_of_options(options)
        _configure_log(plan, options)
        result = _run_plan(plan, options)
    except SettingsError as e:
        _print_mistakes(e, options)
        return EXIT_CANNOT
    except OSError as e:
        print(f"chargy-agent fleet: {e.filename or 'fleet'}: {e.strerror or e}", file=sys.stderr)
        return EXIT_CANNOT
    return _report_result(result, options)


def _run_plan(plan: FleetPlan, options: argparse.Namespace) -> FleetResult:
    """Run the fleet where the options say. Raises ``SettingsError``, ``OSError``."""
    from agent.commands.fleet.parallel_run import usual_process_count

    if options.scheduler:
        if options.processes:
            raise SettingsError(["--processes: not with --scheduler: there each worker has one part"])
        return _run_distributed(plan, options)
    processes = min(plan.count, options.processes or usual_process_count(plan.count))
    if processes == 1:
        return asyncio.run(_run_fleet(plan, options.quiet))
    return _run_parallel(plan, processes, options.quiet)


def _run_parallel(plan: FleetPlan, processes: int, is_quiet: bool) -> FleetResult:
    from agent.commands.fleet.live_view import open_live_view
    from agent.commands.fleet.parallel_run import ParallelRun

    with open_live_view(is_quiet) as show:
        return ParallelRun(plan, processes, None if is_quiet else show).run()


def _run_distributed(plan: FleetPlan, options: argparse.Namespace) -> FleetResult:
    """Run the fleet at the workers of a Dask scheduler. Raises ``SettingsError``, ``OSError``."""
    from agent.commands.fleet.distributed_run import DistributedRun, missing_engine

    if said := missing_engine():
        raise SettingsError([f"--scheduler: {said}"])

    def show(line: str) -> None:
        if not options.quiet:
            print(line, file=sys.stderr, flush=True)

    return DistributedRun(plan, options.scheduler, show).run()


def _configure_log(plan: FleetPlan, options: argparse.Namespace) -> None:
    """Log nothing without ``--verbose``, because what fails is counted. No line shows a card of ``--cards``."""
    if not options.verbose:
        logging.getLogger("agent").setLevel(logging.CRITICAL)
    elif options.cards:
        from agent.services.logs.masking import LogMask

        mask = LogMask()
        mask.install_filter()
        for card in plan.cards:
            mask.learn_secret(card.value)


def _print_mistakes(error: SettingsError, options: argparse.Namespace) -> None:
    """Print each mistake, with its place if it is one of a file."""
    files = [Path(options.profile), *([options.station] if options.station else [])]
    for complaint in error.problems:
        file = next((f for f in files if complaint.startswith(f"{f}: ")), None)
        if file is None:
            print(f"chargy-agent fleet: {complaint}", file=sys.stderr)
        else:
            print_problems(file, SettingsError([complaint]))


def _list_profiles() -> int:
    from agent.fleet.profile_file import load_profile, shipped_profiles

    for name in shipped_profiles():
        print(f"{name:18} {load_profile(name).about}")
    return PASSED


def _plan_of_options(options: argparse.Namespace) -> FleetPlan:
    """Return the plan. Raises ``SettingsError``, ``OSError``."""
    from agent.fleet.driver_visit import make_cards, read_cards
    from agent.fleet.fleet_plan import FleetPlan
    from agent.fleet.profile_file import load_profile

    profile = _changed_profile(load_profile(options.profile), options)
    cards = read_cards(options.cards.read_text("utf-8")) if options.cards else make_cards(10 * options.count)
    if not cards:
        raise SettingsError([f"{options.cards}: there is no card in it"])
    return FleetPlan(
        options.count, options.backend, _chosen_versions(options.ocpp, profile), profile, cards,
        first=options.first, prefix=options.prefix, seed=options.seed, settle_s=options.settle,
        station_file=options.station, name=options.profile, store_folder=options.store,
    )  # fmt: skip


def _changed_profile(profile: FleetProfile, options: argparse.Namespace) -> FleetProfile:
    """Return the profile with what the command line says of it. Raises ``SettingsError``."""
    from agent.fleet.profile_file import parse_profile
    from agent.model.fastclass import replace

    changes = {"duration_s": options.duration, "rate": options.rate}
    given = {name: value for name, value in changes.items() if value is not None}
    parse_profile(given, Path("command line"))
    return replace(profile, **given)


def _chosen_versions(words: list[str], profile: FleetProfile) -> Mapping[str, float]:
    """Return the share of each version. Raises ``SettingsError``."""
    from agent.fleet.profile_file import parse_profile
    from agent.station_file.tables import Backend

    shares: dict[str, Any] = {}
    for word in words:
        version, _, share = word.partition("=")
        shares[version] = float(share) if share.replace(".", "", 1).isdecimal() else share or 1.0
    parse_profile({"versions": shares}, Path("--ocpp"))
    return shares or profile.versions or {Backend().versions[0]: 1.0}


async def _run_fleet(plan: FleetPlan, is_quiet: bool) -> FleetResult:
    from agent.commands.fleet.live_view import open_live_view
    from agent.fleet.fleet_run import FleetRun

    with open_live_view(is_quiet) as show:
        fleet = FleetRun(plan, lambda run: show(run.situation))
        _end_on_interrupt(fleet)
        return await fleet.run()


def _end_on_interrupt(fleet: FleetRun) -> None:
    """Let the first Ctrl-C end the profile, the second one the program."""
    loop = asyncio.get_running_loop()

    def end_in_order() -> None:
        fleet.end_early()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, end_in_order)


def _report_result(result: FleetResult, options: argparse.Namespace) -> int:
    from agent.commands.fleet.report_html import fleet_report_html
    from agent.commands.fleet.report_text import summary_lines
    from agent.fleet.fleet_result import Thresholds

    report = result.to_report(Thresholds(options.max_p99_ms, options.max_errors))
    if options.html is not None:
        options.html.write_text(fleet_report_html(report), "utf-8")
    text = json.dumps(report, indent=2)
    if options.json == Path("-"):
        print(text)
    else:
        print("\n".join(summary_lines(report)))
        if options.json is not None:
            options.json.write_text(text + "\n", "utf-8")
    return PASSED if report["passed"] else FAILED


COMMAND = Command(
    "fleet", "Many stations in few processes at a backend, with latencies, errors and books.", add_arguments, run, ABOUT
)
