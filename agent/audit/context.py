"""What a judge gets: the recorded conversation of an audit and what else is known, and what it gives back.

A judge is a pure function. It names no version of OCPP: it reads the paths that a message has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from agent.audit.verdicts import AuditVerdict
from agent.model.fastclass import frozen
from agent.scenario.frames import CALL, Frame
from agent.scenario.grammar import Form
from agent.scenario.observation import StationView


@frozen
class StationFact:
    """Something that is known of the station. ``source``: BootNotification, kit, station file, asked ..."""

    key: str
    title: str
    value: str
    source: str


@frozen
class KitFacts:
    """What the integration kit fixes, without secrets. ``settings``: by name of OCPP, as text. ``tariff``: by key of
    the kit. ``evses``: numbers of the outlets."""

    number: str = ""
    charge_point_id: str = ""
    station_type: str = ""
    versions: tuple[str, ...] = ()
    security_profile: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    iccid: str = ""
    apn: str = ""
    tariff: Mapping[str, Any] = field(default_factory=dict)
    evses: tuple[int, ...] = ()


@frozen
class MeterReading:
    """One look at a meter that is not a message. ``source``: "simulation" or "reference". ``at_s``: monotonic."""

    at_s: float
    evse: int
    source: str
    energy_wh: float
    power_w: float | None = None
    currents_a: tuple[float, ...] = ()
    soc_percent: float | None = None
    limit_a: float | None = None


@frozen
class WireRecord:
    """Something that happened and is no frame: see docs/audit.md for the kinds and their data."""

    at_s: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Fact:
    """One line of an obligation's result, for the report."""

    title: str
    value: str


@frozen
class AuditContext:
    """Everything that a judge may look at. ``speed``: how many times as fast the station's time runs as ``at_s`` and
    ``utc_s`` of the frames. ``spans``: by whole id of an obligation, the numbers of the frames during it.
    ``parameters``: of the obligation, defaults included. ``claims``: what each source says; ``facts`` has the word of
    one."""

    version: str
    station_id: str
    target: str
    frames: tuple[Frame, ...]
    view: StationView
    speed: float = 1.0
    facts: Mapping[str, StationFact] = field(default_factory=dict)
    claims: Mapping[str, tuple[StationFact, ...]] = field(default_factory=dict)
    kit: KitFacts | None = None
    readings: tuple[MeterReading, ...] = ()
    records: tuple[WireRecord, ...] = ()
    spans: Mapping[str, range] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def requests(self, *actions: str, sender: str = "station") -> tuple[Frame, ...]:
        """Return the requests of one side with these actions, or all of them."""
        from_station = sender == "station"
        return tuple(
            f
            for f in self.frames
            if f.kind == CALL and f.from_station == from_station and (not actions or f.action in actions)
        )

    def answer_to(self, request: Frame) -> Frame | None:
        """Return the answer to a request, a CALLERROR too; None if there is none."""
        return next((f for f in self.frames if f.answers is request), None)

    def station_seconds(self, real_s: float) -> float:
        """Return how much of the station's time passes in so many real seconds."""
        return real_s * self.speed


@frozen
class JudgeResult:
    """``evidence``: numbers (``Frame.seq``) of the frames that decided it. ``advice``: what to do, if the judge knows
    it better than the plan."""

    verdict: AuditVerdict
    says: str
    facts: tuple[Fact, ...] = ()
    evidence: tuple[int, ...] = ()
    advice: str = ""
    advice_to: str = ""


@frozen
class JudgeParameter:
    """A parameter of a judge that a plan may set."""

    form: Form
    default: Any
    meaning: str


@frozen
class Judge:
    """A judge by its name in plans. ``meaning``: one sentence, what is so when it passes."""

    name: str
    meaning: str
    function: Callable[[AuditContext], JudgeResult]
    parameters: Mapping[str, JudgeParameter] = field(default_factory=dict)


def passed_result(says: str, facts: Sequence[Fact] = (), evidence: Sequence[Frame] = ()) -> JudgeResult:
    return JudgeResult(AuditVerdict.PASS, says, tuple(facts), _frame_numbers(evidence))


def failed_result(
    says: str, facts: Sequence[Fact] = (), evidence: Sequence[Frame] = (), advice: str = "", advice_to: str = ""
) -> JudgeResult:
    return JudgeResult(AuditVerdict.FAIL, says, tuple(facts), _frame_numbers(evidence), advice, advice_to)


def partial_result(says: str, facts: Sequence[Fact] = (), evidence: Sequence[Frame] = ()) -> JudgeResult:
    """Return that the conversation did not show enough."""
    return JudgeResult(AuditVerdict.PARTIAL, says, tuple(facts), _frame_numbers(evidence))


def inapplicable_result(says: str) -> JudgeResult:
    """Return that the obligation does not concern this station."""
    return JudgeResult(AuditVerdict.NOT_APPLICABLE, says)


def _frame_numbers(frames: Sequence[Frame]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(f.seq for f in frames))
