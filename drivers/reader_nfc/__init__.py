"""Contactless badge reader: ISO/IEC 14443 type A cards (MIFARE DESFire and others) through nfcpy.

Readers: PN532 on a serial line (``tty:AMA0:pn532``, ``tty:/dev/serial/by-id/usb-...:pn532``), USB readers that nfcpy
knows (``usb``, ``usb:054c:06c3``), a simulated field (``udp:127.0.0.1:54321``). nfcpy itself is imported by the
reader's own thread when the reader is opened.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from agent.model.key_rules import Between, OneOf, Text, settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.reader import ReaderPort
from drivers.reader_nfc import secure_settings
from drivers.reader_nfc.secure_settings import SecureSettings

ISO14443A, EV1_4K = "iso14443a", "desfire_ev1_4k"


@dataclass(frozen=True, slots=True)
class NfcSettings:
    """``path``: see the package. ``mode``: ``uid`` (the card's serial number is the token) or ``secure`` (a DESFire
    proves that it knows its key; table ``secure``, see ``SecureSettings``). ``uid_order``: ``normal``
    (byte 0 first) or ``reversed``; ``uid_case``: ``upper`` or ``lower``. ``poll_ms``: pause between two looks for a
    card; ``presence_ms``: pause between two questions to a card in the field; ``removal_misses``: unanswered questions
    in a row that mean it was taken away; ``same_card_holdoff_ms``: time after which the same card counts again.
    ``accept``: ``iso14443a``, ``desfire_only`` (cards with ISO/IEC 14443-4), or ``desfire_ev1_4k`` (what says so of
    itself, with the same UID; in ``uid`` mode no proof)."""

    path: Annotated[str, Text(300)]
    mode: Annotated[str, OneOf(("uid", "secure"))] = "uid"
    uid_order: Annotated[str, OneOf(("normal", "reversed"))] = "normal"
    uid_case: Annotated[str, OneOf(("upper", "lower"))] = "upper"
    poll_ms: Annotated[int, Between(0, 5000, "ms")] = 120
    presence_ms: Annotated[int, Between(10, 2000, "ms")] = 100
    removal_misses: Annotated[int, Between(1, 20)] = 2
    same_card_holdoff_ms: Annotated[int, Between(0, 60_000, "ms")] = 1500
    accept: Annotated[str, OneOf((ISO14443A, "desfire_only", EV1_4K))] = ISO14443A
    secure: SecureSettings | None = None


_PATHS = (
    re.compile(r"usb(:[0-9a-fA-F]{4}(:[0-9a-fA-F]{4})?|:\d{1,3}(:\d{1,3})?)?"),
    re.compile(r"tty:([A-Za-z0-9-]+|/[^:\0]+):(pn532|arygon)"),
    re.compile(r"udp:[A-Za-z0-9.-]+:\d{1,5}"),
)


def list_complaints(settings: NfcSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not any(p.fullmatch(settings.path) for p in _PATHS):
        wrong.append(
            f"path: must look like usb, usb:054c:06c3, tty:AMA0:pn532, tty:/dev/serial/by-id/...:pn532 or "
            f"udp:127.0.0.1:54321, is {settings.path!r}"
        )
    return wrong + _secure_complaints(settings)


def _secure_complaints(settings: NfcSettings) -> list[str]:
    if settings.secure is None:
        missing = 'secure: a table with application and key_file must be there for mode = "secure"'
        return [missing] if settings.mode == "secure" else []
    unused = ['secure: must not be there with mode = "uid", which proves nothing'] if settings.mode == "uid" else []
    return unused + secure_settings.list_complaints(settings.secure)


@asynccontextmanager
async def open_reader(settings: NfcSettings, where: Where) -> AsyncIterator[ReaderPort]:
    """Yield the reader once it has answered. Raises ``Unreachable`` (no reader), ``Broken`` (settings)."""
    from drivers.reader_nfc.reader import NfcReader

    if wrong := list_complaints(settings):
        raise Broken(f"reader_nfc {settings.path}: " + "; ".join(wrong))
    reader = NfcReader(settings)
    try:
        await reader.start_thread()
        yield reader
    finally:
        await reader.stop_thread()


DRIVER = Driver(
    "reader_nfc",
    "reader",
    NfcSettings,
    open_reader,
    list_complaints,
    verify_kit="drivers.reader_nfc.verify_kit:VERIFY_KIT",
)
