"""Payment master and satellite over a real network: TLS on both sides, messages in order, and who is let in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.domain.events import Event
from agent.domain.orders import SendToMaster, SendToSatellite
from agent.domain.satellite_messages import (
    GrantRefused,
    GrantWithdrawn,
    MasterConnected,
    MasterLost,
    MasterMessageReceived,
    SatelliteConnected,
    SatelliteLost,
    SatelliteMessageReceived,
)
from agent.services.event_queue import EventQueue
from agent.services.satellites import master_dialer
from agent.services.satellites.master_dialer import MasterDialer
from agent.services.satellites.message_codec import read_hello
from agent.services.satellites.satellite_listener import SatelliteListener
from agent.services.satellites.shared_tls import MASTER_NAME, satellite_context
from agent.station_file.tables import MasterTable, SatelliteTable
from tests.services.test_sinks import at_work, until
from tests.support.busy_machine import deadline, stretched
from tests.support.certificate_authorities import Authority
from tests.support.simulated_station import held_port


async def handled_at_once() -> None:
    """Of a station that only notes what happens."""


class Ends:
    """A listener and dialers on one network, and what each has reported."""

    def __init__(self, folder: Path, port: int) -> None:
        self.pool, self.port = Authority(folder, "Pool"), port
        self.at_master: list[Event] = []
        self.at_satellite: list[Event] = []
        self._certificate = self.pool.server((MASTER_NAME,))
        self.listener = self.make_listener(self.at_master.append, handled_at_once)

    def make_listener(self, post: Callable[[Event], None], handled: Callable[[], Any]) -> SatelliteListener:
        table = MasterTable(self._certificate, self.pool.root, host="127.0.0.1", port=self.port)
        return SatelliteListener(table, ("east", "west"), post, handled)

    def dialer(self, certificate: Path, authority: Path | None = None) -> MasterDialer:
        table = SatelliteTable(f"127.0.0.1:{self.port}", certificate, authority or self.pool.root)
        return MasterDialer(table, self.at_satellite.append, handled_at_once)


@pytest.fixture
def ends(tmp_path: Path) -> Any:
    with held_port() as port:
        yield Ends(tmp_path, port)


async def test_messages_pass_in_order_and_each_end_notices_the_end(ends: Ends) -> None:
    dialer = ends.dialer(ends.pool.client("east"))
    async with at_work(ends.listener):
        async with at_work(dialer):
            await until(lambda: ends.at_satellite and ends.at_master)
            for n in range(20):
                ends.listener.accept_order(SendToSatellite("east", GrantWithdrawn(f"p{n}")))
                dialer.accept_order(SendToMaster(GrantRefused(f"p{n}", "unavailable")))
            ends.listener.accept_order(SendToSatellite("west", GrantWithdrawn("not here")))
            await until(lambda: len(ends.at_satellite) == len(ends.at_master) == 21)
        await until(lambda: len(ends.at_master) == 22)
    assert ends.at_satellite == [
        MasterConnected(),
        *(MasterMessageReceived(GrantWithdrawn(f"p{n}")) for n in range(20)),
        MasterLost(),
    ]
    assert ends.at_master == [
        SatelliteConnected("east"),
        *(SatelliteMessageReceived("east", GrantRefused(f"p{n}", "unavailable")) for n in range(20)),
        SatelliteLost("east"),
    ]


async def test_a_new_connection_of_a_satellite_ends_the_former_one_first(ends: Ends) -> None:
    certificate = ends.pool.client("east")
    async with at_work(ends.listener, ends.dialer(certificate)):
        await until(lambda: ends.at_master)
        async with at_work(ends.dialer(certificate)):
            await until(lambda: len(ends.at_master) >= 3)
    assert ends.at_master[:3] == [SatelliteConnected("east"), SatelliteLost("east"), SatelliteConnected("east")]


async def test_a_new_connection_does_not_wait_for_a_dead_one(ends: Ends) -> None:
    """Of a cable that was pulled neither side is informed: the first connection never answers a farewell."""
    import websockets

    certificate = ends.pool.client("east")
    context = satellite_context(certificate, None, ends.pool.root)
    async with at_work(ends.listener):
        await until(lambda: ends.listener.is_open)
        address = f"wss://127.0.0.1:{ends.port}/satellite"
        async with websockets.connect(address, ssl=context, server_hostname=MASTER_NAME) as dead:
            await dead.send('{"kind":"hello","protocol":1,"program":"x"}')
            await until(lambda: ends.at_master == [SatelliteConnected("east")])
            dead.transport.pause_reading()
            async with asyncio.timeout(stretched(5)), at_work(ends.dialer(certificate)):
                await until(lambda: len(ends.at_master) >= 3)
            dead.transport.abort()
    assert ends.at_master[:3] == [SatelliteConnected("east"), SatelliteLost("east"), SatelliteConnected("east")]


async def test_the_master_comes_later_and_comes_back(ends: Ends) -> None:
    async with at_work(ends.dialer(ends.pool.client("east"))):
        for n in (1, 2):
            async with at_work(ends.listener):
                await until(lambda n=n: ends.at_satellite.count(MasterConnected()) == n)  # type: ignore[misc]
            await until(lambda n=n: ends.at_satellite.count(MasterLost()) == n)  # type: ignore[misc]


@pytest.mark.parametrize("lasts", [False, True])
async def test_only_a_connection_that_has_lasted_lets_the_next_one_come_soon(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, lasts: bool
) -> None:
    """Two stations with one certificate end each other's connections, ever more rarely."""
    monkeypatch.setattr(master_dialer, "FIRST_S", 0.01)
    monkeypatch.setattr(master_dialer, "LONGEST_S", 0.08)
    certificate = ends.pool.client("east")
    dialers = [ends.dialer(certificate) for _ in range(2)]
    async with at_work(ends.listener), at_work(*dialers):
        await until(lambda: all(d._wait_s == 0.08 for d in dialers))
        if lasts:
            monkeypatch.setattr(master_dialer, "LASTED_S", 0.0)
            await until(lambda: all(d._wait_s < 0.08 for d in dialers))


async def test_who_is_no_satellite_of_this_pool_is_not_let_in(ends: Ends, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Other")
    strangers = [
        ends.dialer(ends.pool.client("north")),  # of the pool, and not in the station file
        ends.dialer(other.client("east")),  # of another authority
        ends.dialer(ends.pool.client("east"), other.root),  # which trusts another authority
    ]
    async with at_work(ends.listener, *strangers):
        await until(lambda: all(s._problem or ends.at_satellite for s in strangers[1:]))
        async with at_work(ends.dialer(ends.pool.client("west"))):
            await until(lambda: SatelliteConnected("west") in ends.at_master)
    assert [e for e in ends.at_master if isinstance(e, SatelliteConnected)] == [SatelliteConnected("west")]


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"kind":"refused"}', '{"kind":"refused","payment":1,"why":""}'])
async def test_what_cannot_be_read_ends_the_connection(ends: Ends, text: str) -> None:
    import websockets

    context = satellite_context(ends.pool.client("east"), None, ends.pool.root)
    address = f"wss://127.0.0.1:{ends.port}/satellite"
    async with at_work(ends.listener):
        await until(lambda: ends.listener.is_open)
        async with websockets.connect(address, ssl=context, server_hostname=MASTER_NAME) as socket:
            await socket.send('{"kind":"hello","protocol":1,"program":"x"}')
            await socket.send('{"kind":"of a later program"}')
            await socket.send(text)
            async with deadline(30):
                await socket.wait_closed()
            assert socket.close_code == 1003
        await until(lambda: ends.at_master[-1:] == [SatelliteLost("east")])


async def test_another_protocol_is_refused(ends: Ends) -> None:
    import websockets

    context = satellite_context(ends.pool.client("east"), None, ends.pool.root)
    async with at_work(ends.listener):
        await until(lambda: ends.listener.is_open)
        address = f"wss://127.0.0.1:{ends.port}/satellite"
        async with websockets.connect(address, ssl=context, server_hostname=MASTER_NAME) as socket:
            await socket.send('{"kind":"hello","protocol":2}')
            async with deadline(30):
                await socket.wait_closed()
    assert ends.at_master == []


async def test_a_flood_of_messages_waits_on_the_network(ends: Ends) -> None:
    """A satellite that repeats itself without end fills no memory of its master."""
    import websockets

    events, seen, peak = EventQueue(), 0, 0
    ends.listener = ends.make_listener(events.post_event, events.wait_until_handled)

    async def handle_slowly() -> None:
        nonlocal seen, peak
        while True:
            await events.next_event()
            peak = max(peak, len(events._entries))
            for _ in range(10):
                await asyncio.sleep(0)
            seen += 1

    context = satellite_context(ends.pool.client("east"), None, ends.pool.root)
    address = f"wss://127.0.0.1:{ends.port}/satellite"
    async with at_work(ends.listener, SimpleNamespace(run=handle_slowly)):
        await until(lambda: ends.listener.is_open)
        async with websockets.connect(address, ssl=context, server_hostname=MASTER_NAME) as socket:
            await socket.send('{"kind":"hello","protocol":1,"program":"x"}')
            for n in range(200):
                await socket.send(f'{{"kind":"refused","payment":"p{n}","why":""}}')
            await until(lambda: seen == 201)
    assert peak <= 2


def test_the_name_of_the_other_program_is_cut_for_the_log() -> None:
    hello = json.dumps({"kind": "hello", "protocol": 1, "program": "1.0\n2026 ERROR\x1b[31m" + "x" * 10_000})
    assert read_hello(hello) == "1.02026 ERROR[31m" + "x" * 21


async def test_what_cannot_be_read_is_cut_for_the_log(ends: Ends, caplog: pytest.LogCaptureFixture) -> None:
    import websockets

    context = satellite_context(ends.pool.client("east"), None, ends.pool.root)
    address = f"wss://127.0.0.1:{ends.port}/satellite"
    async with at_work(ends.listener):
        await until(lambda: ends.listener.is_open)
        async with websockets.connect(address, ssl=context, server_hostname=MASTER_NAME) as socket:
            await socket.send(json.dumps({"kind": "hello", "protocol": "x" * 100_000}))
            await until(lambda: "satellite east" in caplog.text)
    assert len(caplog.text) < 2000


async def test_the_port_closes_although_nothing_is_handled_any_more(ends: Ends) -> None:
    """The engine of a station that ends has ended before its port."""
    ends.listener = ends.make_listener(ends.at_master.append, asyncio.Event().wait)
    dialer = ends.dialer(ends.pool.client("east"))
    async with deadline(30), at_work(dialer):
        async with at_work(ends.listener):
            await until(lambda: ends.at_satellite)
            dialer.accept_order(SendToMaster(GrantRefused("p1", "unavailable")))
            await until(lambda: len(ends.at_master) == 2)
        assert ends.at_master[-1] == SatelliteLost("east")
