"""A TCP connection over one network interface, whatever the routes of the kernel prefer."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, TypeAlias

AddressInfo: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]

log = logging.getLogger(__name__)

RESOLVE_S = 5.0
"""An answer of the name servers is waited for so long, if an earlier one is known."""
_last_addresses: dict[tuple[str, int], list[AddressInfo]] = {}
"""By host and port: what the resolver answered last. There are as many as the station has addresses of backends, and
some of file servers."""
ADDRESSES_MOST = 32
"""A backend may name any number of file servers: the addresses of those beyond this are not kept."""
PREFERRED_S = 15.0
"""On GPRS a connection takes some seconds. After so long the other routes are tried."""


async def connect_through(interface: str, host: str, port: int) -> socket.socket:
    """Connect over this interface ("": as the kernel routes), to the first address of the host that answers. Raises
    ``OSError``."""
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    for family, kind, protocol, _, address in await _find_addresses(host, port):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            bind_to_interface(connection, interface)
            await loop.sock_connect(connection, address)
        except OSError as e:
            connection.close()
            error = e
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise error or OSError(f"{host}: no address")


async def _find_addresses(host: str, port: int) -> list[AddressInfo]:
    """Return the addresses of the host; without an answer, those of the last one.

    The question takes the routes of the kernel: the network of a bearer that is not in use may swallow it.
    """
    try:
        async with asyncio.timeout(RESOLVE_S if (host, port) in _last_addresses else None):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as e:  # TimeoutError is one
        if (host, port) not in _last_addresses:
            raise
        _warn_of_old_addresses(host, e)
        return _last_addresses[host, port]
    _last_addresses[host, port] = [*found]
    return _last_addresses[host, port]


def _warn_of_old_addresses(host: str, error: OSError) -> None:
    log.warning("%s: no answer of the name servers (%s): its last addresses are used", host, error or "timeout")


def connect_preferably_through(interface: str, host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect over this interface, or as the kernel routes if the host is not reached over it: it need not be in the
    network of the backend. ``timeout_s``: of the connection and then of each read and write. For a thread: it blocks.
    Raises ``OSError``."""
    addresses, failures = _look_up_addresses(host, port), dict[str, OSError]()
    for bound_to, connect_s in ((interface, min(PREFERRED_S, timeout_s)), ("", timeout_s)):
        for family, kind, protocol, _, address in addresses:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(connect_s)
                bind_to_interface(connection, bound_to)
                connection.connect(address)
                connection.settimeout(timeout_s)
            except OSError as e:
                connection.close()
                failures[bound_to] = e
            else:
                return connection
    raise OSError(f"over {interface}: {failures[interface]}; by the routes of the kernel: {failures['']}")


def _look_up_addresses(host: str, port: int) -> list[AddressInfo]:
    """Return the addresses of the host; without an answer, those of the last one, which may have been for another port
    of this host. The question takes the routes of the kernel."""
    try:
        found: list[AddressInfo] = [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as e:
        known = dict(_last_addresses)  # a copy: the event loop may add to it meanwhile
        last = known.get((host, port)) or next((known[key] for key in known if key[0] == host), None)
        if last is None:
            raise
        _warn_of_old_addresses(host, e)
        return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in last]
    if (host, port) in _last_addresses or len(_last_addresses) < ADDRESSES_MOST:
        _last_addresses[host, port] = found
    return found


def bind_to_interface(connection: socket.socket, interface: str) -> None:
    """Bind to the interface; "": to none. A kernel before Linux 5.7 allows it only with CAP_NET_RAW: its routes decide
    then."""
    if not interface:
        return
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    except PermissionError:
        log.warning(
            "%s: this kernel does not bind a connection to an interface without CAP_NET_RAW (Linux 5.7 does): the"
            " routes of the kernel decide which one carries it",
            interface,
        )
