"""Judges of the statuses of outlets."""

from __future__ import annotations

from agent.audit.context import (
    AuditContext,
    Fact,
    Judge,
    JudgeResult,
    failed_result,
    partial_result,
    passed_result,
)
from agent.audit.transactions import TransactionRecord, transactions_shown
from agent.scenario.observation import Observation

RUNNING = frozenset({"charging", "suspended_vehicle", "suspended_station"})
AFTER = frozenset({"available", "finishing", "preparing", "unavailable", "faulted", "reserved"})
"""Words that fit an outlet whose transaction is over."""
ADVICE = "Have the station send StatusNotification at each change, also after a restart of its controller."


def judge_status_awake(context: AuditContext) -> JudgeResult:
    """A status follows what happens: each transaction shows as charging, and no outlet stays so after its end."""
    shown = {f.seq for f in context.frames}
    statuses = [o for o in context.view.observations if o.kind == "status" and o.frame.seq in shown]
    ended = [t for t in transactions_shown(context) if t.start is not None and t.stop is not None]
    facts = [Fact("Statuses", str(len(statuses))), Fact("Transactions", str(len(ended)))]
    if not ended:
        return partial_result("no transaction was seen from its start to its end", facts)
    asleep = [t for t in ended if not _shows_charging(context, t, statuses)]
    if asleep:
        one = asleep[0]
        says = f"outlet {one.evse}: transaction {one.id} has run, and no status has said so"
        frames = [f for f in (one.start, one.stop) if f is not None]
        return failed_result(says, facts, frames, ADVICE, "subcontractor")
    for evse in sorted({t.evse for t in ended}):
        stuck = _stuck_status(context, evse, statuses)
        if stuck is not None:
            says = f"outlet {evse}: the status is still {stuck.data.get('status')} after the last transaction has ended"
            return failed_result(says, facts, [stuck.frame], ADVICE, "subcontractor")
    return passed_result(f"{len(ended)} transactions, each with its statuses", facts)


def _shows_charging(context: AuditContext, one: TransactionRecord, statuses: list[Observation]) -> bool:
    """Return whether a status said that a transaction ran. While there was no connection it could not."""
    assert one.start is not None
    assert one.stop is not None
    lost = [
        r for r in context.records if r.kind == "disconnected" and one.start.at_s - 1 <= r.at_s <= one.stop.at_s + 1
    ]
    began_late = one.stop.at_s - one.start.at_s < 0.05  # start and stop leave together: it ran without a connection
    said = [o for o in statuses if o.evse == one.evse and o.words & RUNNING]
    near = [o for o in said if one.start.seq - 20 <= o.frame.seq <= one.stop.seq + 20]
    return bool(near or lost or began_late)


def _stuck_status(context: AuditContext, evse: int, statuses: list[Observation]) -> Observation | None:
    """Return the last status of an outlet if it says that a transaction runs while none does."""
    own = [o for o in statuses if o.evse == evse]
    running = context.view.running_transaction(evse) is not None
    if not own or running or own[-1].words & AFTER or not own[-1].words & RUNNING:
        return None
    return own[-1]


def judge_status_words(context: AuditContext) -> JudgeResult:
    """Each status is a word of the standard (OCPP 1.6 7.7 ChargePointStatus, OCPP 2.0.1 ConnectorStatusEnumType)."""
    shown = {f.seq for f in context.frames}
    statuses = [o for o in context.view.observations if o.kind == "status" and o.frame.seq in shown]
    strange = [o for o in statuses if not o.words and o.data.get("status")]
    words = sorted({str(o.data.get("status")) for o in statuses if o.data.get("status")})
    facts = [Fact("Statuses that were sent", ", ".join(words))]
    if not statuses:
        return partial_result("no status was sent", facts)
    if strange:
        says = f"outlet {strange[0].evse}: {strange[0].data['status']!r} is no status of OCPP {context.version}"
        return failed_result(says, facts, [o.frame for o in strange[:5]], WORDS_ADVICE, "subcontractor")
    return passed_result(f"{len(statuses)} statuses, each a word of the standard", facts)


WORDS_ADVICE = "Correct the word in the firmware of the station: backends show an outlet with another status as broken."
JUDGES = (
    Judge("status_awake", "the statuses follow what happens at the outlets", judge_status_awake),
    Judge("status_words", "each status is a word of the standard", judge_status_words),
)
