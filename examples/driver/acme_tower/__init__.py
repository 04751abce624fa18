"""The lamp of a signal tower that takes lines of text over TCP: ``GREEN 50``, answered by ``OK``.

This file is imported at every start of a station that has the driver, so what it needs is imported where it is opened.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.model.key_rules import HostName, Seconds, TcpPort
from agent.ports.driver import Driver, Where
from agent.ports.lamp import LampPort


@dataclass(frozen=True, slots=True)
class TowerSettings:
    """The keys of ``[evse.lamp]`` in the station file, each with its type, its range and perhaps a default."""

    host: HostName
    port: TcpPort = 4100
    timeout_s: Seconds = 1.0


@asynccontextmanager
async def open_tower(settings: TowerSettings, where: Where) -> AsyncIterator[LampPort]:
    from acme_tower.tower import connected_tower

    async with connected_tower(settings) as tower:
        yield tower


DRIVER = Driver("acme_tower", "lamp", TowerSettings, open_tower)
