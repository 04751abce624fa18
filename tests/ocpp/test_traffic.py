"""The bytes of a link, counted by the agent, beside those that a proxy between it and the backend has passed on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.domain.events import Connected, ConnectFailed
from agent.domain.messages import HeartbeatWanted
from agent.model.traffic import CONNECTION, DEFAULT_BEARER, OTHER, PING, TrafficCount
from agent.ocpp.transport.traffic import ACTIONS_MOST, TrafficCounter
from agent.ocpp.transport.transport import WireOptions
from tests.ocpp.ocpp_stand_ins import Central, Room, boot_answer, build, running, served, until
from tests.support.certificate_authorities import Authority, tls
from tests.support.tls_terminator import TlsFront


class CountingProxy:
    """Passes on bytes to ``target``, and counts them."""

    def __init__(self, target: int) -> None:
        self.target, self.up, self.down, self.port = target, 0, 0, 0
        self.counted: Counter[str] = Counter()
        """What the agent has counted by now."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self._pass(reader, far_writer, "up"), self._pass(far_reader, writer, "down"))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                setattr(self, way, getattr(self, way) + len(data))
                writer.write(data)
        writer.close()


@contextlib.asynccontextmanager
async def counted(
    folder: Path | None, bearer: Callable[[], str] = lambda: "gprs", **options: Any
) -> AsyncIterator[tuple[Room, CountingProxy, TrafficCounter]]:
    """A link behind a proxy that counts, with TLS if there is a folder for its certificates."""
    counter = TrafficCounter(bearer)
    ours = Authority(folder) if folder is not None else None
    async with served(Central()) as central, contextlib.AsyncExitStack() as stack:
        front = TlsFront(central.port, tls(ours.server()) if ours is not None else None)
        stack.callback(front.close)
        proxy = CountingProxy(front.port)
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        stack.callback(server.close)
        proxy.port = server.sockets[0].getsockname()[1]
        secure = {"url": f"wss://127.0.0.1:{proxy.port}", "security_profile": 2, "password": "p" * 16} if ours else {}
        given = {"url": f"ws://127.0.0.1:{proxy.port}", **secure, **({"ca": ours.root} if ours else {})}
        room = build(central, traffic=counter, **given, **options)
        async with running(room):
            yield room, proxy, counter


def totals(counts: tuple[TrafficCount, ...]) -> tuple[int, int]:
    return sum(c.sent_bytes for c in counts), sum(c.received_bytes for c in counts)


def row(counts: tuple[TrafficCount, ...], action: str) -> TrafficCount:
    return next(c for c in counts if c.action == action)


async def settled(proxy: CountingProxy, counter: TrafficCounter) -> tuple[TrafficCount, ...]:
    """What was counted, once nothing is on its way any more."""
    seen: list[tuple[TrafficCount, ...]] = []

    def is_whole() -> bool:
        seen.append(counter.collect_counts())
        proxy.counted += Counter(dict(zip(("up", "down"), totals(seen[-1]), strict=True)))
        return proxy.counted == Counter({"up": proxy.up, "down": proxy.down})

    await until(is_whole, what="every byte is counted once")
    merged: dict[tuple[str, str], list[int]] = {}
    for count in (c for counts in seen for c in counts):
        amounts = (count.messages, count.sent_bytes, count.received_bytes, count.header_bytes)
        before = merged.setdefault((count.bearer, count.action), [0, 0, 0, 0])
        merged[count.bearer, count.action] = [a + b for a, b in zip(before, amounts, strict=True)]
    return tuple(TrafficCount(*key, *amounts) for key, amounts in merged.items())


@pytest.mark.parametrize("with_tls", [False, True])
async def test_every_byte_at_the_socket_is_counted_once(tmp_path: Path, with_tls: bool) -> None:
    async with counted(tmp_path if with_tls else None) as (room, proxy, counter):
        for n in range(3):
            room.link.send(HeartbeatWanted())
            await until(lambda n=n: room.central.actions().count("Heartbeat") > n)
        await room.central.ask("TriggerMessage", {"requestedMessage": "Heartbeat"})
        counts = await settled(proxy, counter)
        assert {c.bearer for c in counts} == {"gprs"}
        assert {"BootNotification", "Heartbeat", "TriggerMessage", CONNECTION} <= {c.action for c in counts}
        assert row(counts, "TriggerMessage").messages == 2
        assert row(counts, "Heartbeat").messages % 2 == 0
        if with_tls:  # the certificates
            assert row(counts, CONNECTION).received_bytes > 1000
        headers = sum(c.header_bytes for c in counts)
        assert headers % 52 == 0  # IPv4, TCP, time stamps
        assert headers >= 52 * 8


async def test_what_was_counted_before_a_bearer_was_chosen_is_counted_for_that_bearer() -> None:
    """The connection of the start stays when the first bearer is up: a SIM would pay for weeks of no bearer at all."""
    in_use = DEFAULT_BEARER
    async with counted(None, bearer=lambda: in_use) as (room, proxy, counter):
        await until(lambda: "BootNotification" in room.central.actions())
        in_use = "gprs"
        for n in range(2):
            room.link.send(HeartbeatWanted())
            await until(lambda n=n: room.central.actions().count("Heartbeat") > n)
            await until(lambda: not room.link.has_open_exchange)  # its answer may be on the way
            counts = await settled(proxy, counter)
            assert {c.bearer for c in counts} == {"gprs"}
            assert row(counts, "Heartbeat").messages == 2


@pytest.mark.parametrize("with_tls", [False, True])
async def test_a_ping_of_the_backend_and_its_pong_have_a_row_of_their_own(tmp_path: Path, with_tls: bool) -> None:
    """A backend that pings each 20 s takes 28 MB in a month: a technician must see that it is the pings."""
    async with counted(tmp_path if with_tls else None) as (room, proxy, counter):
        await settled(proxy, counter)
        await (await room.central.ws.ping())
        (count,) = await settled(proxy, counter)
        record = 22 if with_tls else 0  # of TLS 1.3, around a frame
        assert (count.action, count.messages) == (PING, 2)
        assert (count.sent_bytes, count.received_bytes) == (2 + 4 + 4 + record, 2 + 4 + record)


async def test_the_silence_after_a_report_counts_nothing() -> None:
    async with counted(None) as (_, proxy, counter):
        await settled(proxy, counter)
        assert counter.collect_counts() == ()


async def test_a_connection_that_ended_was_counted_and_the_next_one_is_too() -> None:
    async with counted(None) as (room, proxy, counter):
        room.link.reconnect()
        await until(lambda: len(room.of(Connected)) == 2)
        await until(lambda: room.link.is_up)
        counts = await settled(proxy, counter)
        assert row(counts, CONNECTION).messages == 3
        assert len(counter._connections) == 1


async def test_names_of_a_backend_do_not_grow_the_table() -> None:
    """A backend may call whatever it likes: only actions of the version have a row, and there is an end of rows."""
    async with counted(None) as (room, proxy, counter):
        for n in range(ACTIONS_MOST + 20):
            await room.central.ask(f"Secret{n}", {})
        counts = await settled(proxy, counter)
        assert not [c for c in counts if c.action.startswith("Secret")]
        assert row(counts, OTHER).messages == 2 * (ACTIONS_MOST + 20)


async def test_a_failed_attempt_is_estimated() -> None:
    """Nothing listens: what three SYN take. TLS that fails took its certificates."""
    counter = TrafficCounter()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as there:
        port = there.getsockname()[1]
    room = build(Central(), url=f"ws://127.0.0.1:{port}", traffic=counter)
    async with running(room, up=False):
        await until(lambda: room.of(ConnectFailed))
        (count,) = counter.collect_counts()
    assert (count.bearer, count.action, count.messages) == ("default", CONNECTION, 0)
    assert count.header_bytes >= 180
    assert count.header_bytes % 180 == 0


async def test_counts_are_collected_a_moment_after_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.ocpp.transport.traffic.COLLECT_S", 0.01)
    collected: list[TrafficCount] = []
    counter = TrafficCounter(wake=lambda: collected.extend(counter.collect_counts()))
    async with served(Central()) as central, running(build(central, traffic=counter)) as room:
        await until(lambda: collected)
        before = len(collected)
        room.link.send(HeartbeatWanted())
        await until(lambda: any(c.action == "Heartbeat" for c in collected[before:]))


# --- how a connection is made ----------------------------------------------------------------------------------------


async def test_a_metered_connection_probes_later_than_its_ping() -> None:
    async with served(Central()) as central:
        room = build(central, wire=WireOptions(keepalive_idle_s=300, user_timeout_s=120))
        async with running(room):
            inside = room.link._channel.transport._inside  # type: ignore[union-attr]
            there = inside._ws.transport.get_extra_info("socket")
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 300
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 120_000


@pytest.mark.parametrize("compress", [True, False])
async def test_compression_is_offered_as_the_profile_says(compress: bool) -> None:
    async with served(Central()) as central, running(build(central, wire=WireOptions(compress=compress))):
        offered = central.ws.request.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in offered) is compress
        assert "no_context_takeover" not in offered


async def test_a_server_without_the_one_curve_is_reached_by_the_next_attempt(tmp_path: Path) -> None:
    """P-256 alone saves two kilobytes. A server that has only another curve must not lock the station out."""
    ours = Authority(tmp_path)
    context = tls(ours.server())
    context.set_ecdh_curve("secp384r1")
    async with served(Central()) as central:
        front = TlsFront(central.port, context)
        try:
            room = build(
                central,
                url=f"wss://127.0.0.1:{front.port}",
                security_profile=2,
                password="p" * 16,
                ca=ours.root,
                wire=WireOptions(one_key_share=True),
            )
            async with running(room):
                assert len(room.of(ConnectFailed)) == 1
        finally:
            front.close()


def control_frames(room: Room) -> int:
    inside: Any = room.link._channel.transport._inside  # type: ignore[union-attr]
    return int(inside._ws.wire.control_frames)


@pytest.mark.parametrize("saves_pings", [True, False])
async def test_a_heartbeat_that_is_due_soon_saves_a_ping(saves_pings: bool) -> None:
    """Ping after 2 s, heartbeat after 3 s: it comes early, and the ping never."""
    async with served(Central()) as central:
        central.script["BootNotification"] = [boot_answer(interval=3)]
        room = build(central, wire=WireOptions(saves_pings=saves_pings))
        room.settings.put_value("ping_interval_s", 2)
        async with running(room):
            await until(lambda: central.actions().count("Heartbeat") == 2)
            assert (control_frames(room) == 0) is saves_pings


async def test_a_heartbeat_without_an_answer_is_followed_by_a_ping() -> None:
    """The backend may be slow, and the connection alive."""
    async with served(Central()) as central:
        central.script |= {"BootNotification": [boot_answer(interval=2)], "Heartbeat": [None]}
        room = build(central, wire=WireOptions(saves_pings=True), call_timeout_s=20.0)
        room.settings.put_value("ping_interval_s", 1)
        async with running(room):
            await until(lambda: "Heartbeat" in central.actions())
            await until(lambda: control_frames(room) >= 2, what="a ping and its pong")
            assert room.link.is_up
            assert len(central.connections) == 1
