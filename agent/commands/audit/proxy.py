"""A recording proxy between a station and its real backend: both sides are heard, neither is changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.scenario.frames import FrameLog
from agent.scenario.station_proxy import StationProxy

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.asyncio.server import ServerConnection

NoteRecord = Callable[..., None]


class RecordingProxy(StationProxy):
    """``station_id``: the station that is recorded; "" takes the first one. Others pass, unrecorded."""

    def __init__(
        self, backend_url: str, frames: FrameLog, note_record: NoteRecord, station_id: str = "",
        trusted: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(backend_url, trusted)
        self.frames, self._note_record, self.station_id = frames, note_record, station_id
        self._recorded = 0
        """Connections of the recorded station: a new one may be there before the old one is gone."""

    def note_problem(self, kind: str, **data: Any) -> None:
        self._note_record(kind, **data)

    async def wait_for_station(self, patience_s: float, silence_s: float) -> bool:
        """Wait until the station is connected and has sent a status, or nothing for ``silence_s``. Returns whether it
        is connected."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not self.frames.connected:
                    await self.frames.wait_for_change(1.0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(silence_s):
                while not any(f.action == "StatusNotification" for f in self.frames.frames):
                    await self.frames.wait_for_change(1.0)
        return self.frames.connected

    async def pass_frames(self, connection: ServerConnection, onward: ClientConnection, station_id: str) -> None:
        self.station_id = self.station_id or station_id
        recorded, version = station_id == self.station_id, str(connection.subprotocol or "").removeprefix("ocpp")
        if recorded:
            self._recorded += 1
            self.frames.set_connection(True, version)
        try:
            async with asyncio.TaskGroup() as group:
                upward = group.create_task(self._pump_frames(connection, onward, recorded, True, version))
                downward = group.create_task(self._pump_frames(onward, connection, recorded, False, version))
                await asyncio.wait({upward, downward}, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.gather(onward.close(), connection.close())
        finally:
            if recorded:
                self._recorded -= 1
                self.frames.set_connection(self._recorded > 0)

    async def _pump_frames(
        self, source: Any, destination: Any, recorded: bool, from_station: bool, version: str
    ) -> None:
        """Pass frames on until one side has closed."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            async for raw in source:
                if recorded:
                    text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
                    self.frames.add_text(from_station, version, text)
                await destination.send(raw)
