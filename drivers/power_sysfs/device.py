"""The files of a power supply, read again at every poll (sysfs does not report a change of ``online``).

Source: Linux Documentation/ABI/testing/sysfs-class-power (``online``, ``present``, ``capacity``).
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

from agent.model.types import Supply
from agent.ports import Garbled, Unreachable
from drivers.power_sysfs.settings import PowerSettings

_LONGEST = 32


class SysfsPower:
    """``PowerPort`` over files. A look takes microseconds: sysfs waits for no bus here."""

    def __init__(self, settings: PowerSettings) -> None:
        self._settings = settings

    async def supplies(self) -> AsyncIterator[Supply]:
        reported: Supply | None = None
        while True:
            seen = self.read_supply()
            if seen != reported:
                reported = seen
                yield seen
            await asyncio.sleep(self._settings.poll_s)

    def read_supply(self) -> Supply:
        path = Path(self._settings.path)
        mains = _read_number(path / "online" if path.is_dir() else path) != self._settings.lost
        return Supply(mains, self._on_backup())

    def _on_backup(self) -> bool | None:
        if not self._settings.backup:
            return None
        folder = Path(self._settings.backup)
        if _is_present(folder / "present") and _read_number(folder / "present") == 0:
            return False
        if _is_present(folder / "capacity"):
            return _read_number(folder / "capacity") >= self._settings.backup_min_percent
        return True


def _is_present(path: Path) -> bool:
    return path.exists()


def _read_number(path: Path) -> int:
    try:
        with path.open("rb", buffering=0) as file:
            text = file.read(_LONGEST).decode("ascii", "replace").strip()
    except OSError as e:
        advice = "give the service user access" if e.errno == errno.EACCES else "check path and kernel driver"
        raise Unreachable(f"power input {path}: {e.strerror}; {advice}; it is tried again") from e
    if not text.isascii() or not text.removeprefix("-").isdigit():
        raise Garbled(f"power input {path}: has {text!r}, no number; check path")
    return int(text)
