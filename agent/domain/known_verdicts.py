"""What the station itself knows of a token: the local list and the authorization cache (OCPP 1.6 3.5;
2.x C10-C14)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.domain.authorization_cache import AuthorizationCache
from agent.domain.evse import StationState
from agent.domain.functional_block import Yielded
from agent.domain.messages import ConnectorStatus, ListConflicted
from agent.domain.orders import Send
from agent.model.fastclass import replace
from agent.model.types import AuthorizationStatus, Moment, Token, Verdict

LOCALLY = "local_authorization_only"
"""The setting with which the backend is never asked."""


class KnownVerdicts:
    def __init__(self, site: StationState, cache: AuthorizationCache) -> None:
        self._site, self._cache = site, cache

    def find_known_verdict(self, token: Token, now: Moment) -> Verdict | None:
        """Return what the local list or the cache says of the token. A token that expired with time
        is known as Expired, not unknown (OCPP 1.6, 3.5.3). Without a trusted time an expiry cannot
        be judged, and the token counts as expired."""
        verdict = self.find_listed_verdict(token)
        if verdict is None:
            verdict = self._cache.find_valid(token, now)
        if verdict and verdict.expires_utc_s is not None and (now.utc_s is None or now.utc_s > verdict.expires_utc_s):
            return replace(verdict, status=AuthorizationStatus.EXPIRED) if verdict.is_accepted else verdict
        return verdict

    def find_listed_verdict(self, token: Token) -> Verdict | None:
        """Return the local list's entry for the token, as it was sent."""
        return (
            self._site.local_list.find_verdict(token) if self._site.settings.bool_value("local_list_enabled") else None
        )

    def store_verdict(self, token: Token, verdict: Verdict, now: Moment) -> Iterator[Yielded]:
        """Store the verdict in the cache. A token of the local list is not cached (OCPP 1.6 3.5.3);
        if list and verdict differ, the conflict is reported."""
        listed = self.find_listed_verdict(token)
        if listed is not None:
            if listed.status is not verdict.status:
                here = ConnectorStatus.AVAILABLE if self._site.operative else ConnectorStatus.UNAVAILABLE
                yield Send(self._site.config.links[0], ListConflicted(now.stamp, here))
            return
        yield from self._cache.store_verdict(token, verdict, now)

    def is_settled_locally(self, token: Token, known: Verdict) -> bool:
        """True if list or cache decide, although the backend could be asked."""
        settings = self._site.settings
        if settings.bool_value(LOCALLY):
            return True
        if known.is_accepted:
            return settings.bool_value("local_pre_authorize")
        return settings.bool_value("cache_settles" if self.find_listed_verdict(token) is None else "list_settles")
