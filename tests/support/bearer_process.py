"""The driver ``network_manager`` in a process of its own, so that it can be in a network namespace.

``python -m tests.support.bearer_process KEYS``: one order a line (``read_status``, ``bring_up``, ``take_down``,
``unlock_sim``, ``reset_bearer STEP``); the answer is a line of JSON: the state afterwards, or the error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agent.model.bearer import BearerStatus, ResetStep
from agent.model.fastclass import field_specs
from agent.model.pin_mark import make_pin_mark
from agent.ports import DeviceError
from agent.ports.bearer import BearerPort
from agent.ports.driver import StationFacts, Where
from drivers.network_manager import DRIVER
from drivers.network_manager.settings import NetworkManagerSettings
from tests.support.busy_machine import deadline
from tests.support.network_daemons import NetworkDaemons

Json = dict[str, Any]


async def _obey(port: BearerPort, words: list[str], pin: str) -> None:
    match words:
        case ["unlock_sim"]:
            await port.unlock_sim(make_pin_mark(pin))
        case ["reset_bearer", *step]:
            await port.reset_bearer(ResetStep(" ".join(step)))
        case [name]:
            await getattr(port, name)()


async def _serve(keys: Json) -> None:
    if "psk_file" in keys:
        keys["psk_file"] = Path(keys["psk_file"])
    settings = NetworkManagerSettings(**keys)
    where = Where(0, "bearer", lambda: (1, 0.0), (), StationFacts(number="CP-1"))
    try:
        async with DRIVER.open(settings, where) as port:
            while line := await asyncio.to_thread(sys.stdin.readline):
                answer: Json = {}
                try:
                    await _obey(port, line.split(), settings.pin)
                except DeviceError as e:
                    answer = {"error": type(e).__name__, "why": str(e)}
                print(json.dumps(answer | await _read(port)), flush=True)
    except DeviceError as e:
        print(json.dumps({"error": type(e).__name__, "why": str(e)}), flush=True)


async def _read(port: BearerPort) -> Json:
    try:
        status = await port.read_status()
    except DeviceError as e:
        return {"status_error": type(e).__name__, "status_why": str(e)}
    return {name: getattr(status, name) for name in field_specs(BearerStatus)}


class DrivenBearer:
    """The other side, for a test: orders to the process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, order: str = "read_status", within_s: float = 200) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.encode() + b"\n")
        async with deadline(within_s):
            line = await self._process.stdout.readline()
        assert line, f"the driver has ended ({self._process.returncode})"
        answer: Json = json.loads(line)
        return answer

    async def until(self, within_s: float = 60, **wanted: Any) -> Json:
        """Read the state until it is as wanted."""
        status: Json = {}
        try:
            async with deadline(within_s):
                while any(status.get(key) != value for key, value in wanted.items()) or not status:
                    await asyncio.sleep(0.2)
                    status = await self.do()
        except TimeoutError:
            raise AssertionError(f"wanted {wanted}, is {status}") from None
        return status


@asynccontextmanager
async def driven_bearer(daemons: NetworkDaemons, user: str = "", **keys: Any) -> AsyncIterator[DrivenBearer]:
    """The driver runs in the namespace of the station. ``user``: not as root."""
    words = (sys.executable, "-m", "tests.support.bearer_process", json.dumps(keys))
    async with daemons.inside(*words, user=user) as process:
        yield DrivenBearer(process)


def main() -> None:
    asyncio.run(_serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
