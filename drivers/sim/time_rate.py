"""The rate of a simulated station's time, and its change while the station runs.

The physics of the world changes at once. The agent is restarted with the new rate, and its time continues from where it
was, so that nothing that began before the change lies in the future. The built-in central system gets the new rate.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent.station_file.settings import StationFile

log = logging.getLogger(__name__)

SLOWEST, FASTEST = 0.1, 1000.0
PLUG_IN_REAL_S = 120.0
"""Real time between card and cable for a person at the page, at every rate."""
_PLUG_IN_MOST_S = 86_400
_PLUG_IN_NAMES = ("connection_timeout_s", "ConnectionTimeOut", "TxCtrlr.EVConnectionTimeOut")


@dataclass(frozen=True, slots=True)
class Pace:
    """The rate and its origin. At ``real_s`` (CLOCK_BOOTTIME of the kernel boot ``boot``) the station's time was
    ``scaled_s``; since then it runs ``rate`` times as fast. ``name`` identifies the series of rates in the agent's
    stamps."""

    rate: float
    boot: str
    name: str
    real_s: float = 0.0
    scaled_s: float = 0.0

    @classmethod
    def first_pace(cls, rate: float) -> Pace:
        return cls(rate, kernel_boot_id(), f"{rate:g}")

    def with_rate(self, rate: float, now_s: float) -> Pace:
        """Return the same time, running at ``rate`` from now on."""
        scaled_s = self.scaled_s + (now_s - self.real_s) * self.rate
        return replace(self, rate=rate, real_s=now_s, scaled_s=scaled_s)

    @property
    def is_unchanged(self) -> bool:
        """The rate has never been changed."""
        return self.real_s == 0.0

    def agent_arguments(self) -> list[str]:
        """Return the arguments for the agent's command line; none for a station in real time."""
        if self.is_unchanged:
            return ["--clock-rate", _rate_text(self.rate)] if self.rate != 1.0 else []
        scale = f"{self.name},{self.real_s!r},{self.scaled_s!r}"
        return ["--clock-rate", _rate_text(self.rate), "--clock-scale", scale]


class PaceMemory:
    """Stores the pace, because it outlives the simulation as the agent's stamps do."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pace.json"

    def resume_pace(self, rate: float, now_s: float) -> Pace:
        """Return the pace of a start. A stopped station continues at ``rate``; after a kernel boot it begins again."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            known = Pace(**json.loads(self._path.read_text("utf-8")))
            if known.boot == kernel_boot_id() and known.real_s <= now_s:
                return known.with_rate(rate, now_s)
        return Pace.first_pace(rate)

    def save_pace(self, pace: Pace) -> None:
        try:
            self._path.write_text(json.dumps(asdict(pace)), "utf-8")
        except OSError as e:
            log.warning("%s: the rate of the station's clock is not remembered: %s", self._path, e)


def _rate_text(rate: float) -> str:
    return repr(rate).removesuffix(".0")


def boottime_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def kernel_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def with_plug_in_window(file: StationFile, rate: float) -> StationFile:
    """Give a person at the page two real minutes to plug in, unless the file sets a time."""
    if _setting_names(file.settings) & set(_PLUG_IN_NAMES):
        return file
    window_s = min(_PLUG_IN_MOST_S, max(1, round(PLUG_IN_REAL_S * rate)))
    return replace(file, settings={**file.settings, "connection_timeout_s": window_s})


def _setting_names(settings: Mapping[str, Any]) -> set[str]:
    inner = (value for value in settings.values() if isinstance(value, Mapping))
    return set(settings).union(*inner)
