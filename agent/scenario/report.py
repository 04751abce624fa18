"""The results of scenarios as files: JSON with all evidence, and JUnit for CI."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from agent.scenario.outcome import ScenarioOutcome, StepOutcome, Verdict, overall_verdict

FORMAT = 1
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def report_json(outcomes: Sequence[ScenarioOutcome], began: str) -> str:
    """Return the report of a run as JSON. ``began``: its instant."""
    verdicts = [o.final_verdict for o in outcomes]
    report: dict[str, Any] = {
        "format": FORMAT, "began": began, "verdict": str(overall_verdict(outcomes)),
        "counts": {str(v): verdicts.count(v) for v in Verdict}, "scenarios": [o.as_json() for o in outcomes],
    }  # fmt: skip
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def report_junit(outcomes: Sequence[ScenarioOutcome]) -> str:
    """Return the report of a run as JUnit XML: a suite per scenario, a case per step."""
    root = ElementTree.Element("testsuites", name="chargy-agent scenario")
    for outcome in outcomes:
        suite = ElementTree.SubElement(
            root, "testsuite", name=f"{outcome.scenario.id} (OCPP {outcome.version})", time=f"{outcome.took_s:.3f}"
        )
        cases = [_test_case_of_step(outcome, o) for o in outcome.outcomes] or [_test_case_of_scenario(outcome)]
        suite.extend(cases)
        suite.set("tests", str(len(cases)))
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _test_case_of_step(outcome: ScenarioOutcome, one: StepOutcome) -> ElementTree.Element:
    name = text_for_xml(f"{one.step_id} {one.title}"[:200])
    case = ElementTree.Element(
        "testcase", classname=outcome.scenario.id, name=name, time=f"{one.took_s:.3f}",
        file=str(outcome.scenario.path), line=str(one.step.line),
    )  # fmt: skip
    _add_verdict(case, one.verdict, one.says)
    if one.evidence:
        frames = "\n".join(f"{e['sender']}: {e['frame']}" for e in one.evidence)
        ElementTree.SubElement(case, "system-out").text = text_for_xml(frames)
    return case


def _test_case_of_scenario(outcome: ScenarioOutcome) -> ElementTree.Element:
    """Return a case for a scenario without steps that were tried."""
    case = ElementTree.Element("testcase", classname=outcome.scenario.id, name=outcome.scenario.title, time="0")
    _add_verdict(case, outcome.final_verdict, outcome.says)
    return case


def _add_verdict(case: ElementTree.Element, verdict: Verdict, says: str) -> None:
    tag = {Verdict.FAIL: "failure", Verdict.ERROR: "error", Verdict.NOT_APPLICABLE: "skipped"}.get(verdict)
    if tag is not None:
        ElementTree.SubElement(case, tag, message=text_for_xml(says))


def text_for_xml(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("?", text)
