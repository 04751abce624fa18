"""A question about a token that is under way (``blocks/authorization.py``)."""

from __future__ import annotations

from agent.domain.charging.profiles import Profile
from agent.model.fastclass import mutable
from agent.model.types import EvseId, Token


@mutable
class Pending:
    """A question under way. ``reader``: where the card was held (None: it came from afar).
    ``movable_by_cable`` and ``movable_by_badge``: as of ``TokenAccepted``. ``stops``: asked to end the session of
    another member of the group."""

    evse: EvseId
    token: Token
    reader: EvseId | None = None
    movable_by_cable: bool = False
    remote_id: str = ""
    stops: bool = False
    profile: Profile | None = None
    movable_by_badge: bool = False
