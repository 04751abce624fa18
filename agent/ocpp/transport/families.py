"""The table of transports: which module carries OCPP to a URL of this scheme.

A transport is imported when a link has such an address. Another distribution may add one by an
entry point of ``GROUP``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from agent.model.entry_points import EntryPointError, load_checked
from agent.ocpp.transport.transport import NoConnection, TransportFamily, url_scheme, without_user_info

GROUP = "chargy_agent.transports"
"""Name of the entry point: the scheme of the URL. Value: ``module:attribute`` of the family."""
OCPP_J = "agent.ocpp.transport.ocpp_j.json_transport:OCPP_J"
OCPP_S = "agent.ocpp.transport.ocpp_s.soap_transport:OCPP_S"
FAMILIES: Mapping[str, str] = {"ws": OCPP_J, "wss": OCPP_J, "http": OCPP_S, "https": OCPP_S}
"""The families of this program."""


def find_family(url: str, installed_transports: Callable[[], Mapping[str, str]] = dict) -> str:
    """Return where the transport for this address is. ``installed_transports`` finds those that
    other distributions add. Raises ``NoConnection``."""
    scheme, families = url_scheme(url), FAMILIES
    if scheme not in families:
        families = {**installed_transports(), **FAMILIES}
    if scheme not in families:
        raise NoConnection(
            f"{without_user_info(url)}: there is no transport for {scheme}:// (known: {', '.join(families)}): "
            "check [backend] url, or install the package that brings it"
        )
    return families[scheme]


def load_family(entry: str) -> TransportFamily:
    """Import a transport. Raises ``NoConnection``, and nothing else."""
    try:
        return load_checked(entry, TransportFamily)
    except EntryPointError as e:
        raise NoConnection(f"the transport {e}: check the package that brings it") from e


def preload_libraries(urls: Collection[str]) -> None:
    """Import what the connections to these addresses will need."""
    for entry in {FAMILIES.get(url_scheme(url)) for url in urls}:
        if entry is not None:
            load_family(entry).preload_library()
