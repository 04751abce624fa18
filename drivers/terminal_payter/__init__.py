"""Bank card terminal that speaks PSP (Payter Session Protocol): Payter Apollo over TCP, TLS or a serial line.

What the public documents leave open is a named setting here, with the likeliest value; docs/payments.md lists them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from agent.model.key_rules import Between, DevicePath, HostName, OneLine, OneOf, TcpPort, Text, settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.terminal import TerminalPort

TIMEOUT_FACTOR = 1.5
"""By how much the terminal's own time-out outlasts the longest session: time to ask again and again."""
LINES = ("tcp", "tls", "serial")
ANSWERS = ("either", "result", "none")
BAUDS = (0, 115200, 57600, 38400, 19200, 9600)
Hexadecimal: TypeAlias = Annotated[str, Text(254, form="([0-9A-Fa-f]{2})*", like="bytes in hexadecimal")]
Tags: TypeAlias = Annotated[str, Text(254, form="([0-9A-Fa-f]{2})*", like="tags in hexadecimal")]


@dataclass(frozen=True, slots=True)
class PayterSettings:
    """``line``: ``tcp``, ``tls`` (needs ``ca_file``; ``tls_name``: the name in its certificate, "" = any) or ``serial``
    (``device``; ``baud`` 0 = tried one after the other). ``session_timeout_s``: after so long the terminal voids
    an unsettled session. ``bank_s``: how long to wait for a bank that an earlier process has asked.
    ``serial``: the number on its back, for one that does not report its own; change it with the terminal.
    ``salt_file``: secret that card marks are made with; without it one is kept in the state directory."""

    host: HostName = ""
    port: TcpPort = 3201
    line: Annotated[str, OneOf(LINES)] = "tcp"
    device: DevicePath = ""
    baud: Annotated[int, OneOf(BAUDS)] = 115200
    ca_file: Path | None = None
    tls_name: HostName = ""
    serial: OneLine = ""
    salt_file: Path | None = None
    session_timeout_s: Annotated[int, Between(3600, 2_592_000, "seconds")] = 259_200
    extended: bool = False
    # patience
    reply_s: Annotated[float, Between(0.1, 60, "seconds")] = 4.0
    settle_s: Annotated[float, Between(0.1, 120, "seconds")] = 15.0
    keep_alive_s: Annotated[float, Between(0.05, 15, "seconds")] = 10.0
    sync_every_s: Annotated[float, Between(0.02, 10, "seconds")] = 0.5
    sync_s: Annotated[float, Between(0.5, 300, "seconds")] = 15.0
    bank_s: Annotated[float, Between(0, 160, "seconds")] = 120.0
    gap_ms: Annotated[int, Between(20, 2000, "ms")] = 250
    # open points of the public documents
    auth_payload: Hexadecimal = ""
    commit_extra: Hexadecimal = ""
    orders_answer: Annotated[str, OneOf(ANSWERS)] = "either"
    start_extras: bool = True
    dol_tags: Tags = "DFAA70DFCA0BDFCA0A"
    hash_tag: Tags = "DFAA70"
    approval_hash: bool = True
    payment_methods: Annotated[int, Between(0, 255)] = 0x02
    amount_scale: Annotated[int, Between(1, 1000)] = 1
    select_language: Annotated[int, Between(0, 255)] = 0
    session_ids_unique: bool = True


def list_complaints(settings: PayterSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    return (
        settings_problems(settings)
        + _line_complaints(settings)
        + _file_complaints(settings)
        + _lets_go(settings, where)
    )


def _lets_go(settings: PayterSettings, where: Where | None) -> list[str]:
    """Before everything that is owed was asked for."""
    hours = where.facts.get("hold_hours", 0.0) if where is not None else 0.0
    if settings.session_timeout_s >= TIMEOUT_FACTOR * hours * 3600:
        return []
    least_s = round(TIMEOUT_FACTOR * hours * 3600)
    return [
        f"session_timeout_s: is {settings.session_timeout_s}: the terminal would give money back that is still owed; "
        f"with payment.hold_hours {hours:g} it must be {least_s} or more"
    ]


def _line_complaints(settings: PayterSettings) -> list[str]:
    if settings.line == "serial":
        return [] if settings.device else ['device: is missing, for example device = "/dev/ttyUSB0"']
    wrong = [] if settings.host else ['host: is missing, for example host = "192.168.5.10"']
    if settings.line == "tls" and settings.ca_file is None:
        wrong.append("ca_file: is missing: the certificate that the terminal's own one is judged by (PEM)")
    return wrong


def _file_complaints(settings: PayterSettings) -> list[str]:
    from drivers.terminal_payter.card import salt_file_problem

    said = salt_file_problem(settings.salt_file)
    wrong = [f"salt_file: {said}"] if said else []
    if settings.ca_file is not None and not settings.ca_file.is_file():
        wrong.append(f"ca_file: {settings.ca_file}: there is no such file")
    return wrong


@asynccontextmanager
async def open_terminal(settings: PayterSettings, where: Where) -> AsyncIterator[TerminalPort]:
    """Yield the terminal once it is enabled. Raises ``Unreachable`` (no terminal), ``Broken`` (settings)."""
    from drivers.terminal_payter.card import salt_of
    from drivers.terminal_payter.connection import open_terminal

    if wrong := list_complaints(settings):
        raise Broken(f"terminal_payter {settings.host or settings.device}: " + "; ".join(wrong))
    terminal = await open_terminal(settings, salt_of(settings.salt_file, where.facts.get("state_dir")))
    try:
        yield terminal
    finally:
        await terminal.close_terminal()


def _terminal_address(settings: PayterSettings, where: Where) -> tuple[str, int]:
    return (settings.device, 0) if settings.line == "serial" else (settings.host, settings.port)


DRIVER = Driver(
    "terminal_payter",
    "terminal",
    PayterSettings,
    open_terminal,
    list_complaints,
    _terminal_address,
    verify_kit="drivers.terminal_payter.verify_kit:VERIFY_KIT",
)
