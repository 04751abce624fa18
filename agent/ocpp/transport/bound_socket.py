"""A TCP connection over one network interface, whatever the routes of the kernel prefer."""

from __future__ import annotations

import asyncio
import socket


async def connect_through(interface: str, host: str, port: int) -> socket.socket:
    """Connect over this interface, to the first address of the host that answers. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    error: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
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
