"""kill -9 while a full local list is written: afterwards the old one or the new one is there, never a mixture."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from pathlib import Path

from agent.domain.blocks.local_auth_list import LocalAuthListBlock
from agent.domain.events import Started
from agent.domain.evse import EvseRecord, StationState
from agent.domain.functional_block import Blocks
from agent.domain.variables import Settings
from agent.model.types import Moment, Stamp
from agent.services.store.store import Store
from tests.support.busy_machine import stretched

ENTRIES = 400
WRITER = f"""
import asyncio, itertools, sys
from pathlib import Path
from agent.domain.requests import SendLocalListRequest
from agent.domain.functional_block import Blocks
from agent.domain.blocks.local_auth_list import LocalAuthListBlock
from agent.domain.events import RequestReceived, Started
from agent.domain.evse import EvseRecord, StationState
from agent.domain.variables import Settings
from agent.model.types import AuthorizationStatus, Verdict
from agent.services.clock import Clock
from agent.services.devices.dispatch import OrderDispatch
from agent.services.engine import Engine
from agent.services.event_queue import EventQueue
from agent.services.store.store import Store

class Backend:
    def respond(self, order): print(self.version, order.status, flush=True)

async def main():
    store = await Store.open(Path(sys.argv[1]))
    site = StationState({{1: EvseRecord(1)}}, Settings())
    events, backend = EventQueue(), Backend()
    blocks, dispatch = Blocks([LocalAuthListBlock(site)]), OrderDispatch(events.post_event)
    engine = Engine(events, blocks, store, Clock({{}}), {{"chargy": backend}}, dispatch)
    await engine.handle_event(Started(await store.read_facts()))
    for backend.version in itertools.count(site.local_list.version + 1):
        verdict = Verdict(AuthorizationStatus.ACCEPTED, str(backend.version))
        first = backend.version * 200  # half of the cards of the last list are on the next one too
        entries = tuple((f"CARD{{n}}", verdict) for n in range(first, first + {ENTRIES}))
        await engine.handle_event(RequestReceived("chargy", "1", SendLocalListRequest(backend.version, True, entries)))

asyncio.run(main())
"""


async def _killed(path: Path, after_s: float) -> list[str]:
    """What the writer has promised before it was killed, so long after its second promise."""
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    said = [await asyncio.wait_for(writer.stdout.readline(), stretched(60)) for _ in range(2)]
    began = time.monotonic()
    while (left_s := began + after_s - time.monotonic()) > 0:
        try:
            said.append(await asyncio.wait_for(writer.stdout.readline(), left_s))
        except TimeoutError:
            break
    writer.send_signal(signal.SIGKILL)
    said += (await writer.stdout.read()).splitlines(keepends=True)
    await writer.wait()
    return [line.decode().strip() for line in said if line.endswith(b"\n")]  # the last one may be half a line


async def test_the_old_list_or_the_new_one(tmp_path: Path) -> None:
    path, draw = tmp_path / "agent.db", random.Random(46)
    for _ in range(4):
        said = await _killed(path, draw.uniform(0.0, 0.08))
        assert {line.split()[1] for line in said} == {"Accepted"}
        promised = int(said[-1].split()[0])
        store = await Store.open(path)
        facts = await store.read_facts()
        await store.close()
        site = StationState({1: EvseRecord(1)}, Settings())
        Blocks([LocalAuthListBlock(site)]).handle_event(Started(facts), Moment(Stamp(1, 1.0)))
        ours = site.local_list
        assert ours.version in (promised, promised + 1)  # durable before it is promised
        assert {v.group for v in ours.entries.values()} == {str(ours.version)}
        assert ours.entries.keys() == {f"card{n}" for n in range(ours.version * 200, ours.version * 200 + ENTRIES)}
