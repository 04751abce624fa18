"""What a link connects with, and what may go wrong when it does (decision 12). Pure words; who chooses is
``blocks/backend_connection.py``."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum


class ConnectFailure(StrEnum):
    """Why an attempt to connect failed, as far as security asks."""

    SERVER_CERTIFICATE = "server certificate"
    OWN_CERTIFICATE = "own certificate"
    CREDENTIALS = "credentials"
    TLS_VERSION = "TLS version"
    TLS_CIPHER = "TLS cipher suite"
    OTHER = "other"


@frozen
class ConnectionProfile:
    """``slot`` 1 is the station file's; ``url`` "" means the file's address. ``key``: the AuthorizationKey as it was
    set, "" the file's password. ``certificate``: the id of a client certificate, "" the file's."""

    slot: int = 1
    url: str = ""
    profile: int = 0
    key: str = field(default="", repr=False)
    certificate: str = ""

    @property
    def public_description(self) -> str:
        """Return a text for people: which profile this is, without its data."""
        address = f"network profile {self.slot}" if self.url else "the station file's address"
        return f"{address}, security profile {self.profile}"

    def dials_like(self, other: ConnectionProfile | None) -> bool:
        """Return whether dialling would be the same. A key matters only where it is presented, a
        certificate likewise."""
        return other is not None and self._dialled_values() == other._dialled_values()

    def _dialled_values(self) -> tuple[Any, ...]:
        key = self.key if self.profile in (1, 2) else ""
        return self.url, self.profile, key, self.certificate if self.profile == 3 else ""


@frozen
class NetworkProfile:
    """A network profile: ``url`` "" means the station file's address."""

    url: str = ""
    profile: int = 0


@frozen
class BackendConfig:
    """What the station file says of a backend. ``password``, ``certificate``: it names one to show, one to be trusted
    by."""

    url: str = ""
    profile: int = 0
    password: bool = False
    certificate: bool = False
