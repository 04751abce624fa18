"""The differences of a replay as text, as JSON and as JUnit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from agent.commands.replay.payload_comparison import ABSENT
from agent.commands.replay.recorded_conversation import RecordedConversation
from agent.commands.replay.replay_outcome import DifferenceKind, PresentAnswer, ReplayDifference, ReplayOutcome
from agent.scenario.frames import Frame
from agent.scenario.report import text_for_xml

FORMAT = 1
SHOWN_MAX = 200
"""Characters of one value in a text."""


def report_lines(outcome: ReplayOutcome, answers_only: bool = False) -> Iterator[str]:
    """Yield a line for each difference, and the figures at the end."""
    differences = outcome.list_differences(answers_only)
    for difference in differences:
        yield f"{_place_in_words(difference.frame)}  {difference.action}: {difference_in_words(difference)}"
    if outcome.unplayed:
        yield f"{outcome.unplayed} requests of the station were not sent: there was no connection any more"
    counts = Counter(d.kind for d in differences)
    figures = ", ".join(f"{counts[kind]} x {kind}" for kind in DifferenceKind if counts[kind]) or "no difference"
    yield f"{len(outcome.answers)} requests of the station played, {outcome.requests_met} of the backend met: {figures}"


def _place_in_words(frame: Frame | None) -> str:
    """Return number and time of the recorded request."""
    if frame is None:
        return f"{'-':>6} {'':12}"
    clock = f"{datetime.fromtimestamp(frame.utc_s, UTC):%H:%M:%S.%f}"[:12] if frame.utc_s else ""
    return f"{frame.seq:>6} {clock:12}"


def difference_in_words(difference: ReplayDifference) -> str:
    match difference.kind:
        case DifferenceKind.REQUEST_MISSING:
            return f"the backend has not sent it; recorded {value_in_words(difference.recorded)}"
        case DifferenceKind.REQUEST_ADDED:
            return f"the backend has sent it, it is not in the recording: {value_in_words(difference.present)}"
        case _:
            what = f"{difference.path}: " if difference.path else ""
            if difference.kind is DifferenceKind.REQUEST:
                what = f"request of the backend, {what}"
            recorded, present = map(value_in_words, (difference.recorded, difference.present))
            return f"{what}recorded {recorded}, now {present}"


def value_in_words(value: Any) -> str:
    text = value if value == ABSENT else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def report_json(
    outcome: ReplayOutcome, conversation: RecordedConversation, about: Mapping[str, Any], answers_only: bool = False
) -> str:
    """Return the report as JSON. ``about``: what was replayed where, for its head."""
    differences = [_difference_json(d) for d in outcome.list_differences(answers_only)]
    report = {
        "format": FORMAT, **about, "same": not outcome.has_differences(answers_only),
        "station_requests": len(outcome.answers), "station_requests_unplayed": outcome.unplayed,
        "backend_requests": len(conversation.recorded_calls(from_station=False)),
        "backend_requests_met": outcome.requests_met, "lines_lost_by_recorder": conversation.gap_lines,
        "differences": differences, "latency": outcome.latency,
    }  # fmt: skip
    return json.dumps(report, indent=1, ensure_ascii=False) + "\n"


def _difference_json(difference: ReplayDifference) -> dict[str, Any]:
    frame = difference.frame
    at = datetime.fromtimestamp(frame.utc_s, UTC).isoformat(timespec="milliseconds") if frame and frame.utc_s else None
    return {
        "kind": str(difference.kind), "action": difference.action, "frame": frame.seq if frame else None, "at": at,
        "path": difference.path, "recorded": difference.recorded, "present": difference.present,
    }  # fmt: skip


def report_junit(outcome: ReplayOutcome, name: str, answers_only: bool = False) -> str:
    """Return JUnit XML: a case for each answer, and one for each difference that belongs to none."""
    root = ElementTree.Element("testsuites", name="chargy-agent replay")
    suite = ElementTree.SubElement(root, "testsuite", name=text_for_xml(name))
    cases = [_answer_case(answer) for answer in outcome.answers]
    cases += [
        _failed_case(f"{d.action} ({d.kind})", difference_in_words(d)) for d in outcome.other_differences(answers_only)
    ]
    if outcome.unplayed:
        cases.append(_failed_case("not played", f"{outcome.unplayed} requests of the station were not sent"))
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _answer_case(answer: PresentAnswer) -> ElementTree.Element:
    name = f"{answer.asked.seq} {answer.asked.action}"
    words = "; ".join(map(difference_in_words, answer.differences))
    case = _failed_case(name, words) if words else _passed_case(name)
    case.set("time", f"{answer.took_ms / 1000.0:.3f}")
    return case


def _passed_case(name: str) -> ElementTree.Element:
    return ElementTree.Element("testcase", classname="replay", name=text_for_xml(name))


def _failed_case(name: str, says: str) -> ElementTree.Element:
    case = _passed_case(name)
    ElementTree.SubElement(case, "failure", message=text_for_xml(says))
    return case
