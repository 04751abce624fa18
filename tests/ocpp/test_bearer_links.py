"""A link over the interface of the bearer in use, and a look whether the backend can be reached over another one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.backend_connection import ConnectFailure
from agent.domain.events import BearerProbed, Connected, ConnectFailed, Event
from agent.domain.messages import HeartbeatWanted
from agent.domain.orders import ProbeBearer
from agent.ocpp.bearer_probe import BearerProbe
from agent.ocpp.transport import bound_socket
from agent.ocpp.transport.bound_socket import connect_through
from tests.ocpp.ocpp_stand_ins import Central, build, running, served, until

ABSENT = "absent0"


async def test_a_link_uses_the_interface_of_its_bearer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface that is not there is a failed attempt; with the next bearer the link comes up."""
    opened: list[socket.socket] = []

    async def connect(*where: Any) -> socket.socket:
        opened.append(await connect_through(*where))
        return opened[-1]

    monkeypatch.setattr(bound_socket, "connect_through", connect)
    in_use = ABSENT
    async with served(Central()) as central:
        room = build(central, interface=lambda: in_use)
        async with running(room, up=False):
            await until(lambda: any(isinstance(e, ConnectFailed) for e in room.events))
            (failure, *_) = [e for e in room.events if isinstance(e, ConnectFailed)]
            assert failure.trouble is ConnectFailure.OTHER
            assert "check the network" in failure.info
            assert central.connections == []
            in_use = "lo"
            await until(lambda: room.link.is_up)
            assert opened[-1].getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") == b"lo"


async def test_another_bearer_is_another_connection_at_once() -> None:
    async with served(Central()) as central:
        room = build(central, interface=lambda: "lo", reconnect_s=3600.0)
        async with running(room):
            room.link.reconnect()
            await until(lambda: len([e for e in room.events if isinstance(e, Connected)]) == 2)
            assert len(central.connections) == 2


async def test_an_attempt_that_hangs_is_given_up_for_another_bearer() -> None:
    """The network behind the first bearer swallows everything."""
    async with served(Central()) as central:
        with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as hole:
            room = build(central, url=f"ws://127.0.0.1:{hole.getsockname()[1]}", reconnect_s=3600.0)
            async with running(room, up=False):
                await asyncio.sleep(0.2)
                assert not any(isinstance(e, Connected | ConnectFailed) for e in room.events)
                room.link._connector._backend = replace(
                    room.link._connector._backend, url=f"ws://127.0.0.1:{central.port}"
                )
                room.link.reconnect()
                await until(lambda: room.link.is_up)
                assert len(central.connections) == 1


async def test_an_exchange_is_open_until_it_is_answered() -> None:
    async with served(Central()) as central:
        room = build(central)
        async with running(room):
            await until(lambda: not room.link.has_open_exchange)
            central.script["Heartbeat"] = [None]
            room.link.send(HeartbeatWanted())
            await until(lambda: "Heartbeat" in central.actions())
            assert room.link.has_open_exchange
            id_ = next(i for i, action, _ in central.calls if action == "Heartbeat")
            await central.ws.send(json.dumps([3, id_, {"currentTime": "2026-11-28T12:00:00Z"}]))
            await until(lambda: not room.link.has_open_exchange)
            assert room.link.address_over() == ("127.0.0.1", central.port)


@pytest.mark.parametrize(("interface", "reached"), [("lo", True), (ABSENT, False)])
async def test_a_probe_opens_the_port_over_this_bearer_alone(interface: str, reached: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        posted: list[Event] = []
        probe = BearerProbe(posted.append, lambda bearer: ("127.0.0.1", server.getsockname()[1]))
        probe.accept_order(ProbeBearer("bearer[0]", interface))
        await until(lambda: posted)
        assert posted == [BearerProbed("bearer[0]", reached)]


async def test_a_probe_of_a_host_that_no_resolver_takes_has_an_answer() -> None:
    """Without one, this bearer would be probed for ever."""
    posted: list[Event] = []
    BearerProbe(posted.append, lambda bearer: ("a..b", 1)).accept_order(ProbeBearer("bearer[0]", "lo"))
    await until(lambda: posted)
    assert posted == [BearerProbed("bearer[0]", False)]


async def test_a_probe_without_a_backend_reaches_nothing() -> None:
    posted: list[Event] = []
    BearerProbe(posted.append, lambda bearer: None).accept_order(ProbeBearer("bearer[0]", "lo"))
    await until(lambda: posted)
    assert posted == [BearerProbed("bearer[0]", False)]


async def test_without_name_servers_the_last_addresses_of_the_backend_are_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The resolver is that of LAN, which leads nowhere: the modem must reach the backend all the same."""

    def refuse(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        with pytest.raises(socket.gaierror):
            await connect_through("lo", "localhost", port)
        monkeypatch.undo()
        (await connect_through("lo", "localhost", port)).close()
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        (await connect_through("lo", "localhost", port)).close()
        assert "its last addresses are used" in caplog.text
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(0.5))
        monkeypatch.setattr(bound_socket, "RESOLVE_S", 0.1)
        (await connect_through("lo", "localhost", port)).close()


@pytest.mark.parametrize("interface", ["", "lo"])
async def test_an_address_that_swallows_everything_does_not_hide_the_next_one(
    interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The router of the site announces IPv6 and has no way out: that address is the first of the backend."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as hole, contextlib.ExitStack() as fillers:
        for _ in range(3):  # with a full backlog the kernel answers no SYN
            filler = fillers.enter_context(closing(socket.socket()))
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        async with served(Central()) as central:
            living = ("127.0.0.1", central.port)
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", at) for at in (hole.getsockname(), living)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            monkeypatch.setattr(bound_socket, "_last_addresses", {})
            monkeypatch.setattr(bound_socket, "NEXT_ADDRESS_S", 0.1)
            room = build(central, url=f"ws://backend.test:{central.port}", interface=lambda: interface)
            async with running(room):
                assert len(central.connections) == 1
                assert not any(isinstance(e, ConnectFailed) for e in room.events)


async def test_of_several_addresses_that_answer_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other connections are closed, also those that are there in the same instant."""
    opened: list[socket.socket] = []

    class NotedSocket(socket.socket):
        def __init__(self, *kind: Any) -> None:
            super().__init__(*kind)
            opened.append(self)

    monkeypatch.setattr(bound_socket, "NEXT_ADDRESS_S", 0.0)
    monkeypatch.setattr(bound_socket, "_last_addresses", {})
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", server.getsockname())] * 5
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr(socket, "socket", NotedSocket)
        with closing(await connect_through("", "backend.test", 1)) as connection:
            await until(lambda: [each for each in opened if each.fileno() != -1] == [connection])


def test_the_families_of_the_addresses_take_turns() -> None:
    six, four = [[(family, n) for n in range(3)] for family in (socket.AF_INET6, socket.AF_INET)]
    ordered: Any = bound_socket._alternate_families([*six, *four[:2]])  # type: ignore[arg-type, list-item]
    assert ordered == [six[0], four[0], six[1], four[1], six[2]]


async def test_an_old_kernel_that_binds_no_socket_leaves_the_choice_to_its_routes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class OldKernelSocket(socket.socket):
        def setsockopt(self, level: int, option: int, *value: Any) -> None:
            if option == socket.SO_BINDTODEVICE:
                raise PermissionError(1, "Operation not permitted")
            super().setsockopt(level, option, *value)

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        monkeypatch.setattr(socket, "socket", OldKernelSocket)
        (await connect_through("lo", "127.0.0.1", server.getsockname()[1])).close()
    assert "the routes of the kernel decide" in caplog.text
