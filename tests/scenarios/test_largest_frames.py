"""The largest frame of each kind that a backend may send costs the agent's event loop at most 100 ms, and ends nothing.

A real agent on a real WebSocket; inside of it the processor time of each turn of its loop is measured. A longer time
is measured again, up to three times: a machine that is busy with others makes work slower, never quicker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.large_frames import LENGTH, others, raw, requests
from tests.support.loop_hold import LoopHold, measured
from tests.support.simulated_station import Simulated
from tests.support.station_rig import Backend, station_text

HELD_S = 0.1
SAMPLES = 3


@dataclass
class Sender(Backend):
    """``answered``: ids of its CALLs, in the order in which they were answered. ``sent``: ids of the station's."""

    answered: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    async def _answer(self, connection: Any, id_: str, action: str, payload: dict[str, Any]) -> None:
        self.sent.append(id_)
        await super()._answer(connection, id_, action, payload)

    async def send(self, content: str | bytes, is_raw: bool = False) -> None:
        connection = list(self._connections)[-1]
        if is_raw:
            connection.transport.write(content)
        else:
            await connection.send(content)

    async def exchanged(self) -> None:
        """All that was sent before has been worked on."""
        answer = await self.call("GetLocalListVersion", {}, 120.0)
        assert answer[0] == 3, answer


async def longest_s(csms: Sender, hold: LoopHold, content: str | bytes, is_raw: bool = False) -> float:
    found = []
    for _ in range(SAMPLES):
        hold.reset()
        await csms.send(content, is_raw)
        await csms.exchanged()
        found.append(hold.read()[0])
        if found[-1] < HELD_S:
            break
    return min(found)


def all_of(version: str, id_: str) -> Iterator[tuple[str, str | bytes, bool]]:
    yield from ((f"CALL: {kind}", text, False) for kind, text in requests(version, "$$$$$"))
    yield from ((kind, content, False) for kind, content in others(id_))
    yield from ((f"raw: {kind}", content, True) for kind, content in raw())


@pytest.mark.parametrize("version", ["1.6", "2.0.1"])
async def test_the_largest_frame_of_each_kind(version: str, tmp_path: Path) -> None:
    text = station_text(2, backend=f'versions = ["{version}"]')
    with measured(tmp_path) as hold:
        async with Sender(speaks=(version,)) as csms, Simulated(tmp_path, text, csms.url, 20.0) as station:
            picture = await station.until(lambda p: p["backend"]["boot"] == "Accepted" and p["agent"]["up"])
            await csms.exchanged()
            held = {}
            for number, (kind, content, is_raw) in enumerate(all_of(version, csms.sent[0])):
                if isinstance(content, str):
                    content = content.replace("$$$$$", f"n{number:04}")
                    assert len(content.encode()) <= LENGTH
                held[kind] = await longest_s(csms, hold, content, is_raw)
            assert (await station.picture())["agent"]["pid"] == picture["agent"]["pid"]
            assert len(csms._connections) == 1
            answers = [json.loads(text) for way, text in csms.frames if way == "in"]
    assert {kind: s for kind, s in held.items() if s > HELD_S} == {}
    for number, kind in enumerate(k for k in held if k.startswith("CALL: ")):
        said = [a for a in answers if a[0] in (3, 4) and a[1] == f"n{number:04}"]
        assert len(said) >= 1, kind
        assert all(a == said[0] for a in said), kind
        assert "InternalError" not in said[0], kind


async def test_a_message_beyond_the_limit_costs_the_connection_alone(tmp_path: Path) -> None:
    async with Sender() as csms, Simulated(tmp_path, station_text(), csms.url, 20.0) as station:
        picture = await station.until(lambda p: p["backend"]["boot"] == "Accepted" and p["agent"]["up"])
        (connection,) = csms._connections
        await csms.send("x" * (LENGTH + 1))
        await connection.wait_closed()
        assert connection.close_code == 1009
        await csms.exchanged()
        assert (await station.picture())["agent"]["pid"] == picture["agent"]["pid"]
