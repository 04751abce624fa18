"""The simulated ModemManager and NetworkManager (``drivers.sim.network_services``) in their own process, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from agent.ports.bearer import BearerPort
from agent.ports.driver import StationFacts, Where
from drivers.network_manager import DRIVER
from drivers.network_manager.settings import NetworkManagerSettings
from tests.support.control_socket import Json, send_control_order, wait_for_control_socket


class SimulatedServices:
    """Its Wi-Fi interface and that of its modem are ``lo``, which is there on every machine and has an address."""

    def __init__(self) -> None:
        self._short = tempfile.TemporaryDirectory(prefix="nm-", dir="/tmp")
        self.control, self._bus = f"{self._short.name}/control", f"{self._short.name}/bus"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def bus_address(self) -> str:
        """For ``DBUS_SYSTEM_BUS_ADDRESS``."""
        return f"unix:path={self._bus}"

    async def up(self) -> None:
        words = ("--bus", self._bus, "--control", self.control, "--wifi", "lo", "--wwan", "lo")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "drivers.sim.network_services", *words
        )
        await wait_for_control_socket(self._process, self.control, "state")

    async def end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def down(self) -> None:
        await self.end()
        self._short.cleanup()

    async def do(self, what: str, **more: Any) -> Json:
        """The state afterwards."""
        return await send_control_order(self.control, what, **more)

    async def fault(self, name: str, on: bool = True) -> Json:
        return await self.do("fault", name=name, on=on)

    def opened(self, **keys: Any) -> contextlib.AbstractAsyncContextManager[BearerPort]:
        where = Where(0, "bearer", lambda: (1, 0.0), (), StationFacts(number="CP-1"))
        return DRIVER.open(NetworkManagerSettings(**{"register_s": 0.5, "connect_s": 20.0, **keys}), where)


@contextlib.asynccontextmanager
async def running_services() -> AsyncIterator[SimulatedServices]:
    services = SimulatedServices()
    await services.up()
    try:
        yield services
    finally:
        await services.down()
