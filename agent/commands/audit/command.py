"""``chargy-agent audit``: examine a station against a plan, and write a record that others can check."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.commands.audit.signing_actions import SIGNING_ACTIONS
from agent.commands.command import EXIT_CANNOT
from agent.model.command import Command

if TYPE_CHECKING:
    from agent.audit.context import KitFacts, StationFact
    from agent.audit.plan_model import Plan
    from agent.commands.audit.bundle import AuditBundle
    from agent.commands.audit.sessions import AuditRequest

ALL_PASSED, SOMETHING_FAILED, NOTHING_PROVEN = 0, 1, 3
ENDED = 130

ABOUT = """\
Audit a station: run a plan of obligations, judge the conversation, and write a folder with the record, the evidence and
what is to be done. docs/audit.md explains plans, verdicts and the folder.

  chargy-agent audit plans                                           the plans that come with the program
  chargy-agent audit --plan chargy-ac --simulate                     on the built-in simulated station, unattended
  chargy-agent audit station.toml --plan chargy-ac --simulate        on the station of this file, simulated
  chargy-agent audit station.toml --plan chargy-ac --listen 0.0.0.0:9000     the real station of this file; you act
  chargy-agent audit --plan generic-ocpp16 --listen 0.0.0.0:9000     any station that connects here
  chargy-agent audit --plan chargy-ac --listen 0.0.0.0:9000 --proxy wss://backend.example/ocpp
                                                                     beside its real backend, whose operator acts
  chargy-agent audit --resume AUDIT-LU-0042-20261128-1000            continue; what has passed is not repeated
  chargy-agent audit check my-plan.toml                              every mistake with its line
  chargy-agent audit report FOLDER                                   write report.html, report.pdf, manifest.json again
  chargy-agent audit sign FOLDER --role operator --key key.pem --name "Jane Doe"
  chargy-agent audit verify FOLDER --trust keys.pem                  files unchanged, signatures right

A question is answered at the terminal, by --answers FILE, or, with --no-person, not at all (PARTIAL).

Exit code: 0 everything passed (verify: is right), 1 something failed (verify: is wrong), 2 it cannot be done (wrong
file or arguments), 3 nothing failed, but an obligation could not be carried out or was not exercised wholly.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", title="actions", required=True)
    for name, (text, add_own, do) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=text)
        action.set_defaults(audit_action=do)
        add_own(action)


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    from agent.scenario.toml_reader import TomlFileError
    from agent.station_file.settings import SettingsError

    try:
        do: Callable[[argparse.Namespace], int] = options.audit_action
        return do(options)
    except (TomlFileError, SettingsError) as e:
        return _print_refusal(str(e))
    except BrokenPipeError:
        raise  # the reader of the output (head) has ended
    except OSError as e:
        return _print_refusal(f"{e.filename or 'audit'}: {e.strerror or e}")


def _print_refusal(why: str) -> int:
    print(why, file=sys.stderr)
    return EXIT_CANNOT


# --- plans, check, schema --------------------------------------------------------------------------------------------


def _add_no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the action needs no words."""


def _list_plans(options: argparse.Namespace) -> int:
    from agent.commands.audit.plans import open_plan, shipped_plans

    for path in shipped_plans():
        plan = open_plan(path)
        many = len(list(plan.all_obligations()))
        print(f"{plan.id:18} {', '.join(plan.versions):11} {many:3} obligations  {plan.title}")
    return ALL_PASSED


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="PLAN", help="a file, or the name of a plan")


def _check_plans(options: argparse.Namespace) -> int:
    from agent.audit.plan_file import PlanError
    from agent.commands.audit.plans import open_plan, plan_path

    code = ALL_PASSED
    for word in options.files:
        try:
            plan = open_plan(plan_path(word))
            print(f"{plan.path}: right, {len(list(plan.all_obligations()))} obligations")
        except PlanError as e:
            code = _print_refusal(str(e))
    return code


def _print_schema(options: argparse.Namespace) -> int:
    from agent.audit.plan_schema import schema_text

    print(schema_text(), end="")
    return ALL_PASSED


# --- run -------------------------------------------------------------------------------------------------------------


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", nargs="?", type=Path, metavar="STATION.toml", help="the file of the station")
    parser.add_argument("--plan", default="", metavar="PLAN", help="a file, or a name from the list")
    parser.add_argument("--kit", type=Path, metavar="KIT.toml", help="what the station has to be set to")
    parser.add_argument(
        "--out", type=Path, default=Path("."), metavar="FOLDER", help="where the audit's folder is made"
    )
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="continue the audit of this folder")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ID", help="this obligation or section only (repeatable)"
    )
    _add_target_arguments(parser)
    _add_person_arguments(parser)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable of the scenarios")
    parser.add_argument(
        "--without", action="append", default=[], metavar="NEED", help="what the station has not (repeatable)"
    )
    parser.add_argument("--speed", type=float, metavar="X", help="of a simulated station's time (as the plan says)")
    parser.add_argument(
        "--least-wait", type=float, default=30.0, metavar="S",
        help="real seconds that each wait of a simulation lasts at least (30)",
    )  # fmt: skip


def _add_target_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--simulate", action="store_true", help="on a simulated station")
    parser.add_argument("--listen", metavar="HOST:PORT", help="wait here for a station, as its backend")
    parser.add_argument("--proxy", default="", metavar="URL", help="pass everything on to this backend, and record it")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="certificates that the backend of --proxy is trusted by"
    )
    parser.add_argument("--id", default="", help="take this station only (default: the first one that connects)")
    parser.add_argument(
        "--password", action="append", default=[], metavar="ID=PW", help="a station must log in with it (repeatable)"
    )
    parser.add_argument(
        "--connect-within", type=float, default=300.0, metavar="S", help="real seconds until a station connects (300)"
    )


def _add_person_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers", type=Path, metavar="FILE", help="prepared answers, by id or by question")
    parser.add_argument("--no-person", action="store_true", help="ask nothing; what needs a person is PARTIAL")
    parser.add_argument(
        "--language", choices=("en", "fr", "de"), default="en", help="of what a person is asked to do (en)"
    )
    parser.add_argument("--actuator", default="", metavar="CMD", help="a command that acts: CMD KIND JSON")
    parser.add_argument(
        "--backend-command", default="", metavar="CMD",
        help="with --proxy: has the backend send: CMD ACTION JSON STATION",
    )  # fmt: skip
    parser.add_argument(
        "--patience", type=float, default=120.0, metavar="S", help="real seconds for a person or a command (120)"
    )


def _run_whole_audit(options: argparse.Namespace) -> int:
    from agent.commands.scenario.terminal import Terminal
    from agent.scenario.target import CannotCarryOut

    request = parse_request(options)
    for noisy in ("websockets", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    terminal = Terminal(count_planned_steps(request))
    try:
        folder, record = asyncio.run(_run_cancellably(request, terminal))
    except asyncio.CancelledError:
        return ENDED
    except CannotCarryOut as e:
        print(e, file=sys.stderr)
        return NOTHING_PROVEN
    _write_report_pages(folder)
    return _print_result(folder, record)


async def _run_cancellably(request: AuditRequest, terminal: Any) -> tuple[Path, dict[str, Any]]:
    """Run. SIGTERM ends it like Ctrl-C, so that no child process stays behind."""
    from agent.commands.audit.sessions import run_audit

    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run_audit(request, terminal)


def parse_request(options: argparse.Namespace) -> AuditRequest:
    """Return the request of the command line. Raises ``SettingsError``, ``PlanError``."""
    from agent.commands.audit.answers import load_answers
    from agent.commands.audit.plans import open_plan, plan_path
    from agent.commands.audit.sessions import AuditRequest
    from agent.commands.scenario.command import parse_pairs
    from agent.station_file.settings import SettingsError

    earlier = _load_earlier(options)
    if wrong := _option_problems(options, earlier):
        raise SettingsError(wrong)
    plan = open_plan(plan_path(options.plan or (earlier[1]["request"]["plan_file"] if earlier else "")))
    if wrong := _selection_problems(options, plan):
        raise SettingsError(wrong)
    host, _, port = (options.listen or "127.0.0.1:0").rpartition(":")
    lacks, station_id, facts = _station_facts(options, plan)
    return AuditRequest(
        plan, options.out, options.simulate, options.station, host.strip("[]"), int(port), options.proxy, options.ca,
        options.id or station_id, dict(parse_pairs(options.password, "--password")),
        _facts_of_chosen_kit(options, plan), options.kit, facts,
        {**lacks, **dict.fromkeys(options.without, "--without says so")}, dict(parse_pairs(options.set, "--set")),
        load_answers(options.answers), options.actuator, options.backend_command, not options.no_person,
        options.speed or plan.speed,
        options.least_wait, options.patience, options.connect_within, earlier=earlier, only=tuple(options.only),
        language=options.language,
    )  # fmt: skip


def _load_earlier(options: argparse.Namespace) -> tuple[AuditBundle, Mapping[str, Any]] | None:
    from agent.commands.audit.bundle import load_bundle
    from agent.commands.audit.bundle_manifest import SIGNATURES_FOLDER
    from agent.station_file.settings import SettingsError

    if options.resume is None:
        return None
    if (options.resume / SIGNATURES_FOLDER).exists():
        raise SettingsError([f"{options.resume}: is signed; to continue it would make the signatures wrong"])
    bundle, record = load_bundle(options.resume)
    if not (options.simulate or options.listen):
        options.simulate = record["target"] == "simulated"
    if options.simulate:
        options.speed = record["speed"]
    begun = record.get("request", {})
    options.station = options.station or (Path(begun["station_file"]) if begun.get("station_file") else None)
    options.kit = options.kit or (Path(begun["kit_file"]) if begun.get("kit_file") else None)
    return bundle, record


def _option_problems(options: argparse.Namespace, earlier: object) -> list[str]:
    from agent.audit.plan_grammar import NEEDS
    from agent.audit.plan_model import FASTEST

    wrong = [f"--without {n}: known: {', '.join(NEEDS)}" for n in options.without if n not in NEEDS]
    if not options.plan and not earlier:
        wrong.append("say which plan: --plan NAME (chargy-agent audit plans lists them), or --resume FOLDER")
    if options.simulate == bool(options.listen):
        wrong.append("say either --simulate, or --listen HOST:PORT for a station that connects here")
    if options.proxy and not options.listen:
        wrong.append("--proxy: needs --listen HOST:PORT, where the station connects in place of its backend")
    if options.proxy and not options.proxy.startswith(("ws://", "wss://")):
        wrong.append(f"--proxy {options.proxy}: must begin with ws:// or wss://")
    if options.backend_command and not options.proxy:
        wrong.append("--backend-command: belongs to --proxy")
    if options.password and options.proxy:
        wrong.append("--password: with --proxy it is the backend that asks for it")
    if options.listen and not options.listen.rpartition(":")[2].isdigit():
        wrong.append(f"--listen {options.listen}: must be HOST:PORT")
    if options.speed is not None and not 0.1 <= options.speed <= FASTEST:
        wrong.append(f"--speed {options.speed:g}: must be 0.1 to {FASTEST:g}")
    return wrong


def _selection_problems(options: argparse.Namespace, plan: Plan) -> list[str]:
    from agent.scenario.toml_reader import suggest_name

    known = [*(s.id for s in plan.sections), *(o.id for o in plan.all_obligations())]
    return [
        f"--only {n}: the plan has no such obligation{suggest_name(n, known)}" for n in options.only if n not in known
    ]


def _station_facts(options: argparse.Namespace, plan: Plan) -> tuple[dict[str, str], str, dict[str, StationFact]]:
    """Return what the station lacks by its file, its charge point id, and what else its file says."""
    from agent.commands.audit.plans import built_in_station, facts_of_station_file
    from agent.commands.scenario.stations import station_lacks
    from agent.station_file.settings import load_station_file

    path = options.station or (built_in_station(plan) if options.simulate else None)
    if path is None:
        return {}, "", {}
    file = load_station_file(path)
    station_id = next((b.charge_point_id for b in file.backends), file.station.id)
    lacks = dict(station_lacks(file, options.simulate))
    return lacks, "" if options.simulate else station_id, facts_of_station_file(file)


def _facts_of_chosen_kit(options: argparse.Namespace, plan: Plan) -> KitFacts | None:
    from agent.commands.audit.plans import built_in_kit, facts_of_kit
    from agent.commands.kit.kit_file import load_kit

    built_in = built_in_kit(plan) if options.simulate and options.station is None else None
    path = options.kit or built_in
    return facts_of_kit(load_kit(path)) if path is not None else None


def count_planned_steps(request: AuditRequest) -> int:
    """Count what the progress bar has to show: the steps of all scenarios, and one for each other obligation."""
    from agent.commands.audit.bundle import kept_outcomes
    from agent.commands.audit.plans import ScenarioShelf

    shelf, steps = ScenarioShelf(request.plan.path), 0
    finished = kept_outcomes(request.earlier[1]) if request.earlier is not None else {}
    for obligation in request.plan.all_obligations():
        if obligation.id in finished:
            continue
        chosen = not request.only or {obligation.id, obligation.id.split(".")[0]} & set(request.only)
        scenario = shelf.find_scenario(obligation.subject) if obligation.kind == "scenario" else None
        steps += (scenario.count_steps() if scenario is not None else 1) if chosen else 0
    return steps


def _write_report_pages(folder: Path) -> None:
    """Write the report for people. Without it the audit is still whole: it can be written later."""
    from agent.commands.audit.json_reading import RecordError
    from agent.commands.audit.report import write_report

    try:
        write_report(folder)
    except RecordError as e:
        print(f"no report was written: {e}; then: chargy-agent audit report {folder}", file=sys.stderr)


def _print_result(folder: Path, record: Mapping[str, Any]) -> int:
    from agent.audit.verdicts import AuditVerdict

    counts = ", ".join(f"{many} {verdict}" for verdict, many in record["counts"].items() if many)
    print(f"{record['verdict']}: {record['plan']['title']}: {counts}; {folder}")
    if record["verdict"] == AuditVerdict.FAIL:
        return SOMETHING_FAILED
    return ALL_PASSED if record["verdict"] == AuditVerdict.PASS else NOTHING_PROVEN


Action = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]
ACTIONS: dict[str, Action] = {
    "run": ("run an audit; meant where no action is named", _add_run_arguments, _run_whole_audit),
    "plans": ("list the plans that come with the program", _add_no_arguments, _list_plans),
    "check": ("check plan files", _add_check_arguments, _check_plans),
    "schema": ("print the JSON Schema of plan files", _add_no_arguments, _print_schema),
    **SIGNING_ACTIONS,
}
"""By name: a line of help, its arguments, what it does."""

COMMAND = Command(
    "audit", "Audit a station against a plan, with a record of the evidence.", add_arguments, run, ABOUT, tuple(ACTIONS)
)
