"""What a look at a meter or a board proves: findings over identities and readings, for ``chargy-agent probe``. Pure.

Each rule answers one question of an auditor. ``PROVEN`` is what was seen here, ``FAILED`` what must
not be, ``UNPROVEN`` what cannot be decided from here: a label that only a person can read, a load
that was not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from agent.domain.metrology import (
    APART,
    COARSEST_WH,
    MOST_V,
    MeterWatch,
    integrate_power,
    why_exchange_refused,
    why_reading_untrue,
    why_unfit_for_billing,
)
from agent.model.board import EvseState, EvseTraits
from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum
from agent.model.types import MeterIdentity, MeterPolicy, Reading

GRID_V = (207.0, 253.0)
"""230 V and a tenth (EN 50160)."""
GRID_HZ = (49.0, 51.0)
LOAD_A = 1.0
COUNTED_WH = 20.0
FINE_WH = 10.0


class Verdict(StrEnum):
    PROVEN = "proven"
    UNPROVEN = "unproven"
    FAILED = "failed"


@frozen
class Finding:
    what: str
    verdict: Verdict
    says: str


@frozen
class MeterObservation:
    """One meter as it was seen. ``readings``: live looks, oldest first; ``bill``: a reading as a transaction begins or
    ends with; ``pinned``: the meter that has billed here so far."""

    identity: MeterIdentity
    policy: MeterPolicy
    readings: Sequence[Reading]
    bill: Reading | None = None
    pinned: MeterIdentity | None = None
    phases: int = 3
    max_a: float = 32.0
    dc: bool = False


Judged: TypeAlias = tuple[Verdict, str]
P, U, F = Verdict.PROVEN, Verdict.UNPROVEN, Verdict.FAILED


def meter_findings(m: MeterObservation) -> list[Finding]:
    """In the order in which an auditor asks."""
    return [Finding(what, *rule(m)) for what, rule in METER_RULES.items()]


def worst_verdict(findings: Sequence[Finding]) -> Verdict:
    order = [F, U, P]
    return min((f.verdict for f in findings), key=order.index, default=U)


# --- who it is ------------------------------------------------------------------------------------------------------


def _judge_identity(m: MeterObservation) -> Judged:
    i = m.identity
    said = f"{i.vendor} {i.model}, serial {i.serial or 'not readable'}, firmware {i.firmware or 'not readable'}"
    if m.policy.serial and m.policy.serial == i.serial:
        return P, f"{said}; the station file names this serial number"
    if i.serial:
        return P, said
    return U, f"{said}: an exchanged meter is noticed by its model alone; compare the label"


def _judge_place(m: MeterObservation) -> Judged:
    if m.pinned is None:
        return U, "no meter has billed here yet; this one is pinned at the first start"
    if why := why_exchange_refused(MeterWatch(m.policy, pinned=m.pinned), m.identity, billing=False):
        return F, f"{why}; put its serial number into the station file when it is meant"
    return P, "the meter that was put into service here"


def _judge_accuracy_class(m: MeterObservation) -> Judged:
    if why := why_unfit_for_billing(m.identity, m.policy):
        return F, why
    if not m.policy.declares_class:
        return U, 'no class is declared; write class = "B" (as on the label) into the meter\'s table'
    return P, f"class {m.policy.accuracy_class} is declared, this model is sold in {' or '.join(m.identity.classes)}"


def _judge_mid_marking(m: MeterObservation) -> Judged:
    if m.identity.mid is False:
        return F, "the meter says itself that it is not of the MID variant"
    said = " The meter says itself that it is of the MID variant." if m.identity.mid else ""
    if m.dc and m.policy.certificate:
        return P, f"EN 50470-4 certificate {m.policy.certificate} is declared; attach it.{said}"
    if m.policy.mid_year is not None:
        return P, f"MID marking M{m.policy.mid_year % 100:02d} is declared; attach a photograph of the label.{said}"
    wanted = "certificate (EN 50470-4) or mid_year" if m.dc else "mid_year"
    return U, f"{wanted} is missing in the meter's table; no meter reports it.{said}"


def _judge_meter_map(m: MeterObservation) -> Judged:
    if m.identity.doubts:
        return U, "the map rests on one source or on memory for " + "; ".join(m.identity.doubts)
    return P, "every fact of the map is known from two sources or more, or the driver has no map"


def _judge_resettable(m: MeterObservation) -> Judged:
    if m.identity.reset:
        return U, f"its count can be set back: {m.identity.reset}; a seal has to cover it"
    return P, "nothing is known that sets its count back"


# --- what it counts -------------------------------------------------------------------------------------------------


def _judge_register_step(m: MeterObservation) -> Judged:
    step_wh = m.identity.register_step_wh
    said = f"the register counts in {step_wh:g} Wh now; a bill is wrong by up to that at each end"
    if step_wh > COARSEST_WH:
        return F, f"{said}: nothing can be billed from it"
    return (P if step_wh <= FINE_WH else U), said


def _judge_freshness(m: MeterObservation) -> Judged:
    stamps = [r.at for r in m.readings]
    if len(stamps) < 2:
        return U, f"{len(stamps)} reading"
    if any(not a < b for a, b in pairwise(stamps)):
        return F, "a value was repeated with an old or the same time"
    return P, f"{len(stamps)} readings in {stamps[-1].t_s - stamps[0].t_s:.1f} s, each with a time of its own"


def _judge_monotonic(m: MeterObservation) -> Judged:
    watch = MeterWatch(MeterPolicy("B"), present=m.identity)
    for reading in m.readings:
        if why := why_reading_untrue(watch, reading, m.phases * m.max_a * MOST_V):
            return F, why
        watch.base = reading
    if len(m.readings) < 2:
        return U, f"{len(m.readings)} reading"
    first, last = m.readings[0].energy_wh, m.readings[-1].energy_wh
    return P, f"{first} to {last} Wh, never back and never faster than the outlet"


def _judge_billing_reading(m: MeterObservation) -> Judged:
    if m.bill is None:
        return F, "no reading for a bill could be had"
    return P, f"{m.bill.energy_wh} Wh, of two looks that agree"


def _judge_grid_values(m: MeterObservation) -> Judged:
    volts = [v for r in m.readings for v in r.voltage_v[: m.phases]]
    hertz = [r.frequency_hz for r in m.readings if r.frequency_hz is not None]
    if not volts and not hertz:
        return U, "the map has neither voltage nor frequency"
    said = ", ".join(f"{min(x):.1f} to {max(x):.1f} {unit}" for x, unit in ((volts, "V"), (hertz, "Hz")) if x)
    low = not m.dc and any(not GRID_V[0] <= v <= GRID_V[1] for v in volts)
    off = any(not GRID_HZ[0] <= h <= GRID_HZ[1] for h in hertz)
    return (F, f"{said}: not the grid; wrong map, unit or wiring?") if low or off else (P, said)


def _judge_power(m: MeterObservation) -> Judged:
    loaded = [r for r in m.readings if r.power_w is not None and max(r.current_a, default=0.0) > LOAD_A]
    if not loaded:
        return U, "no load: repeat it while a vehicle charges with 6 A or more"
    r = loaded[-1]
    assert r.power_w is not None
    if r.power_w < 0:
        return F, f"{r.power_w:.0f} W while current flows: line and load, or a transformer, are the wrong way round"
    if not r.voltage_v:
        return U, f"{r.power_w:.0f} W; the map has no voltage to compare it with"
    apparent = sum(v * a for v, a in zip(r.voltage_v, r.current_a, strict=False))
    said = f"{r.power_w:.0f} W, {apparent:.0f} VA by voltage and current"
    return (P, said) if 0.5 * apparent <= r.power_w <= 1.05 * apparent + 20 else (F, f"{said}: scale or word order?")


def _judge_energy(m: MeterObservation) -> Judged:
    watch = MeterWatch()
    for reading in m.readings:
        integrate_power(watch, reading)
    moved_wh = m.readings[-1].energy_wh - m.readings[0].energy_wh if m.readings else 0
    step_wh = m.identity.register_step_wh
    said = f"the register moved by {moved_wh} Wh, its own power makes {watch.power_wh:.1f} Wh"
    if watch.power_wh < max(COUNTED_WH, 10 * step_wh):
        return U, f"{said}: too little to compare; repeat it under load, with more --seconds"
    near = abs(moved_wh - watch.power_wh) <= APART * moved_wh + 2 * step_wh
    return (P, said) if near else (F, said)


METER_RULES: dict[str, Callable[[MeterObservation], Judged]] = {
    "identity": _judge_identity,
    "place": _judge_place,
    "class": _judge_accuracy_class,
    "marking": _judge_mid_marking,
    "map": _judge_meter_map,
    "reset": _judge_resettable,
    "step": _judge_register_step,
    "freshness": _judge_freshness,
    "monotonic": _judge_monotonic,
    "bill": _judge_billing_reading,
    "grid": _judge_grid_values,
    "power": _judge_power,
    "energy": _judge_energy,
}


# --- boards ---------------------------------------------------------------------------------------------------------


def board_findings(traits: EvseTraits, states: Sequence[EvseState]) -> list[Finding]:
    if not states:
        return [Finding("state", F, "the board gave no picture")]
    last = states[-1]
    faults = sorted({f.value for s in states for f in s.faults})
    closed = any(s.contactor for s in states)
    return [
        Finding("state", P, f"pilot {last.pilot}, cable {'in' if last.cable else 'out'}, {len(states)} pictures"),
        Finding("faults", F if faults else P, ", ".join(faults) or "none"),
        Finding(
            "release",
            F if closed or any(s.released for s in states) else P,
            "withdrawn, as it must be without an agent" if not closed else "the contactor is closed without release",
        ),
        Finding(
            "watchdog",
            P if traits.fallback_stop else U,
            "the board withdraws release when the agent goes silent"
            if traits.fallback_stop
            else "this board does not stop by itself when the agent goes silent",
        ),
        Finding(
            "resume",
            P if traits.counts_plugged else U,
            "the board counts the seconds since the plug"
            if traits.counts_plugged
            else "the board does not count the seconds since the plug: a session resumes within resume_within_s",
        ),
    ]
