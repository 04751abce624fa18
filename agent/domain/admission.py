"""Who may begin at an outlet, as far as its service and its reservations go."""

from __future__ import annotations

from agent.domain.evse import EvseRecord, ServiceState, StationState
from agent.domain.reservation_claims import claim_reservation
from agent.model.types import STATION, Token


def why_closed_for(
    site: StationState,
    evse: EvseRecord,
    token: Token | None,
    group: str | None = None,
    leaving: EvseRecord | None = None,
) -> bool:
    """May this token (of that group) not begin here? ``leaving``: where its right waits now."""
    service = site.service_state(evse)
    if service is ServiceState.RESERVED and evse.board.known and not site.stopping:
        return claim_reservation(site, evse, token, group, leaving) is None
    return service is not ServiceState.IN_SERVICE or not evse.board.known or site.stopping


def group_may_charge(site: StationState, evse: EvseRecord) -> bool:
    """Kept for a group: who is of it may have to be asked (OCPP 1.6 5.13)."""
    if site.service_state(evse) is not ServiceState.RESERVED or not evse.board.known or site.stopping:
        return False
    return any(r.group and r.evse in (STATION, evse.number) for r in site.reservations.values())
