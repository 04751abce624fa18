"""Bank card terminal that speaks PSP (Payter Session Protocol): Payter Apollo over TCP, TLS or a serial line.

What the public documents leave open is a named setting here, with the likeliest value; docs/payments.md lists them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.terminal import TerminalPort
from drivers.terminal_payter.settings import PayterSettings

TIMEOUT_FACTOR = 1.5
"""By how much the terminal's own time-out outlasts the longest session: time to ask again and again."""
LONGEST_TAG_LIST = 100
"""Bytes of tags in one request, which has to leave room for texts in its frame."""


def list_complaints(settings: PayterSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    return (
        settings_problems(settings)
        + _line_complaints(settings)
        + _badge_complaints(settings)
        + _header_complaints(settings)
        + _file_complaints(settings)
        + _lets_go(settings, where)
    )


def _lets_go(settings: PayterSettings, where: Where | None) -> list[str]:
    """List a complaint if the terminal would give up a hold before everything that is owed was asked for."""
    hours = where.facts.hold_hours if where is not None else 0.0
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


def _badge_complaints(settings: PayterSettings) -> list[str]:
    if not settings.badges:
        return []
    from drivers.terminal_payter.badges import CARD_NUMBER_TAGS, split_tags

    wrong = [] if settings.badge_tags else ["badge_tags: is missing: the tags that may hold the UID of a badge"]
    if len(settings.dol_tags) + len(settings.badge_tags) > 2 * LONGEST_TAG_LIST:
        wrong.append(f"badge_tags: with dol_tags at most {LONGEST_TAG_LIST} bytes fit one request")
    of_bank_cards = {*CARD_NUMBER_TAGS, settings.hash_tag.upper()}
    wrong += (
        f"badge_tags: {tag} holds the number or the hash of a bank card, which is no badge"
        for tag in split_tags(settings.badge_tags)
        if tag in of_bank_cards
    )
    return wrong


def _header_complaints(settings: PayterSettings) -> list[str]:
    """List the headers that have another meaning. What is answered under its own header would also swallow what the
    terminal says under it by itself, as an approval."""
    from drivers.terminal_payter.commands import From, To

    requests = {*To}
    reserved = {
        **dict.fromkeys(("select_language", "ui_request", "read_card"), requests),
        **dict.fromkeys(("connection_info", "get_receipt", "transaction_record"), requests | {*From} - {From.RESULT}),
    }
    return [
        f"{name}: 0x{header:02X} has another meaning in PSP"
        for name, headers in reserved.items()
        if (header := getattr(settings, name)) in headers
    ]


def _file_complaints(settings: PayterSettings) -> list[str]:
    from drivers.terminal_payter.card import salt_file_problem

    problem = salt_file_problem(settings.salt_file)
    wrong = [f"salt_file: {problem}"] if problem else []
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
    terminal = await open_terminal(settings, salt_of(settings.salt_file, where.facts.state_dir), where)
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
