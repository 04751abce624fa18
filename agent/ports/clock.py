"""What rooms need of the clock; ``services/clock.py`` is the real one."""

from __future__ import annotations

from typing import Protocol

from agent.model.types import Moment, Stamp


class ClockPort(Protocol):
    """``rate`` scales domain time only (simulation); I/O time-outs stay real seconds."""

    rate: float

    def now(self) -> Moment: ...

    def utc_s(self, stamp: Stamp) -> float:
        """UTC of a stamp, as well as it can be known now: exact for this boot once the time is trusted, bracketed for
        an earlier boot without one. Never 1970: at least the build time of the program."""
        ...

    def heard_utc(self, utc_s: float, round_trip_s: float, is_preliminary: bool = False) -> None:
        """A backend said what time it is, in an answer that took ``round_trip_s``. ``is_preliminary``: it is not the
        first backend, or its answer came late. That is better than no time, until the first backend says it."""
        ...
