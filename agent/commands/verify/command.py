"""``chargy-agent verify STATION``: every check of every device, a report, an exit code."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from agent.commands.command import add_station_argument, load_or_report
from agent.commands.verify import report, runner
from agent.commands.verify.bench import Options, normalized_name
from agent.commands.verify.exclusive import DeviceBusy, exclusive_access
from agent.commands.verify.operator import HumanOperator, NoOperator, Operator, RobotOperator
from agent.model.command import Command
from agent.model.fastclass import frozen
from agent.ports.store import StoreError
from agent.services.store.store import StoreRefused
from agent.station_file.settings import SettingsError, StationFile

ALL_PASSED, SOMETHING_FAILED, CANNOT, SOMETHING_SKIPPED = 0, 1, 2, 3
EXIT = {runner.PASSED: ALL_PASSED, runner.FAILED: SOMETHING_FAILED, runner.SKIPPED: SOMETHING_SKIPPED}
ENDED = 130
"""The exit code of a command that was ended by Ctrl-C."""
WAYS_OUT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
YES = "yes"

ABOUT = """\
Run the conformance checks of every device of a station on the real hardware: identity, speed (p95), disconnect and
reconnect through a bus shim, stale values, corrupted replies, units and scale against a reference value, lock,
contactor, repeated taps, the QR code of the display, memory. Stop the agent first.

  chargy-agent verify station.toml                        asks you to act where necessary (cable, card)
  chargy-agent verify station.toml --no-hands             only unattended checks; the others are skipped
  chargy-agent verify station.toml --port evse.1.board    one device (repeatable)
  chargy-agent verify station.toml --yes                  release is allowed: OUTLETS MAY BECOME LIVE
  chargy-agent verify station.toml --reference evse.1.meter.energy_kwh=1234.56    as on its display
  chargy-agent verify station.toml --hands http://127.0.0.1:8080    a robot: the control API of chargy-agent bench
  chargy-agent verify station.toml --report evidence      write JSON and text into this folder

Exit code: 0 everything passed, 1 something failed, 2 it cannot be done, 3 nothing failed but something was skipped.
"""


@frozen
class VerifyRequest:
    """``only``: names of devices, empty for all. ``folder``: of the report; without it none is written."""

    options: Options
    only: tuple[str, ...] = ()
    folder: Path | None = None
    hands: str = "none"
    robot: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument(
        "--port", action="append", default=[], metavar="DEVICE", help="a device by its name in the report; repeatable"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="write JSON and text into this folder")
    parser.add_argument("--yes", action="store_true", help="allow release: outlets may become live")
    parser.add_argument("--no-hands", action="store_true", help="run unattended, ask nothing")
    parser.add_argument("--hands", default="", metavar="URL", help="the control API of a robot that acts")
    parser.add_argument(
        "--reference", action="append", default=[], metavar="DEVICE.KEY=VALUE", help="a reference value; repeatable"
    )
    parser.add_argument(
        "--reads", type=int, default=10_000, metavar="N", help="reads of the memory check (10000; 0: none)"
    )
    parser.add_argument("--samples", type=int, default=40, metavar="N", help="samples of each time measurement (40)")


def parse_request(args: argparse.Namespace) -> VerifyRequest:
    """Return the request of the command line. Raises ``SettingsError``."""
    references: dict[str, str] = {}
    for text in args.reference:
        name, equals, value = text.partition("=")
        if not equals or "." not in name:
            raise SettingsError([f"--reference {text}: must be DEVICE.KEY=VALUE, as evse.1.meter.energy_kwh=1234.5"])
        references[normalized_name(name)] = value
    options = Options(args.yes, references, max(args.reads, 0), max(args.samples, 1))
    hands = "robot" if args.hands else "none" if args.no_hands else "person"
    return VerifyRequest(options, tuple(args.port), getattr(args, "report", None), hands, args.hands)


def run(args: argparse.Namespace) -> int:
    file = load_or_report(args.station)
    return CANNOT if file is None else verify_station(file, args)


def verify_station(file: StationFile, args: argparse.Namespace) -> int:
    """Verify the devices and print the report. Returns the exit code."""
    try:
        wanted = parse_request(args)
        done = asyncio.run(_verify_station(file, wanted))
    except SettingsError as e:
        return _print_refusal(str(e))
    except (StoreError, StoreRefused) as e:
        return _print_refusal(f"{e} (stop the agent while you verify: it uses the same devices)")
    except DeviceBusy as e:
        return _print_refusal(str(e))
    except asyncio.CancelledError:
        print("interrupted; release was withdrawn", file=sys.stderr)
        return ENDED
    if not done:
        return _print_refusal(
            f"{file.path}: names no device to verify; write its board, meter ... into it, or, without hardware, start "
            f"chargy-agent bench {file.path} and verify the file that it prints"
        )
    return _print_report(file, done, wanted)


def _print_report(file: StationFile, done: list[report.Verified], wanted: VerifyRequest) -> int:
    page = report.report_page(file, done, wanted.options.consent, wanted.hands)
    print("\n".join(report.report_lines(page)))
    if wanted.folder is not None:
        try:
            print_progress(f"written: {report.write_report(page, wanted.folder)}")
        except OSError as e:
            return _print_refusal(f"--report {wanted.folder}: {e.strerror}")
    return EXIT[page["verdict"]]


def _print_refusal(why: str) -> int:
    print(why, file=sys.stderr)
    return CANNOT


def print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _verify_station(file: StationFile, wanted: VerifyRequest) -> list[report.Verified]:
    """Verify all devices. Ctrl-C, SIGTERM and SIGHUP cancel the task, and so withdraw release."""
    task = asyncio.current_task()
    assert task is not None
    for number in WAYS_OUT:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    made = runner.device_rounds(file, wanted.only)
    async with exclusive_access(file, runner.device_wires(made)):
        hands = operator_for(wanted)
        options = await _ask_for_consent(made, wanted, hands)
        return await verify_devices(made, hands, options, print_progress)


async def verify_devices(
    made: list[runner.DeviceChecks], hands: Operator, options: Options, say: Callable[[str], None]
) -> list[report.Verified]:
    done = []
    for r in made:
        bench = runner.device_under_test(r, hands, options, say)
        found = [o async for o in runner.check_outcomes(r, bench)]
        done.append(report.Verified(r.device, bench.figures, tuple(found)))
    return done


def operator_for(wanted: VerifyRequest) -> Operator:
    if wanted.robot:
        return RobotOperator(wanted.robot)
    return HumanOperator(print_progress) if wanted.hands == "person" else NoOperator()


async def _ask_for_consent(made: list[runner.DeviceChecks], wanted: VerifyRequest, hands: Operator) -> Options:
    """Ask a technician who is present once. The whole word is needed."""
    from dataclasses import replace

    boards = [r.device.name for r in made if r.device.role == "board" or r.board is not None]
    if wanted.options.consent or not isinstance(hands, HumanOperator) or not boards:
        return wanted.options
    print_progress(f"Checks of {', '.join(dict.fromkeys(boards))} give release: THE OUTLET MAY BECOME LIVE.")
    answer = await hands.ask_question(f"write {YES} to allow it; anything else leaves those checks out")
    return replace(wanted.options, consent=answer == YES)


COMMAND = Command(
    "verify",
    "Run the conformance checks of every device on the real hardware and write a report.",
    add_arguments,
    run,
    ABOUT,
)
