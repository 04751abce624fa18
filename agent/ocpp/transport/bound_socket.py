"""A TCP connection to the first address of a host that answers; over one network interface, whatever the routes of the
kernel prefer."""

from __future__ import annotations

import asyncio
import itertools
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
"""A backend may name any number of file servers, and redirect to others: the addresses of those beyond this are not
kept."""
NEXT_ADDRESS_S = 2.0
"""If an address has not answered after so long, the next one is tried beside it (RFC 8305, section 5): a network may
announce IPv6 and lead nowhere. None is given up: on GPRS a connection takes some seconds."""
PREFERRED_S = 15.0
"""On GPRS a connection takes some seconds. After so long the other routes are tried."""


async def connect_through(interface: str, host: str, port: int) -> socket.socket:
    """Connect over this interface ("": as the kernel routes), to the first address of the host that answers. Raises
    ``OSError``."""
    waiting = _alternate_families(await _find_addresses(host, port))
    attempts = set[asyncio.Task[socket.socket]]()
    error: BaseException = OSError(f"{host}: no address")
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.create_task(_connect_to(waiting.pop(0), interface)))
            wait_s = NEXT_ADDRESS_S if waiting else None
            over, _ = await asyncio.wait(attempts, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in over:
                attempts.remove(attempt)
                if (failure := attempt.exception()) is None:
                    return attempt.result()
                error = failure
        raise error
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_unused)


async def _connect_to(found: AddressInfo, interface: str) -> socket.socket:
    family, kind, protocol, _, address = found
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        bind_to_interface(connection, interface)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def _close_unused(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


def _alternate_families(found: list[AddressInfo]) -> list[AddressInfo]:
    """Return the addresses in their order, but IPv6 and IPv4 in turn (RFC 8305, section 4)."""
    by_family: dict[int, list[AddressInfo]] = {}
    for info in found:
        by_family.setdefault(info[0], []).append(info)
    return [info for turn in itertools.zip_longest(*by_family.values()) for info in turn if info is not None]


def _numeric_addresses(host: str, port: int) -> list[AddressInfo]:
    """Return the address of a host that is a number: the resolver would take a thread for it."""
    for family, scope in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, *scope))]
    return []


async def _find_addresses(host: str, port: int) -> list[AddressInfo]:
    """Return the addresses of the host; without an answer, those of the last one.

    The question takes the routes of the kernel: the network of a bearer that is not in use may swallow it.
    """
    if found := _numeric_addresses(host, port):
        return found
    try:
        async with asyncio.timeout(RESOLVE_S if (host, port) in _last_addresses else None):
            found = [*await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as e:  # TimeoutError is one
        if (host, port) not in _last_addresses:
            raise
        _warn_of_old_addresses(host, e)
        return _last_addresses[host, port]
    _keep_addresses(host, port, found)
    return found


def _keep_addresses(host: str, port: int, found: list[AddressInfo]) -> None:
    if (host, port) in _last_addresses or len(_last_addresses) < ADDRESSES_MOST:
        _last_addresses[host, port] = found


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
    _keep_addresses(host, port, found)
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
