"""Judges of the station's clock."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    partial_result,
    passed_result,
)
from agent.audit.conversation_figures import instant_s
from agent.audit.message_paths import timestamps_in_message
from agent.audit.transaction_history import station_begin_times
from agent.scenario.frames import CALL, CALL_RESULT, Frame
from agent.scenario.grammar import Form

SIMULATION_S = 5.0
"""Real seconds by which a simulated station may be late: its time runs faster than the machine carries it out."""
ADVICE = "Have the station set its clock by currentTime of BootNotification and Heartbeat, and write times in UTC."


def judge_clock_offset(context: AuditContext) -> JudgeResult:
    """The station's clock is that of its backend (currentTime of BootNotification and Heartbeat)."""
    offsets = list(_clock_offsets(context))
    if len(offsets) < 3:
        return partial_result("too few messages have a time after the clock was set")
    tolerance_s = context.parameters["tolerance_s"]
    if context.speed > 1:
        tolerance_s += SIMULATION_S * context.speed
    middle_s = statistics.median(offset_s for offset_s, _ in offsets)
    least_s, most_s = min(o for o, _ in offsets), max(o for o, _ in offsets)
    facts = [
        Fact("Offset of the clock (median)", f"{middle_s:+.1f} s"),
        Fact("Smallest and largest offset", f"{least_s:+.1f} s, {most_s:+.1f} s"),
        Fact("Permitted", f"{tolerance_s:g} s"),
    ]
    if abs(middle_s) > tolerance_s:
        worst = [f for o, f in offsets if abs(o) > tolerance_s]
        return failed_result(f"the clock is {middle_s:+.1f} s off", facts, worst[:5], ADVICE, "subcontractor")
    return passed_result(f"the clock is {middle_s:+.1f} s off, {tolerance_s:g} s are permitted", facts)


def _clock_offsets(context: AuditContext) -> Iterator[tuple[float, Frame]]:
    """Yield, for each message with a time, how many seconds the station's clock is ahead of its backend's.

    A simulated station whose time runs faster than that of its backend takes the first answer and no other.
    """
    reference: tuple[float, float] | None = None
    begins = station_begin_times(context) if context.speed != 1 else []
    for frame in context.frames:
        if not isinstance(frame.payload, dict):
            continue
        if frame.kind == CALL_RESULT and not frame.from_station and "currentTime" in frame.payload:
            backend_s = instant_s(frame.payload["currentTime"])
            taken = reference is not None and not any(reference[1] < at_s < frame.at_s for at_s in begins)
            if backend_s is not None and not (taken and context.speed != 1):
                reference = (backend_s, frame.at_s)
        shown_s = instant_s(frame.payload.get("timestamp")) if frame.from_station and frame.kind == CALL else None
        if reference is not None and shown_s is not None:
            expected_s = reference[0] + context.station_seconds(frame.at_s - reference[1])
            yield shown_s - expected_s, frame


def judge_times_in_utc(context: AuditContext) -> JudgeResult:
    """Each time has a zone, also that of a sample, and is written as RFC 3339 wants it (OCPP 1.6 3.15)."""
    times = [(f, text) for f in context.requests() for text in timestamps_in_message(f.payload)]
    if not times:
        return partial_result("no message has a time")
    wrong = [(f, text) for f, text in times if not _has_time_zone(text)]
    facts = [Fact("Times in messages", str(len(times)))]
    if wrong:
        says = f"{wrong[0][0].action}: the time {wrong[0][1]!r} has no time zone"
        return failed_result(says, facts, [f for f, _ in wrong[:5]], ADVICE, "subcontractor")
    return passed_result(f"{len(times)} times, each with its zone", facts)


def _has_time_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


JUDGES = (
    Judge(
        "clock_offset", "the station's clock is that of its backend", judge_clock_offset,
        {"tolerance_s": JudgeParameter(Form.NUMBER, 10.0, "seconds that it may be off")},
    ),
    Judge("times_in_utc", "each time of a message has its time zone", judge_times_in_utc),
)  # fmt: skip
