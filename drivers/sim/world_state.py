"""What outlives the world's process: cables, cars, faults and the ledger as JSON, the meters' registers as numbers.

The registers are written in place at every step, so that a meter never runs backwards after a kill. The rest is
replaced as a whole when it changes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_REGISTER_BYTES = 16


class InUse(Exception):
    """Another simulated station uses this folder."""


class WorldStateFolder:
    """The folder of a world. Raises ``InUse``, ``OSError``."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "world.json"
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder / "registers", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise InUse(
                f"{folder}: another simulated station keeps its memory here; end it, or choose another folder: "
                "[simulation] state_dir"
            ) from None
        self._saved = ""
        self._registers: dict[int, int] = {}

    def close(self) -> None:
        os.close(self._fd)

    def load_state(self) -> dict[str, Any] | None:
        """Return the stored world, or None at the first start. An unreadable file is renamed and kept."""
        try:
            found = json.loads(self._file.read_text("utf-8"))
            if isinstance(found, dict):
                return found
        except FileNotFoundError:
            return None
        except ValueError:
            pass
        aside = self._file.with_suffix(".unreadable")
        log.warning("%s cannot be read; it is kept as %s and the station file is used", self._file, aside.name)
        self._file.replace(aside)
        return None

    def save_state(self, world: dict[str, Any]) -> None:
        text = json.dumps(world, indent=1)
        if text == self._saved:
            return
        beside = self._file.with_suffix(".new")
        beside.write_text(text, "utf-8")
        beside.replace(self._file)
        self._saved = text

    def stored_register(self, evse: int) -> int | None:
        """Return the energy of the EVSE's meter in nWs; None if it was never written."""
        raw = os.pread(self._fd, _REGISTER_BYTES, evse * _REGISTER_BYTES)
        return int.from_bytes(raw, "big") - 1 if len(raw) == _REGISTER_BYTES and any(raw) else None

    def set_register(self, evse: int, energy_nws: int) -> None:
        if self._registers.get(evse) != energy_nws:
            self._registers[evse] = energy_nws
            os.pwrite(self._fd, (energy_nws + 1).to_bytes(_REGISTER_BYTES, "big"), evse * _REGISTER_BYTES)
