"""Judges of the phases: each has its voltage, and its power is its own voltage times its own current."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import field

from agent.audit.context import (
    AuditContext,
    Judge,
    JudgeParameter,
    JudgeResult,
    MeterReading,
    failed_result,
    inapplicable_result,
    passed_result,
)
from agent.audit.sampled_values import sampled_values
from agent.model.fastclass import mutable
from agent.scenario.frames import Frame
from agent.scenario.grammar import Form

PHASES = ("L1", "L2", "L3")
LEAST_W = 300.0
"""Power of a phase below which a mismatch says little."""
IDLE_A, LOADED_A = 1.0, 3.0
LOWEST_V, HIGHEST_V = 207.0, 253.0
"""230 V with 10 % (EN 50160)."""
DEAD_V = 50.0
WIRING_ADVICE = (
    "Have the installer compare the phases of the meter with those of the contactor: each voltage tap and each current "
    "path must be on the same conductor, and L1 of the outlet on L1 of the meter."
)


@mutable
class PhaseSample:
    """The values of the phases of one outlet at one instant. Keys: L1, L2, L3."""

    frame: Frame
    evse: int
    volts: dict[str, float] = field(default_factory=dict)
    amperes: dict[str, float] = field(default_factory=dict)
    watts: dict[str, float] = field(default_factory=dict)


def phase_samples(context: AuditContext) -> list[PhaseSample]:
    """Return the samples that have values of single phases."""
    found: dict[tuple[int, str], PhaseSample] = {}
    for value in sampled_values(context.frames):
        phase = value.phase.removesuffix("-N")
        name = {"Voltage": "volts", "Current.Import": "amperes", "Power.Active.Import": "watts"}.get(value.measurand)
        if name and phase in PHASES and value.number is not None and value.location in ("Outlet", "Inlet"):
            key = (value.frame.seq, value.timestamp)
            sample = found.setdefault(key, PhaseSample(value.frame, value.evse))
            getattr(sample, name)[phase] = value.number
    return list(found.values())


def judge_phase_order(context: AuditContext) -> JudgeResult:
    """Judge that values of a phase belong to it: by power, by a meter that is read beside, and by a vehicle that loads
    one phase."""
    samples = phase_samples(context)
    problems = [
        [p for sample in samples if (p := _power_problem(sample)) is not None],
        [p for sample in samples if (p := _meter_problem(context, sample)) is not None],
        [p for sample in samples if (p := _load_problem(context, sample)) is not None],
    ]
    if not any(problems):
        return inapplicable_result("no message has values of single phases under load that could be compared")
    for judged in problems:
        wrong = [(words, frame) for words, frame in judged if words]
        # Values of one sample may be read one after the other while the current changes: once is no proof.
        if len(wrong) >= 2 and 2 * len(wrong) > len(judged):
            return failed_result(
                wrong[0][0], evidence=[frame for _, frame in wrong[:3]], advice=WIRING_ADVICE,
                advice_to="subcontractor",
            )  # fmt: skip
    return passed_result(f"{sum(map(len, problems))} samples have the values of each phase in its place")


Judged = tuple[str, Frame]
"""What is wrong with a sample, "" for nothing, and its frame."""


def _power_problem(sample: PhaseSample) -> Judged | None:
    """Compare the power of each phase with voltage times current. None: there is too little to compare."""
    phases = [p for p in PHASES if p in sample.volts and p in sample.amperes and p in sample.watts]
    apparent = {p: sample.volts[p] * sample.amperes[p] for p in phases}
    if not phases or max(apparent.values()) < LEAST_W:
        return None
    if _is_fitting(apparent, sample.watts, phases):
        return "", sample.frame
    for order in itertools.permutations(phases):
        if _is_fitting({p: apparent[q] for p, q in zip(phases, order, strict=True)}, sample.watts, phases):
            return f"outlet {sample.evse}: the power of {_swapped_words(phases, order)} is swapped", sample.frame
    return None  # a low power factor, or values of different moments


def _is_fitting(apparent: Mapping[str, float], watts: Mapping[str, float], phases: list[str]) -> bool:
    return all(abs(watts[p] - apparent[p]) <= max(0.25 * apparent[p], LEAST_W) for p in phases)


def _swapped_words(phases: list[str], order: tuple[str, ...]) -> str:
    return " and ".join(p for p, q in zip(phases, order, strict=True) if p != q)


def _meter_problem(context: AuditContext, sample: PhaseSample) -> Judged | None:
    """Compare the currents with those of the meter itself, or of one beside it."""
    near = _nearest_reading(context, sample)
    if near is None or len(near.currents_a) != 3 or not set(PHASES) <= set(sample.amperes):
        return None
    true = dict(zip(PHASES, near.currents_a, strict=True))
    if max(true.values()) < LOADED_A or max(true.values()) - min(true.values()) < LOADED_A:
        return None  # all alike: no order can be seen
    if _are_near_currents(true, sample.amperes, PHASES):
        return "", sample.frame
    for order in itertools.permutations(PHASES):
        if _are_near_currents(true, sample.amperes, order):
            words = _swapped_words(list(PHASES), order)
            return f"outlet {sample.evse}: the currents of {words} are swapped against the meter", sample.frame
    return None


def _nearest_reading(context: AuditContext, sample: PhaseSample) -> MeterReading | None:
    readings = [r for r in context.readings if r.evse == sample.evse and r.currents_a]
    nearest = min(readings, key=lambda r: abs(r.at_s - sample.frame.at_s), default=None)
    return nearest if nearest is not None and abs(nearest.at_s - sample.frame.at_s) < NEAR_S else None


NEAR_S = 2.0
"""Real seconds between a sample and a reading that is compared with it."""


def _are_near_currents(true: Mapping[str, float], sent: Mapping[str, float], order: tuple[str, ...]) -> bool:
    return all(abs(sent[p] - true[q]) <= max(0.2 * true[q], IDLE_A) for p, q in zip(PHASES, order, strict=True))


def _load_problem(context: AuditContext, sample: PhaseSample) -> Judged | None:
    """Compare the phase that a vehicle with one phase loads with the one that the plan names."""
    right = str(context.parameters.get("load_phase", ""))
    loaded = [p for p in PHASES if sample.amperes.get(p, 0.0) > LOADED_A]
    idle = [p for p in PHASES if p in sample.amperes and sample.amperes[p] < IDLE_A]
    if not right or len(loaded) != 1 or len(idle) != 2:
        return None
    words = f"outlet {sample.evse}: a vehicle with one phase loads {loaded[0]}, expected {right}"
    return "" if loaded[0] == right else words, sample.frame


def judge_phase_voltages(context: AuditContext) -> JudgeResult:
    """Judge that the voltage of each phase that is reported is that of the mains."""
    judged = 0
    for sample in phase_samples(context):
        for phase, volts in sample.volts.items():
            judged += 1
            dead = volts < DEAD_V
            if dead and sample.amperes.get(phase, 0.0) < IDLE_A:
                continue  # a station on one phase may report the others as zero
            if not LOWEST_V <= volts <= HIGHEST_V:
                return failed_result(
                    f"outlet {sample.evse}: {phase} has {volts:g} V, expected {LOWEST_V:.0f} V to {HIGHEST_V:.0f} V"
                    + (" while current flows" if dead else ""), evidence=(sample.frame,),
                    advice="Have the installer measure this phase at the terminals of the meter: a voltage tap is "
                    "open, its fuse has blown, or the supply is out of its limits.", advice_to="subcontractor",
                )  # fmt: skip
    missing = _missing_voltage(context)
    if missing is not None:
        return missing
    if not judged:
        return inapplicable_result("no message has the voltage of a phase")
    return passed_result(f"{judged} voltages are those of the mains")


def _missing_voltage(context: AuditContext) -> JudgeResult | None:
    """Return the failure of samples that have the current of a phase under load and the voltage of others only."""
    for evse, samples in _samples_by_outlet(context):
        measured = {phase for sample in samples for phase in sample.volts}
        for sample in samples:
            loaded = [p for p, amperes in sample.amperes.items() if amperes > LOADED_A and p not in measured]
            if measured and loaded:
                return failed_result(
                    f"outlet {evse}: {loaded[0]} carries {sample.amperes[loaded[0]]:g} A and has no voltage, other "
                    "phases have one", evidence=(sample.frame,),
                    advice="Have the installer connect the voltage tap of this phase, and check that the meter is set "
                    "to three phases.", advice_to="subcontractor",
                )  # fmt: skip
    return None


def _samples_by_outlet(context: AuditContext) -> Iterator[tuple[int, list[PhaseSample]]]:
    grouped: dict[int, list[PhaseSample]] = {}
    for sample in phase_samples(context):
        grouped.setdefault(sample.evse, []).append(sample)
    yield from grouped.items()


JUDGES = (
    Judge(
        "phase_order",
        "the values of each phase are in its place",
        judge_phase_order,
        {"load_phase": JudgeParameter(Form.TEXT, "", "phase that a vehicle with one phase must load")},
    ),
    Judge("phase_voltages", "each phase that is reported has the voltage of the mains", judge_phase_voltages),
)
