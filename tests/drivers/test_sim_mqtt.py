"""The broker of the simulation, by a client that is not ours (aiomqtt on paho), and by bytes off the specification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiomqtt import Client, MqttError, ProtocolVersion, Will

from drivers.sim.mqtt import MOST_OCTETS, Broker, topic_matches
from tests.support.busy_machine import deadline

SOON_S = 30.0


@asynccontextmanager
async def running() -> AsyncIterator[Broker]:
    broker = Broker()
    await broker.start()
    try:
        yield broker
    finally:
        await broker.close()


def client(broker: Broker, **more: Any) -> Client:
    return Client("127.0.0.1", broker.port, timeout=SOON_S, **more)


async def heard(c: Client, count: int) -> list[tuple[str, bytes, int, bool]]:
    """So many messages, in their order."""
    found: list[tuple[str, bytes, int, bool]] = []
    async with deadline(SOON_S):
        async for m in c.messages:
            found.append((str(m.topic), bytes(m.payload), m.qos, m.retain))
            if len(found) == count:
                break
    return found


async def raw(broker: Broker, *packets: bytes) -> bytes:
    """What comes back until the broker ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    writer.write(b"".join(packets))
    async with deadline(SOON_S):
        said = await reader.read()
    writer.close()
    return said


CONNECT = bytes.fromhex("100d 0004 4d515454 04 02 003c 0001 61")  # MQTT, level 4, clean, keep alive 60 s, id "a"
WITH_WILL = bytes.fromhex("1018 0004 4d515454 04 0e 0001 0001 61 0006 77696c6c2f78 0001 79")  # 1 s; will/x: y, QoS 1
CONNACK = bytes.fromhex("20020000")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "wanted"),
    [
        ("a/b", "a/b", True), ("a/b", "a/B", False), ("a/b", "a/b/c", False), ("a/b/c", "a/b", False),
        ("+", "a", True), ("+", "a/b", False), ("+/+", "/a", True), ("a/+", "a", False), ("a/+/c", "a//c", True),
        ("#", "a/b/c", True), ("a/#", "a/b/c", True), ("a/#", "a", True), ("a/#", "ab", False), ("/+", "/a", True),
        ("#", "$SYS/x", False), ("+/x", "$SYS/x", False), ("$SYS/#", "$SYS/x", True),
    ],
)  # fmt: skip
def test_wildcards(topic_filter: str, topic: str, wanted: bool) -> None:
    """4.7, with its own examples."""
    assert topic_matches(topic_filter, topic) is wanted


@pytest.mark.parametrize("qos", [0, 1])
async def test_both_qualities_of_service(qos: int) -> None:
    """In order, once each, never at a higher quality than asked for."""
    async with running() as broker, client(broker) as one, client(broker) as other:
        await one.subscribe("a/#", qos=qos)
        await other.subscribe("a/+", qos=0)
        for n in range(200):
            await other.publish(f"a/{n}", str(n), qos=qos)
        assert await heard(one, 200) == [(f"a/{n}", str(n).encode(), qos, False) for n in range(200)]
        assert [q for _, _, q, _ in await heard(other, 200)] == [0] * 200


async def test_what_was_published_at_0_arrives_at_0() -> None:
    async with running() as broker, client(broker) as c:
        await c.subscribe("a", qos=1)
        await c.publish("a", "x", qos=0)
        assert await heard(c, 1) == [("a", b"x", 0, False)]


async def test_a_subscriber_that_overlaps_itself_hears_once() -> None:
    async with running() as broker, client(broker) as c:
        await c.subscribe([("a/#", 0), ("a/+", 1)])
        await c.publish("a/1", "x", qos=1)
        await c.unsubscribe("a/+")
        await c.publish("a/2", "y", qos=1)
        await c.unsubscribe("a/#")
        await c.publish("a/3", "z", qos=1)
        await c.subscribe("b")
        await c.publish("b", "end")
        assert await heard(c, 3) == [("a/1", b"x", 1, False), ("a/2", b"y", 0, False), ("b", b"end", 0, False)]


async def test_retained_messages() -> None:
    """Kept for who comes later, marked for him alone, at the quality they were published with; an empty one ends it."""
    async with running() as broker, client(broker) as before:
        await before.subscribe("r/#", qos=1)
        await before.publish("r/1", "kept", qos=1, retain=True)
        await before.publish("r/0", "kept too", qos=0, retain=True)
        assert await heard(before, 2) == [("r/1", b"kept", 1, False), ("r/0", b"kept too", 0, False)]
        async with client(broker) as late:
            await late.subscribe("r/#", qos=1)
            assert sorted(await heard(late, 2)) == [("r/0", b"kept too", 0, True), ("r/1", b"kept", 1, True)]
        await before.publish("r/1", b"", retain=True)
        await before.publish("r/1", b"", retain=True)
        async with client(broker) as later:
            await later.subscribe("r/#")
            await before.publish("r/end", "x")
            assert sorted(await heard(later, 2)) == [("r/0", b"kept too", 0, True), ("r/end", b"x", 0, False)]


async def test_a_will_is_read_out_when_a_person_falls_and_not_when_he_leaves() -> None:
    async with running() as broker, client(broker) as heir:
        await heir.subscribe("will/#", qos=1)
        async with client(broker, will=Will("will/left", "x", 1)):
            pass
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(WITH_WILL)
        assert await reader.readexactly(4) == CONNACK
        writer.transport.abort()
        assert await heard(heir, 1) == [("will/x", b"y", 1, False)]


async def test_the_same_name_twice() -> None:
    """3.1.4: who comes takes the place of the one who was there."""
    async with running() as broker, client(broker, identifier="station") as first:
        await first.subscribe("a")
        async with client(broker, identifier="station") as second:
            with pytest.raises(MqttError):
                await heard(first, 1)
            await second.publish("a", "x")


async def test_a_subscriber_in_the_process() -> None:
    async with running() as broker, client(broker) as c:
        got: list[tuple[str, bytes]] = []
        broker.attach_subscriber("in/+", lambda topic, payload: got.append((topic, payload)))
        await c.subscribe("out")
        await c.publish("in/1", "ä€".encode(), qos=1)
        broker.publish_message("out", b"there")
        assert await heard(c, 1) == [("out", b"there", 0, False)]
        assert got == [("in/1", "ä€".encode())]


async def test_large_messages_and_too_large_ones() -> None:
    async with running() as broker, client(broker) as c:
        await c.subscribe("big", qos=1)
        big = bytes(range(256)) * 900
        await c.publish("big", big, qos=1)
        assert await heard(c, 1) == [("big", big, 1, False)]
        assert MOST_OCTETS < 0x10 << 14 | 1
        assert await raw(broker, CONNECT + bytes.fromhex("30 818010")) == CONNACK, "it is not even read"


async def test_another_version_is_refused_by_its_number() -> None:
    async with running() as broker:
        with pytest.raises(MqttError):
            await client(broker, protocol=ProtocolVersion.V31).__aenter__()
        five = bytes.fromhex("100e 0004 4d515454 05 02 003c 00 0001 61")
        assert await raw(broker, five) == bytes.fromhex("20020001")


@pytest.mark.parametrize(
    "broken",
    {
        "no CONNECT first": bytes.fromhex("c000"),
        "nonsense": b"GET / HTTP/1.1\r\nHost: a-broker-that-is-no-web-server.example.org\r\nAccept: */*\r\n\r\n",
        "CONNECT twice": CONNECT + CONNECT,
        "a length of five octets": CONNECT + bytes.fromhex("30ffffffff01"),
        "a topic longer than its packet": CONNECT + bytes.fromhex("3003 0009 61"),
        "a topic with a wildcard": CONNECT + bytes.fromhex("3003 0001 2b"),
        "an empty topic": CONNECT + bytes.fromhex("3002 0000"),
        "a topic that is not UTF-8": CONNECT + bytes.fromhex("3003 0001 ff"),
        "QoS 2": CONNECT + bytes.fromhex("3405 0001 61 0001"),
        "QoS 3": CONNECT + bytes.fromhex("3605 0001 61 0001"),
        "SUBSCRIBE without a filter": CONNECT + bytes.fromhex("8202 0001"),
        "SUBSCRIBE with wrong flags": CONNECT + bytes.fromhex("8006 0001 0001 61 00"),
        "SUBSCRIBE at a quality that there is not": CONNECT + bytes.fromhex("8208 0001 0003 612f23 03"),
        "a # in the middle": CONNECT + bytes.fromhex("8208 0001 0003 232f61 00"),
        "a + beside letters": CONNECT + bytes.fromhex("8207 0001 0002 612b 00"),
        "a packet of type 15": CONNECT + bytes.fromhex("f000"),
    }.items(),
    ids=lambda item: item[0],
)
async def test_garbage_ends_that_connection_and_no_other(broken: tuple[str, bytes]) -> None:
    async with running() as broker, client(broker) as c:
        await c.subscribe("#")
        said = await raw(broker, broken[1])
        assert said in (b"", CONNACK)
        await c.publish("a", "still here", qos=1)
        assert await heard(c, 1) == [("a", b"still here", 0, False)]


async def test_who_says_nothing_for_too_long_has_fallen() -> None:
    """3.1.2.10: one and a half times the keep-alive that he has named himself."""
    async with running() as broker, client(broker) as heir:
        await heir.subscribe("will/x")
        assert await raw(broker, WITH_WILL) == CONNACK
        assert await heard(heir, 1) == [("will/x", b"y", 0, False)]


async def test_a_reader_that_reads_nothing_holds_up_no_one() -> None:
    async with running() as broker, client(broker) as c:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(CONNECT + bytes.fromhex("8206 0001 0001 23 00"))
        assert await reader.readexactly(9) == CONNACK + bytes.fromhex("9003000100")
        await c.subscribe("a", qos=0)
        for _ in range(150):
            await c.publish("a", bytes(100_000), qos=1)
        assert len(await heard(c, 150)) == 150
        writer.transport.abort()


async def test_a_broker_that_hangs() -> None:
    async with running() as broker, client(broker) as c:
        broker.mute = True
        with pytest.raises(MqttError):
            await c.publish("a", "x", qos=1, timeout=0.3)
        broker.mute = False
        await c.subscribe("b")
        await c.publish("b", "again")
        assert await heard(c, 1) == [("b", b"again", 0, False)]
