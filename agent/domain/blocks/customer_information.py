"""Report and clear what the station knows of a customer, by token (OCPP 2.x N09, N10). Bills,
running sessions and reservations stay: they are owed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.authorization_cache import AuthorizationCache
from agent.domain.blocks.local_auth_list import LocalAuthListBlock
from agent.domain.events import RequestReceived
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded, answers_requests
from agent.domain.orders import Response
from agent.domain.requests import CustomerInformationRequest
from agent.model.types import Moment, Token


class CustomerInformation:
    def __init__(self, site: StationState, cache: AuthorizationCache, lists: LocalAuthListBlock) -> None:
        self._site, self._cache, self._lists = site, cache, lists

    @answers_requests(CustomerInformationRequest)
    def answer_customer_information(self, event: RequestReceived, now: Moment) -> Iterator[Yielded]:
        """Report and clear. ``cache``, ``list``: verdicts; ``reservations``: their numbers;
        ``evses``: where the token charges or may charge."""
        ask = event.ask
        assert isinstance(ask, CustomerInformationRequest)
        if ask.clear and not self._site.store_ok:
            yield Response(event.link, event.request, "Rejected")
            return
        known = self._collect_known_data(ask.token) if ask.report and ask.token else {}
        if ask.clear and ask.token:
            yield from self._cache.forget_token(ask.token)
            yield from self._lists.forget_token(ask.token)
        yield Response(event.link, event.request, "Accepted", known)

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
