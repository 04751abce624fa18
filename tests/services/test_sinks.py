"""Alerts to files and to a real MQTT broker: bounded, each on its own, without names of drivers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import MeterSampled, Sample, SecurityHappened, TransactionStarted
from agent.model.fastclass import replace
from agent.model.types import Reading, ReadingContext, SignedReading, Stamp, Token
from agent.services.clock import Clock
from agent.services.sinks.mqtt import open_connection
from agent.services.sinks.sinks import FileConnection, Sink, SinkError, Sinks
from agent.station_file.settings import SettingsError, SinkTable, parse_station_file
from drivers.sim.mqtt import Broker as SimBroker
from tests.support.busy_machine import deadline
from tests.support.simulated_station import held_port

AT = Stamp(1, 10.0)


class Far:
    """A far side that takes lines, or not."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.lines: list[str] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def opened(self) -> Far:
        if not self.takes.is_set():
            raise SinkError("away")
        return self

    async def send_line(self, kind: str, line: str) -> None:
        if not self.takes.is_set():
            raise SinkError("away")
        self.lines.append(line)

    async def close(self) -> None:
        pass


@contextlib.asynccontextmanager
async def at_work(*sinks: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(s.run()) for s in sinks]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(what: Callable[[], Any]) -> None:
    async with deadline(30):
        while not what():
            await asyncio.sleep(0.01)


async def test_in_order_and_after_a_break_nothing_is_missing() -> None:
    far = Far()
    sink = Sink("x", 100, far.opened, retry_s=0.01)
    async with at_work(sink):
        sink.put_line("A", "1")
        await until(lambda: far.lines == ["1"])
        far.takes.clear()
        for n in "234":
            sink.put_line("A", n)
        await until(lambda: not sink.up)
        far.takes.set()
        await until(lambda: far.lines == ["1", "2", "3", "4"])
    assert (sink.queued_count, sink.dropped) == (0, 0)


async def test_what_does_not_fit_is_counted_and_the_newest_is_kept() -> None:
    far = Far()
    far.takes.clear()
    sink = Sink("x", 3, far.opened, retry_s=0.01)
    async with at_work(sink):
        for n in range(10):
            sink.put_line("A", str(n))
        assert (sink.queued_count, sink.dropped) == (3, 7)
        far.takes.set()
        await until(lambda: far.lines == ["7", "8", "9"])


async def test_one_that_hangs_delays_no_other() -> None:
    far, hung = Far(), asyncio.Event()

    async def never() -> Far:
        await hung.wait()
        return far

    stuck, good = Sink("stuck", 5, never), Sink("good", 5, far.opened)
    async with at_work(stuck, good):
        for sink in (stuck, good):
            sink.put_line("A", "1")
        await until(lambda: far.lines == ["1"])
        assert stuck.queued_count == 1


async def test_a_file_turns_over_and_stays_small(tmp_path: Path) -> None:
    outlet = FileConnection(tmp_path / "alerts.jsonl", max_mb=0.002)
    for n in range(100):
        await outlet.send_line("A", json.dumps({"n": n, "pad": "x" * 50}))
    kept = [tmp_path / "alerts.jsonl.1", tmp_path / "alerts.jsonl"]
    assert sum(f.stat().st_size for f in kept) <= 2000
    lines = [json.loads(line)["n"] for f in kept for line in f.read_text().splitlines()]
    assert lines == list(range(lines[0], 100))
    (tmp_path / "no").write_text("")
    with pytest.raises(SinkError, match="Not a directory"):
        await FileConnection(tmp_path / "no" / "alerts", 1).send_line("A", "x")


def table(**keys: Any) -> SinkTable:
    return parse_station_file({"evse": [{"number": 1}], "sinks": [{"name": "s", **keys}]}, Path("station.toml")).sinks[
        0
    ]


async def test_no_one_is_named(tmp_path: Path) -> None:
    """Tokens and signed records stay here; a start of a transaction is no alert."""
    path = tmp_path / "alerts"
    sinks = Sinks([table(path=str(path))], "CP-1", Clock({}, 1.0, rtc=lambda: 0.0))
    reading = Reading(at=AT, energy_wh=1234, signed=SignedReading("OCMF", "OCMF|04AABBCC|x"))
    async with at_work(sinks):
        await until(lambda: sinks.sinks[0].up)
        sinks.accept_message(TransactionStarted("s", 1, Token("04AABBCC"), AT, 1))
        sinks.accept_message(
            MeterSampled("s", 1, (Sample(ReadingContext.PERIODIC, reading, ("Power.Active.Import",)),))
        )
        sinks.accept_message(SecurityHappened("TamperDetectionActivated", AT, "door"))
        logging.getLogger("agent.x").warning("board: %s", "silent")
        await until(lambda: path.exists() and path.read_text().count("\n") == 3)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in lines] == ["MeterSampled", "SecurityHappened", "Log"]
    assert lines[0]["samples"][0]["reading"]["energy_wh"] == 1234
    assert lines[1]["info"] == "door"
    assert lines[2]["text"] == "board: silent"
    assert "04AABBCC" not in path.read_text()


async def test_what_no_encoding_has_ends_no_sink(tmp_path: Path) -> None:
    """A backend may send half of a surrogate pair, and a warning may repeat it."""
    path = tmp_path / "alerts"
    sinks = Sinks([table(path=str(path))], "CP-1", Clock({}, 1.0, rtc=lambda: 0.0))
    async with at_work(sinks):
        await until(lambda: sinks.sinks[0].up)
        # Handed to the sinks alone: what the runner captures must itself cross a process boundary as UTF-8.
        sinks.handle(logging.makeLogRecord({"name": "agent.x", "levelno": logging.WARNING, "msg": "odd: \ud800"}))
        logging.getLogger("agent.x").warning("after it")
        await until(lambda: path.exists() and "after it" in path.read_text())
    assert "\\ud800" in path.read_text()


@pytest.mark.parametrize(
    ("file", "content"),
    [("ca", b"no certificate"), ("ca", None), ("password_file", b"\xff\xfe"), ("password_file", None)],
)
async def test_files_that_are_no_use_are_a_trouble_of_the_sink(
    tmp_path: Path, file: str, content: bytes | None
) -> None:
    from agent.services.sinks.mqtt import open_connection

    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    far = table(kind="mqtt", host="127.0.0.1", port=1, **{file: str(path)})
    with pytest.raises(SinkError, match=file):
        await open_connection(far, "CP-1")


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({}, "path: is missing"),
        ({"kind": "mqtt"}, "host: is missing"),
        ({"kind": "syslog"}, "must be one of 'file', 'mqtt'"),
        ({"path": "x", "queue": 0}, "queue: must be 1 to 100000"),
        ({"kind": "mqtt", "host": "h", "topic": "a/#"}, "topic: must be a topic for alerts"),
        ({"kind": "mqtt", "host": "h", "topic": "x" * 300}, "topic: must have at most 200"),
    ],
)
def test_a_table_that_cannot_be(keys: dict[str, Any], wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong):
        table(**keys)


@pytest.mark.parametrize("host", ["a" * 253, "a..b"])
async def test_a_broker_that_cannot_be_ends_no_agent(host: str) -> None:
    """The station file refuses such a host; the connection does not depend on that."""
    with pytest.raises(SinkError):
        await open_connection(replace(table(kind="mqtt", host="127.0.0.1"), host=host), "CP-1")


@pytest.mark.parametrize("station", ["LU*CHY#1", "CP+1", "a/b", "CP \u00e9"])
async def test_any_station_has_a_topic(station: str) -> None:
    far, heard = SimBroker(), list[str]()
    far.attach_subscriber("#", lambda topic, data: heard.append(topic))
    await far.start()
    outlet = await open_connection(table(kind="mqtt", host="127.0.0.1", port=far.port), station)
    await outlet.send_line("Log", "{}")
    await outlet.close()
    await far.close()
    begin = f"chargy/{station.replace('#', '-').replace('+', '-')}"
    assert heard[:3] == [f"{begin}/online", f"{begin}/Log", f"{begin}/online"]


# --- a real broker ---------------------------------------------------------------------------------------------------

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@pytest.fixture
def port() -> Iterator[int]:
    with held_port() as port:
        yield port


@contextlib.asynccontextmanager
async def broker(folder: Path, port: int) -> AsyncIterator[None]:
    assert BROKER
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    child = await asyncio.create_subprocess_exec(BROKER, "-c", str(file), stderr=asyncio.subprocess.DEVNULL)
    try:
        async with deadline(30):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        yield
    finally:
        child.kill()
        await child.wait()


@pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")
async def test_alerts_reach_a_broker_and_wait_while_it_is_away(tmp_path: Path, port: int) -> None:
    import aiomqtt

    heard: list[tuple[str, str]] = []
    sinks = Sinks(
        [table(kind="mqtt", host="127.0.0.1", port=port, topic="st/1")], "CP-1", Clock({}, 1.0, rtc=lambda: 0.0)
    )
    (sink,) = sinks.sinks
    sink._retry_s = 0.05

    async def listen() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            await client.subscribe("st/#", qos=1)
            heard.append(("ready", ""))
            async for message in client.messages:
                heard.append((str(message.topic), bytes(message.payload).decode()))  # noqa: PERF401  it never ends

    sinks.accept_message(SecurityHappened("A", AT))  # no subscriber is there yet
    async with at_work(sinks):
        async with broker(tmp_path, port):
            listener = asyncio.create_task(listen())
            await until(lambda: ("st/1/online", "true") in heard and sink.up)
            sinks.accept_message(SecurityHappened("B", AT))
            await until(lambda: any('"B"' in text for _, text in heard))
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
        await until(lambda: not sink.up or (not sinks.accept_message(SecurityHappened("C", AT)) and sink.queued_count))
        heard.clear()
        async with broker(tmp_path, port):
            listener = asyncio.create_task(listen())
            await until(lambda: ("ready", "") in heard)  # or it is sent before any subscriber listens
            sinks.accept_message(SecurityHappened("D", AT))
            await until(lambda: any('"D"' in text for _, text in heard))
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)
