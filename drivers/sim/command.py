"""The commands ``simulate`` and ``bench``: whole charging stations on this machine.

``simulate``: the far ends of all wires, the control API with its page, the very same agent that runs on a board as a
child process, and, if no backend is named, a central system to talk to. ``bench``: the same without agent and backend.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.model.command import Command

if TYPE_CHECKING:
    from agent.station_file.settings import StationFile
    from drivers.sim.runner import Plan

BUILT_IN = "ac_two_sockets.toml"
HOME = Path("chargy-sim")
"""The folder in which the built-in station lives, under the present one."""


def add_simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "station", nargs="*", type=Path, metavar="STATION.toml",
        help="default: two Type 2 sockets; several files: a station of each, all on one page",
    )  # fmt: skip
    parser.add_argument(
        "--stations", type=int, metavar="N", help="N stations of one file, on one page; number and ids count up"
    )
    parser.add_argument(
        "--ids", metavar="ID", help="with --stations: id of the first one, for example LUX-001; wins over the file's"
    )
    parser.add_argument("--backend", metavar="URL", help="central system (ws:// or wss://); wins over the file's")
    _add_port_argument(parser)
    _add_host_argument(parser)
    parser.add_argument("--headless", action="store_true", help="control API without the page")
    parser.add_argument(
        "--ocpp", action="append", metavar="VERSION",
        help="OCPP version to offer (repeatable, the preferred one first); wins over the file's; 1.6S, 1.5 and 1.2 go "
        "over SOAP",
    )  # fmt: skip
    parser.add_argument(
        "--field-page",
        type=int,
        metavar="N",
        help="serve the page for technicians at this port too (docs/field-page.md)",
    )
    parser.add_argument(
        "--speed", type=float, metavar="X", help="time runs X times as fast (1; with the built-in central system 10)"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="record the OCPP conversations (docs/recording.md)")
    parser.add_argument(
        "--misbehaviour", action="append", metavar="NAME",
        help="deviate from the standard on purpose (docs/misbehaviour.md; repeatable); wins over the file's",
    )  # fmt: skip


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("station", type=Path, metavar="STATION.toml")
    _add_port_argument(parser)


def _add_host_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on (this machine only); 0.0.0.0 = all: others need the token that is printed",
    )  # fmt: skip


def _add_port_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, metavar="N", help="of the page, 0 = any free one; wins over the file's")


def simulate(args: argparse.Namespace) -> int:
    """Simulate stations. Return 0 after an orderly end, 2 if what was asked for cannot be done."""

    def make_plans(make: type[Plan]) -> list[Plan]:
        from drivers.sim.station_copies import own_path

        files = station_files(args.station, args.stations, args.ids)
        return [
            make(
                with_misbehaviour(with_versions(file, args.ocpp), args.misbehaviour),
                args.port,
                with_page=not args.headless,
                backend_url=args.backend,
                speed=args.speed,
                host=args.host,
                field_page_port=args.field_page and args.field_page + place,
                record=own_path(args.record, file.station.id) if args.record and len(files) > 1 else args.record,
                over_soap=names_soap(args.ocpp),
            )
            for place, file in enumerate(files)
        ]

    return _run_station_plans(make_plans)


def bench(args: argparse.Namespace) -> int:
    """Run the far ends for an agent of the user. Return 0 after an orderly end, 2 if what was asked for cannot be
    done."""
    return _run_station_plans(lambda make: [make(station_file(args.station), args.port, with_agent=False)])


def _run_station_plans(make_plans: Callable[[type[Plan]], list[Plan]]) -> int:
    import asyncio

    from agent.station_file.settings import SettingsError

    try:
        from drivers.sim import runner
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] in ("agent", "drivers", ""):
            raise  # this program is incomplete
        print(f"chargy-agent: {e.name} is not installed; install it: pip install 'chargy-agent[sim]'", file=sys.stderr)
        return 2
    from drivers.sim.world_state import InUse

    try:
        asyncio.run(runner.run_stations(make_plans(runner.Plan)))
    except (SettingsError, runner.Unusable, InUse) as e:
        print(f"chargy-agent: {e}", file=sys.stderr)
        return 2
    return 0


SIMULATE_ABOUT = """\
Simulated stations on this machine: far ends for all its devices, a page with cars, cards, screen and the OCPP
conversation, and the very agent that runs on a board. Without a backend it brings a small central system along, and
time runs 10 times as fast. Needs the extra: pip install 'chargy-agent[sim]'.

  chargy-agent simulate                                          two Type 2 sockets; open the address that it prints
  chargy-agent simulate station.toml --backend ws://HOST:PORT    your station file, your central system
  chargy-agent simulate a.toml b.toml                            both, on one page and behind one control API
  chargy-agent simulate --stations 3 --ids LUX-001               LUX-001, LUX-002 and LUX-003
  chargy-agent simulate --ocpp 1.6S                              OCPP 1.6 over SOAP; 1.5 and 1.2 likewise
  chargy-agent simulate --headless --port 0 --speed 20           the control API alone (docs/control-api.md), for suites
  chargy-agent simulate --record day.jsonl                       for "replay" (docs/recording.md)
  chargy-agent simulate --misbehaviour lower_case_tags           as stations in the field do (docs/misbehaviour.md)

Exit code: 0 ended in order (Ctrl-C, SIGTERM), 2 it cannot be done: the station file is wrong, a port is taken, another
simulation uses the folder, or the agent refuses its file. Of several stations one that does not start, or fails, ends
alone; the page and the control API say why.
"""
BENCH_ABOUT = """\
The simulated devices of a station file without agent and backend, and world/derived.toml: the same station file with
the addresses of these devices. It holds passwords and is readable by its owner alone.

  chargy-agent bench station.toml
  chargy-agent check world/derived.toml          then probe, verify or run it

Exit code: 0 ended in order (Ctrl-C, SIGTERM), 2 it cannot be done.
"""
SIMULATE = Command(
    "simulate",
    "A simulated station with its page: cars, cards, the screen, the OCPP conversation.",
    add_simulate_arguments,
    simulate,
    SIMULATE_ABOUT,
)
BENCH = Command(
    "bench",
    "The simulated devices alone, and a station file with their addresses for an agent of yours.",
    add_bench_arguments,
    bench,
    BENCH_ABOUT,
)


def station_files(paths: Sequence[Path], count: int | None, first_id: str | None) -> list[StationFile]:
    """Read the files of all stations: of each path, or ``count`` copies of one file. Raises ``Unusable``,
    ``SettingsError``."""
    from drivers.sim.runner import Unusable
    from drivers.sim.station_copies import MOST_COPIES, make_station_copy, with_own_folders

    if first_id is not None and count is None:
        raise Unusable("--ids: names the first of several stations: add --stations N")
    if count is None:
        files = [station_file(path) for path in paths] or [station_file(None)]
        return files if len(files) == 1 else with_own_folders(files)
    if len(paths) > 1:
        raise Unusable(f"--stations: makes copies of one station file, {len(paths)} are given")
    if not 1 <= count <= MOST_COPIES:
        raise Unusable(f"--stations: must be 1 to {MOST_COPIES}, is {count}; for more there is chargy-agent fleet")
    raw, path = _read_tables(paths[0] if paths else None)
    file = _judge_tables(raw, path)
    names = first_id or file.station.id
    copies = [make_station_copy(raw, file, names, steps) for steps in range(count)]
    return with_own_folders([_without_used_addresses(copy) for copy in copies])


def station_file(path: Path | None) -> StationFile:
    """Read the file at ``path``, or the built-in station, which keeps its state in the folder ``chargy-sim``."""
    return _without_used_addresses(_judge_tables(*_read_tables(path)))


def _read_tables(path: Path | None) -> tuple[dict[str, Any], Path]:
    """Return the tables of a station file, and its path."""
    from agent.station_file.settings import read_station_file
    from drivers.sim.derived_file import with_outlet_defaults

    if path is not None:
        return with_outlet_defaults(read_station_file(path)), path
    import config

    raw = tomllib.loads((Path(config.__file__).parent / "stations" / BUILT_IN).read_text("utf-8"))
    del raw["backend"]
    HOME.mkdir(exist_ok=True)
    return raw, HOME / "station.toml"


def _judge_tables(raw: dict[str, Any], path: Path) -> StationFile:
    from agent.station_file.settings import parse_station_file

    return parse_station_file(raw, path)


def _without_used_addresses(file: StationFile) -> StationFile:
    from drivers.sim.derived_file import without_addresses

    return without_addresses(file) if file.simulation.alone else file


def names_soap(versions: list[str] | None) -> bool:
    """Return whether a version is given with the letter that stands for SOAP: 1.6S."""
    return any(version.endswith("S") for version in versions or ())


def with_versions(file: StationFile, versions: list[str] | None) -> StationFile:
    """Return the file with ``versions`` for its first backend, if any are given. Raises ``Unusable``."""
    from dataclasses import replace

    from agent.station_file.settings import Backend
    from drivers.sim.runner import Unusable

    for version in versions or ():
        if not re.fullmatch(r"\d+(\.\d+)+S?", version):
            raise Unusable(f"--ocpp: must be a version like those of [backend] versions, is {version!r}")
    if not versions:
        return file
    first, *others = file.backends or (Backend(charge_point_id=file.station.id),)
    offered = tuple(dict.fromkeys(version.removesuffix("S") for version in versions))
    return replace(file, backends=(replace(first, versions=offered), *others))


def with_misbehaviour(file: StationFile, names: list[str] | None) -> StationFile:
    """Return the file with these deviations, if any are given. Raises ``Unusable``."""
    from dataclasses import replace

    from agent.station_file.tables import MISBEHAVIOURS
    from drivers.sim.runner import Unusable

    if unknown := [name for name in names or () if name not in MISBEHAVIOURS]:
        raise Unusable(f"--misbehaviour {unknown[0]}: known: {', '.join(MISBEHAVIOURS)}")
    if not names:
        return file
    return replace(file, simulation=replace(file.simulation, misbehaviour=tuple(dict.fromkeys(names))))
