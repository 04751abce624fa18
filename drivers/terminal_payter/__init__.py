"""Bank card terminal that speaks PSP (Payter Session Protocol): Payter Apollo over TCP, TLS or a serial line.

What the public documents leave open is a named setting here, with the likeliest value; docs/payments.md lists them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.terminal import TerminalPort


@dataclass(frozen=True, slots=True)
class PayterSettings:
    """``line``: ``tcp``, ``tls`` (needs ``ca_file``; ``tls_name``: the name in its certificate, "" = any) or ``serial``
    (``device``; ``baud`` 0 = tried one after the other). ``session_timeout_s``: after so long the terminal voids by
    itself what nobody settled. ``bank_s``: how long a bank that somebody before us has asked is waited for.
    ``serial``: the number on its back, for one that does not tell its own; whoever exchanges it changes this.
    ``salt_file``: secret that card marks are made with; without it one is kept in the state directory."""

    host: str = ""
    port: int = 3201
    line: str = "tcp"
    device: str = ""
    baud: int = 115200
    ca_file: Path | None = None
    tls_name: str = ""
    serial: str = ""
    salt_file: Path | None = None
    session_timeout_s: int = 259_200
    extended: bool = False
    # patience
    reply_s: float = 4.0
    settle_s: float = 15.0
    keep_alive_s: float = 10.0
    sync_every_s: float = 0.5
    sync_s: float = 15.0
    bank_s: float = 120.0
    gap_ms: int = 250
    # open points of the public documents
    auth_payload: str = ""
    commit_extra: str = ""
    orders_answer: str = "either"
    start_extras: bool = True
    dol_tags: str = "DFAA70DFCA0BDFCA0A"
    hash_tag: str = "DFAA70"
    approval_hash: bool = True
    payment_methods: int = 0x02
    amount_scale: int = 1
    select_language: int = 0
    session_ids_unique: bool = True


TIMEOUT_FACTOR = 1.5
"""By how much the terminal's own time-out outlasts the longest session: time to ask again and again."""
LINES = ("tcp", "tls", "serial")
ANSWERS = ("either", "result", "none")
BAUDS = (0, 115200, 57600, 38400, 19200, 9600)
_RANGES: dict[str, tuple[float, float]] = {
    "port": (1, 65535),
    "session_timeout_s": (3600, 2_592_000),
    "reply_s": (0.1, 60),
    "settle_s": (0.1, 120),
    "keep_alive_s": (0.05, 15),
    "sync_every_s": (0.02, 10),
    "sync_s": (0.5, 300),
    "bank_s": (0, 160),
    "gap_ms": (20, 2000),
    "payment_methods": (0, 255),
    "amount_scale": (1, 1000),
    "select_language": (0, 255),
}


def complaints(settings: PayterSettings, where: Where | None = None) -> list[str]:
    """What is wrong with the settings, one line each, without touching a device."""
    wrong = [
        f"{key}: must be {low:g} to {high:g}, is {getattr(settings, key)}"
        for key, (low, high) in _RANGES.items()
        if not low <= getattr(settings, key) <= high
    ]
    for key, choices in (("line", LINES), ("orders_answer", ANSWERS), ("baud", BAUDS)):
        if getattr(settings, key) not in choices:
            wrong.append(f"{key}: must be one of {', '.join(map(str, choices))}, is {getattr(settings, key)!r}")
    wrong += [f"{k}: must be bytes in hexadecimal" for k in ("auth_payload", "commit_extra") if not _hex(settings, k)]
    wrong += [f"{k}: must be tags in hexadecimal" for k in ("dol_tags", "hash_tag") if not _hex(settings, k)]
    return wrong + _line(settings) + _files(settings) + _lets_go(settings, where)


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


def _hex(settings: PayterSettings, key: str) -> bool:
    try:
        return len(bytes.fromhex(getattr(settings, key))) < 128
    except ValueError:
        return False


def _line(settings: PayterSettings) -> list[str]:
    if settings.line == "serial":
        return [] if settings.device else ['device: is missing, for example device = "/dev/ttyUSB0"']
    wrong = [] if settings.host else ['host: is missing, for example host = "192.168.5.10"']
    if settings.line == "tls" and settings.ca_file is None:
        wrong.append("ca_file: is missing: the certificate that the terminal's own one is judged by (PEM)")
    return wrong


def _files(settings: PayterSettings) -> list[str]:
    from drivers.terminal_payter.card import trouble

    said = trouble(settings.salt_file)
    wrong = [f"salt_file: {said}"] if said else []
    if settings.ca_file is not None and not settings.ca_file.is_file():
        wrong.append(f"ca_file: {settings.ca_file}: there is no such file")
    return wrong


@asynccontextmanager
async def open_terminal(settings: PayterSettings, where: Where) -> AsyncIterator[TerminalPort]:
    """Yields the terminal once it is enabled. Raises ``Unreachable`` (no terminal), ``Broken`` (settings)."""
    from drivers.terminal_payter.card import salt_of
    from drivers.terminal_payter.opening import opened

    if wrong := complaints(settings):
        raise Broken(f"terminal_payter {settings.host or settings.device}: " + "; ".join(wrong))
    terminal = await opened(settings, salt_of(settings.salt_file, where.facts.get("state_dir")))
    try:
        yield terminal
    finally:
        await terminal.close()


def _address(settings: PayterSettings, where: Where) -> tuple[str, int]:
    return (settings.device, 0) if settings.line == "serial" else (settings.host, settings.port)


DRIVER = Driver(
    "terminal_payter",
    "terminal",
    PayterSettings,
    open_terminal,
    complaints,
    _address,
    fitting="drivers.terminal_payter.fitting:FITTING",
)
