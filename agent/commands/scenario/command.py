"""``chargy-agent scenario``: run, list and check scenarios."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.command import EXIT_CANNOT, add_language_argument
from agent.model.command import Command

if TYPE_CHECKING:
    from agent.commands.scenario.sessions import RunRequest
    from agent.scenario.outcome import ScenarioOutcome
    from agent.scenario.scenario_model import Scenario

ALL_PASSED, SOMETHING_FAILED, NOTHING_PROVEN = 0, 1, 3
ENDED = 130
LANGUAGES = ("en", "fr", "de")

ABOUT = """\
Run scenarios: files that say what is done at a station, what its backend sends, and what must happen. docs/scenarios.md
explains the language. The same file runs on a simulated station, on a real one and on one that is not ours.

  chargy-agent scenario list                             the scenarios that come with the program
  chargy-agent scenario run --simulate                   all of them, on a simulated station, unattended
  chargy-agent scenario run card_first --simulate        one by its name, or a file, or a folder
  chargy-agent scenario run my.toml --listen 0.0.0.0:9000                     any station that connects here; you act
  chargy-agent scenario run my.toml --listen 0.0.0.0:9000 --language fr       you are asked in French (de: German)
  chargy-agent scenario run my.toml --station station.toml --listen 0.0.0.0:9000     the station of this file
  chargy-agent scenario run my.toml --listen 0.0.0.0:9000 --actuator ./rig    a command of yours acts in your place
  chargy-agent scenario run my.toml --simulate --backend ws://HOST:PORT       test a backend; you have it send
  chargy-agent scenario run --simulate --backend ws://HOST:PORT --no-person --junit r.xml          the same unattended
  chargy-agent scenario check my.toml                    every mistake with its line
  chargy-agent scenario schema                           the JSON Schema, for editors

Exit code: 0 everything passed, 1 something failed, 2 it cannot be done (wrong file or arguments), 3 nothing failed, but
a scenario could not be carried out, or none applies.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    run_action = _add_action(actions, "run", "run scenarios", _run_scenarios)
    run_action.add_argument("files", nargs="*", metavar="FILE", help="a file, a folder, or a name from the list")
    _add_target_arguments(run_action)
    _add_run_arguments(run_action)
    _add_action(actions, "list", "list the scenarios that come with the program", _list_scenarios)
    check = _add_action(actions, "check", "check scenario files", _check_files)
    check.add_argument("files", nargs="+", metavar="FILE")
    _add_action(actions, "schema", "print the JSON Schema of scenario files", _print_schema)


def _add_action(actions: Any, name: str, text: str, do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    action.set_defaults(scenario_action=do)
    return action


def _add_target_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--simulate", action="store_true", help="on a simulated station")
    parser.add_argument("--station", type=Path, metavar="STATION.toml", help="the station file, simulated or real")
    parser.add_argument("--listen", metavar="HOST:PORT", help="wait here for a station, as its backend")
    parser.add_argument("--id", default="", help="take this station only (default: the first one that connects)")
    parser.add_argument(
        "--password", action="append", default=[], metavar="ID=PW", help="a station must log in with it (repeatable)"
    )
    parser.add_argument("--backend", default="", metavar="URL", help="with --simulate: a backend that is not ours")
    parser.add_argument("--actuator", default="", metavar="CMD", help="a command that acts: CMD KIND JSON")
    parser.add_argument(
        "--backend-command", default="", metavar="CMD", help="has the backend send: CMD ACTION JSON STATION"
    )
    parser.add_argument("--no-person", action="store_true", help="ask nothing; what needs a person is NOT APPLICABLE")
    parser.add_argument(
        "--misbehaviour", action="append", default=[], metavar="NAME",
        help="with --simulate: the station deviates from the standard (docs/misbehaviour.md; repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="with --simulate: record the conversations (docs/recording.md)"
    )


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ocpp", action="append", default=[], metavar="VERSION", help="this version only (repeatable)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the scenarios (repeatable)"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="NEED", help="what the station has not (repeatable)"
    )
    parser.add_argument("--speed", type=float, default=20.0, metavar="X", help="of a simulated station's time (20)")
    parser.add_argument(
        "--patience", type=float, default=120.0, metavar="S", help="real seconds for a person or a command (120)"
    )
    parser.add_argument(
        "--connect-within", type=float, default=300.0, metavar="S", help="real seconds until a station connects (300)"
    )
    parser.add_argument(
        "--least-wait", type=float, default=30.0, metavar="S",
        help="real seconds that each wait of a simulation lasts at least (30)",
    )  # fmt: skip
    add_language_argument(parser, LANGUAGES, "of what a person is asked")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results with all evidence")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the results for CI")


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    from agent.scenario.scenario_file import ScenarioError
    from agent.station_file.settings import SettingsError

    try:
        do: Callable[[argparse.Namespace], int] = options.scenario_action
        return do(options)
    except (ScenarioError, SettingsError) as e:
        return _print_refusal(str(e))
    except BrokenPipeError:
        raise  # the reader of the output (head) has ended
    except OSError as e:
        return _print_refusal(f"{e.filename or 'scenario'}: {e.strerror or e}")


def _print_refusal(why: str) -> int:
    print(why, file=sys.stderr)
    return EXIT_CANNOT


# --- list, check, schema ---------------------------------------------------------------------------------------------


def _list_scenarios(options: argparse.Namespace) -> int:
    from agent.commands.scenario.stations import library_folder

    for scenario in _load_all_scenarios(sorted(library_folder().glob("*.toml"))):
        needs = f"  [{', '.join(scenario.needs)}]" if scenario.needs else ""
        print(f"{scenario.id:33} {', '.join(scenario.versions):11} {scenario.title}{needs}")
    return ALL_PASSED


def _check_files(options: argparse.Namespace) -> int:
    from agent.scenario.scenario_file import ScenarioError, load_scenario

    code = ALL_PASSED
    for path in scenario_paths(options.files):
        try:
            scenario = load_scenario(path)
            print(f"{path}: right, {scenario.count_steps()} steps")
        except ScenarioError as e:
            code = _print_refusal(str(e))
    return code


def _print_schema(options: argparse.Namespace) -> int:
    from agent.scenario.schema import schema_text

    print(schema_text(), end="")
    return ALL_PASSED


def scenario_paths(words: Sequence[str]) -> list[Path]:
    """Return the files that the words name: files, folders, names of the library. Raises ``SettingsError``."""
    from agent.commands.scenario.stations import library_folder
    from agent.station_file.settings import SettingsError

    found: list[Path] = []
    for word in words or [str(library_folder())]:
        path, shipped = Path(word), library_folder() / f"{word}.toml"
        if path.is_dir():
            found += sorted(path.glob("*.toml"))
        elif path.exists() or not shipped.exists():
            found.append(path)
        else:
            found.append(shipped)
        if not path.exists() and not shipped.exists():
            raise SettingsError([f"{word}: there is no such file, and no scenario of this name (scenario list)"])
    return found


def _load_all_scenarios(paths: Sequence[Path]) -> list[Scenario]:
    """Load all scenarios. Raises ``SettingsError`` with the mistakes of all files."""
    from agent.scenario.scenario_file import ScenarioError, load_scenario
    from agent.station_file.settings import SettingsError

    loaded, wrong = [], []
    for path in paths:
        try:
            loaded.append(load_scenario(path))
        except ScenarioError as e:
            wrong.append(str(e))
    if wrong:
        raise SettingsError(wrong)
    return loaded


# --- run -------------------------------------------------------------------------------------------------------------


def _run_scenarios(options: argparse.Namespace) -> int:
    from agent.commands.scenario.sessions import count_planned_steps
    from agent.commands.scenario.terminal import Terminal

    request = parse_request(options)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    terminal = Terminal(count_planned_steps(request, options.simulate))
    try:
        outcomes = asyncio.run(_run_cancellably(request, terminal, options.simulate))
    except asyncio.CancelledError:
        return ENDED
    return _write_results(outcomes, options, began)


async def _run_cancellably(request: RunRequest, terminal: Any, simulated: bool) -> list[ScenarioOutcome]:
    """Run. SIGTERM ends it like Ctrl-C, so that no child process stays behind."""
    from agent.commands.scenario.sessions import run_listening, run_simulated

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await (run_simulated if simulated else run_listening)(request, terminal)


def parse_request(options: argparse.Namespace) -> RunRequest:
    """Return the request of the command line. Raises ``SettingsError``."""
    from agent.commands.scenario.sessions import RunRequest, unused_names
    from agent.station_file.settings import SettingsError

    scenarios = tuple(_load_all_scenarios(scenario_paths(options.files)))
    variables = dict(parse_pairs(options.set, "--set"))
    if wrong := [
        *_option_problems(options),
        *(f"--set {n}: no scenario has it" for n in unused_names(scenarios, variables)),
    ]:
        raise SettingsError(wrong)
    host, _, port = (options.listen or "127.0.0.1:0").rpartition(":")
    lacks = dict.fromkeys(options.without, "--without says so")
    station_id = options.id
    if options.station is not None:
        station_lack, known_id = _station_facts(options.station, options.simulate)
        lacks, station_id = {**station_lack, **lacks}, station_id or ("" if options.simulate else known_id)
    return RunRequest(
        scenarios,
        variables,
        station=options.station,
        versions=tuple(options.ocpp),
        speed=options.speed,
        least_wait_s=options.least_wait,
        patience_s=options.patience,
        connect_within_s=options.connect_within,
        host=host.strip("[]"),
        port=int(port),
        station_id=station_id,
        passwords=dict(parse_pairs(options.password, "--password")),
        lacks=lacks,
        backend_url=options.backend,
        actuator=options.actuator,
        backend_command=options.backend_command,
        with_person=not options.no_person,
        language=options.language,
        simulate_arguments=_simulate_arguments(options),
    )


def _simulate_arguments(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the arguments that the command ``simulate`` gets as they are."""
    misbehaviour = [word for name in options.misbehaviour for word in ("--misbehaviour", name)]
    record = ["--record", str(options.record.resolve())] if options.record is not None else []
    return (*misbehaviour, *record)


def _station_facts(path: Path, simulated: bool) -> tuple[dict[str, str], str]:
    """Return what a station lacks by its file, and its charge point id. Raises ``SettingsError``."""
    from agent.commands.scenario.stations import station_lacks
    from agent.station_file.settings import load_station_file

    file = load_station_file(path)
    return dict(station_lacks(file, simulated)), next((b.charge_point_id for b in file.backends), file.station.id)


def _option_problems(options: argparse.Namespace) -> list[str]:
    from agent.scenario.grammar import NEEDS, VERSIONS
    from agent.station_file.tables import MISBEHAVIOURS

    wrong = [f"--ocpp {v}: known: {', '.join(VERSIONS)}" for v in options.ocpp if v not in VERSIONS]
    wrong += [f"--without {n}: known: {', '.join(NEEDS)}" for n in options.without if n not in NEEDS]
    if options.simulate == bool(options.listen):
        wrong.append("say either --simulate, or --listen HOST:PORT for a station that connects here")
    if options.backend and not options.simulate:
        wrong.append("--backend: belongs to --simulate; a station of yours is pointed at a backend by its own settings")
    wrong += [
        f"{name}: belongs to --simulate"
        for name, given in (("--misbehaviour", options.misbehaviour), ("--record", options.record))
        if given and not options.simulate
    ]
    wrong += [
        f"--misbehaviour {name}: known: {', '.join(MISBEHAVIOURS)}"
        for name in options.misbehaviour
        if name not in MISBEHAVIOURS
    ]
    if options.backend_command and not options.backend:
        wrong.append("--backend-command: belongs to --backend")
    if options.listen and not options.listen.rpartition(":")[2].isdigit():
        wrong.append(f"--listen {options.listen}: must be HOST:PORT")
    wrong += [
        f"{name} {file}: there is no folder {file.parent}"
        for name, file in (("--json", options.json), ("--junit", options.junit))
        if file is not None and not file.parent.is_dir()
    ]
    if not 0.1 <= options.speed <= 1000:
        wrong.append(f"--speed {options.speed:g}: must be 0.1 to 1000")
    return wrong


def parse_pairs(words: Sequence[str], option: str) -> list[tuple[str, str]]:
    """Return the pairs of words NAME=VALUE. Raises ``SettingsError``."""
    from agent.station_file.settings import SettingsError

    pairs = [word.partition("=") for word in words]
    if any(not equals or not name for name, equals, _ in pairs):
        raise SettingsError([f"{option}: must be NAME=VALUE"])
    return [(name, value) for name, _, value in pairs]


def _write_results(outcomes: Sequence[ScenarioOutcome], options: argparse.Namespace, began: str) -> int:
    from agent.scenario.outcome import Verdict, overall_verdict
    from agent.scenario.report import report_json, report_junit

    if options.json:
        options.json.write_text(report_json(outcomes, began), "utf-8")
    if options.junit:
        options.junit.write_text(report_junit(outcomes), "utf-8")
    verdicts = [o.final_verdict for o in outcomes]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts)
    many = "1 scenario" if len(outcomes) == 1 else f"{len(outcomes)} scenarios"
    print(f"{many}: {counts}" if outcomes else "no scenario fits what was asked for")
    if Verdict.FAIL in verdicts:
        return SOMETHING_FAILED
    return ALL_PASSED if overall_verdict(outcomes) is Verdict.PASS else NOTHING_PROVEN


COMMAND = Command("scenario", "Run scenarios on a simulated, a real or a foreign station.", add_arguments, run, ABOUT)
