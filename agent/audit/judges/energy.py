"""Judges of the energy that is billed."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import field

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeParameter,
    JudgeResult,
    MeterReading,
    failed_result,
    inapplicable_result,
    partial_result,
    passed_result,
)
from agent.audit.transaction_history import station_begin_times
from agent.audit.transactions import TransactionRecord, transactions_shown
from agent.model.fastclass import mutable
from agent.scenario.frames import Frame
from agent.scenario.grammar import Form

ADVICE = "Compare the registers of start and stop with the display of the meter, and with what the backend has booked."
CLASS_PERCENT = {"A": 2.0, "B": 1.0, "C": 0.5}
"""Maximum permissible error at rated operating conditions (directive 2014/32/EU, annex V; EN 50470-3)."""


def judge_energy_books(context: AuditContext) -> JudgeResult:
    """The registers of the messages fit together: nothing is billed twice, nothing is left out, none runs backwards."""
    transactions = transactions_shown(context)
    if not transactions:
        return partial_result("no transaction was seen")
    replaced_s = max(station_begin_times(context), default=-math.inf)
    wrong: list[tuple[str, list[Frame]]] = [problem for t in transactions for problem in _own_problems(t, replaced_s)]
    for evse in sorted({t.evse for t in transactions}):
        wrong += _gap_problems(context, [t for t in transactions if t.evse == evse])
    total_wh = sum(t.energy_wh or 0.0 for t in transactions)
    facts = [Fact("Transactions", str(len(transactions))), Fact("Billed", f"{total_wh:.0f} Wh")]
    if wrong:
        says = "; ".join(words for words, _ in wrong[:3])
        return failed_result(says, facts, [f for _, frames in wrong[:3] for f in frames], ADVICE, "subcontractor")
    return passed_result(f"{len(transactions)} transactions, {total_wh:.0f} Wh, without gap and overlap", facts)


def _own_problems(one: TransactionRecord, replaced_s: float) -> list[tuple[str, list[Frame]]]:
    """Return what is wrong within one transaction. A station that was replaced at ``replaced_s`` could not end it."""
    name = f"outlet {one.evse}, transaction {one.id}"
    if one.start is not None and one.stop is None and one.start.at_s > replaced_s:
        return [(f"{name} has started and never ended", [one.start])]
    found = []
    if one.energy_wh is not None and one.energy_wh < 0:
        found.append((f"{name} ends below its start", [f for f in (one.start, one.stop) if f is not None]))
    for (before, left), (after, right) in itertools.pairwise(one.registers):
        if right < left - 0.5:
            found.append((f"{name}: the register runs back from {left:.0f} to {right:.0f} Wh", [before, after]))
            break
    return found


def _gap_problems(context: AuditContext, own: list[TransactionRecord]) -> list[tuple[str, list[Frame]]]:
    """Return where the register of an outlet has moved between two transactions. A fresh simulated station has another
    meter."""
    found, tolerance_wh = [], context.parameters["tolerance_wh"]
    begins = station_begin_times(context)
    for before, after in itertools.pairwise(own):
        if before.stop_wh is None or after.start_wh is None or before.stop is None:
            continue
        if after.start is None or any(before.stop.at_s < at_s < after.start.at_s for at_s in begins):
            continue
        moved_wh = after.start_wh - before.stop_wh
        if abs(moved_wh) > tolerance_wh:
            words = f"outlet {before.evse}: the register moved by {moved_wh:+.0f} Wh between {before.id} and {after.id}"
            found.append((words, [f for f in (before.stop, after.start) if f is not None]))
    return found


def judge_energy_meter(context: AuditContext) -> JudgeResult:
    """The backend's sum is what the meter has counted, to the Wh (``tolerance_wh`` for each transaction)."""
    if not context.readings:
        return inapplicable_result("the meter was not read beside the messages")
    facts, wrong, judged = [], [], list[TransactionRecord]()
    for evse in sorted({r.evse for r in context.readings}):
        lives = _meter_lives(context, evse)
        own, metered_wh = [t for life in lives for t in life.transactions], sum(life.counted_wh for life in lives)
        billed_wh = sum(t.energy_wh or 0.0 for t in own)
        facts.append(Fact(f"Outlet {evse}: the backend's sum", f"{billed_wh:.0f} Wh in {len(own)} transactions"))
        facts.append(Fact(f"Outlet {evse}: the meter", f"{metered_wh:.0f} Wh"))
        if left_out := [t for life in lives for t in life.cut_transactions]:
            ids = ", ".join(str(t.id) for t in left_out)
            facts.append(Fact(f"Outlet {evse}: left out", f"transaction {ids}: its station was replaced meanwhile"))
        permitted_wh = context.parameters["tolerance_wh"] * max(len(own), 1)
        if abs(billed_wh - metered_wh) > permitted_wh:
            wrong.append(f"outlet {evse}: {billed_wh:.0f} Wh are billed, the meter has counted {metered_wh:.0f} Wh")
        judged += own
    if wrong:
        stops = [t.stop for t in judged if t.stop is not None]
        return failed_result("; ".join(wrong), facts, stops[:10], ADVICE, "subcontractor")
    if not any(t.energy_wh for t in judged):
        return partial_result("no energy was delivered", facts)
    return passed_result("the backend's sum is what the meter has counted", facts)


@mutable
class _MeterLife:
    """An outlet from the start of a simulated station until a fresh one, which has a meter of its own, replaces it.

    ``transactions``: those to compare with ``readings``; ``cut_transactions``: those in which the station was replaced.
    """

    readings: list[MeterReading] = field(default_factory=list)
    transactions: list[TransactionRecord] = field(default_factory=list)
    cut_transactions: list[TransactionRecord] = field(default_factory=list)

    @property
    def counted_wh(self) -> float:
        return self.readings[-1].energy_wh - self.readings[0].energy_wh if self.readings else 0.0

    def leave_out_cut_transactions(self) -> None:
        """Leave out the transactions whose end the meter was not read after, and what the meter has counted in them.

        The station is gone: the energy of its last seconds is known neither from a message nor from a reading.
        """
        last_s = self.readings[-1].at_s if self.readings else -math.inf
        known = [(t, t.stop is not None and t.stop.at_s <= last_s) for t in self.transactions]
        self.transactions = [t for t, is_whole in known if is_whole]
        self.cut_transactions = [t for t, is_whole in known if not is_whole]
        if self.cut_transactions:
            first_s = min(_first_seen_s(t) for t in self.cut_transactions)
            self.readings = [r for r in self.readings if r.at_s <= first_s]


def _first_seen_s(transaction: TransactionRecord) -> float:
    return min((f.at_s for f in (transaction.start, transaction.stop) if f is not None), default=math.inf)


def _meter_lives(context: AuditContext, evse: int) -> list[_MeterLife]:
    """Return what belongs together of an outlet. In the last part nothing is left out: its station was still there."""
    begins = station_begin_times(context)
    lives = [_MeterLife() for _ in range(len(begins) + 1)]
    for reading in sorted(context.readings, key=lambda reading: reading.at_s):  # two may have been asked for at once
        if reading.evse == evse:
            lives[bisect.bisect(begins, reading.at_s)].readings.append(reading)
    for transaction in transactions_shown(context):
        if transaction.evse == evse:
            lives[bisect.bisect(begins, _first_seen_s(transaction))].transactions.append(transaction)
    for life in lives[:-1]:
        life.leave_out_cut_transactions()
    return lives


def judge_reference_energy(context: AuditContext) -> JudgeResult:
    """The energy that is billed differs from that of a reference meter by no more than the class permits."""
    used, said = context.facts.get("reference_meter"), context.facts.get("reference_wh")
    if used is None or used.value.strip().lower() in ("", "none", "no"):
        return inapplicable_result("no reference meter was used")
    try:
        reference_wh = float(said.value.replace(",", ".")) if said is not None else 0.0
    except ValueError:
        reference_wh = 0.0
    if reference_wh <= 0:
        return partial_result("the energy of the reference meter is not known")
    billed_wh = sum(t.energy_wh or 0.0 for t in transactions_shown(context))
    error_percent = (billed_wh - reference_wh) / reference_wh * 100.0
    name = context.facts["meter_class"].value if "meter_class" in context.facts else ""
    permitted = CLASS_PERCENT.get(name, CLASS_PERCENT["A"]) + context.parameters["extra_percent"]
    facts = [
        Fact("Billed", f"{billed_wh:.0f} Wh"), Fact("Reference meter", f"{reference_wh:.0f} Wh ({used.value})"),
        Fact("Error", f"{error_percent:+.2f} %"), Fact("Permitted", f"{permitted:g} % (class {name or 'A'})"),
    ]  # fmt: skip
    if abs(error_percent) > permitted:
        return failed_result(f"the error is {error_percent:+.2f} %, {permitted:g} % are permitted", facts, (), REPLACE)
    return passed_result(f"the error is {error_percent:+.2f} %, {permitted:g} % are permitted", facts)


REPLACE = "Have the meter checked against its class, and its wiring; charge nothing through this outlet until then."
TOLERANCE = {"tolerance_wh": JudgeParameter(Form.NUMBER, 1.0, "Wh by which a transaction may differ")}
JUDGES = (
    Judge("energy_books", "the registers of all messages fit together", judge_energy_books, TOLERANCE),
    Judge("energy_meter", "the backend's sum is what the meter has counted, to the Wh", judge_energy_meter, TOLERANCE),
    Judge(
        "reference_energy", "the error against a reference meter is within the class", judge_reference_energy,
        {"extra_percent": JudgeParameter(Form.NUMBER, 0.5, "permitted beside the class, for the reference meter")},
    ),
)  # fmt: skip
