"""Judges of how a station comes to its backend, and how well both understand each other."""

from __future__ import annotations

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
from agent.scenario.frames import CALL_ERROR, Frame
from agent.scenario.grammar import Form

BEFORE_ACCEPTED = ("BootNotification", "SecurityEventNotification")
"""What a station may send before it is accepted."""
TRIGGERED_ONLY = "TriggerMessage"


def judge_boot_ladder(context: AuditContext) -> JudgeResult:
    """The rungs from the connection to the first status: OCPP 1.6 4.2, 4.9; OCPP 2.0.1 B01 to B04."""
    facts = [Fact("Connection", f"OCPP {context.version}")]
    boots = context.requests("BootNotification")
    if not boots:
        return partial_result("the station has sent no BootNotification during the audit", facts)
    first = boots[0]
    answer = context.answer_to(first)
    status = answer.payload.get("status") if answer is not None and isinstance(answer.payload, dict) else None
    facts.append(Fact("BootNotification", str(status or "not answered")))
    early = [f for f in context.requests() if f.seq < first.seq and f.action not in BEFORE_ACCEPTED]
    if early:
        says = f"{early[0].action} is sent before BootNotification"
        return failed_result(says, facts, [early[0], first], to_subcontractor, "subcontractor")
    accepted = next((b for b in boots if _is_accepted(context, b)), None)
    if accepted is None:
        return failed_result(f"the backend answers {status} to BootNotification", facts, boots[:3], ask_operator)
    statuses = [f for f in context.requests("StatusNotification") if f.seq > accepted.seq]
    outlets = sorted(n for n, one in context.view.evses.items() if n and one.status)
    facts.append(Fact("Outlets with a status", ", ".join(map(str, outlets)) or "none"))
    facts.append(Fact("Boots during the audit", str(len(boots))))
    if not statuses or not outlets:
        return failed_result("no outlet has reported its status", facts, boots[:1], to_subcontractor, "subcontractor")
    says = f"BootNotification is accepted, {len(outlets)} outlets have reported their status"
    return passed_result(says, facts, [first, statuses[0]])


to_subcontractor = "Correct the order of messages after the connection in the firmware of the station."
ask_operator = "Have the backend accept the station: its operator has to enter its charge point id."


def _is_accepted(context: AuditContext, boot: Frame) -> bool:
    answer = context.answer_to(boot)
    return answer is not None and isinstance(answer.payload, dict) and answer.payload.get("status") == "Accepted"


def judge_messages_understood(context: AuditContext) -> JudgeResult:
    """No message of the station breaks its schema, and none is answered with an error."""
    strange = [f for f in context.frames if f.from_station and f.kind == 0]
    refused = [f for f in context.frames if f.kind == CALL_ERROR and not f.from_station and _error_code(f) not in OWN]
    facts = [Fact("Messages of the station", str(sum(f.from_station for f in context.frames)))]
    if not context.frames:
        return partial_result("there is no message")
    if strange:
        says = f"the station has sent {len(strange)} texts that are no messages of OCPP"
        return failed_result(says, facts, strange[:5], correct_messages, "subcontractor")
    if refused:
        first = refused[0]
        code = _error_code(first)
        words = first.payload.get("description", "") if isinstance(first.payload, dict) else ""
        says = f"{first.action or 'a message'} was refused with {code}: {words}"[:300]
        shown = [f for r in refused[:5] for f in (r.answers, r) if f is not None]
        return failed_result(says, facts, shown, correct_messages, "subcontractor")
    return passed_result("each message of the station was understood", facts)


OWN = ("InternalError", "GenericError")
"""Errors of the backend itself: they say nothing of the message."""


def _error_code(frame: Frame) -> str:
    return str(frame.payload.get("error", "")) if isinstance(frame.payload, dict) else ""


correct_messages = "Correct this message in the firmware of the station: it does not fit the schema of OCPP."


def judge_requests_answered(context: AuditContext) -> JudgeResult:
    """The station answers each request, unless the connection ends meanwhile."""
    requests = context.requests(sender="backend")
    if not requests:
        return partial_result("the backend has sent no request")
    answered = {f.answers.seq for f in context.frames if f.answers is not None}
    ends = [r.at_s for r in context.records if r.kind in ("disconnected", "connected")]
    last_s, patience_s = context.frames[-1].at_s, context.parameters["within_s"]
    silent = [
        f
        for f in requests
        if f.seq not in answered
        and last_s - f.at_s > patience_s
        and not any(f.at_s <= end_s <= f.at_s + patience_s for end_s in ends)
    ]
    facts = [Fact("Requests of the backend", str(len(requests))), Fact("Without an answer", str(len(silent)))]
    if silent:
        says = f"{silent[0].action} was not answered within {patience_s:g} s"
        return failed_result(says, facts, silent[:5], "Have the station answer each request.", "subcontractor")
    return passed_result(f"{len(requests)} requests of the backend were answered", facts)


JUDGES = (
    Judge("boot_ladder", "the station connects, is accepted and reports each outlet", judge_boot_ladder),
    Judge("messages_understood", "no message of the station breaks its schema", judge_messages_understood),
    Judge(
        "requests_answered", "the station answers each request of the backend", judge_requests_answered,
        {"within_s": JudgeParameter(Form.NUMBER, 30.0, "real seconds after which an answer is missing")},
    ),
)  # fmt: skip
