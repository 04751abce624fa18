"""Which outlets wait for an answer about one driver, or for the driver who pays at the web page. No other
driver's right moves there meanwhile, and none begins there whose driver has not named the outlet
(decision 21)."""

from __future__ import annotations

from collections.abc import Callable

from agent.domain.evse import EvseRecord
from agent.domain.pending_authorization import Pending
from agent.model.types import EvseId, Token


class OutletClaims:
    """The blocks that ask a bank or a backend share it: each enters what it asks."""

    def __init__(self) -> None:
        self.pending: dict[str, Pending] = {}
        """The authorizations that are under way, by the key of their request (``blocks/authorization.py``)."""
        self.payer_checks: list[Callable[[EvseId], bool]] = []
        """Each is true of an outlet whose payer with a bank card waits for an answer."""

    def is_authorizing_at(self, evse: EvseId, but: Token | None = None) -> bool:
        """True while a token is being authorized for this EVSE, another one than ``but``."""
        pending = (p.token for p in self.pending.values() if p.evse == evse)
        return any(but is None or not token.matches_token(but) for token in pending)

    def is_asked_about(self, evse: EvseId, but: Token | None = None) -> bool:
        """True while backend or bank are asked about a driver at this EVSE, who has another token than ``but``."""
        return self.is_authorizing_at(evse, but) or any(check(evse) for check in self.payer_checks)

    def is_for_another(self, evse: EvseRecord, token: Token) -> bool:
        """True while this EVSE is another driver's than the one who has this token."""
        return evse.payer_until_s is not None or self.is_asked_about(evse.number, token)
