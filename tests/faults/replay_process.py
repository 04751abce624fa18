"""The link and the store of the agent, as a process that can be killed: ``python -m tests.faults.replay_process``
DATABASE URL VERSION. It sends what waits, and goes on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from agent.domain.variables import Settings
from agent.ocpp.dialects.dialect import Identity
from agent.ocpp.link import Link
from agent.ocpp.link_config import LinkConfig, LinkHooks, LinkPorts
from agent.ocpp.versions import build_dialects
from agent.services.store.store import Store
from agent.station_file.settings import Backend
from tests.bench.encoding import Clock


async def main(database: Path, url: str, version: str) -> None:
    store = await Store.open(database)
    quiet: Any = lambda *args: None  # noqa: E731
    backend = Backend(url=url, charge_point_id="CP-1", reconnect_s=0.1)
    await Link(
        LinkConfig(backend, build_dialects((version,)), (1, 2)),
        LinkHooks(quiet, lambda: Identity("Chargy", "Replay"), quiet),
        LinkPorts(store, Clock(), Settings()),
    ).run()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
