"""Who may begin at an outlet, as far as its service and its reservations go."""

from __future__ import annotations

from agent.domain.evse import Evse, Service, Site
from agent.domain.reservation_claims import claim
from agent.model.types import STATION, Token


def closed_for(
    site: Site, evse: Evse, token: Token | None, group: str | None = None, leaving: Evse | None = None
) -> bool:
    """May this token (of that group) not begin here? ``leaving``: where its right waits now."""
    service = site.service_state(evse)
    if service is Service.RESERVED and evse.board_known and not site.stopping:
        return claim(site, evse, token, group, leaving) is None
    return service is not Service.IN_SERVICE or not evse.board_known or site.stopping


def group_may(site: Site, evse: Evse) -> bool:
    """Kept for a group: who is of it may have to be asked (OCPP 1.6 5.13)."""
    if site.service_state(evse) is not Service.RESERVED or not evse.board_known or site.stopping:
        return False
    return any(r.group and r.evse in (STATION, evse.number) for r in site.reservations.values())
