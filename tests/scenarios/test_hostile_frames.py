"""Whatever a backend sends: the agent's process lives, each CALL with a readable id has exactly one answer, the event
loop is never held above 100 ms, and memory stays flat. A real agent, a real WebSocket, and a far end of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.busy_machine import stretched
from tests.support.hostile_frames import Content, HostileFrames
from tests.support.large_frames import LENGTH
from tests.support.loop_hold import LoopHold, measured
from tests.support.simulated_station import CAMPAIGN, Simulated
from tests.support.station_rig import Backend, station_text

PARTS = 2 if CAMPAIGN else 1
"""Each is a test of its own, so that ``make campaign ARGS=--resume`` goes on between them."""
FRAMES = 100_000 if CAMPAIGN else 1500
"""Of each part: 200,000 on each version in a campaign."""
BATCH = 250
HELD_S = 0.1
GROWTH_MIB = 6 if CAMPAIGN else 24
"""Of resident memory, from its peak in the third quarter to that in the last one. Until then the ring of frames and the
heap fill up (a parsed frame of 1 MiB is large); the sample is hardly warm."""
SEED = os.environ.get("CHARGY_CAMPAIGN_SEED", "20261128")


@dataclass
class Hostile(Backend):
    """Answers the station's CALLs, and now and then with nonsense, twice, or not at all. ``answers``: to its own CALLs,
    by their ids."""

    random: random.Random = field(default_factory=lambda: random.Random(SEED))
    answers: dict[str, list[str]] = field(default_factory=dict)
    station_sent: Callable[[str], None] = lambda id_: None

    async def _station(self, connection: Any) -> None:
        self._connections[connection] = None
        try:
            async for text in connection:
                message = json.loads(text)
                if message[0] == 2:
                    self.station_sent(message[1])
                    await self._say(connection, *message[1:])
                else:
                    self.answers.setdefault(message[1], []).append(str(text))
                    self.arrived(message[1])
        except ConnectionClosed:
            pass
        finally:
            self._connections.pop(connection, None)

    def arrived(self, id_: str) -> None:
        future = self._waiting.pop(id_, None)
        if future is not None and not future.done():
            future.set_result([id_])

    async def _say(self, connection: Any, id_: str, action: str, payload: dict[str, Any]) -> None:
        plain = {"BootNotification": self._BootNotification, "Heartbeat": self._Heartbeat}.get(action, self._nothing)
        good = json.dumps([3, id_, plain(id_, payload)])
        if action == "BootNotification" or self.random.random() > 0.2:
            await connection.send(good)
            return
        deep = "[" * self.random.randint(1, 10_000)
        for text in self.random.choice([
            (), (good, good), (f'[4,"{id_}","GenericError","",{{}}]',), (f'[3,"{id_}",[]]',), (f'[3,"{id_}"]', good),
            (f'[3,"{id_}",{{"x":{deep}{"]" * len(deep)}}}]', good), (f'[3,"{id_}",{{"\\ud800":1e999}}]',),
        ]):  # fmt: skip
            await connection.send(text)

    async def exchange(self, contents: list[Content]) -> None:
        """Send them. Returns when a request that was sent after them is answered: requests are served in order."""
        connection = list(self._connections)[-1]
        for content in contents:
            assert len(content) <= LENGTH, content[:100]
            await connection.send(content)
        self._asked += 1
        id_ = f"probe{self._asked}"
        future = self._waiting[id_] = asyncio.get_running_loop().create_future()
        await connection.send(f'[2,"{id_}","GetLocalListVersion",{{}}]')
        await asyncio.wait_for(future, stretched(120))


_DECODER = json.JSONDecoder()


def readable_id(content: Content) -> str | None:
    """Of what begins like a CALL: an array, the number 2, and an id of 1 to 255 characters."""
    if isinstance(content, bytes) or not content.lstrip().startswith("["):
        return None
    try:
        kind, end = _DECODER.raw_decode(inner := content.lstrip()[1:].lstrip())
        after = inner[end:].lstrip()
        id_, _ = _DECODER.raw_decode(after[1:].lstrip())
    except (ValueError, RecursionError):
        return None
    is_call = type(kind) is int and kind == 2 and after.startswith(",") and isinstance(id_, str)
    return id_ if is_call and 0 < len(id_) <= 255 else None


def is_json(text: str) -> bool:
    """Of a text with many brackets only these are judged, one by one: a parser would recurse."""
    if text.count("[") + text.count("{") < 500:
        try:
            json.loads(text, parse_constant=_no_number, parse_int=str)
        except ValueError:
            return False
        return True
    opened, inside, escaped = [], False, False
    for c in text:
        if inside:
            inside, escaped = escaped or c != '"', not escaped and c == "\\"
        elif c == '"':
            inside = True
        elif c in "[{":
            opened.append(c)
        elif c in "]}" and (not opened or opened.pop() + c not in ("[]", "{}")):
            return False
    return not opened and not inside


def _no_number(name: str) -> Any:
    raise ValueError(name)


@dataclass
class Judge:
    csms: Hostile
    hold: LoopHold
    wrong: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    async def batch(self, frames: list[tuple[str, Content]]) -> None:
        contents = [content for _, content in frames]
        self.csms.answers.clear()
        self.hold.reset()
        await self.csms.exchange(contents)
        self.answered(contents)
        held_s = self.hold.read()[0]
        for _ in range(2):
            if held_s <= HELD_S:
                break
            self.hold.reset()  # a machine that is busy with others makes work slower, never quicker
            await self.csms.exchange(contents)
            held_s = min(held_s, self.hold.read()[0])
        self.longest_s = max(self.longest_s, held_s)
        self.counts.update(kind for kind, _ in frames)
        self.counts["answers"] += sum(map(len, self.csms.answers.values()))

    def answered(self, contents: list[Content]) -> None:
        calls: dict[str, list[str]] = {}
        for content in contents:
            if (id_ := readable_id(content)) is not None:
                calls.setdefault(id_, []).append(str(content))
        for id_, texts in calls.items():
            answers = self.csms.answers.get(id_, [])
            must = [text for text in texts if is_json(text)]  # one that is cut off may be answered or not
            least = sum(1 for _ in itertools.groupby(must))
            if not least <= len(answers) <= len(texts):
                self.wrong.append(f"{len(answers)} answers to {len(texts)} CALLs {texts[0][:300]}")
            if len(set(texts)) == 1 and len(set(answers)) > 1:
                self.wrong.append(f"different answers to {texts[0][:300]}: {answers}"[:900])
            self.wrong += [f"{a[:200]} to {texts[0][:300]}" for a in answers if "InternalError" in a[:300]]


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_nothing_that_a_backend_sends_ends_or_holds_the_agent(
    version: str,
    part: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """200,000 hostile frames on each version: schema-shaped, deep up to 10,000, long up to the limit, repeated, late,
    binary. The process lives, each CALL with a readable id has exactly one answer, the event loop is never held above
    100 ms of processor time, resident memory does not grow."""
    frames = HostileFrames(version, f"{SEED}-{version}-{part}")
    backend = f'versions = ["{version}"]\ncall_timeout_s = 2'
    resident = []
    with measured(tmp_path) as hold:
        async with (
            Hostile(speaks=(version,), station_sent=frames.sent_by_station.append) as csms,
            Simulated(tmp_path, station_text(2, backend=backend), csms.url, 5.0) as station,
        ):
            before = await station.until(lambda p: p["agent"]["up"] and p["backend"]["boot"] == "Accepted")
            judge, process = Judge(csms, hold), psutil.Process(before["agent"]["pid"])
            for done in range(0, FRAMES, BATCH):
                await judge.batch([frames.draw() for _ in range(BATCH)])
                resident.append(process.memory_info().rss / 2**20)
                assert judge.wrong == [], judge.wrong[:5]
                if CAMPAIGN and done % 5000 == 0:
                    with capsys.disabled():
                        held = f"{judge.longest_s * 1e3:.0f} ms held, {resident[-1]:.0f} MiB"
                        print(f"\n{version} part {part}: {done} frames, {held}", end="", flush=True)
            after = await station.picture()
            assert [after["agent"][k] for k in ("pid", "restarts")] == [before["agent"]["pid"], 0], station.said()
            assert "please report" not in station.said()
    quarter = len(resident) // 4
    peaks_mib = [round(max(resident[n * quarter : (n + 1) * quarter]), 1) for n in range(4)]
    record_property("frames", FRAMES)
    record_property("longest_ms", round(judge.longest_s * 1e3, 1))
    record_property("peaks_mib", peaks_mib)
    record_property("kinds", dict(judge.counts))
    assert judge.longest_s <= HELD_S
    assert peaks_mib[3] - peaks_mib[2] <= GROWTH_MIB
