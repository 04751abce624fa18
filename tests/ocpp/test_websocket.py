"""The pipe between the library's protocol and the link; the far end is the library's own server, or raw bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from agent.ocpp.transport.basic_auth import basic_auth
from agent.ocpp.transport.ocpp_j import dialer
from agent.ocpp.transport.ocpp_j.websocket import WebSocket
from agent.ocpp.transport.transport import Closed, NoConnection
from agent.station_file.settings import Backend
from tests.support.busy_machine import deadline, stretched

SERVER: dict[str, Any] = {"subprotocols": ["ocpp1.6"], "ping_interval": None, "close_timeout": 0.2}


def backend(port: int, **more: Any) -> Backend:
    return Backend(name="b", url=f"ws://127.0.0.1:{port}", charge_point_id="CP", **more)


async def dialled(port: int, **more: Any) -> WebSocket:
    return await dialer.open_connection(backend(port, **more), ["ocpp1.6"], b"secret", None, 5.0)


@asynccontextmanager
async def facing(attend: Callable[[ServerConnection], Awaitable[None]], **more: Any) -> AsyncIterator[WebSocket]:
    async with serve(attend, "127.0.0.1", 0, **{**SERVER, **more}) as server:
        socket = await dialled(server.sockets[0].getsockname()[1])
        try:
            yield socket
        finally:
            await socket.close()


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    async with deadline(within_s):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_texts_go_and_come(compression: str | None) -> None:
    async with facing(echo, compression=compression) as socket:
        for text in ("", "é", "x" * 300_000):
            await socket.send_text(text)
            assert await socket.receive_message() == text


async def test_fragments_are_one_message() -> None:
    async def attend(connection: ServerConnection) -> None:
        await connection.send(["ab", "", "c\u00e9", "d"])
        await connection.send([b"1", b"2"])
        await connection.wait_closed()

    async with facing(attend) as socket:
        assert await socket.receive_message() == "abc\u00e9d"
        assert await socket.receive_message() == b"12"


async def test_what_came_before_the_end_is_still_read() -> None:
    async def attend(connection: ServerConnection) -> None:
        await connection.send("1")
        await connection.send("2")
        await connection.close(1001)

    async with facing(attend) as socket:
        await until(lambda: socket.close_code is not None)
        assert [await socket.receive_message(), await socket.receive_message()] == ["1", "2"]
        with pytest.raises(Closed):
            await socket.receive_message()
        assert socket.close_code == 1001
        with pytest.raises(Closed):
            await socket.send_text("3")
        with pytest.raises(Closed):
            await socket.ping_and_wait()


async def test_no_one_takes_so_no_one_reads() -> None:
    """A flood stays in the kernel, and is all there when it is read."""
    count = 200

    async def attend(connection: ServerConnection) -> None:
        for n in range(count):
            await connection.send(str(n) + "x" * 50_000)
        await connection.wait_closed()

    async with facing(attend, compression=None) as socket:
        await until(lambda: not socket.transport.is_reading())  # type: ignore[attr-defined]
        assert len(socket._messages) < 20
        taken = [str(await socket.receive_message()).rstrip("x") for _ in range(count)]
        assert taken == [str(n) for n in range(count)]


async def test_a_close_ends_although_no_one_has_taken_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "CLOSE_TIMEOUT_S", stretched(60.0))  # a busy machine may take two seconds for it

    async def attend(connection: ServerConnection) -> None:
        for _ in range(50):
            await connection.send("x" * 1000)
        await connection.wait_closed()

    async with facing(attend) as socket:
        await until(lambda: not socket.transport.is_reading())  # type: ignore[attr-defined]
        began_s = time.monotonic()
        await socket.close()
        assert time.monotonic() - began_s < dialer.CLOSE_TIMEOUT_S
        assert socket.close_code == 1000


async def test_a_text_that_is_none_ends_the_connection() -> None:
    sizes: list[int | None] = []

    async def attend(connection: ServerConnection) -> None:
        await connection.send(b"\xff\xfe", text=True)
        await connection.wait_closed()
        sizes.append(connection.close_code)

    async with facing(attend, compression=None) as socket:
        with pytest.raises(Closed):
            await socket.receive_message()
        await until(lambda: bool(sizes))
    assert sizes == [1007]


async def test_a_pong_answers_its_ping_and_an_end_all_of_them() -> None:
    async with facing(echo) as socket:
        await asyncio.gather(socket.ping_and_wait(), socket.ping_and_wait())
        assert not socket._pings
        socket.transport.pause_reading()
        ping = asyncio.ensure_future(socket.ping_and_wait())
        await asyncio.sleep(0)
        socket.transport.abort()
        with pytest.raises(Closed):
            await ping


ACCEPT = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Accept: "
)


@asynccontextmanager
async def speaking(said: bytes, stay: asyncio.Event) -> AsyncIterator[int]:
    """A server that says these bytes after a right handshake, and hears nothing any more. Yields its port."""
    from websockets.utils import accept_key

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in request.decode().split("\r\n") if line.lower().startswith("sec-websocket-key"))
        writer.write(f"{ACCEPT}{accept_key(key.split(': ')[1])}\r\n\r\n".encode() + said)
        await stay.wait()
        writer.close()

    server = await asyncio.start_server(attend, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        stay.set()
        server.close()


@pytest.mark.parametrize("said", [b"", b"\x88\x02\x03\xe8"], ids=["silent", "closing but staying"])
async def test_an_end_that_the_other_side_does_not_finish(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "CLOSE_TIMEOUT_S", 0.1)
    stay = asyncio.Event()
    async with speaking(said, stay) as port, deadline(30):
        socket = await dialled(port)
        if said:
            with pytest.raises(Closed):
                await socket.receive_message()
        await socket.close()
        assert not stay.is_set()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", 1009),
        (b"\x83\x00", 1002),
        (b"\xc1\x01x", 1002),
        (b"\x00\x01x", 1002),
    ],
    ids=["too long", "unknown opcode", "compressed although not agreed", "continues nothing"],
)
async def test_frames_that_break_the_rules_end_it(said: bytes, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialer, "CLOSE_TIMEOUT_S", 0.1)
    async with speaking(said, asyncio.Event()) as port, deadline(30):
        socket = await dialled(port)
        with pytest.raises(Closed):
            await socket.receive_message()
        sent = socket._protocol.close_sent
        assert sent is not None
        assert sent.code == code


# --- redirects -----------------------------------------------------------------------------------------------------


class Moving:
    """Answers with ``where`` until the path is ``/there``. ``seen``: path and Authorization of every request."""

    def __init__(self) -> None:
        self.where = ""
        self.seen: list[tuple[str, str | None]] = []

    def __call__(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append((request.path, request.headers.get("Authorization")))
        if request.path == "/there":
            return None
        response = connection.respond(307, "")
        response.headers["Location"] = self.where
        return response


@asynccontextmanager
async def moving() -> AsyncIterator[tuple[Moving, int]]:
    moved = Moving()
    async with serve(echo, "127.0.0.1", 0, process_request=moved, **SERVER) as server:
        yield moved, server.sockets[0].getsockname()[1]


async def test_a_redirect_is_followed_with_the_password_on_the_same_host_only() -> None:
    async with moving() as (first, port), moving() as (second, other_port):
        first.where = "/there"
        socket = await dialled(port, security_profile=1)
        await socket.close()
        assert [path for path, _ in first.seen] == ["/CP", "/there"]
        assert first.seen[0][1] == first.seen[1][1] == basic_auth("CP", b"secret")
        first.where = f"ws://127.0.0.1:{other_port}/there"
        socket = await dialled(port, security_profile=1)
        await socket.close()
        assert second.seen == [("/there", None)]


@pytest.mark.parametrize("where", ["/CP", "wss://127.0.0.1:1/there", "http://127.0.0.1/there", ""])
async def test_a_redirect_that_is_not_followed(where: str) -> None:
    async with moving() as (moved, port):
        moved.where = where
        with pytest.raises(NoConnection):
            await dialled(port)
        assert len(moved.seen) <= dialer.REDIRECTS + 1


async def test_a_redirect_leads_nowhere_else_than_via() -> None:
    async with moving() as (moved, port):
        moved.where = "ws://127.0.0.1:9/there"
        with pytest.raises(NoConnection, match="HTTP 307"):
            await dialled(port, via=f"127.0.0.1:{port}")
        assert len(moved.seen) == 1


async def test_a_far_side_that_does_not_read_loses_the_connection() -> None:
    """Its pings have pongs, which would fill the memory."""

    async def attend(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        try:
            while not connection.transport.is_closing():
                connection.transport.write(b"\x89\x7d" + b"x" * 125)
                if connection.transport.get_write_buffer_size() > 65536:
                    await asyncio.sleep(0)
        finally:
            connection.transport.abort()

    async with facing(attend) as socket:
        with pytest.raises(Closed):
            await asyncio.wait_for(socket.receive_message(), stretched(60))
        assert socket.transport.get_write_buffer_size() == 0
