"""What a link connects with, and what may go wrong when it does (decision 12). Pure words; who chooses is
``blocks/backend_connection.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum

if TYPE_CHECKING:
    from agent.model.bearer import ApnAccess


class ConnectFailure(StrEnum):
    """Why an attempt to connect failed, as far as security asks."""

    SERVER_CERTIFICATE = "server certificate"
    OWN_CERTIFICATE = "own certificate"
    CREDENTIALS = "credentials"
    TLS_VERSION = "TLS version"
    TLS_CIPHER = "TLS cipher suite"
    OTHER = "other"


@frozen
class BearerDemand:
    """Over which bearer a network profile connects: its name in OCPP 2.x (``Wireless0``), "" for the one that the
    station chooses; and with which access to the packet network, None for that of the station file."""

    interface: str = ""
    access: ApnAccess | None = None

    def to_record(self) -> dict[str, Any]:
        return {"interface": self.interface, "access": None if self.access is None else asdict(self.access)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> BearerDemand:
        """Read what was stored. Raises ``KeyError``, ``TypeError``."""
        from agent.model.bearer import ApnAccess

        access = record["access"]
        return cls(str(record["interface"]), None if access is None else ApnAccess(**access))


ANY_BEARER = BearerDemand()


@frozen
class ConnectionProfile:
    """``slot`` 1 is the station file's; ``url`` "" means the file's address. ``key``: the AuthorizationKey as it was
    set, "" the file's password. ``certificate``: the id of a client certificate, "" the file's."""

    slot: int = 1
    url: str = ""
    profile: int = 0
    key: str = field(default="", repr=False)
    certificate: str = ""
    bearer: BearerDemand = ANY_BEARER

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
        return self.url, self.profile, key, self.certificate if self.profile == 3 else "", self.bearer


@frozen
class NetworkProfile:
    """A network profile: ``url`` "" means the station file's address."""

    url: str = ""
    profile: int = 0
    bearer: BearerDemand = ANY_BEARER


@frozen
class BackendConfig:
    """What the station file says of a backend. ``password``, ``certificate``: it names one to show, one to be trusted
    by."""

    url: str = ""
    profile: int = 0
    password: bool = False
    certificate: bool = False
