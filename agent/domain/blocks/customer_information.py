"""Report and clear what the station knows of a customer, by token (OCPP 2.x N09, N10). Bills,
running sessions and reservations stay: they are owed. So does the local list, which the backend alone changes
(N10.FR.02, N10.FR.03, N10.FR.06)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.authorization_cache import AuthorizationCache
from agent.domain.evse import StationState
from agent.domain.functional_block import Replier, Yielded, answers_requests
from agent.domain.requests import CustomerInformationRequest
from agent.model.types import Moment, Token


class CustomerInformation:
    def __init__(self, site: StationState, cache: AuthorizationCache) -> None:
        self._site, self._cache = site, cache

    @answers_requests(CustomerInformationRequest)
    def answer_customer_information(
        self, request: CustomerInformationRequest, reply: Replier, now: Moment
    ) -> Iterator[Yielded]:
        """Report and clear. ``cache``, ``list``: verdicts; ``reservations``: their numbers;
        ``evses``: where the token charges or may charge."""
        if request.clear and not self._site.store_ok:
            yield reply("Rejected")
            return
        known = self._collect_known_data(request.token) if request.report and request.token else {}
        if request.clear and request.token:
            yield from self._cache.clear_customer(request.token)
        yield reply("Accepted", known)

    def _collect_known_data(self, token: Token) -> dict[str, Any]:
        site = self._site
        here = {
            e.number
            for e in site.evses.values()
            for x in (e.session, e.authorization, e.kept)
            if x and x.token.matches_token(token)
        }
        found = {
            "cache": self._cache.stored_verdict(token),
            "list": site.local_list.find_verdict(token),
            "reservations": [name for name, r in site.reservations.items() if r.token.matches_token(token)],
            "evses": sorted(here),
        }
        return {what: value for what, value in found.items() if value}
