"""A WebSocket connection on the event loop: the protocol is that of ``websockets`` (its sans-I/O
layer), the transport is ours.

That library's asyncio layer imports HTTP, proxies and mail: 37 million instructions and 4 MiB
that a station would pay at every start and never use (decision 20). This module has what the
link needs and nothing else."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.model.slim_event import SlimEvent
from agent.ocpp.transport import bound_socket
from agent.ocpp.transport.traffic import WireBytes
from agent.ocpp.transport.transport import Closed

if TYPE_CHECKING:
    import ssl

    from websockets.client import ClientProtocol
    from websockets.uri import WebSocketURI

NORMAL, INVALID_DATA = 1000, 1007
"""Close codes (RFC 6455 7.4.1)."""
CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10
"""Opcodes (5.2). Pings and closes are answered by the protocol."""
FRAME_HEAD, MASK = 2, 4
"""Bytes around the content of a control frame: what a client sends is masked."""


READ_OCTETS = 4096
"""Read in one turn of the event loop: two thousand pings fit in, each with its pong."""
UNREAD_OCTETS = 1024 * 1024
"""Pongs and answers that the other side may leave unread before the connection is aborted."""


_OF_THREAD = threading.local()


def _read_buffer() -> memoryview:
    """Return the buffer of all connections of this thread's event loop: what is read into it is copied in the same
    turn. With ten thousand stations in a process, a buffer for each would be 40 MiB."""
    if not hasattr(_OF_THREAD, "buffer"):
        _OF_THREAD.buffer = memoryview(bytearray(READ_OCTETS))
    buffer: memoryview = _OF_THREAD.buffer
    return buffer


class WebSocket(asyncio.BufferedProtocol):
    """Text frames and pings. Reads at most ``read_ahead`` messages before they are processed. A
    close that the other side does not finish within ``close_timeout_s`` is cut short, and so is
    a connection on which it does not read."""

    def __init__(self, protocol: ClientProtocol, read_ahead: int, close_timeout_s: float) -> None:
        self._protocol, self._read_ahead, self._close_timeout_s = protocol, read_ahead, close_timeout_s
        self._loop = asyncio.get_running_loop()
        self._buffer = _read_buffer()
        self._messages: list[str | bytes] = []  # a few at most; an empty deque takes ten times the memory
        self._pieces, self._is_text = bytearray(), True
        self._answered: asyncio.Future[None] = self._loop.create_future()
        self._arrived, self._writable, self._ended = SlimEvent(), SlimEvent(), SlimEvent()
        self._writable.set()
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._ping_numbers = itertools.count(1)
        self._paused = False
        self._deadline: asyncio.TimerHandle | None = None
        self._lost_by: Exception | None = None
        self.wire = WireBytes()
        self.transport: asyncio.Transport

    @property
    def subprotocol(self) -> str | None:
        return self._protocol.subprotocol

    @property
    def close_code(self) -> int | None:
        """The close code of the other side; 1006 if it gave none; None while the connection is
        open."""
        return self._protocol.close_code

    @property
    def tcp_socket(self) -> Any:
        """The socket below, to ask the kernel about it; None if it is not known."""
        return self.transport.get_extra_info("socket")

    async def perform_handshake(self, headers: Mapping[str, str]) -> None:
        """Perform the handshake. Raises the exception of ``websockets`` for a wrong answer; its
        cause is that of the connection's end."""
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._write_pending()
        await self._answered
        if self._protocol.handshake_exc is not None:
            failed = self._protocol.handshake_exc
            raise failed from (self._lost_by or failed.__cause__)

    # --- what the link does with it ------------------------------------------------------------------------------

    async def receive_message(self) -> str | bytes:
        """Return the next whole message. Messages that came before the end are still delivered;
        then it raises ``Closed``. The event loop gets a turn before each message."""
        if self._messages:
            await asyncio.sleep(0)
        while not self._messages:
            if self._ended.is_set():
                raise Closed
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.pop(0)
        if self._paused and not self._messages:
            self._paused = False
            self.transport.resume_reading()
        return message

    async def send_text(self, text: str) -> None:
        """Send a text frame. Returns when the kernel, or a small buffer, has it."""
        self._must_be_open()
        self._protocol.send_text(text.encode())
        self._write_pending()
        if not self._writable.is_set():
            await self._writable.wait()

    async def ping_and_wait(self) -> None:
        """Send a ping. Returns when the pong arrives."""
        self._must_be_open()
        mark = bytes([next(self._ping_numbers) % 256])  # one byte: each is paid twice on a metered link
        pong = self._pings[mark] = self._loop.create_future()
        self._protocol.send_ping(mark)
        self.wire.count_control_frames(FRAME_HEAD + MASK + len(mark), 0)
        self._write_pending()
        try:
            await pong
        finally:
            self._pings.pop(mark, None)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the connection in order, if the other side takes part in it. Returns when the
        connection is gone."""
        if self._is_open():
            self._protocol.send_close(code, reason)
            self._write_pending()
        if not self._ended.is_set():
            self._start_close_timer()
            if self._paused:  # the other side's close frame is behind messages that are no longer read
                self._paused = False
                self.transport.resume_reading()
        await self._ended.wait()

    def _is_open(self) -> bool:
        from websockets.protocol import OPEN

        return self._protocol.state is OPEN

    def _must_be_open(self) -> None:
        if not self._is_open():
            raise Closed

    # --- the pipe --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.wire.received += nbytes
        self._protocol.receive_data(bytes(self._buffer[:nbytes]))
        for event in self._protocol.events_received():
            self._handle_event(event)
        self._write_pending()
        if self._protocol.close_expected():
            self._start_close_timer()
        if self._protocol.handshake_exc is not None:
            self._handshake_done()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._write_pending()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost_by = exc
        self._protocol.receive_eof()  # perhaps for the second time; its state is CLOSED now
        if self._deadline is not None:
            self._deadline.cancel()
        self._handshake_done()
        for pong in self._pings.values():
            if not pong.done():
                pong.set_exception(Closed())
        for event in (self._ended, self._arrived, self._writable):
            event.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _write_pending(self) -> None:
        pieces = self._protocol.data_to_send()
        if data := b"".join(pieces):
            self.wire.sent += len(data)
            self.transport.write(data)
        if self.transport.get_write_buffer_size() > UNREAD_OCTETS:
            self.transport.abort()
        elif b"" not in pieces:  # an empty piece marks the end
            return
        elif self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS cannot be closed in one direction
            self.transport.close()

    def _start_close_timer(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._close_timeout_s, self.transport.abort)

    # --- what comes in ---------------------------------------------------------------------------------------------

    def _handshake_done(self) -> None:
        if not self._answered.done():
            self._answered.set_result(None)

    def _handle_event(self, event: Any) -> None:
        opcode = getattr(event, "opcode", None)
        if opcode is None:
            self._handshake_done()  # the answer to our request; the first of all events
        elif opcode == PONG:
            self.wire.count_control_frames(0, FRAME_HEAD + len(event.data))
            self._pong_received(bytes(event.data))
        elif opcode == PING:
            length = FRAME_HEAD + len(event.data)
            self.wire.count_control_frames(length + MASK, length)
        elif opcode in (TEXT, BINARY):
            self._is_text, self._pieces = opcode == TEXT, bytearray(event.data)
            self._message_complete(event.fin)
        elif opcode == CONTINUATION:
            self._pieces += event.data
            self._message_complete(event.fin)

    def _message_complete(self, fin: bool) -> None:
        if not fin:
            return
        data, self._pieces = bytes(self._pieces), bytearray()
        try:
            self._messages.append(data.decode() if self._is_text else data)
        except UnicodeDecodeError as e:
            self._protocol.fail(INVALID_DATA, f"{e.reason} at position {e.start}")
            return
        self._arrived.set()
        if len(self._messages) >= self._read_ahead and not self._paused and self._deadline is None:
            self._paused = True
            self.transport.pause_reading()

    def _pong_received(self, mark: bytes) -> None:
        pong = self._pings.get(mark)
        if pong is not None and not pong.done():
            pong.set_result(None)


async def open_socket(
    uri: WebSocketURI,
    at: tuple[str, int],
    protocol: ClientProtocol,
    headers: Mapping[str, str],
    context: ssl.SSLContext | None,
    read_ahead: int,
    close_timeout_s: float,
    interface: str | None = None,
) -> WebSocket:
    """Connect to ``at`` (host, port) and perform the handshake. ``interface``: the only one to use. Raises ``OSError``,
    ``ssl.SSLError`` and the exceptions of ``websockets``."""
    loop = asyncio.get_running_loop()
    tls: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": uri.host}
    opened = await bound_socket.connect_through(interface or "", *at)
    _, socket = await loop.create_connection(
        lambda: WebSocket(protocol, read_ahead, close_timeout_s), sock=opened, **tls
    )
    try:
        await socket.perform_handshake(headers)
    except BaseException:
        socket.transport.abort()
        raise
    return socket
