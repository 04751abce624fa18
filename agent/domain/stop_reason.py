"""Why something is being ended: on disk before anything is reported, so that a crash cannot change
the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import StopReason, TriggerReason
from agent.domain.serialization import dump_record, earlier_word, load_record
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
        """Return what is stored. A word that an earlier program refuses stands in ``later_words``, and one that it
        reads in its place."""
        words = {"reason": StopReason(self.reason), "trigger": TriggerReason(self.trigger)}
        later = {name: word.value for name, word in words.items() if earlier_word(word) is not None}
        return {
            **{name: (earlier_word(word) or word).value for name, word in words.items()},
            **({"later_words": later} if later else {}),
            "at": dump_record(self.at),
            "token": dump_record(self.token),
            "note": self.note,
            "unplugged": self.unplugged,
        }

    @classmethod
    def from_record(cls, r: Mapping[str, Any]) -> PendingStop:
        """Raises ``UnreadableRecord``, ``KeyError``, ``TypeError``, ``ValueError``, ``OverflowError``."""
        token = load_record(r["token"], Token) if r["token"] else None
        later = r.get("later_words", {})
        reason = StopReason(later.get("reason", r["reason"]))
        trigger = TriggerReason(later.get("trigger", r["trigger"]))
        unplugged = bool(r.get("unplugged", False))
        return cls(reason, trigger, load_record(r["at"], Stamp), token, str(r["note"]), unplugged)
