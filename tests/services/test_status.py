"""The status socket: bounded in memory, patient with a slow watcher, cut only above the cap."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from agent.services import status as module
from agent.services.status import FRAME_BYTES, RING_BYTES, StatusSocket
from tests.support.busy_machine import stretched


def opened(path: Path, picture=dict) -> StatusSocket:
    return StatusSocket(path, picture, lambda: None)


async def lines(reader: asyncio.StreamReader, until: str = "picture") -> list[dict]:
    heard = []
    while not heard or heard[-1]["type"] != until:
        line = await asyncio.wait_for(reader.readline(), stretched(10))
        assert line, "cut off"
        heard.append(json.loads(line))
    return heard


async def connect(path: Path):
    return await asyncio.open_unix_connection(str(path), limit=8 * 1024 * 1024)


async def test_a_frame_up_to_the_cap_is_exact_above_it_says_what_is_missing(tmp_path: Path):
    whole, long = "ä" * (FRAME_BYTES // 2), "ä" * FRAME_BYTES + "\ud800"
    async with opened(tmp_path / "s") as socket:
        socket.add_frame("in", "a", "1.6", whole)
        socket.add_frame("in", "a", "1.6", long)
        reader, writer = await connect(tmp_path / "s")
        first, second, _ = await lines(reader)
        writer.close()
    assert first["frame"] == whole
    assert second["frame"].startswith("ä" * (FRAME_BYTES // 2 - 10))
    assert len(second["frame"].encode()) < FRAME_BYTES + 100
    assert second["frame"].endswith(" bytes cut]")
    cut = int(second["frame"].rsplit("[", 1)[1].split()[0])
    assert abs(cut - FRAME_BYTES) < 20


async def test_the_ring_is_bounded_in_bytes_and_keeps_the_newest(tmp_path: Path):
    async with opened(tmp_path / "s") as socket:
        for n in range(1500):
            socket.add_frame("in", "a", "1.6", f"{n} " + "y" * FRAME_BYTES)
        assert sum(len(line) for line in socket.frame_lines) <= RING_BYTES
        reader, writer = await connect(tmp_path / "s")
        heard = await lines(reader)
        writer.close()
    numbers = [h["n"] for h in heard[:-1]]
    assert numbers == list(range(numbers[0], 1501))
    assert len(numbers) > 200


async def test_a_new_watcher_of_a_long_ring_is_not_cut_off(tmp_path: Path, monkeypatch):
    """The ring itself must not count as a backlog."""
    monkeypatch.setattr(module, "BACKLOG_BYTES", 300_000)
    async with opened(tmp_path / "s") as socket:
        for n in range(200):
            socket.add_frame("in", "a", "1.6", f"{n} " + "y" * 10_000)
        reader, writer = await connect(tmp_path / "s")
        first = json.loads(await asyncio.wait_for(reader.readline(), stretched(10)))
        for n in range(20):  # the traffic goes on while the watcher is still reading the past
            socket.add_frame("in", "a", "1.6", f"late {n}")
            await asyncio.sleep(0)
        heard = [first, *await lines(reader)]
        socket.add_frame("in", "a", "1.6", "last")
        while heard[-1].get("n") != 221:
            heard += await lines(reader, "frame")
        writer.close()
    assert [h["n"] for h in heard if h["type"] == "frame"] == list(range(1, 222))


async def test_a_watcher_that_never_reads_costs_little_and_stops_no_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "BACKLOG_BYTES", 300_000)
    async with opened(tmp_path / "s") as socket:
        _, lazy = await asyncio.open_unix_connection(str(tmp_path / "s"))  # takes little by itself
        reader, writer = await connect(tmp_path / "s")
        await lines(reader)
        for n in range(300):
            socket.add_frame("in", "a", "1.6", f"{n} " + "y" * 10_000)
            await lines(reader, "frame")
        assert len(socket._clients) == 1
        writer.close()
        lazy.close()


async def test_a_newcomer_does_not_keep_a_change_from_the_others(tmp_path: Path):
    now = {"x": 1}
    async with opened(tmp_path / "s", lambda: dict(now)) as socket:
        reader, writer = await connect(tmp_path / "s")
        assert (await lines(reader))[-1]["x"] == 1
        now["x"] = 2
        socket.mark_changed()
        newcomer, other = await connect(tmp_path / "s")
        assert (await lines(newcomer))[-1]["x"] == 2
        assert (await lines(reader))[-1]["x"] == 2
        writer.close()
        other.close()


async def test_a_frame_may_have_changed_what_is_reported(tmp_path: Path):
    """A status leaves when the line is free, and nothing else happens then."""
    now = {"told": "Finishing"}
    async with opened(tmp_path / "s", lambda: dict(now)) as socket:
        reader, writer = await connect(tmp_path / "s")
        await lines(reader)
        now["told"] = "Available"
        socket.add_frame("out", "a", "1.6", "[2,...]")
        assert [h["type"] for h in await lines(reader)] == ["frame", "picture"]
        writer.close()


async def test_who_asks_for_the_picture_gets_the_present_one_and_what_is_due_is_reported_all_the_same(tmp_path: Path):
    """An answer of the backend is a change that is seen only when it is on disk: after the frame, which said so."""
    now = {"queue": 0}
    async with opened(tmp_path / "s", lambda: dict(now)) as socket:
        reader, writer = await connect(tmp_path / "s")
        await lines(reader)
        now["queue"] = 1
        socket.add_frame("in", "a", "1.6", "[3,...]")
        writer.write(b'{"ask": "picture"}\n')
        heard = await lines(reader, "answer")
        assert [h["type"] for h in heard] == ["frame", "picture", "answer"]
        assert heard[1]["queue"] == 1
        now["queue"] = 0
        assert (await lines(reader))[-1]["queue"] == 0
        writer.close()


async def test_who_asks_and_never_reads_costs_little(tmp_path: Path):
    asked = 0

    async def answer(question):
        nonlocal asked
        asked += 1
        return {"letters": "x" * 100_000}

    async with StatusSocket(tmp_path / "s", dict, lambda: None, {"dead": answer}):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1000)
        writer.write(b'{"ask": "dead"}\n' * 500)
        before = -1
        while asked != before:
            before = asked
            for _ in range(200):
                await asyncio.sleep(0)
        assert asked < 100, "50 MB of answers would wait"
        writer.close()


async def test_who_ends_its_side_and_never_reads_keeps_no_memory(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_S", 0.2)
    async with opened(tmp_path / "s") as status:
        before = set(asyncio.all_tasks())
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"), limit=1000)
        await polled(lambda: status._clients)
        (served,) = status._clients
        for _ in range(100):
            status.add_frame("in", "a", "1.6", "y" * FRAME_BYTES)
        assert served.transport.get_write_buffer_size() > 500_000
        writer.write_eof()
        await polled(lambda: set(asyncio.all_tasks()) <= before and served.transport.get_write_buffer_size() == 0)
        writer.close()


async def polled(true):
    async with asyncio.timeout(stretched(10)):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_change_back_to_what_an_earlier_watcher_was_sent_is_sent(tmp_path: Path):
    now = {"x": 1}
    async with opened(tmp_path / "s", lambda: dict(now)) as socket:
        reader, writer = await connect(tmp_path / "s")
        await lines(reader)
        now["x"] = 2
        socket.mark_changed()
        assert (await lines(reader))[-1]["x"] == 2
        writer.close()
        while socket._clients:
            await asyncio.sleep(0)
        now["x"] = 3
        socket.mark_changed()
        reader, writer = await connect(tmp_path / "s")
        assert (await lines(reader))[-1]["x"] == 3
        now["x"] = 2
        writer.write(b'{"v": 1, "type": "ask", "ask": "picture"}\n')
        assert (await lines(reader))[0]["x"] == 2
        writer.close()
