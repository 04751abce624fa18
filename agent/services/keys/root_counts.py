"""Count the trusted root certificates for the domain, which reads no file."""

from __future__ import annotations

from agent.domain.certificates import CertificateUse
from agent.domain.events import Event, RequestReceived
from agent.domain.requests import (
    BackendRequest,
    DeviceReportRequest,
    SetNetworkProfileRequest,
    SetVariablesRequest,
)
from agent.services.keys.key_store import KeyStore

CHECKED_SETTINGS = frozenset({"security_profile", "network_priority"})
"""Settings whose new value is refused if there is no root for it."""


class RootCounts:
    """How many roots were trusted when the latest request came whose answer depends on that.

    The roots are counted again for each of these requests, because a file that the station file names may be changed by
    hand while the station runs.
    """

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._counts: dict[CertificateUse, int] = {}

    @property
    def csms_roots(self) -> int:
        return self._counts.get(CertificateUse.CSMS_ROOT, 0)

    @property
    def all_roots(self) -> int:
        return sum(self._counts.values())

    def before_event(self, event: Event) -> None:
        """Count the roots before the domain answers a request that needs it."""
        if isinstance(event, RequestReceived) and _needs_roots(event.ask):
            self._counts = self._keys.count_trusted_roots()


def _needs_roots(request: BackendRequest) -> bool:
    """Return whether the answer reports the roots, or depends on them."""
    if isinstance(request, SetVariablesRequest):
        return not CHECKED_SETTINGS.isdisjoint(request.values)
    return isinstance(request, DeviceReportRequest | SetNetworkProfileRequest)
