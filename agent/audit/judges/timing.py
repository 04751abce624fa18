"""Judges of when messages come: heartbeats in their interval, statuses when they change."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeResult,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.message_paths import instant_of_text, table_at, timestamps_in_message
from agent.audit.setting_history import HEARTBEAT_SETTINGS, SettingDeed, setting_exchanges
from agent.audit.transaction_history import connection_numbers
from agent.model.fastclass import frozen
from agent.scenario.frames import CALL_RESULT, Frame
from agent.scenario.matching import as_number

SLACK_S = 30.0
BUSY_S = 3.0
"""Real seconds that a message may take on a busy machine or a slow link."""


# --- heartbeats ------------------------------------------------------------------------------------------------------


@frozen
class Silence:
    """No message of the station between two of its messages on one connection, or until the audit ended."""

    before: Frame
    after: Frame
    interval_s: float


def judge_heartbeat_interval(context: AuditContext) -> JudgeResult:
    """Judge that the station is never silent much longer than the interval, and does not send heartbeats far more
    often than it asks for."""
    silences = list(_silences(context))
    for one in silences:
        silent_s = context.station_seconds(one.after.at_s - one.before.at_s)
        if silent_s > 2 * one.interval_s + SLACK_S + context.station_seconds(BUSY_S):
            return _heartbeat_failure(
                f"the station was silent for {silent_s:.0f} s, a heartbeat was due after {one.interval_s:.0f} s",
                (one.before, one.after),
            )
    steps = list(_heartbeat_steps(context))
    for interval_s in sorted({interval for interval, _, _ in steps}):
        ones = [(step_s, frame) for interval, step_s, frame in steps if interval == interval_s]
        middle_s = statistics.median(step_s for step_s, _ in ones)
        # A station may send one early, in place of a ping.
        if len(ones) >= 3 and middle_s < interval_s / 3 - 2:
            return _heartbeat_failure(
                f"a heartbeat came each {middle_s:.0f} s, each {interval_s:.0f} s was agreed",
                tuple(frame for _, frame in ones[:3]),
            )
    if not silences:
        return inapplicable_result("no interval of the heartbeats is known")
    judged = [s for s in silences if context.station_seconds(s.after.at_s - s.before.at_s) > s.interval_s / 2]
    if not judged and not steps:
        return partial_result("the station was never idle so long that a heartbeat was due")
    return passed_result("heartbeats came in their interval")


def _heartbeat_failure(says: str, evidence: tuple[Frame, ...]) -> JudgeResult:
    return failed_result(
        says, evidence=evidence, advice_to="client",
        advice="Set HeartbeatInterval (2.x: OCPPCommCtrlr.HeartbeatInterval) to the value of the kit; if it is set, "
        "have the maker of the controller obey it and the interval in the answer to BootNotification.",
    )  # fmt: skip


def _heartbeat_intervals(context: AuditContext) -> dict[int, float]:
    """Return for each frame the interval that holds after it. Without one there is no entry."""
    written = {
        e.frame.seq: as_number(e.value)
        for e in setting_exchanges(context.frames)
        if e.name in HEARTBEAT_SETTINGS and e.deed in (SettingDeed.WRITTEN, SettingDeed.READ)
    }
    found: dict[int, float] = {}
    interval_s: float | None = None
    for frame in context.frames:
        if frame.kind == CALL_RESULT and frame.action == "BootNotification":
            interval_s = as_number(table_at(frame.payload).get("interval")) or interval_s
        given = written.get(frame.seq)
        interval_s = interval_s if given is None else given
        if interval_s:
            found[frame.seq] = interval_s
    return found


def _silences(context: AuditContext) -> Iterator[Silence]:
    """Yield the time between each two messages of the station on one connection."""
    intervals, connections = _heartbeat_intervals(context), connection_numbers(context)
    gone_s = [record.at_s for record in context.records if record.kind == "disconnected"]
    before: Frame | None = None
    latest_s = 0.0  # the interval before the present frame: an answer to its change does not hold for what was before
    for frame in context.frames:
        if frame.from_station and before is not None and before.seq in intervals:
            together = connections[before.seq] == connections[frame.seq]
            if together and not any(before.at_s <= at_s <= frame.at_s for at_s in gone_s):
                yield Silence(before, frame, max(intervals[before.seq], latest_s))
        before = frame if frame.from_station else before
        latest_s = intervals.get(frame.seq, 0.0)


def _heartbeat_steps(context: AuditContext) -> Iterator[tuple[float, float, Frame]]:
    """Yield interval, station's seconds since the one before, and frame of each heartbeat that was not asked for."""
    intervals, connections = _heartbeat_intervals(context), connection_numbers(context)
    asked = [f.seq for f in context.requests("TriggerMessage", "ExtendedTriggerMessage", sender="backend")]
    beats = context.requests("Heartbeat")
    for before, after in itertools.pairwise(beats):
        interval_s = intervals.get(before.seq)
        steady = interval_s is not None and interval_s == intervals.get(after.seq)
        together = connections[before.seq] == connections[after.seq]
        if steady and together and not any(before.seq - 4 <= seq <= after.seq for seq in asked):
            yield interval_s or 0.0, context.station_seconds(after.at_s - before.at_s), after


# --- statuses --------------------------------------------------------------------------------------------------------


def judge_status_in_time(context: AuditContext) -> JudgeResult:
    """Judge that a status arrives soon after its timestamp, while other messages of the station went through."""
    most_s = SLACK_S + context.station_seconds(BUSY_S)
    connections, judged = connection_numbers(context), 0
    timed = [(f, _newest_instant(f)) for f in context.requests() if f.action != "StatusNotification"]
    for frame in context.requests("StatusNotification"):
        at_s = instant_of_text(frame.payload.get("timestamp"))
        if at_s is None:
            continue
        judged += 1
        passing = [
            (f, newest_s)
            for f, newest_s in timed
            if f.seq < frame.seq and newest_s > at_s + most_s and connections[f.seq] == connections[frame.seq]
        ]
        late_s = passing[-1][1] - at_s if passing else 0.0
        opened = next(f for f in context.frames if connections[f.seq] == connections[frame.seq])
        lasted_s = context.station_seconds(frame.at_s - opened.at_s)
        # What changed before the connection was there may well come after what was queued.
        if most_s < late_s < lasted_s and _is_new_status(context, frame):
            return failed_result(
                f"a StatusNotification came {late_s:.0f} s late or later: {passing[-1][0].action} of a later time "
                "came before it", evidence=(passing[-1][0], frame),
                advice="Have the maker of the controller send a status when it changes, and look at "
                "MinimumStatusDuration: the backend shows drivers which outlets are free.", advice_to="subcontractor",
            )  # fmt: skip
    if not judged:
        return inapplicable_result("no status has a timestamp")
    return passed_result(f"all {judged} statuses came in time")


def _newest_instant(frame: Frame) -> float:
    return max((instant_of_text(t) or 0.0 for t in timestamps_in_message(frame.payload)), default=0.0)


def _is_new_status(context: AuditContext, frame: Frame) -> bool:
    """Return whether a status is a change. One that is repeated, for example on request, may have an old time."""
    key = ("connectorId", "evseId")
    earlier = [
        f
        for f in context.requests("StatusNotification")
        if f.seq < frame.seq and [f.payload.get(k) for k in key] == [frame.payload.get(k) for k in key]
    ]
    words = [(f.payload.get("status"), f.payload.get("connectorStatus")) for f in (*earlier[-1:], frame)]
    return len(words) == 2 and words[0] != words[1]


JUDGES = (
    Judge("heartbeat_interval", "heartbeats come in their interval", judge_heartbeat_interval),
    Judge("status_in_time", "a status comes when it changes", judge_status_in_time),
)
