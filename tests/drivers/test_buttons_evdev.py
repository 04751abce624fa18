"""The buttons: records of the input layer through a real FIFO, and the parser under any chunking."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ports import Broken, Unreachable
from agent.ports.buttons import ButtonsPort
from agent.ports.driver import Where
from drivers.buttons_evdev import DRIVER
from drivers.buttons_evdev.events import EventParser
from drivers.buttons_evdev.settings import ButtonsSettings
from drivers.testkit.buttons import check_buttons
from tests.support.busy_machine import stretched

WHERE = Where(0, "buttons", lambda: (1, 0.0), ())
KEYS = {"language": 59, "stop": 60, "outlet-1": 61}


def record(kind: int, code: int, value: int) -> bytes:
    """struct input_event: two longs, two 16-bit words, one signed 32-bit word, in the machine's own order."""
    return struct.pack("ll", 1_700_000_000, 123_456) + struct.pack("HH", kind, code) + struct.pack("i", value)


def key(code: int, value: int) -> bytes:
    return record(1, code, value) + record(0, 0, 0)


class Fifo:
    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        self.fd = os.open(path, os.O_RDWR)

    def send(self, data: bytes) -> None:
        os.write(self.fd, data)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[Fifo]:
    fifo = Fifo(tmp_path / "event0")
    yield fifo
    fifo.close()


def opened(fifo: Fifo) -> AbstractAsyncContextManager[ButtonsPort]:
    return DRIVER.open(ButtonsSettings(fifo.path, KEYS), WHERE)


async def next_press(port: ButtonsPort) -> str:
    return await asyncio.wait_for(anext(port.presses()), stretched(3))


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 4]), st.integers(0, 0x2FF), st.integers(-1, 3))),
    st.lists(st.integers(0, 2000), max_size=20),
)
def test_presses_in_any_chunks(events: list[tuple[int, int, int]], cuts: list[int]) -> None:
    events = [e for e in events if e[:2] != (0, 3)]
    data = b"".join(record(*e) for e in events)
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    parser = EventParser()
    found = [e[1] for a, b in pairwise(edges) for e in parser.feed_chunk(data[a:b]) if e[0] == 1 and e[2] == 1]
    assert found == [code for kind, code, value in events if kind == 1 and value == 1]


@given(st.binary(max_size=600), st.integers(0, 600))
def test_noise_never_raises_and_chunks_never_matter(data: bytes, cut: int) -> None:
    parser = EventParser()
    assert parser.feed_chunk(data[:cut]) + parser.feed_chunk(data[cut:]) == EventParser().feed_chunk(data)


def test_events_are_void_after_an_overflow_until_the_next_report() -> None:
    dropped, report = record(0, 3, 0), record(0, 0, 0)
    data = key(1, 1) + dropped + record(1, 2, 1) + record(0, 1, 0) + record(1, 3, 1) + report + key(4, 1)
    assert [code for kind, code, _ in EventParser().feed_chunk(data) if kind == 1] == [1, 4]


async def test_contract(fifo: Fifo) -> None:
    async def press(name: str) -> None:
        fifo.send(key(KEYS[name], 1) + key(KEYS[name], 2) + key(KEYS[name], 2))

    async def release(name: str) -> None:
        fifo.send(key(KEYS[name], 0))

    def open_port() -> AbstractAsyncContextManager[ButtonsPort]:
        return opened(fifo)

    await check_buttons(open_port, press, release, list(KEYS), timeout_s=stretched(2.0))


def touch(x: int, y: int, down_first: bool = False) -> bytes:
    """A finger comes and goes; panels differ in what they report first."""
    finger, at = record(1, 0x14A, 1), record(3, 0x35, x) + record(3, 0x36, y)
    return (finger + at if down_first else at + finger) + record(0, 0, 0) + record(1, 0x14A, 0) + record(0, 0, 0)


async def test_fields_of_a_touch_panel(fifo: Fifo) -> None:
    fields = {"outlet-1": [0, 50, 50, 100], "outlet-2": [50, 50, 100, 100]}
    async with DRIVER.open(ButtonsSettings(fifo.path, {"stop": 60}, fields, (800, 480)), WHERE) as port:
        assert tuple(port.names) == ("stop", "outlet-1", "outlet-2")
        for x, y in ((10, 100), (100, 300), (790, 479), (400, 240)):
            fifo.send(touch(x, y, down_first=x > 400))
        drag = record(3, 0x35, 700) + record(0, 0, 0)
        fifo.send(touch(100, 100)[:-48] + drag + record(1, 0x14A, 0) + record(0, 0, 0) + key(60, 1))
        assert [await next_press(port) for _ in range(4)] == ["outlet-1", "outlet-2", "outlet-2", "stop"]


@pytest.mark.parametrize("box", [[0, 0, 50], [50, 0, 50, 10], [0, 0, 101, 10], [0, 0, 0.5, 1]])
def test_fields_that_cannot_be(box: list[int]) -> None:
    (wrong,) = DRIVER.check(ButtonsSettings("x", {}, {"outlet-1": box}), WHERE)
    assert "fields.outlet-1: must be left, top, right, bottom in percent" in wrong


async def test_unknown_keys_tell_nothing(fifo: Fifo) -> None:
    async with opened(fifo) as port:
        fifo.send(key(500, 1) + key(60, 1))
        assert await next_press(port) == "stop"


async def test_gone_and_back_again(fifo: Fifo) -> None:
    async with opened(fifo) as port:
        fifo.send(key(59, 1))
        assert await next_press(port) == "language"
        fifo.close()
        for _ in range(2):
            with pytest.raises(Unreachable, match="tried again"):
                await next_press(port)
    fifo.fd = os.open(fifo.path, os.O_RDWR)
    async with opened(fifo) as port:
        fifo.send(key(60, 1))
        assert await next_press(port) == "stop"


async def test_wrong_devices_and_settings(tmp_path: Path) -> None:
    async def failing(path: str, keys: dict[str, int]) -> None:
        async with DRIVER.open(ButtonsSettings(path, keys), WHERE):
            pass

    plain = tmp_path / "plain"
    plain.touch()
    with pytest.raises(Broken, match="no input device"):
        await failing(str(plain), KEYS)
    with pytest.raises(Unreachable, match="No such file"):
        await failing(str(tmp_path / "none"), KEYS)
    for path, keys in (("", KEYS), ("x", {}), ("x", {"a": 0}), ("x", {"a": 5, "b": 5}), ("x", {"a": "5"})):
        assert len(DRIVER.check(ButtonsSettings(path, keys), WHERE)) == 1  # type: ignore[arg-type]
        with pytest.raises(Broken):
            await failing(path, keys)  # type: ignore[arg-type]
