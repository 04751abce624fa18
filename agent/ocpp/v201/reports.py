"""GetBaseReport, GetReport and the NotifyReports that follow (OCPP 2.0.1 B07, B08)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.domain.messages import Message
from agent.domain.orders import Reply
from agent.domain.requests import AskInventory
from agent.model.fastclass import frozen
from agent.model.types import Stamp
from agent.ocpp.dialects.device_model_v2x import ITEMS_MAX, Facts
from agent.ocpp.dialects.dialect import Desk, In, Out, Payload, Refused, nothing
from agent.ocpp.v201.device_model import Entry, entries, facts, is_component, is_variable
from agent.ocpp.wire.rpc import Code
from agent.ocpp.wire.timestamps import rfc3339

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


def _notify(message: Report, desk: Desk) -> dict[str, Any]:
    return {
        "requestId": message.request,
        "generatedAt": rfc3339(desk.clock.utc_s(message.at)),
        "seqNo": message.part,
        "tbc": message.more,
        "reportData": list(message.data),
    }


def entry_of(entry: Entry, known: Facts) -> dict[str, Any]:
    """ReportDataType."""
    name = entry.name
    mutability = "WriteOnly" if name.secret else "ReadWrite" if name.writable else "ReadOnly"
    attribute: dict[str, Any] = {"type": "Actual", "mutability": mutability}
    if not name.secret:
        attribute["value"] = name.text(known, entry.evse)
    attribute |= {"persistent": name.writable or name.constant, "constant": name.constant}
    return {
        "component": entry.component,
        "variable": entry.variable,
        "variableAttribute": [attribute],
        "variableCharacteristics": _characteristics(entry, known),
    }


def _characteristics(entry: Entry, known: Facts) -> dict[str, Any]:
    name, ours = entry.name, entry.name.ours
    out: dict[str, Any] = {"dataType": name.data_type, "supportsMonitoring": False}
    if name.unit:
        out["unit"] = name.unit
    if name.choices:
        out["valuesList"] = name.choices(known) if callable(name.choices) else name.choices
    if name.high is not None:
        out["maxLimit"] = name.high(known, entry.evse)
    elif name.secret:
        out |= {"minLimit": 16, "maxLimit": 40}
    elif ours is not None and ours.kind == "int":
        out |= {"minLimit": ours.low, "maxLimit": ours.high}
    return out


def _answered(chosen: list[Entry], known: Facts, payload: Payload, desk: Desk) -> dict[str, Any]:
    """The answer, and what is owed after it."""
    if not chosen:
        return {"status": "EmptyResultSet"}
    at = desk.clock.now().stamp
    parts = [chosen[i : i + CHUNK] for i in range(0, len(chosen), CHUNK)]
    for number, part in enumerate(parts):
        data = tuple(entry_of(e, known) for e in part)
        desk.owed.append(Report(int(payload["requestId"]), number, number + 1 < len(parts), at, data))
    return {"status": "Accepted"}


def _ask(payload: Payload, desk: Desk) -> AskInventory:
    if len(payload.get("componentVariable", ())) > ITEMS_MAX:
        raise Refused(Code.OCCURRENCE, f"at most {ITEMS_MAX} variables at once (ItemsPerMessage)")
    return AskInventory()


_BASES: dict[str, Callable[[Entry], bool]] = {
    "ConfigurationInventory": lambda e: e.name.writable,
    "FullInventory": lambda e: True,
    "SummaryInventory": lambda e: e.name.variable in ("AvailabilityState", "Problem"),
}


def _base(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    chosen = [e for e in entries(desk) if _BASES[payload["reportBase"]](e)]
    return _answered(chosen, facts(reply, desk), payload, desk)


def _custom(reply: Reply, payload: Payload, desk: Desk) -> dict[str, Any]:
    known = facts(reply, desk)
    every = list(entries(desk))
    wanted, criteria = payload.get("componentVariable"), payload.get("componentCriteria")
    chosen = [e for e in every if wanted is None or any(_is_wanted(e, w) for w in wanted)]
    if criteria:
        chosen = [e for e in chosen if any(_meets(e, c, every, known) for c in criteria)]
    return _answered(chosen, known, payload, desk)


def _is_wanted(entry: Entry, wanted: Payload) -> bool:
    """B08.FR.20-23: what is left out means all of them."""
    variable = wanted.get("variable")
    return is_component(entry, wanted["component"], loosely=True) and (
        variable is None or is_variable(entry, variable, loosely=True)
    )


def _meets(entry: Entry, criterion: str, every: list[Entry], known: Facts) -> bool:
    """B08.FR.07-10: true, or (except for Problem) not a variable of that component at all."""
    own = (e for e in every if e.component == entry.component and e.name.variable == criterion)
    judge = next(own, None)
    if judge is None:
        return criterion != "Problem"
    return judge.name.text(known, judge.evse) == "true"


ROWS = (
    In("GetBaseReport", _ask, _base),
    In("GetReport", _ask, _custom),
    Out(Report, "NotifyReport", _notify, nothing),
)
