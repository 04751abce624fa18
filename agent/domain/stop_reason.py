"""Why something is being ended: on disk before anything is told, so that a crash cannot change the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import StopReason, TriggerReason
from agent.domain.serialization import dump, load
from agent.model.fastclass import mutable
from agent.model.types import Stamp, Token


@mutable
class Stop:
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
            "at": dump(self.at),
            "token": dump(self.token),
            "note": self.note,
            "unplugged": self.unplugged,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> Stop:
        """Raises ``Poisoned``, ``KeyError``, ``TypeError``, ``ValueError``, ``OverflowError``."""
        token = load(r["token"], Token) if r["token"] else None
        reason, trigger = StopReason(r["reason"]), TriggerReason(r["trigger"])
        unplugged = bool(r.get("unplugged", False))
        return cls(reason, trigger, load(r["at"], Stamp), token, str(r["note"]), unplugged)
