"""``chargy-agent replay``: play the station's side of a recorded conversation again, and draw it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.commands.command import EXIT_CANNOT
from agent.model.command import Command

if TYPE_CHECKING:
    from agent.commands.replay.recorded_conversation import RecordedConversation
    from agent.commands.replay.replay_outcome import ReplayDifference, ReplayOutcome
    from agent.commands.replay.station_player import ReplayRequest
    from agent.scenario.frames import Frame

SAME, DIFFERENT = 0, 1

ABOUT = """\
Play the station's side of a recorded conversation again, to a backend of your choice, and see what it does otherwise.
A conversation is recorded by "run --record FILE" and "simulate --record FILE"; the trace.jsonl of an audit and the
/trace of the control API are read too. docs/recording.md explains the file and the comparison.

  chargy-agent replay day.jsonl --backend ws://HOST:PORT             as fast as the backend answers
  chargy-agent replay day.jsonl --backend ws://HOST:PORT --speed 20  twenty times as fast as it was
  chargy-agent replay day.jsonl --backend ws://HOST:PORT --ignore 'BootNotification.interval'
  chargy-agent replay day.jsonl --backend wss://HOST --trusted root.pem --password PW --json r.json --junit r.xml
  chargy-agent replay day.jsonl --svg day.svg                        draw the sequence, without any backend

Exit code: 0 the backend does the same, 1 it does something else, 2 it cannot be done (wrong file or arguments, the
backend cannot be reached).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the recording")
    parser.add_argument("--backend", default="", metavar="URL", help="the backend: ws:// or wss://, without the id")
    parser.add_argument("--id", default="", help="the station's id (default: that of the recording)")
    parser.add_argument("--password", default="", metavar="PW", help="log in with it (security profiles 1 and 2)")
    parser.add_argument("--trusted", type=Path, metavar="FILE", help="root certificates (default: the system's)")
    parser.add_argument("--link", default="", metavar="NAME", help="the link of a station with several (the first one)")
    parser.add_argument(
        "--speed", type=float, metavar="X", help="X times as fast as recorded (default: as the backend answers)"
    )
    parser.add_argument("--shift-times", action="store_true", help="move the times in messages: it begins now")
    parser.add_argument("--new-ids", action="store_true", help="new ids for the transactions of OCPP 2.x")
    _add_comparison_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the differences as JSON")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a case per answer for CI")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the sequence, with the differences")


def _add_comparison_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="ACTION.PATH",
        help="a difference that does not count, * is any text (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--answers-only", action="store_true", help="requests that the backend sends or leaves out do not count"
    )
    parser.add_argument(
        "--backend-command", default="", metavar="CMD", help="has the backend send: CMD ACTION JSON STATION"
    )
    parser.add_argument(
        "--patience", type=float, default=30.0, metavar="S", help="real seconds for an answer or a command (30)"
    )
    parser.add_argument(
        "--request-wait", type=float, default=2.0, metavar="S",
        help="real seconds for each recorded request of the backend (2)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    from agent.commands.replay.recorded_conversation import RecordingError, load_recording
    from agent.commands.replay.station_player import CannotReplay

    if wrong := list(_option_problems(options)):
        return _print_refusal(wrong)
    try:
        conversation = load_recording(options.file, options.link)
        return _replay_conversation(conversation, options)
    except (RecordingError, CannotReplay) as e:
        return _print_refusal([str(e)])
    except BrokenPipeError:
        raise  # the reader of the output (head) has ended
    except OSError as e:
        return _print_refusal([f"{e.filename or 'replay'}: {e.strerror or e}"])


def _print_refusal(lines: Iterable[str]) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return EXIT_CANNOT


def _option_problems(options: argparse.Namespace) -> Iterable[str]:
    url = urlsplit(options.backend)
    if options.backend and not (url.scheme in ("ws", "wss") and url.hostname):
        yield f"--backend: must be like ws://HOST:PORT/PATH, is {options.backend!r}"
    if not options.backend and not options.svg:
        yield "say --backend URL to replay the conversation, or --svg FILE to draw it"
    if options.speed is not None and not 0.001 <= options.speed <= 1_000_000:
        yield f"--speed: must be 0.001 to 1000000, is {options.speed:g}"
    if options.trusted is not None and not options.trusted.is_file():
        yield f"--trusted {options.trusted}: there is no such file"
    for name, path in (("--json", options.json), ("--junit", options.junit), ("--svg", options.svg)):
        if path is not None and not path.parent.is_dir():
            yield f"{name} {path}: there is no folder {path.parent}"
        if path is not None and name != "--svg" and not options.backend:
            yield f"{name}: belongs to --backend"


def _replay_conversation(conversation: RecordedConversation, options: argparse.Namespace) -> int:
    """Replay and write what was asked for. Raises ``CannotReplay``."""
    from agent.commands.replay.replay_report import report_lines

    if not options.backend:
        _write_svg(conversation, [], options.svg)
        print(f"{options.svg}: {len(conversation.frames)} frames")
        return SAME
    outcome = _play_to_backend(conversation, options)
    for line in report_lines(outcome, options.answers_only):
        print(line)
    _write_reports(outcome, conversation, options)
    return DIFFERENT if outcome.has_differences(options.answers_only) else SAME


def _play_to_backend(conversation: RecordedConversation, options: argparse.Namespace) -> ReplayOutcome:
    """Play the conversation. Raises ``CannotReplay``."""
    from agent.commands.replay.station_player import CannotReplay, StationPlayer

    request = _replay_request(conversation, options)
    if not request.station_id:
        raise CannotReplay("the recording does not have the id of the station: say --id ID")
    logging.getLogger("websockets").setLevel(logging.CRITICAL)

    async def play_in_loop() -> ReplayOutcome:
        show = _progress_of(len(conversation.recorded_calls(from_station=True)))
        return await StationPlayer(conversation, request, show).play_conversation()

    return asyncio.run(play_in_loop())


def _progress_of(total: int) -> Callable[[int, Frame], None]:
    """Return what shows how far the replay is; at the times of the recording it may take a day."""

    def show_progress(done: int, asked: Frame) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{done}/{total} {asked.action}\x1b[K", end=end, file=sys.stderr, flush=True)

    return show_progress


def _replay_request(conversation: RecordedConversation, options: argparse.Namespace) -> ReplayRequest:
    from agent.commands.replay.station_player import ReplayRequest

    return ReplayRequest(
        options.backend,
        options.id or conversation.station_id,
        password=options.password,
        trusted=options.trusted,
        speed=options.speed,
        shift_times=options.shift_times,
        new_ids=options.new_ids,
        patience_s=options.patience,
        request_wait_s=options.request_wait,
        backend_command=tuple(shlex.split(options.backend_command)),
        ignored=tuple(options.ignore),
    )


def _write_reports(outcome: ReplayOutcome, conversation: RecordedConversation, options: argparse.Namespace) -> None:
    from agent.commands.replay.replay_report import report_json, report_junit

    if options.json:
        about = {"recording": str(options.file), "station": options.id or conversation.station_id}
        options.json.write_text(report_json(outcome, conversation, about, options.answers_only), "utf-8")
    if options.junit:
        options.junit.write_text(report_junit(outcome, options.file.name, options.answers_only), "utf-8")
    if options.svg:
        _write_svg(conversation, outcome.list_differences(options.answers_only), options.svg)


def _write_svg(conversation: RecordedConversation, differences: list[ReplayDifference], path: Path) -> None:
    from agent.commands.audit.chart_svg import standalone_svg
    from agent.commands.replay.conversation_diagram import draw_conversation

    path.write_text(standalone_svg(draw_conversation(conversation, differences)), "utf-8")


COMMAND = Command(
    "replay",
    "Play a recorded OCPP conversation to a backend and show what it does otherwise.",
    add_arguments,
    run,
    ABOUT,
)
