"""The tower's language, and its translation to the port of a lamp (``agent.ports.lamp``)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agent.model.types import Lamp, Light
from agent.ports import Garbled, Unreachable

if TYPE_CHECKING:
    from acme_tower import TowerSettings


@contextlib.asynccontextmanager
async def connected_tower(settings: TowerSettings) -> AsyncIterator[Tower]:
    """Yield the tower, dark; it is dark again at the end. Raises ``Unreachable``."""
    try:
        async with asyncio.timeout(settings.timeout_s):
            reader, writer = await asyncio.open_connection(settings.host, settings.port)
    except OSError as e:  # TimeoutError is one
        raise Unreachable(f"acme_tower: {settings.host} port {settings.port}: {e or 'no answer'}") from e
    tower = Tower(reader, writer, settings.timeout_s)
    try:
        await tower.show(Light(Lamp.OFF))
        yield tower
    finally:
        with contextlib.suppress(Unreachable, Garbled):
            await tower.show(Light(Lamp.OFF))
        writer.close()


class Tower:
    """``LampPort`` over a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader, self._writer, self._timeout_s = reader, writer, timeout_s

    async def show(self, light: Light) -> None:
        """Show a light. Raises ``Unreachable``, ``Garbled``."""
        try:
            async with asyncio.timeout(self._timeout_s):
                self._writer.write(f"{light.lamp.value.upper()} {light.percent}\n".encode())
                answer = await self._reader.readline()
        except OSError as e:
            raise Unreachable(f"acme_tower: {e or 'no answer'}") from e
        if not answer:
            raise Unreachable("acme_tower: the tower has closed the connection")
        if answer != b"OK\n":
            raise Garbled(f"acme_tower: answers {answer[:40]!r}")
