"""What a replay has shown: each difference between the recorded conversation and the present one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen, mutable
from agent.model.string_enum import StrEnum
from agent.scenario.frames import Frame


class DifferenceKind(StrEnum):
    ANSWER = "answer"
    """The backend has answered a request of the station otherwise."""
    NO_ANSWER = "no answer"
    """The backend has not answered in time."""
    REQUEST = "request"
    """The backend has sent a recorded request with another content."""
    REQUEST_MISSING = "request missing"
    """The backend has not sent a request that is in the recording."""
    REQUEST_ADDED = "request added"
    """The backend has sent a request that is not in the recording."""
    CONNECTION = "connection"
    """The connection was lost, or refused, where it was not in the recording."""


OF_REQUESTS = (DifferenceKind.REQUEST, DifferenceKind.REQUEST_MISSING, DifferenceKind.REQUEST_ADDED)


@frozen
class ReplayDifference:
    """``frame``: the recorded request that it is about; None: it is about none. ``path``: within the payload.
    ``recorded`` and ``present``: values of JSON, or words."""

    kind: DifferenceKind
    action: str
    frame: Frame | None
    path: str
    recorded: Any
    present: Any


@frozen
class PresentAnswer:
    """What the backend has answered now. ``asked``: the recorded request of the station. ``answer`` None: nothing."""

    asked: Frame
    answer: Frame | None
    took_ms: float
    differences: tuple[ReplayDifference, ...]


@mutable
class ReplayOutcome:
    """``answers``: one for each request of the station that was sent. ``others``: differences that belong to none.
    ``unplayed``: requests of the station that were not sent. ``requests_met``: recorded requests of the backend that it
    has sent again. ``latency``: how fast the backend has answered, by action, as in the record of an audit."""

    answers: list[PresentAnswer] = field(default_factory=list)
    others: list[ReplayDifference] = field(default_factory=list)
    unplayed: int = 0
    requests_met: int = 0
    latency: list[dict[str, Any]] = field(default_factory=list)

    def list_differences(self, answers_only: bool = False) -> list[ReplayDifference]:
        """Return all differences in the order of the recording. ``answers_only``: without those of the backend's own
        requests."""
        found = [d for answer in self.answers for d in answer.differences]
        return sorted([*found, *self.other_differences(answers_only)], key=_place_of_difference)

    def other_differences(self, answers_only: bool = False) -> list[ReplayDifference]:
        """Return the differences that belong to no answer."""
        return [d for d in self.others if not (answers_only and d.kind in OF_REQUESTS)]

    def has_differences(self, answers_only: bool = False) -> bool:
        return bool(self.unplayed or self.list_differences(answers_only))


def _place_of_difference(difference: ReplayDifference) -> float:
    return difference.frame.seq if difference.frame is not None else float("inf")


def differences_by_frame(differences: Sequence[ReplayDifference]) -> Mapping[int, list[ReplayDifference]]:
    """Return the differences by the number of the recorded request."""
    found: dict[int, list[ReplayDifference]] = {}
    for difference in differences:
        if difference.frame is not None:
            found.setdefault(difference.frame.seq, []).append(difference)
    return found
