"""Time: stamps of CLOCK_BOOTTIME at once, UTC as soon as a trusted source has given it.

The real-time clock of a board may say 1970; nothing billed is stamped from it. Each kernel boot has a number and, once
known, an offset ``utc = offset + t``. The table of offsets is durable, so that an event of an earlier boot gets its UTC
when it finally leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.model.fastclass import frozen, replace
from agent.model.types import Moment, Stamp

BUILT_UTC_S = 1_764_028_800.0
"""2025-11-25: no time before this program existed is believed."""
LAST_UTC_S = BUILT_UTC_S + 20 * 366 * 86400
"""No time beyond this program's life either: a date of the year 9999 cannot even be written a second later."""
STEP_S = 2.0
STEADY = 3
ROUND_TRIP_MAX_S = 5.0
PRELIMINARY_ROUND_TRIP_MAX_S = 120.0
"""An answer that came later says too little of the time: half of it is the most that a preliminary time is off."""


@frozen
class Scale:
    """Of a simulation whose rate changes while a station lives: at ``real_s`` (CLOCK_BOOTTIME) it was ``scaled_s``. The
    time goes on from there, so that no stamp lies before an older one. ``name``: of all its rates together."""

    name: str
    real_s: float
    scaled_s: float

    @classmethod
    def from_text(cls, text: str) -> Scale:
        """``NAME,REAL_S,SCALED_S``. Raises ``ValueError``."""
        name, real_s, scaled_s = text.split(",")
        return cls(name, float(real_s), float(scaled_s))


@frozen
class Boot:
    """A kernel boot as it is remembered. ``last_utc_s``: the latest UTC that is known to lie in it; of a boot whose
    time was never known, the earliest that its end can have been. ``is_preliminary``: the first backend has not said
    this offset."""

    number: int
    id: str
    offset_s: float | None = None
    last_utc_s: float | None = None
    is_preliminary: bool = False

    def to_record(self) -> dict[str, Any]:
        record = {"id": self.id, "offset_s": self.offset_s, "last_utc_s": self.last_utc_s}
        return {**record, "is_preliminary": True} if self.is_preliminary else record


class Clock:
    """``rate`` makes domain time run faster than real time (simulation), ``scale`` with another one before. ``above``:
    numbers that are taken, though nothing is remembered of them. ``changed`` is called after the offset of the present
    boot became known or was corrected, with the boot to remember. ``unreadable``: what was remembered and is no boot,
    by key."""

    def __init__(
        self,
        remembered: Mapping[str, Mapping[str, Any]],
        rate: float = 1.0,
        boot_id: str = "",
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        rtc: Callable[[], float] = time.time,
        above: int = 0,
        scale: Scale | None = None,
        changed: Callable[[Boot], None] = lambda boot: None,
    ) -> None:
        self.rate = rate
        self._scale = scale or Scale(f"{rate:g}", 0.0, 0.0)
        self.hurried = rate != 1.0 or scale is not None
        self._rtc = rtc
        self._changed = changed
        self._boottime = boottime
        self._boots = {b.number: b for key, record in remembered.items() if (b := _parse_boot(key, record)) is not None}
        self.unreadable = {k: r for k, r in remembered.items() if _parse_boot(k, r) is None}
        taken = max([above, *self._boots, *(int(k) for k in self.unreadable if k.isdecimal())])
        # the stamps of another time scale cannot be compared with those of this one
        identity = f"{boot_id or kernel_boot_id()}x{self._scale.name}"
        last = self._boots.get(taken)
        if last is None or last.id != identity:
            last = Boot(taken + 1, identity)
            self._boots[last.number] = last
        self.boot = last
        self._doubts: list[float] = []

    def _t_s(self) -> float:
        return self._scale.scaled_s + (self._boottime() - self._scale.real_s) * self.rate

    def now(self) -> Moment:
        t_s = self._t_s()
        offset = self.boot.offset_s
        return Moment(Stamp(self.boot.number, t_s), None if offset is None else offset + t_s)

    def boot_stamp(self) -> tuple[int, float]:
        """Boot number and seconds, for drivers."""
        return self.boot.number, self._t_s()

    def utc_s(self, stamp: Stamp) -> float:
        boot = self._boots.get(stamp.boot)
        if boot is not None and boot.offset_s is not None:
            return boot.offset_s + stamp.t_s
        return self._bracketed_utc_s(stamp)

    def _bracketed_utc_s(self, stamp: Stamp) -> float:
        """A boot whose time was never known: after everything known before it, before everything known after it."""
        earlier = [b.last_utc_s for n, b in self._boots.items() if n < stamp.boot and b.last_utc_s is not None]
        later = [b.offset_s for n, b in self._boots.items() if n > stamp.boot and b.offset_s is not None]
        low = max(earlier, default=BUILT_UTC_S)
        guess = low + stamp.t_s
        return min([guess, *later]) if not later or min(later) > low else low

    @property
    def rtc_deviation_s(self) -> float | None:
        """How far the board's real-time clock is from trusted time: for a technician, never for a stamp."""
        offset = self.boot.offset_s
        return None if offset is None else self._rtc() - (offset + self._t_s())

    def heard_utc(self, utc_s: float, round_trip_s: float, is_preliminary: bool = False) -> None:
        """Take the backend's time: at once when none is known or only a preliminary one; later only a step that three
        answers agree on. A preliminary time is taken only when none is known."""
        t_s = self._t_s()
        offset = utc_s + round_trip_s / 2 - t_s
        if not BUILT_UTC_S <= utc_s <= LAST_UTC_S:
            return
        if is_preliminary and (self.boot.offset_s is not None or round_trip_s > PRELIMINARY_ROUND_TRIP_MAX_S):
            return
        if self.boot.offset_s is None:
            self._set_offset(offset, t_s, is_preliminary)
            return
        was_preliminary = self.boot.is_preliminary
        if self.hurried or (round_trip_s > ROUND_TRIP_MAX_S and not was_preliminary):
            return  # a hurried clock cannot be compared with a real one
        if abs(offset - self.boot.offset_s) <= STEP_S:
            self._doubts.clear()
            self._keep_boot(replace(self.boot, is_preliminary=False))
            return
        self._doubts = [*(d for d in self._doubts if abs(d - offset) <= STEP_S), offset]
        if was_preliminary or len(self._doubts) >= STEADY:
            self._set_offset(offset, t_s)

    def _set_offset(self, offset_s: float, t_s: float, is_preliminary: bool = False) -> None:
        self._doubts.clear()
        self._keep_boot(Boot(self.boot.number, self.boot.id, offset_s, offset_s + t_s, is_preliminary))
        self._changed(self.boot)

    def _keep_boot(self, boot: Boot) -> None:
        self.boot = self._boots[boot.number] = boot

    def mark_boot_alive(self) -> Boot:
        """The present boot, alive until now: to be made durable now and then and before what is billed, so that a
        later boot that never learns the time is not put before it."""
        now = self.now().stamp
        self._keep_boot(replace(self.boot, last_utc_s=self.utc_s(now)))
        return self.boot


def _parse_boot(key: str, record: Any) -> Boot | None:
    """None: no boot at all. A time in it that cannot be is forgotten, the rest is good."""
    if not (key.isdecimal() and isinstance(record, Mapping) and isinstance(record.get("id"), str)):
        return None
    offset_s, last_utc_s = (_plausible_utc_s(record.get(name)) for name in ("offset_s", "last_utc_s"))
    return Boot(int(key), record["id"], offset_s, last_utc_s, record.get("is_preliminary") is True)


def _plausible_utc_s(utc_s: Any) -> float | None:
    """An offset may lie long before this program (it is the UTC of stamp 0), nothing lies after its life."""
    number = isinstance(utc_s, int | float) and not isinstance(utc_s, bool)
    return float(utc_s) if number and -LAST_UTC_S * 1000 <= utc_s <= LAST_UTC_S else None


def kernel_boot_id() -> str:
    """The kernel's id of this boot; where it is hidden (``ProcSubset=pid``), the boot time in whole minutes."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"at{round((time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)) / 60)}"
