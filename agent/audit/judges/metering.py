"""Judges of measured values: they are sent, the register never falls, and units and amounts are possible.

A station that measures less than others, or sends registers only, is not blamed for that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeParameter,
    JudgeResult,
    failed_result,
    inapplicable_result,
    passed_result,
)
from agent.audit.message_paths import instant_of_text
from agent.audit.sampled_values import SampledValue, sampled_values
from agent.audit.setting_history import SAMPLE_INTERVALS, SAMPLED_MEASURANDS, value_before_frame
from agent.audit.transaction_history import TransactionHistory, read_transactions, station_lives
from agent.model.fastclass import frozen
from agent.scenario.frames import Frame
from agent.scenario.grammar import Form
from agent.scenario.matching import as_number
from agent.scenario.observation import ENERGY

STEP_WH = 1.0
"""A register in whole Wh beside one with decimals is less by up to this."""
NO_REGISTER = "the messages have no register of energy"


@frozen
class RegisterReading:
    """A register of energy in a message. ``at_s``: by the station's clock, None where that is unreadable."""

    evse: int
    wh: float
    at_s: float | None
    frame: Frame


def register_readings(context: AuditContext) -> Iterator[RegisterReading]:
    """Yield the registers of each outlet in the order in which they arrived.

    Samples that a message at the end of a transaction repeats are left out: they are older than what came before.
    """
    for frame, values in _values_by_frame(context):
        registers = [v for v in values if is_register(v) and v.evse]
        readings = [RegisterReading(v.evse, v.number or 0.0, instant_of_text(v.timestamp), frame) for v in registers]
        ends = [r for r, v in zip(readings, registers, strict=True) if v.context == "Transaction.End"]
        if len(readings) > 1 and _closes_transaction(frame):
            readings = ends or sorted(readings, key=lambda r: r.at_s or 0.0)
            readings = readings[-1:]
        yield from readings


def _values_by_frame(context: AuditContext) -> Iterator[tuple[Frame, list[SampledValue]]]:
    grouped: dict[int, list[SampledValue]] = {}
    for value in sampled_values(context.frames):
        grouped.setdefault(value.frame.seq, []).append(value)
    for values in grouped.values():
        yield values[0].frame, values


def is_register(value: SampledValue) -> bool:
    """Return whether a value is the billed register: the whole import, not one phase of it, and not signed text."""
    plain = value.number is not None and math.isfinite(value.number)
    return plain and value.measurand == ENERGY and not value.phase and value.location in ("Outlet", "Inlet")


def _closes_transaction(frame: Frame) -> bool:
    return "meterStop" in frame.payload or frame.payload.get("eventType") == "Ended"


# --- are they sent ---------------------------------------------------------------------------------------------------


def judge_values_sent(context: AuditContext) -> JudgeResult:
    """Judge that a transaction that lasts longer than the interval of its samples has some."""
    judged = 0
    for one in read_transactions(context.frames):
        interval_s = _sample_interval_s(context, one)
        duration_s = _duration_in_seconds(one)
        if not interval_s or duration_s is None or duration_s <= 2 * interval_s + 3 * context.speed:
            continue
        judged += 1
        if not _has_readings_within(one):
            return failed_result(
                f"{one.words} lasted {duration_s:.0f} s and has no readings, although one is due each "
                f"{interval_s:.0f} s", evidence=one.all_requests,
                advice="Set the interval of the samples and the measurand Energy.Active.Import.Register; if both are "
                "set, have the maker of the controller look why MeterValues are not sent.", advice_to="client",
            )  # fmt: skip
    if not judged:
        return inapplicable_result("no transaction lasted longer than two intervals of its samples")
    return passed_result(f"readings were sent during all {judged} transactions that lasted long enough")


UNKNOWN_INTERVAL_S = 900.0
"""Assumed where the backend has not seen the setting: the longest that is usual."""


def _sample_interval_s(context: AuditContext, one: TransactionHistory) -> float:
    """Return the interval that held when a transaction began; 0: samples are off."""
    given = as_number(context.parameters.get("interval_s", 0)) or 0.0
    if given:
        return given
    first = one.all_requests[0].seq
    known = as_number(value_before_frame(context.frames, SAMPLE_INTERVALS, first))
    return UNKNOWN_INTERVAL_S if known is None else known


def _duration_in_seconds(one: TransactionHistory) -> float | None:
    started_s, ended_s = one.started_s, one.ended_s
    return None if started_s is None or ended_s is None else ended_s - started_s


def _has_readings_within(one: TransactionHistory) -> bool:
    if any(f.payload.get("meterValue") for f in one.middles):
        return True
    samples = [s for f in one.ends for s in f.payload.get("transactionData") or f.payload.get("meterValue") or ()]
    return len(samples) > 2  # more than the begin and the end


def judge_measurands_sent(context: AuditContext) -> JudgeResult:
    """Judge that messages have each measurand that is demanded, or that the station says it samples."""
    demanded = _measurand_names(context.parameters.get("measurands", ()))
    judged = 0
    for one in read_transactions(context.frames):
        if not one.middles or not one.starts:
            continue
        said = value_before_frame(context.frames, SAMPLED_MEASURANDS, one.starts[0].seq) or ""
        expected = demanded | _measurand_names(said.split(","))
        sent = {value.measurand for value in sampled_values(one.middles)}
        judged += bool(expected)
        if missing := sorted(expected - sent - VEHICLE_MEASURANDS):
            return failed_result(
                f"the readings of {one.words} have no {missing[0]}", evidence=one.middles[:2],
                advice=f"Set the measurands of the samples so that {', '.join(missing)} is among them. If it is set, "
                "check that the meter measures it and that its wires are connected.", advice_to="client",
            )  # fmt: skip
    if not judged:
        return inapplicable_result("no measurand is demanded, and the settings of the samples were not read")
    return passed_result("the readings have every measurand that they should")


VEHICLE_MEASURANDS = frozenset({"SoC"})
"""What a station only has from some vehicles."""


def _measurand_names(names: Any) -> set[str]:
    """Return measurands without the phase that a setting may add: Voltage.L1-N is Voltage."""
    found = set()
    for name in names if isinstance(names, list | tuple) else ():
        parts = str(name).strip().split(".")
        while len(parts) > 1 and parts[-1].split("-")[0] in ("L1", "L2", "L3", "N"):
            parts.pop()
        found.add(".".join(parts))
    return found - {""}


# --- are they possible -----------------------------------------------------------------------------------------------


def judge_register_rises(context: AuditContext) -> JudgeResult:
    """Judge that the register of an outlet never falls: a later message with a later time never has less."""
    highest: dict[tuple[int, int], RegisterReading] = {}
    lives = station_lives(context)
    for reading in register_readings(context):
        meter = (lives[reading.frame.seq], reading.evse)
        before = highest.get(meter)
        if before is None or reading.wh >= before.wh:
            highest[meter] = reading
        elif before.wh - reading.wh > STEP_WH and _is_not_earlier(reading, before):
            return failed_result(
                f"the register of outlet {reading.evse} fell from {before.wh:.0f} Wh to {reading.wh:.0f} Wh",
                evidence=(before.frame, reading.frame),
                advice="Have the maker of the controller send the lifetime register of the meter, read from one "
                "register only, with its right byte order and unit; check that the meter was not exchanged.",
                advice_to="subcontractor",
            )  # fmt: skip
    if not highest:
        return inapplicable_result(NO_REGISTER)
    return passed_result(f"the registers of {len({evse for _, evse in highest})} outlets never fell")


def _is_not_earlier(reading: RegisterReading, before: RegisterReading) -> bool:
    return reading.at_s is None or before.at_s is None or reading.at_s >= before.at_s


def judge_register_unit(context: AuditContext) -> JudgeResult:
    """Judge that readings during a transaction have the unit of its begin and its end."""
    judged = 0
    for one in read_transactions(context.frames):
        begin, end = _register_of_part(one.starts), _register_of_part(one.ends[-1:])
        if begin is None or end is None or end.wh - begin.wh < LEAST_WH:
            continue
        values = [v for v in sampled_values(one.middles) if is_register(v) and v.number]
        judged += len(values)
        wrong = [(v, said) for v in values if (said := _unit_problem(v, begin, end))]
        # A register from 0 on is small while a vehicle hesitates: there only readings that are all small are wrong.
        if wrong and (begin.wh > LEAST_WH or len(wrong) == len(values) > 1):
            value, problem = wrong[0]
            return failed_result(
                f"{one.words}: a reading of {value.number:g} Wh between {begin.wh:g} Wh and {end.wh:g} Wh is {problem}",
                evidence=(begin.frame, value.frame, end.frame),
                advice="Have the maker of the controller correct the unit of the register: a value in kWh must say so, "
                "and a value that says nothing is in Wh.", advice_to="subcontractor",
            )  # fmt: skip
    if not judged:
        return inapplicable_result("no transaction had readings between its begin and its end")
    return passed_result(f"{judged} readings had the unit of begin and end")


LEAST_WH = 20.0


def _register_of_part(frames: list[Frame]) -> RegisterReading | None:
    """Return the register that a start or an end brings."""
    found = [
        RegisterReading(v.evse, v.number or 0.0, instant_of_text(v.timestamp), v.frame)
        for v in sampled_values(frames)
        if is_register(v)
    ]
    return max(found, key=lambda reading: reading.wh) if found else None


def _unit_problem(value: SampledValue, begin: RegisterReading, end: RegisterReading) -> str:
    """Return in words how a reading misses its unit, "" if it does not."""
    wh, likely = value.number or 0.0, _likely_register(instant_of_text(value.timestamp), begin, end)
    for factor, words in ((1000.0, "a thousandth of what it must be"), (0.001, "a thousand times what it must be")):
        if likely / 3 <= wh * factor <= likely * 3 and not likely / 30 <= wh <= likely * 30:
            return words
    return ""


def _likely_register(at_s: float | None, begin: RegisterReading, end: RegisterReading) -> float:
    """Return the register that even charging would have reached at an instant."""
    if at_s is None or begin.at_s is None or end.at_s is None or end.at_s <= begin.at_s:
        return end.wh
    share = min(max((at_s - begin.at_s) / (end.at_s - begin.at_s), 0.0), 1.0)
    return begin.wh + share * (end.wh - begin.wh)


def judge_register_rate(context: AuditContext) -> JudgeResult:
    """Judge that the register rises no faster than the outlet can deliver."""
    most_w = float(context.parameters.get("most_w", MOST_W))
    latest: dict[tuple[int, int], RegisterReading] = {}
    lives = station_lives(context)
    for reading in register_readings(context):
        meter = (lives[reading.frame.seq], reading.evse)
        before = latest.get(meter)
        latest[meter] = reading
        if before is None or before.at_s is None or reading.at_s is None:
            continue
        seconds = max(reading.at_s - before.at_s, 0.0) + SLACK_S
        if reading.wh - before.wh > most_w * 1.1 * seconds / 3600 + STEP_WH:
            return failed_result(
                f"the register of outlet {reading.evse} rose by {reading.wh - before.wh:.0f} Wh in "
                f"{reading.at_s - before.at_s:.0f} s: more than {most_w:.0f} W can deliver",
                evidence=(before.frame, reading.frame),
                advice="Compare the register in the messages with the display of the meter, then have the maker of "
                "the controller correct its factor, its unit or its address.", advice_to="subcontractor",
            )  # fmt: skip
    if not latest:
        return inapplicable_result(NO_REGISTER)
    return passed_result(f"no register rose faster than {most_w:.0f} W can deliver")


MOST_W = 500_000.0
SLACK_S = 15.0
"""Begin and end of a transaction may have the time of the deed with the register of a moment later."""
NUMBER = Form.NUMBER
JUDGES = (
    Judge(
        "meter_values_sent",
        "readings are sent during each transaction that lasts longer than their interval",
        judge_values_sent,
        {"interval_s": JudgeParameter(NUMBER, 0, "interval of the samples; 0: what the station has said")},
    ),
    Judge(
        "measurands_sent",
        "readings have the measurands that are demanded, or that the station says it samples",
        judge_measurands_sent,
        {"measurands": JudgeParameter(Form.LIST, [], "measurands that are demanded")},
    ),
    Judge("register_rises", "the register of an outlet never falls", judge_register_rises),
    Judge("register_unit", "readings have the unit of begin and end of their transaction", judge_register_unit),
    Judge(
        "register_rate",
        "the register rises no faster than the outlet can deliver",
        judge_register_rate,
        {"most_w": JudgeParameter(NUMBER, MOST_W, "most power of an outlet, in W")},
    ),
)
