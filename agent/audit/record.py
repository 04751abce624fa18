"""The record of an audit: ``audit.json``, format 1, and JUnit for CI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any
from xml.etree import ElementTree

from agent.audit.context import StationFact
from agent.audit.conversation_figures import charge_curves, latency_json, sequence_json
from agent.audit.obligation_outcome import FinishedObligation
from agent.audit.plan_model import Obligation, Plan
from agent.audit.verdicts import AuditVerdict, heaviest_verdict
from agent.model.fastclass import frozen
from agent.scenario.frames import Frame
from agent.scenario.observation import StationView
from agent.scenario.report import text_for_xml

FORMAT = 1
NOT_EXERCISED = "not exercised yet"


@frozen
class AuditHeader:
    """What stands at the head of a record. ``request``: how the audit was started, without secrets."""

    id: str
    program_version: str
    began: str
    target: str
    speed: float
    request: Mapping[str, Any] = field(default_factory=dict)


def build_record(
    header: AuditHeader, plan: Plan, finished: Mapping[str, FinishedObligation], facts: Mapping[str, StationFact],
    frames: Sequence[Frame], view: StationView, version: str, ended: str, took_s: float,
    pictures: Sequence[Mapping[str, Any]] = (), complete: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Return the record. An obligation that is not finished is PARTIAL."""
    sections = [
        {"id": section.id, "title": section.title, **_section_json(section.obligations, finished)}
        for section in plan.sections
    ]
    obligations = [one for section in sections for one in section["obligations"]]
    verdicts = [AuditVerdict(one["verdict"]) for one in obligations]
    return {
        "format": FORMAT, "id": header.id, "program": {"name": "chargy-agent", "version": header.program_version},
        "plan": {"id": plan.id, "title": plan.title, "edition": plan.edition}, "began": header.began, "ended": ended,
        "took_s": round(took_s, 1), "ocpp": version, "target": header.target, "speed": header.speed,
        "complete": complete, "request": dict(header.request),
        "station": [{"key": f.key, "title": f.title, "value": f.value, "source": f.source} for f in facts.values()],
        "verdict": str(heaviest_verdict(verdicts)), "counts": {str(v): verdicts.count(v) for v in AuditVerdict},
        "sections": sections, "findings": [_finding_json(one) for one in obligations if one["finding"]],
        "charge_curves": charge_curves(frames, view), "latency": latency_json(frames),
        "sequence": sequence_json(frames), "pictures": list(pictures), "signing": {"required": list(plan.signing)},
    }  # fmt: skip


def _section_json(obligations: Sequence[Obligation], finished: Mapping[str, FinishedObligation]) -> dict[str, Any]:
    rows = [finished[o.id].as_json() if o.id in finished else _unfinished_json(o) for o in obligations]
    return {"verdict": str(heaviest_verdict(AuditVerdict(r["verdict"]) for r in rows)), "obligations": rows}


def _unfinished_json(obligation: Obligation) -> dict[str, Any]:
    return {
        "id": obligation.id, "title": obligation.title, "kind": str(obligation.kind), "subject": obligation.subject,
        "verdict": str(AuditVerdict.PARTIAL), "says": NOT_EXERCISED, "references": list(obligation.references),
        "took_s": 0.0, "facts": [], "frames": [], "evidence": [], "scenario": None, "pictures": [], "answer": "",
        "finding": {"action": "Continue the audit (--resume).", "to": "client"},
    }  # fmt: skip


def _finding_json(one: Mapping[str, Any]) -> dict[str, Any]:
    said = {"obligation": one["id"], "title": one["title"], "verdict": one["verdict"], "says": one["says"]}
    return {**said, **one["finding"]}


def audit_junit(record: Mapping[str, Any]) -> str:
    """Return a record as JUnit XML: a suite per section, a case per obligation."""
    root = ElementTree.Element("testsuites", name=f"chargy-agent audit {record['plan']['id']}")
    for section in record["sections"]:
        suite = ElementTree.SubElement(root, "testsuite", name=text_for_xml(f"{section['id']} {section['title']}"))
        cases = [_test_case(section["id"], one) for one in section["obligations"]]
        suite.extend(cases)
        suite.set("tests", str(len(cases)))
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


TAGS = {
    AuditVerdict.FAIL: "failure", AuditVerdict.ERROR: "error", AuditVerdict.PARTIAL: "skipped",
    AuditVerdict.NOT_APPLICABLE: "skipped",
}  # fmt: skip


def _test_case(section: str, one: Mapping[str, Any]) -> ElementTree.Element:
    name = text_for_xml(f"{one['id']} {one['title']}"[:200])
    case = ElementTree.Element("testcase", classname=section, name=name, time=f"{one['took_s']:.3f}")
    tag = TAGS.get(AuditVerdict(one["verdict"]))
    if tag is not None:
        message = text_for_xml(f"{one['verdict']}: {one['says']}")
        ElementTree.SubElement(case, tag, message=message)
    if one["evidence"]:
        frames = "\n".join(f"{e['sender']}: {e['frame']}" for e in one["evidence"])
        ElementTree.SubElement(case, "system-out").text = text_for_xml(frames)
    return case
