"""Several simulated stations of one command: copies of one station file, and a folder of its own for each station."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from agent.station_file.settings import Backend, SettingsError, StationFile, parse_station_file
from agent.station_file.tables import FieldPageKeys, MetricsKeys

T = TypeVar("T", Backend, FieldPageKeys, MetricsKeys)

LAST_PORT = 65535
MOST_COPIES = 50
"""Each is a process of the agent, of 40 MiB. For more there is ``chargy-agent fleet``."""


def count_up_name(name: str, steps: int) -> str:
    """Return the name ``steps`` further: ``CP-09`` is followed by ``CP-10``, and ``CP`` by ``CP-2``."""
    if not steps or not name:
        return name
    number = re.search(r"[0-9]*$", name)
    digits = number[0] if number is not None else ""
    if not digits:
        return f"{name}-{steps + 1}"
    return f"{name.removesuffix(digits)}{int(digits) + steps:0{len(digits)}d}"


def make_station_copy(raw: Mapping[str, Any], file: StationFile, first_id: str, steps: int) -> StationFile:
    """Return the copy of a station that is ``steps`` further than the first one: its identity and the ports that the
    file names count up. ``raw``: the file as it was read. Raises ``SettingsError``."""
    if steps and (file.payment_master is not None or file.payment_satellite is not None):
        raise SettingsError(
            [
                "--stations: makes no copies of a file with [payment.master] or [payment.satellite]: each station of a"
                " shared terminal has a certificate and a file of its own (docs/payments.md)"
            ]
        )
    station = {
        **raw.get("station", {}),
        "id": count_up_name(first_id, steps),
        "serial": count_up_name(file.station.serial, steps),
        "number": count_up_name(file.station.number, steps),
    }
    copy = parse_station_file({**raw, "station": station}, file.path)
    return replace(
        copy,
        backends=tuple(_copy_backend(b, file.station.id, copy.station.id, steps) for b in copy.backends),
        metrics=_count_up_port(copy.metrics, "port", steps),
        field_page=_count_up_port(copy.field_page, "port", steps),
        payment=_copy_payment(copy.payment, steps),
        simulation=replace(copy.simulation, seed=copy.simulation.seed + steps),
    )


def _copy_backend(backend: Backend, first_id: str, copy_id: str, steps: int) -> Backend:
    named = backend.charge_point_id
    own = copy_id if named in (first_id, copy_id) else count_up_name(named, steps)
    return _count_up_port(replace(backend, charge_point_id=own), "soap_port", steps)


def _copy_payment(payment: Any, steps: int) -> Any:
    """Return ``[payment]`` with the next port of ``[payment.receipts]``. The tables were judged by their form only."""
    receipts = payment.get("receipts") if isinstance(payment, Mapping) else None
    if not isinstance(receipts, Mapping) or not isinstance(port := receipts.get("port"), int):
        return payment
    return {**payment, "receipts": {**receipts, "port": _next_port(port, steps)}}


def _count_up_port(table: T, key: str, steps: int) -> T:
    changed: dict[str, Any] = {key: _next_port(getattr(table, key), steps)}
    return replace(table, **changed)


def _next_port(port: int, steps: int) -> int:
    """Return the port ``steps`` further. 0 stays: it is off, or any free one."""
    if not port:
        return 0
    if port + steps > LAST_PORT:
        raise SettingsError([f"--stations: the ports count up from {port}, and {port + steps} is above {LAST_PORT}"])
    return port + steps


def with_own_folders(files: Sequence[StationFile]) -> list[StationFile]:
    """Give each station that has the folder of another one a folder beside it, with its id: for the state of the agent
    and for the memory of the world. It is the same one in whatever order the stations are named."""
    states = Counter(file.station.state_dir.resolve() for file in files)
    worlds = Counter(file.simulation.state_dir.resolve() for file in files)
    return [
        replace(
            file,
            station=replace(file.station, state_dir=_own_folder(file.station.state_dir, file, states)),
            simulation=replace(file.simulation, state_dir=_own_folder(file.simulation.state_dir, file, worlds)),
        )
        for file in files
    ]


def _own_folder(folder: Path, file: StationFile, users: Mapping[Path, int]) -> Path:
    return own_path(folder, file.station.id) if users[folder.resolve()] > 1 else folder


def own_path(path: Path, station_id: str) -> Path:
    """Return the path beside ``path`` that is of one station: ``day.jsonl`` is ``day-CP-2.jsonl`` of CP-2."""
    return path.with_name(f"{path.stem}-{station_id}{path.suffix}")
