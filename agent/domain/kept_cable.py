"""A cable that stays locked in the socket after its car has left, until a driver with the right
token comes back for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.domain.messages import StopReason
from agent.domain.serialization import dump_record, load_record
from agent.model.fastclass import frozen
from agent.model.types import Token, TokenType

CARDLESS = frozenset((TokenType.NO_AUTHORIZATION, TokenType.DIRECT_PAYMENT))
"""Token types of drivers who have no card to hold to a reader."""
ENDED_BY_DRIVER = frozenset((StopReason.LOCAL, StopReason.REMOTE, StopReason.MASTER_PASS))
"""Who ends a session like this wants to go, also where the car has left before."""


@frozen
class KeptCable:
    """``token`` began the session, ``group`` is its group: either frees the cable."""

    token: Token
    group: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the value for ``Persist("kept_cable", EVSE, ...)``."""
        return {"token": dump_record(self.token), "group": self.group}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> KeptCable:
        """Raises ``UnreadableRecord``, ``KeyError``."""
        return cls(load_record(record["token"], Token), None if record["group"] is None else str(record["group"]))
