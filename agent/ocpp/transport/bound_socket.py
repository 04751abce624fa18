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
"""By host and port: what the resolver answered last. There are as many as the station has addresses of backends."""


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
        log.warning("%s: no answer of the name servers (%s): its last addresses are used", host, e or "timeout")
        return _last_addresses[host, port]
    _last_addresses[host, port] = [*found]
    return _last_addresses[host, port]


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
