"""The programs of the benches fit the agent: a figure that cannot be had is noticed only by who wants it."""

from __future__ import annotations

from tests.bench.backend import open_backend
from tests.bench.exchange import EXCHANGING
from tests.bench.process import spawned


async def test_the_link_alone_tells_its_values() -> None:
    async with open_backend() as backend, spawned([*EXCHANGING, f"ws://127.0.0.1:{backend.port}/LINK", "3"]) as child:
        try:
            await backend.wait_heard("MeterValues", 3)
        except TimeoutError:
            raise AssertionError(child.why()) from None
