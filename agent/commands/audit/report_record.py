"""The record of an audit (``audit.json``), as the report reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent.commands.audit.json_reading import JsonPart, RecordError, load_json_file
from agent.model.fastclass import frozen

RECORD_FILE = "audit.json"
FORMAT = 1
FIRST_YEAR, LAST_YEAR = 1970, 2999
"""Of the instants of an audit."""
VERDICTS = ("FAIL", "ERROR", "PARTIAL", "PASS", "NOT APPLICABLE")
"""The heaviest first."""
ADDRESSEES = ("client", "subcontractor")
ROLES = ("manufacturer", "operator")
SENDERS = ("station", "backend")
FRAME_KINDS = ("call", "result", "error")


@frozen
class StationFact:
    """``source``: where the value comes from."""

    key: str
    title: str
    value: str
    source: str


@frozen
class Fact:
    title: str
    value: str


@frozen
class EvidenceFrame:
    """``clock``: hour, minute and second in UTC, "" if it is not known."""

    clock: str
    sender: str
    frame: str


@frozen
class Advice:
    """``addressee``: one of ``ADDRESSEES``."""

    action: str
    addressee: str


@frozen
class StepRecord:
    step_id: str
    title: str
    verdict: str
    says: str
    took_s: float
    evidence: tuple[EvidenceFrame, ...]


@frozen
class ScenarioRecord:
    """``not_reached``: steps that a failure before them prevented."""

    scenario_id: str
    title: str
    says: str
    steps: tuple[StepRecord, ...]
    not_reached: tuple[str, ...]


@frozen
class Obligation:
    """``pictures``: paths inside the folder of the audit."""

    obligation_id: str
    title: str
    kind: str
    verdict: str
    says: str
    took_s: float
    references: tuple[str, ...]
    facts: tuple[Fact, ...]
    evidence: tuple[EvidenceFrame, ...]
    scenario: ScenarioRecord | None
    pictures: tuple[str, ...]
    advice: Advice | None


@frozen
class Section:
    section_id: str
    title: str
    verdict: str
    obligations: tuple[Obligation, ...]

    def count_verdicts(self) -> Counter[str]:
        return Counter(o.verdict for o in self.obligations)


@frozen
class Finding:
    """What has to be done. ``verdict`` and ``says`` are those of the obligation."""

    obligation_id: str
    title: str
    verdict: str
    says: str
    action: str
    addressee: str


@frozen
class CurvePoint:
    """One reading. Each value but the time may be missing."""

    t_s: float
    power_w: float | None
    energy_wh: float | None
    soc_percent: float | None


@frozen
class ChargeCurve:
    transaction: str
    evse: int
    title: str
    points: tuple[CurvePoint, ...]


@frozen
class LatencyRow:
    """How long the other side took to answer the requests of ``sender``."""

    action: str
    sender: str
    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@frozen
class SequenceEntry:
    """A frame of the conversation. ``at_s``: since the audit began. ``kind``: one of ``FRAME_KINDS``."""

    at_s: float
    sender: str
    kind: str
    action: str
    label: str


@frozen
class Picture:
    path: str
    title: str
    evse: int


@frozen
class AuditRecord:
    """``required_roles``: who has to sign. ``speed``: how many times faster than real time a simulation went.
    ``is_complete``: each obligation has its turn behind it."""

    audit_id: str
    program: str
    plan_id: str
    plan_title: str
    plan_edition: str
    began: datetime
    ended: datetime
    took_s: float
    ocpp: str
    target: str
    speed: float
    station: tuple[StationFact, ...]
    verdict: str
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]
    curves: tuple[ChargeCurve, ...]
    latency: tuple[LatencyRow, ...]
    sequence: tuple[SequenceEntry, ...]
    pictures: tuple[Picture, ...]
    required_roles: tuple[str, ...]
    is_complete: bool

    def count_verdicts(self) -> Counter[str]:
        return sum((s.count_verdicts() for s in self.sections), Counter())

    def station_value(self, key: str) -> str:
        """Return what is known of the station under ``key``, "" if nothing is."""
        return next((fact.value for fact in self.station if fact.key == key), "")

    @property
    def station_name(self) -> str:
        return self.station_value("number") or self.station_value("id") or "without a name"


def load_audit_record(folder: Path) -> AuditRecord:
    """Return the record of the audit in this folder. Raises ``RecordError``."""
    return read_audit_record(load_json_file(folder / RECORD_FILE))


def read_audit_record(part: JsonPart) -> AuditRecord:
    """Return the record. Raises ``RecordError``."""
    if (written := part.integer_at("format")) != FORMAT:
        part.refuse_value(f"has format {written}, this program reads format {FORMAT}")
    plan, program, signing = (_object_at(part, key) for key in ("plan", "program", "signing"))
    return AuditRecord(
        audit_id=part.text_at("id"),
        program=f"{program.text_at('name', 'chargy-agent')} {program.text_at('version', '')}".strip(),
        plan_id=plan.text_at("id"),
        plan_title=plan.text_at("title", ""),
        plan_edition=plan.text_at("edition", ""),
        began=_instant_at(part, "began"),
        ended=_instant_at(part, "ended"),
        took_s=part.number_at("took_s", 0.0),
        ocpp=part.text_at("ocpp", ""),
        target=part.text_at("target", ""),
        speed=part.number_at("speed", 1.0),
        station=tuple(_station_fact(p) for p in part.parts_at("station")),
        verdict=part.word_at("verdict", VERDICTS),
        sections=tuple(_section_of(p) for p in part.parts_at("sections")),
        findings=tuple(_finding_of(p) for p in part.parts_at("findings")),
        curves=tuple(_curve_of(p) for p in part.parts_at("charge_curves")),
        latency=tuple(_latency_row(p) for p in part.parts_at("latency")),
        sequence=tuple(_sequence_entry(p) for p in part.parts_at("sequence")),
        pictures=tuple(
            Picture(p.text_at("path"), p.text_at("title", ""), p.integer_at("evse", 0))
            for p in part.parts_at("pictures")
        ),
        required_roles=_required_roles(signing),
        is_complete=bool(part.value_at("complete", (bool,), "true or false", True)),
    )


def _object_at(part: JsonPart, key: str) -> JsonPart:
    return part.part_at(key) or JsonPart({}, f"{part.place}.{key}")


def _instant_at(part: JsonPart, key: str) -> datetime:
    text = part.text_at(key)
    try:
        instant = datetime.fromisoformat(text)
        instant = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
        if not FIRST_YEAR <= instant.year <= LAST_YEAR:
            raise ValueError
        return instant
    except (ValueError, OverflowError):
        raise RecordError(f"{part.place}.{key}: must be an instant like 2026-11-28T09:30:00Z") from None


def _station_fact(part: JsonPart) -> StationFact:
    key = part.text_at("key")
    return StationFact(key, part.text_at("title", key), part.text_at("value", ""), part.text_at("source", ""))


def _section_of(part: JsonPart) -> Section:
    obligations = tuple(_obligation_of(p) for p in part.parts_at("obligations"))
    section_id = part.text_at("id")
    return Section(section_id, part.text_at("title", section_id), part.word_at("verdict", VERDICTS), obligations)


def _obligation_of(part: JsonPart) -> Obligation:
    finding = part.part_at("finding")
    scenario = part.part_at("scenario")
    return Obligation(
        obligation_id=part.text_at("id"),
        title=part.text_at("title"),
        kind=part.text_at("kind", ""),
        verdict=part.word_at("verdict", VERDICTS),
        says=part.text_at("says", ""),
        took_s=part.number_at("took_s", 0.0),
        references=part.texts_at("references"),
        facts=tuple(Fact(p.text_at("title"), p.text_at("value", "")) for p in part.parts_at("facts")),
        evidence=_evidence_of(part),
        scenario=_scenario_of(scenario) if scenario else None,
        pictures=part.texts_at("pictures"),
        advice=Advice(finding.text_at("action"), finding.word_at("to", ADDRESSEES, "client")) if finding else None,
    )


def _evidence_of(part: JsonPart) -> tuple[EvidenceFrame, ...]:
    return tuple(
        EvidenceFrame(_clock_of(p), p.word_at("sender", SENDERS), p.text_at("frame")) for p in part.parts_at("evidence")
    )


def _clock_of(part: JsonPart) -> str:
    utc_s = part.optional_number_at("utc_s")
    try:
        return "" if utc_s is None else datetime.fromtimestamp(utc_s, UTC).strftime("%H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        raise RecordError(f"{part.place}.utc_s: is no instant") from None


def _scenario_of(part: JsonPart) -> ScenarioRecord:
    scenario_id = part.text_at("id")
    steps = tuple(_step_of(p) for p in part.parts_at("steps"))
    title, says = part.text_at("title", scenario_id), part.text_at("says", "")
    return ScenarioRecord(scenario_id, title, says, steps, part.texts_at("not_reached"))


def _step_of(part: JsonPart) -> StepRecord:
    step_id, verdict = part.text_at("id"), part.word_at("verdict", VERDICTS)
    says, took_s = part.text_at("says", ""), part.number_at("took_s", 0.0)
    return StepRecord(step_id, part.text_at("title", step_id), verdict, says, took_s, _evidence_of(part))


def _finding_of(part: JsonPart) -> Finding:
    return Finding(
        part.text_at("obligation"),
        part.text_at("title", ""),
        part.word_at("verdict", VERDICTS),
        part.text_at("says", ""),
        part.text_at("action"),
        part.word_at("to", ADDRESSEES, "client"),
    )


def _curve_of(part: JsonPart) -> ChargeCurve:
    points = (
        CurvePoint(
            p.number_at("t_s"),
            p.optional_number_at("power_w"),
            p.optional_number_at("energy_wh"),
            p.optional_number_at("soc_percent"),
        )
        for p in part.parts_at("points")
    )
    in_order: Sequence[CurvePoint] = sorted(points, key=lambda p: p.t_s)
    return ChargeCurve(
        part.text_at("transaction", ""), part.integer_at("evse", 0), part.text_at("title", ""), tuple(in_order)
    )


def _latency_row(part: JsonPart) -> LatencyRow:
    count = part.integer_at("count", 0)
    p50_ms, p95_ms, max_ms = (part.number_at(key) for key in ("p50_ms", "p95_ms", "max_ms"))
    return LatencyRow(part.text_at("action"), part.word_at("sender", SENDERS), count, p50_ms, p95_ms, max_ms)


def _sequence_entry(part: JsonPart) -> SequenceEntry:
    return SequenceEntry(
        part.number_at("at_s"),
        part.word_at("sender", SENDERS),
        part.word_at("kind", FRAME_KINDS),
        part.text_at("action", ""),
        part.text_at("label", ""),
    )


def _required_roles(part: JsonPart) -> tuple[str, ...]:
    roles = part.texts_at("required")
    if unknown := [role for role in roles if role not in ROLES]:
        raise RecordError(f"{part.place}.required: {unknown[0]} is no role ({', '.join(ROLES)})")
    return tuple(role for role in ROLES if role in roles)
