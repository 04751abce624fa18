"""The backend side of a run: the independent test central system, within this process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent.csms.central_system import Central, Options, open_central
from agent.csms.errors import NotConnected
from agent.scenario.frames import FrameLog
from agent.scenario.operations import build_payload
from agent.scenario.target import CannotCarryOut, CheckFailed
from agent.scenario.versions import find_operation_form

ANSWER_WITHIN_S = 30.0
SILENCE_S = 15.0
EURO_PER_KWH = 0.45
"""Euro per kWh at the payment page that QR codes lead to."""


class CentralBackend:
    """``station_id``: the station that is watched; "" takes the first one that connects."""

    def __init__(self, central: Central, station_id: str = "", frames: FrameLog | None = None) -> None:
        self.station_id, self._central = station_id, central
        self.frames = FrameLog() if frames is None else frames
        central.on_frame, central.on_connection = self._note_frame, self._note_connection

    @property
    def listening_port(self) -> int:
        return self._central.port

    async def send_request(self, action: str, payload: Mapping[str, Any], patience_s: float) -> dict[str, Any]:
        await self._wait_until_connected(patience_s)
        try:
            return await self._central.send_command(self.station_id, action, dict(payload))
        except (NotConnected, ValueError) as e:
            raise CannotCarryOut(f"{action} cannot be sent: {e}") from e
        except TimeoutError:
            raise CheckFailed(f"{action} was not answered within {self._central.options.answer_within_s:g} s") from None

    async def wait_for_station(self, patience_s: float, silence_s: float = SILENCE_S) -> None:
        """Wait until the station has connected and reported a status. Raises ``CannotCarryOut``.

        A station that has reported everything to another backend may be silent; after ``silence_s`` it is asked.
        """
        await self._wait_until_connected(patience_s)
        if not await self._wait_for_status(min(silence_s, patience_s)):
            await self._trigger_status()
        if not await self._wait_for_status(patience_s):
            raise CannotCarryOut(f"{self.station_id} has not reported the status of an outlet")

    async def _wait_until_connected(self, patience_s: float) -> None:
        end_s = time.monotonic() + patience_s
        while not self.frames.connected:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                name = self.station_id or "a station"
                raise CannotCarryOut(f"{name} is not connected to port {self.listening_port}, after {patience_s:g} s")
            await self.frames.wait_for_change(left_s)

    async def _wait_for_status(self, patience_s: float) -> bool:
        """Wait for a StatusNotification: a station sends it once its boot is accepted. Returns whether it came."""
        end_s = time.monotonic() + patience_s
        while not any(f.action == "StatusNotification" and f.from_station for f in self.frames.frames):
            if (left_s := end_s - time.monotonic()) <= 0:
                return False
            await self.frames.wait_for_change(left_s)
        return True

    async def _trigger_status(self) -> None:
        """Ask the station for its status. One that cannot be asked may still report it by itself."""
        form = find_operation_form(self.frames.version, "trigger")
        if form is not None:
            payload = build_payload("trigger", {"message": "StatusNotification", "evse": 1, "connector": 1}, form)
            with contextlib.suppress(CannotCarryOut, CheckFailed):
                await self.send_request(form.action, payload, 0.0)

    def _note_frame(self, station: str, received: bool, version: str, text: str) -> None:
        if station == self.station_id:
            self.frames.add_text(received, version, text)

    def _note_connection(self, station: str, connected: bool, version: str) -> None:
        self.station_id = self.station_id or station
        if station == self.station_id:
            self.frames.set_connection(connected, version)


@contextlib.asynccontextmanager
async def open_backend(
    host: str, port: int, station_id: str = "", speed: float = 1.0, versions: tuple[str, ...] = (),
    passwords: dict[str, str] | None = None, frames: FrameLog | None = None, first_transaction_id: int = 0,
) -> AsyncIterator[CentralBackend]:  # fmt: skip
    """Open a listening central system. ``frames``: the log of a conversation that is continued; numbers of new
    transactions are not below ``first_transaction_id`` then. Raises ``OSError`` if the address cannot be used."""
    options = Options(
        host, port, passwords or {}, accept_all=True, answer_within_s=ANSWER_WITHIN_S, quiet=True, pay=EURO_PER_KWH,
        clock_rate=speed, clock_apart=speed != 1.0, versions=versions,
    )  # fmt: skip
    async with open_central(options) as central:
        central.ledger.first_id = max(first_transaction_id, central.ledger.first_id)
        yield CentralBackend(central, station_id, frames)
