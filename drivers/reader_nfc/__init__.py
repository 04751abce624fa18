"""Contactless badge reader: ISO/IEC 14443 type A cards (MIFARE DESFire and others) through nfcpy.

Readers: PN532 on a serial line (``tty:AMA0:pn532``, ``tty:/dev/serial/by-id/usb-...:pn532``), USB readers that nfcpy
knows (``usb``, ``usb:054c:06c3``), a simulated field (``udp:127.0.0.1:54321``). nfcpy itself is imported by the
reader's own thread when the reader is opened.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.driver import Driver, Where
from agent.ports.reader import ReaderPort
from drivers.reader_nfc import secure_settings
from drivers.reader_nfc.settings import NfcSettings

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
