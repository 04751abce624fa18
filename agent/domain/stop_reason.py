"""Why something is being ended: on disk before anything is reported, so that a crash cannot change
the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import StopReason, TriggerReason
from agent.domain.serialization import dump_record, load_record
from agent.model.fastclass import mutable
from agent.model.types import Stamp, Token


@mutable
class PendingStop:
    reason: str
    trigger: str
    at: Stamp
    token: Token | None = None
    note: str = ""
    unplugged: bool = False
    """No vehicle was there."""

    def to_record(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "trigger": self.trigger,
            "at": dump_record(self.at),
            "token": dump_record(self.token),
            "note": self.note,
            "unplugged": self.unplugged,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> PendingStop:
        """Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``, ``OverflowError``."""
        token = load_record(r["token"], Token) if r["token"] else None
        reason, trigger = StopReason(r["reason"]), TriggerReason(r["trigger"])
        unplugged = bool(r.get("unplugged", False))
        return cls(reason, trigger, load_record(r["at"], Stamp), token, str(r["note"]), unplugged)
