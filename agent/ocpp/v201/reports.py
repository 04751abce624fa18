"""GetBaseReport, GetReport and the NotifyReports that follow (OCPP 2.0.1 B07, B08)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.domain.messages import Message
from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest
from agent.model.fastclass import frozen
from agent.model.types import Stamp
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX, ReportFacts
from agent.ocpp.dialects.dialect import In, Out, Payload, Refused, RowContext, decode_empty_response
from agent.ocpp.v201.device_model import Entry, collect_facts, is_component, is_variable, list_entries
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import format_rfc3339

CHUNK = 20
"""Entries per NotifyReport: some 6 kB, which a slow line carries within a call's time-out."""


@frozen
class Report(Message):
    """One part of a report; ``more``: another part follows."""

    request: int
    part: int
    more: bool
    at: Stamp
    data: tuple[Any, ...]


def _encode_notify_report(message: Report, ctx: RowContext) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "generatedAt": format_rfc3339(ctx.clock.utc_s(message.at)),
        "seqNo": message.part,
        "tbc": message.more,
        "reportData": list(message.data),
    }


def encode_report_entry(entry: Entry, known: ReportFacts) -> dict[str, Any]:
    """Encode ReportDataType."""
    name = entry.name
    mutability = "WriteOnly" if name.is_secret else "ReadWrite" if name.is_writable else "ReadOnly"
    attribute: dict[str, Any] = {"type": "Actual", "mutability": mutability}
    if not name.is_secret:
        attribute["value"] = name.present_text(known, entry.evse)
    attribute |= {"persistent": name.is_writable or name.constant, "constant": name.constant}
    return {
        "component": entry.component_type,
        "variable": entry.variable_type,
        "variableAttribute": [attribute],
        "variableCharacteristics": _encode_characteristics(entry, known),
    }


def _encode_characteristics(entry: Entry, known: ReportFacts) -> dict[str, Any]:
    name, ours = entry.name, entry.name.own_variable
    out: dict[str, Any] = {"dataType": name.data_type, "supportsMonitoring": False}
    if name.unit:
        out["unit"] = name.unit
    if name.choices:
        out["valuesList"] = name.choices(known) if callable(name.choices) else name.choices
    if name.high is not None:
        out["maxLimit"] = name.high(known, entry.evse)
    elif name.is_secret:
        out |= {"minLimit": 16, "maxLimit": 40}
    elif ours is not None and ours.kind == "int":
        out |= {"minLimit": ours.low, "maxLimit": ours.high}
    return out


def _answer_with_report(chosen: list[Entry], known: ReportFacts, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    """Answer the request and queue the parts of the report after it."""
    if not chosen:
        return {"status": "EmptyResultSet"}
    at = ctx.clock.now().stamp
    parts = [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
    for number, part in enumerate(parts):
        data = tuple(encode_report_entry(e, known) for e in part)
        ctx.messages_after_answer.append(Report(int(payload["requestId"]), number, number + 1 < len(parts), at, data))
    return {"status": "Accepted"}


def _decode_get_report(payload: Payload, ctx: RowContext) -> DeviceReportRequest:
    if len(payload.get("componentVariable", ())) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} variables at once (ItemsPerMessage)")
    return DeviceReportRequest()


_BASES: dict[str, Callable[[Entry], bool]] = {
    "ConfigurationInventory": lambda e: e.name.is_writable,
    "FullInventory": lambda e: True,
    "SummaryInventory": lambda e: e.name.variable in ("AvailabilityState", "Problem"),
}


def _answer_get_base_report(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    chosen = [e for e in list_entries(ctx) if _BASES[payload["reportBase"]](e)]
    return _answer_with_report(chosen, collect_facts(reply, ctx), payload, ctx)


def _answer_get_report(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
    known = collect_facts(reply, ctx)
    every = list(list_entries(ctx))
    wanted, criteria = payload.get("componentVariable"), payload.get("componentCriteria")
    chosen = [e for e in every if wanted is None or any(_is_requested(e, w) for w in wanted)]
    if criteria:
        chosen = [e for e in chosen if any(_meets_criterion(e, c, every, known) for c in criteria)]
    return _answer_with_report(chosen, known, payload, ctx)


def _is_requested(entry: Entry, wanted: Payload) -> bool:
    """Return whether the entry was requested. B08.FR.20-23: what is left out means all of them."""
    variable = wanted.get("variable")
    return is_component(entry, wanted["component"], loosely=True) and (
        variable is None or is_variable(entry, variable, loosely=True)
    )


def _meets_criterion(entry: Entry, criterion: str, every: list[Entry], known: ReportFacts) -> bool:
    """Return whether the entry meets the criterion. B08.FR.07-10: the variable is true, or
    (except for Problem) that component does not have it."""
    own = (e for e in every if e.component_type == entry.component_type and e.name.variable == criterion)
    judge = next(own, None)
    if judge is None:
        return criterion != "Problem"
    return judge.name.present_text(known, judge.evse) == "true"


ROWS = (
    In("GetBaseReport", _decode_get_report, _answer_get_base_report),
    In("GetReport", _decode_get_report, _answer_get_report),
    Out(Report, "NotifyReport", _encode_notify_report, decode_empty_response),
)
