"""The versions of OCPP that a backend is offered over SOAP, one after the other: SOAP has no negotiation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from agent.model.entry_points import load_entry_point
from agent.model.fastclass import frozen
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.dialects.over_soap import speak_over_soap
from agent.ocpp.wire.soap_body import SoapService


@frozen
class SpokenVersion:
    dialect: Dialect
    service: SoapService


class TriedVersions:
    """The versions with tables for SOAP, in the order in which they are tried. A version that was accepted stays: a
    session that is running must not be opened a second time in another one."""

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._versions = deque(_spoken_version(d) for d in dialects if d.soap)
        self._accepting_address = ""

    def current_version(self) -> SpokenVersion | None:
        """Return the version of the next connection; None: no version is spoken over SOAP."""
        return self._versions[0] if self._versions else None

    def note_acceptance(self, address: str) -> None:
        """Note that the backend at this address has answered in the present version."""
        self._accepting_address = address

    def try_next_version(self, address: str) -> bool:
        """Use the next version for the next connection to this address. Return False if there is none, or the present
        one was accepted there before."""
        if len(self._versions) < 2 or address == self._accepting_address:
            return False
        self._versions.rotate(-1)
        return True


def _spoken_version(dialect: Dialect) -> SpokenVersion:
    service = load_entry_point(dialect.soap)
    return SpokenVersion(speak_over_soap(dialect, service.operations.keys()), service)
