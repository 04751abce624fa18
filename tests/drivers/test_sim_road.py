"""The road to the backend, driven with real sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from drivers.sim.link_proxy import Condition, LinkProxy, parse_backend_target
from tests.drivers.sim_stations import until
from tests.support.busy_machine import stretched


@pytest.fixture
async def road() -> AsyncIterator[LinkProxy]:
    """To a server that answers with what it hears, and says goodbye when it has heard all."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(4096):
                writer.write(data)
            writer.write(b"bye")
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    road = LinkProxy("127.0.0.1", server.sockets[0].getsockname()[1], seed=1)
    await road.start()
    yield road
    await road.close()
    server.close()


async def dial(road: LinkProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", road.port)


async def round_trip(ends: tuple[asyncio.StreamReader, asyncio.StreamWriter], data: bytes) -> float:
    began = time.monotonic()
    ends[1].write(data)
    assert await asyncio.wait_for(ends[0].readexactly(len(data)), stretched(10)) == data
    return time.monotonic() - began


async def test_open_road_is_quick_and_ends_in_order(road: LinkProxy) -> None:
    ends = await dial(road)
    assert await round_trip(ends, b"x" * 100_000) < 5
    ends[1].write_eof()
    assert await asyncio.wait_for(ends[0].read(), stretched(20)) == b"bye"


async def test_latency_counts_both_ways(road: LinkProxy) -> None:
    ends = await dial(road)
    road.set_condition(latency_ms=150)
    assert 0.3 <= await round_trip(ends, b"hello") < 5
    assert 0.3 <= await round_trip(ends, b"x" * 50_000) < 5


async def test_narrow_road(road: LinkProxy) -> None:
    ends = await dial(road)
    road.set_condition(kbit_s=400)
    assert 0.38 <= await round_trip(ends, b"x" * 20_000) < 10


async def test_lost_packets_come_later_and_nothing_is_missing(road: LinkProxy) -> None:
    ends = await dial(road)
    road.set_condition(loss=0.2)
    assert await round_trip(ends, bytes(range(256)) * 40) > 0.29


async def test_stall_keeps_the_connection_and_delivers_afterwards(road: LinkProxy) -> None:
    ends = await dial(road)
    await round_trip(ends, b"before")
    road.set_condition(stall=True)
    ends[1].write(b"during")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ends[0].read(1), 0.3)
    new = await dial(road)
    new[1].write(b"new")
    road.set_condition(stall=False)
    assert await asyncio.wait_for(ends[0].readexactly(6), stretched(20)) == b"during"
    assert await asyncio.wait_for(new[0].readexactly(3), stretched(20)) == b"new"


async def test_closed_road_breaks_connections_and_admits_none_until_it_is_open_again(road: LinkProxy) -> None:
    ends = await dial(road)
    await round_trip(ends, b"before")
    road.set_condition(up=False)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(ends[0].readexactly(1), stretched(20))
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await round_trip(await dial(road), b"x")
    road.set_condition(up=True)
    await round_trip(await dial(road), b"after")


async def test_no_one_at_the_end(road: LinkProxy) -> None:
    road.target = ("127.0.0.1", 1)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await round_trip(await dial(road), b"x")
    await until(lambda: not road._cars)


@pytest.mark.parametrize(
    "wrong", [{"up": 1}, {"latency_ms": -1}, {"kbit_s": 0}, {"loss": 2}, {"stall": None}, {"speed": 3}]
)
async def test_wrong_settings_change_nothing(road: LinkProxy, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        road.set_condition(**{"latency_ms": 5, **wrong})
    assert road.condition == Condition()


def test_targets() -> None:
    assert parse_backend_target("ws://127.0.0.1:9000/x") == ("127.0.0.1", 9000)
    assert parse_backend_target("wss://csms.example/ocpp") == ("csms.example", 443)
    assert parse_backend_target("http://[::1]/soap") == ("::1", 80)
    with pytest.raises(ValueError, match="must look like"):
        parse_backend_target("ftp://x")
