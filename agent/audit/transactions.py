"""The transactions of a conversation with their frames, for judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from agent.audit.context import AuditContext
from agent.audit.sampled_values import sampled_values
from agent.model.fastclass import mutable
from agent.scenario.frames import CALL_RESULT, Frame
from agent.scenario.observation import ENERGY


@mutable
class TransactionRecord:
    """``start``, ``stop``: the requests of the station that say it; None if there was none. Registers in Wh.
    ``registers``: each register that a message brought, in the order of the messages."""

    id: Any
    evse: int
    token: str = ""
    start: Frame | None = None
    stop: Frame | None = None
    start_wh: float | None = None
    stop_wh: float | None = None
    reason: str = ""
    registers: list[tuple[Frame, float]] = field(default_factory=list)

    @property
    def energy_wh(self) -> float | None:
        """Return what is billed; None if the transaction has not ended or has no register."""
        if self.stop is None or self.start_wh is None or self.stop_wh is None:
            return None
        return self.stop_wh - self.start_wh


def transactions_shown(context: AuditContext) -> list[TransactionRecord]:
    """Return the transactions whose messages are among the frames of the context, in the order of their start."""
    shown, found = {f.seq for f in context.frames}, dict[Any, TransactionRecord]()
    for seen in context.view.observations:
        if seen.kind == "transaction" and seen.frame.seq in shown and "id" in seen.data:
            one = found.setdefault(seen.data["id"], TransactionRecord(seen.data["id"], seen.evse))
            _note_event(one, seen.words, seen.data, seen.frame, seen.evse)
    for value in sampled_values(context.frames):
        owner = found.get(value.transaction) if value.transaction is not None else None
        whole = value.measurand == ENERGY and not value.phase and value.location == "Outlet"
        if owner is not None and whole and value.number is not None:
            owner.registers.append((value.frame, value.number))
    return list(found.values())


def _note_event(
    one: TransactionRecord, words: frozenset[str], data: Mapping[str, Any], frame: Frame, evse: int
) -> None:
    one.evse, one.token = evse or one.evse, data.get("token", one.token)
    one.start_wh = data.get("start_wh", one.start_wh)
    if "started" in words:
        one.start = frame.answers if frame.kind == CALL_RESULT else frame
    if "ended" in words:
        one.stop, one.stop_wh, one.reason = frame, data.get("stop_wh"), data.get("reason", "")
