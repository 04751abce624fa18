"""What carries the bytes: a TCP connection, the same with TLS, or a serial line. All of it in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from agent.ports import Broken, DeviceError, Unreachable
from drivers.serial_line import SerialLine

if TYPE_CHECKING:
    import ssl

    from drivers.terminal_payter.settings import PayterSettings

CONNECT_S = 5.0
Received = Callable[[bytes], None]
Lost = Callable[[DeviceError], None]


class Line(Protocol):
    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


def name_of(settings: PayterSettings) -> str:
    return settings.device if settings.line == "serial" else f"{settings.host}:{settings.port}"


async def open_line(settings: PayterSettings, baud: int, received: Received, lost: Lost) -> Line:
    """Open the line. ``lost`` is called once, when the other end goes. Raises ``Unreachable``, ``Broken``."""
    if settings.line == "serial":
        return await SerialLine.open_device("terminal", settings.device, baud, received, lost)
    return await _connect_tcp(settings, received, lost)


class TcpLine(asyncio.Protocol):
    def __init__(self, name: str, received: Received, lost: Lost) -> None:
        self._name, self._received, self._lost = name, received, lost
        self._transport: asyncio.Transport | None = None
        self.certificate = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if (tls := transport.get_extra_info("ssl_object")) is not None:
            self.certificate = "certificate " + sha256(tls.getpeercert(binary_form=True)).hexdigest()[:24]

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        why = f"connection lost ({exc})" if exc else "the terminal closed the connection"
        self._lost(Unreachable(f"terminal {self._name}: {why}; check its power and network cable; it is tried again"))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()  # no caller waits for anything that is on its way


async def _connect_tcp(settings: PayterSettings, received: Received, lost: Lost) -> TcpLine:
    name = name_of(settings)
    context = _tls_context(settings) if settings.line == "tls" else None
    try:
        async with asyncio.timeout(CONNECT_S):
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: TcpLine(name, received, lost), settings.host, settings.port, ssl=context,
                server_hostname=(settings.tls_name or settings.host) if context else None,
            )  # fmt: skip
    except (TimeoutError, OSError) as e:  # ssl.SSLError is an OSError
        why = e.strerror if isinstance(e, OSError) and e.strerror else str(e) or "no answer"
        raise Unreachable(
            f"terminal {name}: cannot be reached ({why}); check power, network cable, address, and its mode in the "
            f"terminal's own configuration (PSP, {settings.line}); it is tried again"
        ) from e
    return line


def _tls_context(settings: PayterSettings) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(settings.ca_file)
    except OSError as e:  # ssl.SSLError is one
        raise Broken(f"terminal {name_of(settings)}: ca_file {settings.ca_file}: {e}") from e
    context.check_hostname = bool(settings.tls_name)
    return context
