"""What a running scenario knows: variables, the conversation so far, and from where a list of steps looks at it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, TypeVar

from agent.model.fastclass import mutable
from agent.scenario.frames import Frame, FrameLog
from agent.scenario.grammar import Form, Key
from agent.scenario.matching import as_number
from agent.scenario.observation import StationView
from agent.scenario.scenario_model import Scenario, Step
from agent.scenario.target import CannotCarryOut, Target
from agent.scenario.variables import UnknownVariable, fill_variables
from agent.scenario.versions import read_frame

T = TypeVar("T")
LOOK_S = 0.2
"""Pause between two looks at something that does not report its changes."""
WITHIN_S = 60.0


@mutable
class Branch:
    """One list of steps that runs. ``mark``: frames from this one on belong to the latest deed. ``used``: messages
    that an earlier step has accepted already. ``round``: which repetition, for reports."""

    mark: int = 0
    used: set[tuple[int, str]] = field(default_factory=set)
    round: str = ""
    matched: list[Frame] = field(default_factory=list)

    def split_branch(self) -> Branch:
        return Branch(self.mark, set(self.used), self.round)


class Conversation:
    """The frames of a station and what they have shown, kept over all scenarios of a run."""

    def __init__(self, target: Target) -> None:
        self.target, self.view = target, StationView()
        target.frames.listeners.append(self._read_frame)

    @property
    def frame_log(self) -> FrameLog:
        return self.target.frames

    def read_earlier_frames(self) -> None:
        """Read the frames that were there before this conversation was opened."""
        for frame in self.frame_log.frames:
            self._read_frame(frame)

    def station_time_s(self) -> float:
        """Return the time of the station's clock."""
        return self.view.station_time_s(time.monotonic(), self.target.speed, time.time())

    def _read_frame(self, frame: Frame) -> None:
        read_frame(self.view, frame)
        if frame.from_station and isinstance(frame.payload, dict) and "timestamp" in frame.payload:
            self.view.note_clock(frame.payload["timestamp"], frame, self.target.speed)


class RunState:
    """The state of one run of one scenario."""

    def __init__(self, scenario: Scenario, conversation: Conversation, variables: Mapping[str, Any]) -> None:
        self.scenario, self.conversation = scenario, conversation
        given = {name: typed_like(scenario.variables.get(name), value) for name, value in variables.items()}
        self.variables: dict[str, Any] = {**scenario.variables, **given}

    @property
    def run_target(self) -> Target:
        return self.conversation.target

    @property
    def station_view(self) -> StationView:
        return self.conversation.view

    def known_variables(self, branch: Branch) -> dict[str, Any]:
        """Return all variables with their values, the built-in ones included."""
        found: dict[str, Any] = {
            "station": self.run_target.station_id, "version": self.run_target.frames.version,
            "round": int(branch.round.rpartition("#")[2] or 1),
        }  # fmt: skip
        running = [t.id for t in self.station_view.transactions.values() if not t.ended] or list(
            self.station_view.transactions
        )
        if running:
            found["transaction"] = running[-1]
        return {**found, **self.variables}

    def filled_values(self, step: Step, branch: Branch) -> dict[str, Any]:
        """Return the values of a step with its variables. Raises ``UnknownVariable``, ``CannotCarryOut``."""
        own = {k: v for k, v in step.values.items() if k not in ("steps", "parallel")}
        if step.kind.kind_name != "set" and isinstance(own.get("set"), Mapping):
            own.pop("set")  # paths, not values
        filled = fill_variables(own, self.known_variables(branch), self.conversation.station_time_s)
        keys = step.kind.keys_by_name()
        return {name: coerced_value(keys[name], value) for name, value in filled.items()}

    def shown_values(self, step: Step, branch: Branch) -> Mapping[str, Any]:
        """Return the values of a step for a report: filled in, or as they are written."""
        try:
            return self.filled_values(step, branch)
        except (UnknownVariable, CannotCarryOut):
            return step.values

    async def wait_until(self, probe: Callable[[], T | None], within_s: float) -> T | None:
        """Return what ``probe`` returns as soon as it is something, or None after ``within_s`` of the station's time.
        It is asked at every change of the conversation."""
        end_s = time.monotonic() + self.run_target.real_wait_s(within_s)
        while True:
            found = probe()
            left_s = end_s - time.monotonic()
            if found or left_s <= 0:
                return found
            await self.run_target.frames.wait_for_change(min(left_s, 1.0))

    async def pause_station_time(self, station_s: float) -> None:
        await asyncio.sleep(station_s / self.run_target.speed)


def typed_like(default: Any, value: Any) -> Any:
    """Return a text of the command line in the type of the variable that it replaces, where it can be read so."""
    if isinstance(default, bool) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if isinstance(default, int | float) and not isinstance(default, bool):
        number = as_number(value)
        return value if number is None else int(number) if number == int(number) else number
    return value


def coerced_value(key: Key, value: Any) -> Any:
    """Return a value of a variable in the form that its key needs. Raises ``CannotCarryOut``."""
    if key.form is Form.TEXT:
        return value if isinstance(value, str) else str(value)
    if key.form in (Form.INTEGER, Form.NUMBER):
        number = as_number(value)
        if number is None or (key.form is Form.INTEGER and number != int(number)):
            raise CannotCarryOut(f"{key.name}: must be {key.form}, the variable is {value!r}")
        return int(number) if key.form is Form.INTEGER else number
    if key.form is Form.FLAG and not isinstance(value, bool):
        if str(value).lower() not in ("true", "false"):
            raise CannotCarryOut(f"{key.name}: must be true or false, the variable is {value!r}")
        return str(value).lower() == "true"
    return value
