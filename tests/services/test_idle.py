"""An idle station sleeps: what counts is when its next timer is due, not how long a test waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from agent.assembly.station import Options, Station
from agent.services.store.store import Store
from agent.station_file.settings import parse_station_file
from tests.bench.backend import open_backend
from tests.support.busy_machine import stretched

QUIET_S = 5.0
"""0.2 wake-ups a second."""


def due_in_s() -> list[float]:
    """Seconds until each timer that is set in this event loop."""
    loop = asyncio.get_running_loop()
    timers = loop._scheduled  # type: ignore[attr-defined]  # no public list of them
    return sorted(t.when() - loop.time() for t in timers if not t.cancelled())


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(stretched(20)):  # a deadline that looks at the load would set timers of its own
        while not true():
            await asyncio.sleep(0.01)


async def test_a_connected_station_without_polled_devices_sets_no_timer_that_is_due_soon(tmp_path: Path) -> None:
    async with open_backend() as backend:
        raw = {
            "station": {"state_dir": "state", "status_socket": str(tmp_path / "s")},
            "backend": {"url": f"ws://127.0.0.1:{backend.port}"},
            "evse": [{"number": 1}],
        }
        file = parse_station_file(raw, tmp_path / "station.toml")
        store = await Store.open(file.station.state_dir / "agent.db", 1)
        station = Station(file, Options(), store, await store.read_facts())
        running = asyncio.create_task(station.run())
        await until(lambda: station.ready and all(link.is_up for link in station.links.values()))
        await backend.wait_heard("StatusNotification", 2)
        await until(
            lambda: all(wait_s > QUIET_S for wait_s in due_in_s())
        )  # one that comes again and again never lets it
        assert due_in_s(), "the heartbeat is due some day"
        station._request_exit(0)
        assert await running == 0
        await store.close()
