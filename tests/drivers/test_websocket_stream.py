"""Messages that are added to a WebSocket and taken out of it as it passes (``drivers/sim/websocket_stream.py``).

The far ends are those of the ``websockets`` package: their frames, masks and compressor are not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from websockets.typing import Subprotocol

from drivers.sim import websocket_stream
from drivers.sim.checked_values import Impossible
from drivers.sim.link_conversation import LinkConversation
from drivers.sim.link_proxy import LinkProxy
from drivers.sim.websocket_stream import MessageStream, MessageTooLong
from tests.drivers.sim_stations import until
from tests.support.busy_machine import deadline

TEXTS = ("Heartbeat", '[2,"1","BootNotification",{}]', '[3,"1",{}]', "é" * 200, "x" * 70_000)
OUT = '[3,"composed-1",{}]'


def deflaters(is_compressed: bool) -> list[Any]:
    return [PerMessageDeflate(False, False, 15, 15)] if is_compressed else []


def octets_of(texts: Sequence[str], is_masked: bool, parts: int, is_compressed: bool) -> bytes:
    """The texts as a sender writes them: each in so many fragments, with a ping between two of these."""
    extensions = deflaters(is_compressed)
    sent = bytearray()
    for text in texts:
        data = text.encode()
        size = max(1, -(-len(data) // parts))
        pieces = [data[i : i + size] for i in range(0, len(data), size)] or [b""]
        for i, piece in enumerate(pieces):
            if i:
                sent += Frame(Opcode.PING, b"?").serialize(mask=is_masked, extensions=extensions)
            frame = Frame(Opcode.CONT if i else Opcode.TEXT, piece, fin=i == len(pieces) - 1)
            sent += frame.serialize(mask=is_masked, extensions=extensions)
    return bytes(sent)


def texts_in(data: bytes, is_masked: bool, is_compressed: bool) -> list[str]:
    """What a receiver reads."""
    reader, texts, message, extensions = StreamReader(), list[str](), b"", deflaters(is_compressed)
    reader.feed_data(data)
    while reader.buffer:
        try:
            next(Frame.parse(reader.read_exact, mask=is_masked, extensions=extensions))
        except StopIteration as parsed:
            frame = parsed.value
        else:
            raise AssertionError("half a frame went on")
        if frame.opcode in (Opcode.TEXT, Opcode.CONT):
            message += frame.data
            if frame.fin:
                texts.append(message.decode())
                message = b""
    return texts


def passed(stream: MessageStream, data: bytes, sizes: Sequence[int]) -> bytes:
    """What goes on of the octets, if they come in pieces of these sizes, again and again."""
    out, at, turn = bytearray(), 0, 0
    while at < len(data):
        out += stream.pass_octets(data[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return bytes(out + stream.pass_rest())


def opened_stream(is_masked: bool, is_compressed: bool, takes_out: bool = False) -> MessageStream:
    stream = MessageStream(is_masked, lambda text: text != OUT)
    stream.begin_frames(is_compressed)
    stream.takes_out = takes_out
    return stream


chunks = st.lists(st.integers(1, 9000), min_size=1, max_size=5)
spoken = st.lists(st.sampled_from(TEXTS), max_size=5)


@settings(max_examples=60, deadline=None)
@given(spoken, st.booleans(), st.booleans(), st.integers(1, 4), chunks)
def test_octets_go_on_as_they_came(
    texts: list[str], masked: bool, compressed: bool, parts: int, sizes: list[int]
) -> None:
    data = octets_of(texts, masked, parts, compressed)
    assert passed(opened_stream(masked, compressed), data, sizes) == data


@settings(max_examples=60, deadline=None)
@given(spoken, spoken, spoken, st.booleans(), st.booleans(), st.integers(1, 4), chunks)
def test_a_message_is_taken_out_and_all_others_are_read(
    before: list[str],
    between: list[str],
    after: list[str],
    masked: bool,
    compressed: bool,
    parts: int,
    sizes: list[int],
) -> None:
    """Also those that were compressed with what came before them."""
    stream = opened_stream(masked, compressed)
    data = octets_of([*before, *between, OUT, *after], masked, parts, compressed)
    begin = len(octets_of(before, masked, parts, compressed))
    out = stream.pass_octets(data[:begin])
    assert out == data[:begin]
    stream.takes_out = True
    assert texts_in(out + passed(stream, data[begin:], sizes), masked, compressed) == [*before, *between, *after]


@settings(max_examples=60, deadline=None)
@given(spoken, st.integers(0, 80_000), st.booleans(), st.booleans(), st.booleans(), st.integers(1, 4))
def test_an_added_message_arrives_between_two_others(
    texts: list[str], at: int, masked: bool, compressed: bool, takes_out: bool, parts: int
) -> None:
    stream = opened_stream(masked, compressed, takes_out)
    data = octets_of(texts, masked, parts, compressed)
    out = stream.pass_octets(data[:at])
    stream.add_message("added")
    out += stream.take_added_messages() + stream.pass_octets(data[at:])
    found = texts_in(out, masked, compressed)
    assert found.count("added") == 1
    assert [text for text in found if text != "added"] == texts


def test_a_message_does_not_wait_behind_a_control_frame_that_came_in_two_parts() -> None:
    for takes_out in (False, True):
        stream = opened_stream(True, False, takes_out)
        ping = Frame(Opcode.PING, b"abcd").serialize(mask=True)
        out = stream.pass_octets(ping[:-2])
        stream.add_message("added")
        assert stream.take_added_messages() == b""
        assert texts_in(out + stream.pass_octets(ping[-2:]), True, False) == ["added"]


def test_nothing_is_added_after_the_close_frame() -> None:
    stream = opened_stream(True, False)
    stream.pass_octets(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
    stream.add_message("late")
    assert stream.is_closed
    assert stream.take_added_messages() == b""


@pytest.mark.parametrize("compressed", [False, True])
def test_a_message_that_is_too_long_to_be_read(monkeypatch: pytest.MonkeyPatch, compressed: bool) -> None:
    """It passes as it is, unless each message has to be read."""
    monkeypatch.setattr(websocket_stream, "LONGEST_MESSAGE", 5000)
    data = octets_of(["x" * 70_000, "Heartbeat"], False, 1, compressed)
    stream = opened_stream(False, compressed)
    assert stream.pass_octets(data) == data
    assert stream.is_unreadable == compressed
    with pytest.raises(MessageTooLong):
        opened_stream(False, compressed, takes_out=True).pass_octets(data)


# --- over real sockets ------------------------------------------------------------------------------------------------


class Link:
    """A station and a backend that say what is asked of them, with the proxy between them."""

    def __init__(self, proxy: LinkProxy, station: ClientConnection, backend: ServerConnection) -> None:
        self.proxy, self.station, self.backend = proxy, station, backend

    @property
    def conversation(self) -> LinkConversation:
        return self.proxy.conversations[-1]


@contextlib.asynccontextmanager
async def opened_link(compression: str | None) -> AsyncIterator[Link]:
    accepted: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def accept(connection: ServerConnection) -> None:
        accepted.put_nowait(connection)
        await connection.wait_closed()

    async with serve(accept, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")], compression=compression) as server:
        proxy = LinkProxy("127.0.0.1", next(iter(server.sockets)).getsockname()[1])
        await proxy.start()
        url = f"ws://127.0.0.1:{proxy.port}/CP-1"
        async with (
            deadline(60),
            connect(url, subprotocols=[Subprotocol("ocpp1.6")], compression=compression) as station,
        ):
            yield Link(proxy, station, await accepted.get())
        await proxy.close()


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_both_sides_get_what_is_for_them_alone(compression: str | None) -> None:
    async with opened_link(compression) as link:
        taken: list[tuple[bool, str]] = []

        def keeps_message(conversation: LinkConversation, from_station: bool, text: str) -> bool:
            is_answer = text.startswith('[3,"composed')
            taken.extend([(from_station, text)] if is_answer else [])
            return not is_answer

        link.proxy.keeps_message = keeps_message
        for n in range(3):
            await link.station.send(f'[2,"{n}","Heartbeat",{{}}]')
            assert await link.backend.recv() == f'[2,"{n}","Heartbeat",{{}}]'
            await link.backend.send(f'[3,"{n}",{{"currentTime":"now"}}]')
            assert await link.station.recv() == f'[3,"{n}",{{"currentTime":"now"}}]'
        assert link.conversation.version == "1.6"
        link.proxy.add_messages(link.conversation, True, ['[2,"composed-1","DataTransfer",{}]'])
        assert await link.backend.recv() == '[2,"composed-1","DataTransfer",{}]'
        await link.backend.send('[3,"composed-1",{"status":"Accepted"}]')
        link.proxy.add_messages(link.conversation, False, ['[2,"composed-2","Reset",{}]'])
        assert await link.station.recv() == '[2,"composed-2","Reset",{}]'
        await link.station.send('[3,"composed-2",{"status":"Accepted"}]')
        for n in range(3, 6):
            await link.station.send(f'[2,"{n}","Heartbeat",{{}}]')
            assert await link.backend.recv() == f'[2,"{n}","Heartbeat",{{}}]'
            await link.backend.send(f'[3,"{n}",{{"currentTime":"now"}}]')
            assert await link.station.recv() == f'[3,"{n}",{{"currentTime":"now"}}]'
        assert taken == [
            (False, '[3,"composed-1",{"status":"Accepted"}]'),
            (True, '[3,"composed-2",{"status":"Accepted"}]'),
        ]


async def test_a_message_waits_where_the_link_stalls_and_is_refused_when_it_is_full() -> None:
    async with opened_link(None) as link:
        link.proxy.set_condition(stall=True)
        with pytest.raises(Impossible, match="takes no more"):
            for n in range(1000):
                link.proxy.add_messages(link.conversation, True, [f"added {n}"])
        link.proxy.set_condition(stall=False)
        assert await link.backend.recv() == "added 0"
        await link.station.close()
        await until(lambda: not link.proxy.conversations)


async def test_messages_for_which_there_is_no_room_are_refused_together() -> None:
    async with opened_link(None) as link:
        with pytest.raises(Impossible, match="takes no more"):
            link.proxy.add_messages(link.conversation, True, [f"added {n}" for n in range(1000)])
        link.proxy.add_messages(link.conversation, True, ["the first"])
        assert await link.backend.recv() == "the first"


async def test_other_conversations_pass_unread() -> None:
    """SOAP and TLS, which begin with no handshake of a WebSocket."""
    answers = iter([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"\x16\x03\x03\x00\x02ok"])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        writer.write(next(answers))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxy = LinkProxy("127.0.0.1", server.sockets[0].getsockname()[1])
    await proxy.start()
    for wanted, is_encrypted in ((b"ok", False), (b"ok", True)):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        async with deadline(30):
            assert (await reader.readuntil(wanted)).endswith(wanted)
        (conversation,) = proxy.conversations
        assert (conversation.version, conversation.is_encrypted) == ("", is_encrypted)
        assert not conversation.takes_messages
        writer.close()
        await until(lambda: not proxy.conversations)
    await proxy.close()
    server.close()
