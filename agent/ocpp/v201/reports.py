"""GetBaseReport, GetReport and the NotifyReports that follow (OCPP 2.0.1 B07, B08)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from agent.domain.messages import DeviceModelReport, Message
from agent.domain.orders import Response
from agent.domain.requests import DeviceReportRequest
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX, Of, ReportFacts
from agent.ocpp.dialects.dialect import MessageRow, Payload, Refused, RequestRow, RowContext, decode_empty_response
from agent.ocpp.v201.device_model import Entry, collect_facts, is_component, is_variable, list_entries
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.timestamps import format_rfc3339

CHUNK = 20
"""Entries per NotifyReport: some 6 kB, which a slow line carries within a call's time-out."""


def _encode_notify_report(message: DeviceModelReport, ctx: RowContext) -> dict[str, Any]:
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
    out: dict[str, Any] = {"dataType": name.data_type, "supportsMonitoring": bool(name.watched_name)}
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


def _report_row(
    action: str,
    decode: Callable[[Payload, RowContext], DeviceReportRequest],
    select: Callable[[Response, Payload, RowContext], Iterator[Entry]],
    criterion: str,
) -> RequestRow:
    """Make the row of a request for a report. ``select``: the entries of the report. The answer needs the first of them
    only: a whole selection would hold the event loop twice. ``criterion``: the field whose unknown words are
    NotSupported (B07.FR.02, B08.FR.02)."""

    def answer_request(reply: Response, payload: Payload, ctx: RowContext) -> dict[str, Any]:
        return {"status": "EmptyResultSet" if next(select(reply, payload, ctx), None) is None else "Accepted"}

    def report_entries(reply: Response, payload: Payload, ctx: RowContext) -> list[Message]:
        chosen, known, at = list(select(reply, payload, ctx)), collect_facts(reply, ctx), ctx.clock.now().stamp
        parts = [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
        return [
            DeviceModelReport(
                int(payload["requestId"]),
                number,
                number + 1 < len(parts),
                at,
                tuple(encode_report_entry(e, known) for e in part),
            )
            for number, part in enumerate(parts)
        ]

    return RequestRow(action, decode, answer_request, follow_up=report_entries, open_enumerations=(criterion,))


def _decode_get_report(payload: Payload, ctx: RowContext) -> DeviceReportRequest:
    if len(payload.get("componentVariable", ())) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} variables at once (ItemsPerMessage)")
    return DeviceReportRequest()


_BASES: dict[str, Callable[[Entry], bool]] = {
    "ConfigurationInventory": lambda e: e.name.is_writable,
    "FullInventory": lambda e: True,
    "SummaryInventory": lambda e: e.name.variable in ("AvailabilityState", "Problem"),
}


def _select_of_base(reply: Response, payload: Payload, ctx: RowContext) -> Iterator[Entry]:
    return filter(_BASES[payload["reportBase"]], list_entries(ctx))


def _select_of_report(reply: Response, payload: Payload, ctx: RowContext) -> Iterator[Entry]:
    every = list(list_entries(ctx))
    wanted, criteria = payload.get("componentVariable"), payload.get("componentCriteria")
    chosen = (e for e in every if wanted is None or any(_is_requested(e, w) for w in wanted))
    if not criteria:
        return chosen
    known = collect_facts(reply, ctx)
    judges = {_criterion_key(e, e.name.variable): e for e in reversed(every)}  # of several instances the first one
    return (e for e in chosen if any(_meets_criterion(e, c, judges, known) for c in criteria))


def _criterion_key(entry: Entry, variable: str) -> tuple[str, str, Of, int, str]:
    """Return what names a variable of the component of this entry."""
    return entry.name.component, entry.name.component_instance, entry.name.of, entry.evse, variable


def _is_requested(entry: Entry, wanted: Payload) -> bool:
    """Return whether the entry was requested. B08.FR.20-23: what is left out means all of them."""
    variable = wanted.get("variable")
    return is_component(entry, wanted["component"], loosely=True) and (
        variable is None or is_variable(entry, variable, loosely=True)
    )


def _meets_criterion(
    entry: Entry, criterion: str, judges: Mapping[tuple[str, str, Of, int, str], Entry], known: ReportFacts
) -> bool:
    """Return whether the entry meets the criterion. B08.FR.07-10: the variable is true, or
    (except for Problem) that component does not have it."""
    judge = judges.get(_criterion_key(entry, criterion))
    if judge is None:
        return criterion != "Problem"
    return judge.name.present_text(known, judge.evse) == "true"


ROWS = (
    _report_row("GetBaseReport", _decode_get_report, _select_of_base, "reportBase"),
    _report_row("GetReport", _decode_get_report, _select_of_report, "componentCriteria"),
    MessageRow(DeviceModelReport, "NotifyReport", _encode_notify_report, decode_empty_response),
)
