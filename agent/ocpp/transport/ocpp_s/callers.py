"""Who may send requests to the station over SOAP."""

from __future__ import annotations

import ipaddress

from agent.model.fastclass import frozen
from agent.station_file.settings import Backend


@frozen
class AllowedCallers:
    """``networks``: in the notation of CIDR."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def admits_caller(self, address: str) -> bool:
        """Return whether requests from this address are admitted."""
        try:
            caller = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(caller, "ipv4_mapped", None) or caller
        return any(mapped in network for network in self.networks)


def allowed_callers(backend: Backend, peer_address: str) -> AllowedCallers:
    """Return the callers that the station file names; without any, the address at which the backend was reached."""
    named = backend.soap_callers or (peer_address.partition("%")[0],)
    return AllowedCallers(tuple(ipaddress.ip_network(network, strict=False) for network in named))
