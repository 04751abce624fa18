"""Push buttons as a Linux input device (``gpio-keys`` and the like), or a FIFO that carries the same records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agent.model.key_rules import settings_problems
from agent.ports import Broken
from agent.ports.buttons import ButtonsPort
from agent.ports.driver import Driver, Where
from drivers.buttons_evdev.settings import ButtonsSettings

KEY_MAX = 0x2FF


def list_complaints(settings: ButtonsSettings, where: Where | None = None) -> list[str]:
    """List what is wrong with the settings, one line each, without touching a device."""
    wrong = settings_problems(settings)
    if not settings.path:
        wrong.append('path: is missing, for example path = "/dev/input/event0"')
    if not settings.keys and not settings.fields:
        wrong.append("keys: no button has a name, for example keys = { language = 59 }")
    for name, code in settings.keys.items():
        if type(code) is not int or not 0 < code <= KEY_MAX:
            wrong.append(f"keys.{name}: must be a key code from 1 to {KEY_MAX}, is {code!r}")
    codes = [c for c in settings.keys.values() if type(c) is int]
    wrong += [f"keys: code {c} has two names" for c in dict.fromkeys(codes) if codes.count(c) > 1]
    wrong += [
        f"fields.{n}: must be left, top, right, bottom in percent, is {b!r}"
        for n, b in settings.fields.items()
        if not _is_box(b)
    ]
    return wrong


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4 or any(type(n) is not int or not 0 <= n <= 100 for n in box):
        return False
    return bool(box[0] < box[2] and box[1] < box[3])


@asynccontextmanager
async def open_buttons(settings: ButtonsSettings, where: Where) -> AsyncIterator[ButtonsPort]:
    """Yield the buttons. Raises ``Unreachable`` (no such device), ``Broken`` (settings)."""
    from drivers.buttons_evdev.device import EvdevButtons

    if wrong := list_complaints(settings):
        raise Broken(f"buttons_evdev {settings.path}: " + "; ".join(wrong))
    buttons = EvdevButtons(settings)
    try:
        yield buttons
    finally:
        buttons.close_device()


DRIVER = Driver(
    "buttons_evdev",
    "buttons",
    ButtonsSettings,
    open_buttons,
    list_complaints,
    verify_kit="drivers.buttons_evdev.verify_kit:VERIFY_KIT",
)
