"""The rungs of the network: route, name, TCP. Their sockets are the doctor's own, over the bearer of the links."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from agent.assembly.doctor.findings import Finding, make_finding
from agent.commands.doctor.examination import BackendExamination

RESOLV_CONF = Path("/etc/resolv.conf")
IPV4_ROUTES = Path("/proc/net/route")
ROUTE_UP, ROUTE_REJECT = 0x1, 0x200
OUTSIDE = "192.0.2.1"
"""An address of no machine (RFC 5737): whether there is a route to the outside is seen without a packet."""
DISCARD_PORT = 9
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


def numeric_address(host: str) -> str:
    """Return the address if the host is written as one; "": it is a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return ""


# --- route -----------------------------------------------------------------------------------------------------------


async def judge_route(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Judge whether the kernel has a route. For a name that is not known it is that to the name servers, or to the
    outside."""
    await look_up_host(exam)
    interface = exam.of.interface
    target = next(iter(exam.addresses), "") or next(iter(name_servers()), OUTSIDE)
    source = _source_address(target)
    is_routed = _has_route_over(target, interface) if interface and ":" not in target else bool(source)
    if is_routed:
        yield make_finding("route_good", exam.name, target=target, source=source or interface)
    else:
        yield make_finding("route_missing", exam.name, target=target, interface=interface or "-")


def _source_address(target: str) -> str:
    """Return the own address for packets to the target; "": there is no route. No packet is sent."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return ""


def _has_route_over(target: str, interface: str) -> bool:
    """Return whether the main table routes this IPv4 address over the interface.

    A socket that is bound to an interface does not show it: the kernel then takes every address for a neighbour.
    """
    wanted = int.from_bytes(socket.inet_aton(target), "little")
    if ipaddress.ip_address(target).is_loopback:
        return True  # of the table of local addresses
    try:
        lines = IPV4_ROUTES.read_text("ascii").splitlines()[1:]
    except OSError:
        return True  # not known
    for line in lines:
        name, destination, _, flags, *_, mask = line.split()[:8]
        is_usable = int(flags, 16) & ROUTE_UP and not int(flags, 16) & ROUTE_REJECT
        if name == interface and is_usable and wanted & int(mask, 16) == int(destination, 16):
            return True
    return False


# --- name ------------------------------------------------------------------------------------------------------------


def name_servers() -> list[str]:
    """Return the name servers of this machine, those of other machines only."""
    try:
        words = [line.split() for line in RESOLV_CONF.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return []
    found = [numeric_address(w[1].partition("%")[0]) for w in words if len(w) > 1 and w[0] == "nameserver"]
    return [a for a in found if a and not ipaddress.ip_address(a).is_loopback]


def _names_a_server() -> bool:
    try:
        return any(
            line.split()[:1] == ["nameserver"] for line in RESOLV_CONF.read_text("utf-8", "replace").splitlines()
        )
    except OSError:
        return False


async def look_up_host(exam: BackendExamination) -> None:
    """Fill in ``addresses`` or ``lookup_error``, once for route and name."""
    if exam.addresses or exam.lookup_error is not None:
        return
    if address := numeric_address(exam.host):
        exam.addresses = (address,)
        return
    try:
        exam.addresses = await resolve_host(exam.host, exam.port, exam.of.options.timeout_s)
    except OSError as e:  # TimeoutError is one
        exam.lookup_error = e


async def judge_name(exam: BackendExamination) -> AsyncIterator[Finding]:
    await look_up_host(exam)
    if numeric_address(exam.host):
        yield make_finding("dns_not_needed", exam.name, address=exam.host)
    elif exam.lookup_error is None:
        yield make_finding("dns_good", exam.name, host=exam.host, addresses=", ".join(exam.addresses))
    else:
        error, servers = exam.lookup_error, ", ".join(name_servers()) or "-"
        code, why = _lookup_code(error), error.strerror or type(error).__name__
        yield make_finding(code, exam.name, host=exam.host, servers=servers, error=why)


def _lookup_code(error: OSError) -> str:
    if isinstance(error, TimeoutError) or error.errno == socket.EAI_AGAIN:
        return "dns_silent" if _names_a_server() else "dns_no_server"
    return "dns_unknown_name" if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA) else "dns_failed"


async def resolve_host(host: str, port: int, timeout_s: float) -> tuple[str, ...]:
    """Return the addresses of a host, as the resolver of the system knows them. Raises ``OSError``.

    It runs in a thread that nothing waits for: a resolver may take much longer than a person waits.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[list[str]] = loop.create_future()

    def put_result(found: list[str], error: OSError | None) -> None:
        if not done.done():
            done.set_exception(error) if error is not None else done.set_result(found)

    def look_up() -> None:
        found: list[str] = []
        error: OSError | None = None
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [str(row[4][0]) for row in rows]
        except OSError as e:
            error = e
        except UnicodeError:
            error = socket.gaierror(socket.EAI_NONAME, "not a host name")
        if not loop.is_closed():
            loop.call_soon_threadsafe(put_result, found, error)

    threading.Thread(target=look_up, daemon=True).start()
    async with asyncio.timeout(timeout_s):
        return tuple(dict.fromkeys(await done))


# --- TCP -------------------------------------------------------------------------------------------------------------


async def judge_tcp(exam: BackendExamination) -> AsyncIterator[Finding]:
    """Open and close a connection to each address until one takes it, as the links do."""
    failures: list[tuple[str, OSError]] = []
    for address in exam.addresses:
        began_s = time.monotonic()
        place = f"{address}:{exam.port}" if ":" not in address else f"[{address}]:{exam.port}"
        try:
            async with asyncio.timeout(exam.of.options.timeout_s):
                (await open_tcp(address, exam.port, exam.of.interface)).close()
        except OSError as e:
            failures.append((place, e))
            continue
        exam.address = address
        for dead, _ in failures:
            yield make_finding("tcp_address_dead", exam.name, place=dead)
        took_ms = round(1000 * (time.monotonic() - began_s))
        yield make_finding("tcp_good", exam.name, place=place, ms=took_ms)
        return
    for place, error in failures[:1]:
        yield make_finding(_tcp_code(error), exam.name, place=place, error=error.strerror or error)


def _tcp_code(error: OSError) -> str:
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return "tcp_silent"
    if isinstance(error, ConnectionRefusedError):
        return "tcp_refused"
    return "tcp_unreachable" if error.errno in UNREACHABLE else "tcp_failed"


async def open_tcp(address: str, port: int, interface: str) -> socket.socket:
    """Connect to a numeric address as the links do. Raises ``OSError``."""
    if interface:
        from agent.ocpp.transport.bound_socket import connect_through

        return await connect_through(interface, address, port)
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection
