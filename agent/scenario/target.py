"""The port of the scenario language: what a run needs of the station, of the backend and of the people around it.

A target is put together from four parts, so that a simulated, a real and a foreign station share what is alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Protocol

from agent.model.fastclass import mutable
from agent.scenario.frames import Frame, FrameLog


class CannotCarryOut(Exception):
    """A step could not be tried: the test equipment or a person did not do their part. The verdict is ERROR."""


class NotApplicable(Exception):
    """A step does not apply to this station, or there is no means here to try it. The message says why."""


class CheckFailed(Exception):
    """The station did something else than expected. The verdict is FAIL."""


class Hands(Protocol):
    """Does what is done at the station."""

    async def perform_deed(self, kind: str, values: Mapping[str, Any], patience_s: float) -> str:
        """Do it. Return how it was done, for the report. Raises ``CannotCarryOut``, ``NotApplicable``."""
        ...


class BackendSide(Protocol):
    """Sends requests to the station."""

    async def send_request(self, action: str, payload: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
        """Return the payload of the answer; a CALLERROR as ``{"error": code, ...}``. Raises ``CannotCarryOut``."""
        ...


class Eyes(Protocol):
    """Looks at the station itself."""

    async def screen_name(self, evse: int, expected: tuple[str, ...]) -> str:
        """Return the name of the screen that the display of an outlet shows. Raises ``NotApplicable``,
        ``CannotCarryOut``."""
        ...

    async def measured_value(self, quantity: str, evse: int) -> float | None:
        """Return a value of the station's own meter. None: only messages have it. Raises ``CannotCarryOut``."""
        ...


class Person(Protocol):
    """Answers questions."""

    async def answer_question(self, question: str, patience_s: float) -> str | None:
        """Return the answer; None: there is no person. Raises ``CannotCarryOut``, ``NotApplicable``."""
        ...


@mutable
class Target:
    """``speed``: how many times as fast the station's time runs. ``least_wait_s``: real seconds that every wait lasts
    at least, because a simulation at high speed shares the machine with others. ``deed_patience_s``: real seconds for
    what is done at the station. ``lacks``: names of ``grammar.NEEDS``, with the reason."""

    name: str
    frames: FrameLog
    hands: Hands
    backend: BackendSide
    eyes: Eyes
    person: Person
    speed: float = 1.0
    least_wait_s: float = 0.0
    deed_patience_s: float = 120.0
    station_id: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)
    mask: Callable[[Frame], str] = lambda frame: frame.text

    def real_wait_s(self, station_s: float) -> float:
        """Return how long to wait in real seconds for something that takes ``station_s`` of the station's time."""
        return max(station_s / self.speed, self.least_wait_s)
