"""``chargy-agent check``: everything that can be checked of a station file before an agent runs with it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.assembly.devices import supervisor_complaints
from agent.assembly.dialects import version_complaints
from agent.assembly.domain_setup import (
    initial_offers,
    initial_settings,
    initial_terms,
    shared_terminal_complaints,
    unusable_certificates,
    unusable_terminals,
)
from agent.assembly.link_profile import explain_profile
from agent.commands.command import add_station_argument
from agent.model import secret_file
from agent.model.command import Command
from agent.model.currencies import HUNDREDTHS, OTHERS
from agent.ports.driver import missing_module
from agent.station_file.problems import Problem, place_problems
from agent.station_file.settings import SettingsError, StationFile, did_you_mean, load_station_file

if TYPE_CHECKING:
    import argparse

    from agent.services.devices.configured import ComposedDevice

GOOD, WRONG = 0, 2

ABOUT = """\
Check a station file before an agent runs with it: tables, settings, prices, devices and their maps, certificates, files
with secrets, and whether the necessary packages are installed. No device is opened, nothing is written or sent.

  chargy-agent check station.toml          each mistake on a line of its own: FILE:LINE:COLUMN: KEY: what is wrong
  chargy-agent check station.toml --json   as JSON: {"v", "file", "good", "problems": [{"line", "column",
                                           "path", "message"}], "notes"}; line 0: no place in the file

Exit code: 0 the file is good, 2 it is not, or cannot be read.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_station_argument(parser)
    parser.add_argument("--json", action="store_true", help="for machines, on standard output")


def run(options: argparse.Namespace) -> int:
    path: Path = options.station
    file, problems = check_station_file(path)
    if options.json:
        listed = [{"line": p.line, "column": p.column, "path": p.path, "message": p.message} for p in problems]
        notes = [] if file is None or problems else _file_notes(file)
        page = {"v": 1, "file": str(path), "good": not problems, "problems": listed, "notes": notes}
        print(json.dumps(page, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            print(problem.compiler_line(path), file=sys.stderr)
        if file is not None and not problems:
            print(f"{path}: good ({len(file.evses)} EVSE, {len(file.backends)} backend)")
            print("".join(f"{line}\n" for line in _file_notes(file)), end="")
    return WRONG if problems else GOOD


def _file_notes(file: StationFile) -> list[str]:
    """Return what is no mistake and should be known."""
    notes = [*explain_profile(file, initial_settings(file))]
    keys = file.energy_manager
    if keys is not None and keys.on_silence == "keep" and keys.fallback is None:
        notes.append(
            "energy_manager: until it has heard the energy manager for the first time, the station has no limit of it: "
            "set fallback, which holds until then"
        )
    return notes


def check_station_file(path: Path) -> tuple[StationFile | None, list[Problem]]:
    """Return what could be read of the file, and its mistakes of every stage."""
    complaints: list[str] = []
    try:
        file: StationFile | None = load_station_file(path)
    except SettingsError as e:
        file, complaints = e.file, e.problems
    if file is None:
        return None, place_problems(path, complaints)
    problems = place_problems(path, complaints)
    reported_paths = [p.path for p in problems if p.path]
    later = [
        p
        for p in place_problems(path, list(complaints_after_loading(file)))
        if not _follows_from_earlier(p.path, reported_paths)
    ]
    return file, sorted({*problems, *later}, key=lambda p: (p.line or 10**9, p.column, p.path, p.message))


def _follows_from_earlier(path: str, reported_paths: Sequence[str]) -> bool:
    """Return whether a problem is a consequence of an earlier one.

    A value that was refused is replaced by its default. What follows from the default is not a mistake of its own.
    """
    return any(path == t or path.startswith((f"{t}.", f"{t}[")) for t in reported_paths)


def complaints_after_loading(file: StationFile) -> Iterable[str]:
    """Return the complaints that loading the file does not find: settings, drivers and their own settings."""
    from agent.ports.zone import NoZone, load_time_zone

    wrong: list[str] = []
    try:
        load_time_zone(file.station.timezone)
    except NoZone as e:
        wrong.append(f"{file.path}: station.timezone: {e}")
    wrong += [
        f"{file.path}: {said}"
        for said in (
            *_language_complaints(file),
            *_secret_complaints(file),
            *_sink_complaints(file),
            *_socket_complaints(file),
            *_field_page_complaints(file),
        )
    ]
    wrong += (
        version_complaints(file) + supervisor_complaints(file) + unusable_certificates(file) + unusable_terminals(file)
    )
    wrong += shared_terminal_complaints(file)
    for made in (initial_settings, initial_offers, initial_terms):
        try:
            made(file)
        except SettingsError as e:
            wrong += e.problems
    return wrong + device_complaints(file)


def _language_complaints(file: StationFile) -> Iterator[str]:
    """Check that there are texts for each language, and that the currency exists."""
    from agent.services.devices.configured import config_dirs

    folders = [folder / "texts" for folder in config_dirs(file)]
    known = sorted({path.stem for folder in folders for path in folder.glob("*.toml")})
    for n, language in enumerate(file.station.languages):
        if language not in known:
            yield f"station.languages[{n}]: there are no texts for {language!r}{did_you_mean(language, known, 'known')}"
    currency = file.settings.get("currency", "EUR")
    if isinstance(currency, str) and currency not in HUNDREDTHS and currency not in OTHERS:
        yield f"settings.currency: {currency!r} is no currency of ISO 4217"
    chosen = file.settings.get("language", "")
    if chosen and chosen not in file.station.languages:
        yield f"settings.language: must be one of station.languages, is {chosen!r}"


def _secret_complaints(file: StationFile) -> Iterator[str]:
    """Check the files that only the agent's user may read."""
    for backend in file.backends:
        if said := secret_file.secret_text_problem(backend.password_file):
            yield f"backend {backend.name}: password_file: {said}"
        if said := secret_file.secret_text_problem(backend.soap_password_file):
            yield f"backend {backend.name}: soap_password_file: {said}"
        if backend.client_key is not None and backend.client_key.is_file():
            try:
                secret_file.read_secret(backend.client_key)
            except secret_file.Unfit as e:
                yield f"backend {backend.name}: client_key: {backend.client_key}: {e}"
    for n, sink in enumerate(file.sinks, 1):
        if said := secret_file.secret_text_problem(sink.password_file):
            yield f"sinks[{n}].password_file: {said}"


def _sink_complaints(file: StationFile) -> Iterator[str]:
    for n, sink in enumerate(file.sinks, 1):
        if sink.kind != "mqtt":
            continue
        if missing := missing_module(("aiomqtt",), "chargy-agent[mqtt]"):
            yield f"sinks[{n}].kind: {sink.kind} needs {missing}"
        if sink.ca is not None:
            import ssl

            try:
                ssl.create_default_context(cafile=str(sink.ca))
            except OSError as e:
                yield f"sinks[{n}].ca: {sink.ca}: is not usable ({e})"


LONGEST_SOCKET = 107
"""The most bytes that the path of a Unix socket may have (unix(7))."""


def _socket_complaints(file: StationFile) -> Iterator[str]:
    path = file.station.status_socket
    if path is not None and len(os.fsencode(path)) > LONGEST_SOCKET:
        yield f"station.status_socket: must have at most {LONGEST_SOCKET} bytes, is {path}"


ANY_ADDRESS = ("0.0.0.0", "::")


def _field_page_complaints(file: StationFile) -> Iterator[str]:
    """Check what the field page needs: packages, an address of its own, its key of TLS, its users."""
    page = file.field_page
    if not page.port:
        return
    if missing := missing_module(("aiohttp",), "chargy-agent[page]"):
        yield f"field_page.port: {missing}"
    if page.host in ANY_ADDRESS and not page.interface:
        yield (
            "field_page.host: would answer in the network of the backend too: name the address of the service port, or"
            " the interface beside it"
        )
    if said := secret_file.secret_text_problem(file.field_page_users if file.field_page_users.exists() else None):
        yield f"field_page.users_file: {said}"
    yield from _field_page_tls_complaints(page.tls_cert, page.tls_key)


def _field_page_tls_complaints(cert: Path | None, key: Path | None) -> Iterator[str]:
    if cert is None and key is None:
        return
    if cert is None or key is None:
        absent, present = ("tls_cert", "tls_key") if cert is None else ("tls_key", "tls_cert")
        yield f"field_page.{absent}: is missing beside {present}"
        return
    try:
        secret_file.read_secret(key)
    except secret_file.Unfit as e:
        yield f"field_page.tls_key: {key}: {e}"
        return
    import ssl

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key)
    except OSError as e:
        yield f"field_page.tls_cert: {cert}: is not usable with {key.name} ({e})"


def device_complaints(file: StationFile) -> list[str]:
    """Return the complaints about the devices alone, also for a file with other mistakes."""
    from agent.services.devices.configured import compose_devices

    try:
        composed = compose_devices(file, lambda: (0, 0.0))
    except SettingsError as e:
        return e.problems
    return [c for device in composed for c in device.complaints] + _serial_line_complaints(file, composed)


def _serial_line_complaints(file: StationFile, composed: Sequence[ComposedDevice]) -> list[str]:
    """Check that all devices on one serial line use the same speed and parity."""
    from agent.services.devices.configured import verify_kit_of

    wrong: list[str] = []
    lines: dict[str, tuple[str, str]] = {}
    for device in composed:
        wire = verify_kit_of(device).wire(device.settings, device.where)
        if wire is None or wire.kind != "serial" or not wire.device:
            continue
        mode = f"{wire.baud} 8{wire.parity}{wire.stopbits}"
        first, its_mode = lines.setdefault(os.path.realpath(wire.device), (device.name, mode))
        if mode != its_mode:
            wrong.append(
                f"{file.path}: {device.name}: speaks {mode} on {wire.device}, {first} speaks {its_mode}; set baud and "
                "parity of all devices on one line to the same"
            )
    return wrong


COMMAND = Command(
    "check",
    "Check a station file: every mistake with line, column and key, and a suggestion.",
    add_arguments,
    run,
    ABOUT,
)
