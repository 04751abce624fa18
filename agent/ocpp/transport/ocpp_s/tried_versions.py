"""The versions of OCPP that a backend is offered over SOAP, one after the other: SOAP has no negotiation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from agent.model.entry_points import load_entry_point
from agent.model.fastclass import frozen
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.dialects.over_soap import speak_over_soap
from agent.ocpp.wire.soap_body import SoapService

REFUSALS_MOST = 3
"""So often in succession a version is refused that was accepted at the same address before another one is tried: a
session that is running is opened a second time in it."""


@frozen
class SpokenVersion:
    dialect: Dialect
    service: SoapService


class TriedVersions:
    """The versions with tables for SOAP, in the order in which they are tried."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._versions = deque(_spoken_version(d) for d in dialects if d.soap)
        self._registrations: dict[str, Mapping[str, Any]] = {}
        self._accepting_address, self._refusals = "", 0
        self._is_refusal_reported = False

    def current_version(self) -> SpokenVersion | None:
        """Return the version of the next connection; None: no version is spoken over SOAP."""
        return self._versions[0] if self._versions else None

    def keep_registration(self, version: str, payload: Mapping[str, Any]) -> None:
        """Keep the payload with which the station registers in this version."""
        self._registrations[version] = payload

    def known_registration(self, version: str) -> Mapping[str, Any] | None:
        """Return the payload of the latest registration in this version."""
        return self._registrations.get(version)

    def note_acceptance(self, address: str) -> None:
        """Note that the backend at this address has answered in the present version."""
        self._accepting_address, self._refusals, self._is_refusal_reported = address, 0, False

    def takes_refusal_report(self) -> bool:
        """Return whether it is to be reported that the only version is refused: once, until it is accepted."""
        is_first, self._is_refusal_reported = not self._is_refusal_reported, True
        return is_first

    @property
    def has_others(self) -> bool:
        """Whether there is another version to try."""
        return len(self._versions) > 1

    def note_refusal(self, address: str) -> bool:
        """Note that the backend at this address refuses the present version. Return whether there is another one, which
        a connection soon uses."""
        if not self.has_others:
            return False
        self._refusals += 1
        if address != self._accepting_address or self._refusals >= REFUSALS_MOST:
            self._accepting_address, self._refusals = "", 0
            self._versions.rotate(-1)
        return True


def _spoken_version(dialect: Dialect) -> SpokenVersion:
    service = load_entry_point(dialect.soap)
    return SpokenVersion(speak_over_soap(dialect, service.operations.keys()), service)
