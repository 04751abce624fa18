"""A charge point that is not ours, on the `ocpp` package: one connector, and mistakes that can be planted.

It shares nothing with the agent. People act on it through a unix socket: a line ``[KIND, VALUES]`` of JSON for each
deed, answered by a line (``actuator_command`` makes the command that sends it). ``mistakes`` are names of this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocpp import v16, v201
from ocpp.routing import on
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.busy_machine import stretched

SENDER = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
s.sendall(('[\"' + sys.argv[2] + '\", ' + sys.argv[3] + ']\\n').encode()); \
said = s.makefile().readline().strip(); print(said); sys.exit({'done': 0, 'cannot': 3}.get(said, 1))"
SAMPLE_S = 0.05
FULL_W, STEP_WH = 11000, 20


def actuator_command(path: Path) -> str:
    """The command that passes a deed on to the charge point that listens at ``path``."""
    return f'{sys.executable} -S -c "{SENDER.replace(chr(34), chr(92) + chr(34))}" {path}'


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Outlet:
    """What stands in the street: a cable, a vehicle, a meter."""

    def __init__(self, mistakes: Collection[str]) -> None:
        self.mistakes = mistakes
        self.plugged, self.vehicle, self.charging = False, False, False
        self.meter_wh, self.limit_w = 100_000, FULL_W
        self.token, self.transaction, self.status = "", None, "Available"
        self.connected = True

    def has(self, mistake: str) -> bool:
        return mistake in self.mistakes


class Point16(v16.ChargePoint):
    """OCPP 1.6."""

    version = "1.6"

    def __init__(self, connection: Any, outlet: Outlet) -> None:
        super().__init__("FOREIGN-1", connection, response_timeout=stretched(5))
        self.outlet, self.settings = outlet, {"HeartbeatInterval": "300"}
        if outlet.has("core_only"):
            self.settings["SupportedFeatureProfiles"] = "Core, FirmwareManagement"
        self.work: set[asyncio.Task[Any]] = set()

    # --- the street --------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        if not self.outlet.has("says_nothing"):
            await self.call(v16.call.BootNotification("Foreign", "Point 1"))
            await self.tell(self.outlet.status)
        self.spawn(self.sample())

    def spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self.work.add(task)
        task.add_done_callback(self.work.discard)

    async def tell(self, status: str) -> None:
        self.outlet.status = status
        if status == "Charging" and self.outlet.has("sleeping_status"):
            return
        await self.call(v16.call.StatusNotification(1, "NoError", status, timestamp=now()))

    async def plug(self, values: dict[str, Any]) -> None:
        self.outlet.plugged = self.outlet.vehicle = True
        await self.tell("Preparing")
        if self.outlet.token:
            await self.start_charging(self.outlet.token)

    async def unplug(self, values: dict[str, Any]) -> None:
        self.outlet.vehicle = False
        if self.outlet.transaction is not None:
            await self.stop("EVDisconnected")
        if values.get("side") != "vehicle":
            self.outlet.plugged = False
            await self.tell("Available")

    async def tap(self, values: dict[str, Any]) -> None:
        token = values["tap"].lower() if self.outlet.has("lower_case_token") else values["tap"]
        if self.outlet.transaction is not None:
            await self.stop("Local")
            return
        if not self.outlet.has("no_authorize"):
            answer = await self.call(v16.call.Authorize(token))
            if answer.id_tag_info["status"] != "Accepted" and not self.outlet.has("starts_refused_card"):
                return
        self.outlet.token = token
        if self.outlet.plugged:
            await self.start_charging(token)

    async def start_charging(self, token: str) -> None:
        if self.outlet.has("no_start"):
            return
        answer = await self.call(v16.call.StartTransaction(1, token, self.outlet.meter_wh, now()))
        self.outlet.transaction, self.outlet.charging = answer.transaction_id, True
        await self.tell("Charging")

    async def stop(self, reason: str) -> None:
        number, self.outlet.transaction, self.outlet.charging = self.outlet.transaction, None, False
        self.outlet.token = ""
        if self.outlet.has("lost_stop"):
            return
        stop_wh = self.outlet.meter_wh
        stop_wh += round(stop_wh * 0.02) if self.outlet.has("energy_off_2_percent") else 0
        said = "Other" if self.outlet.has("wrong_reason") else reason
        await self.call(v16.call.StopTransaction(stop_wh, now(), number, reason=said))
        await self.tell("Finishing")

    async def sample(self) -> None:
        """Charge, and send readings."""
        while True:
            await asyncio.sleep(SAMPLE_S)
            if not self.outlet.charging:
                continue
            self.outlet.meter_wh += STEP_WH
            if not self.outlet.has("no_meter_values"):
                values = [
                    {"value": str(self.outlet.meter_wh), "unit": "Wh"},
                    {"value": str(self.outlet.limit_w / 1000), "measurand": "Power.Active.Import", "unit": "kW"},
                ]
                sample = [{"timestamp": now(), "sampled_value": values}]
                await self.call(v16.call.MeterValues(1, sample, self.outlet.transaction))

    # --- the backend -------------------------------------------------------------------------------------------------

    @on("RemoteStartTransaction")
    def remote_start(self, id_tag: str, **_: Any) -> Any:
        if self.outlet.has("refuses_remote_start"):
            return v16.call_result.RemoteStartTransaction("Rejected")
        self.outlet.token = id_tag
        if self.outlet.plugged:
            self.spawn(self.start_charging(id_tag))
        return v16.call_result.RemoteStartTransaction("Accepted")

    @on("TriggerMessage")
    def trigger_message(self, requested_message: str, **_: Any) -> Any:
        if requested_message == "StatusNotification":
            self.spawn(self.tell(self.outlet.status))
        return v16.call_result.TriggerMessage("Accepted")

    @on("RemoteStopTransaction")
    def remote_stop(self, transaction_id: int) -> Any:
        if transaction_id != self.outlet.transaction:
            return v16.call_result.RemoteStopTransaction("Rejected")
        self.spawn(self.stop("Remote"))
        return v16.call_result.RemoteStopTransaction("Accepted")

    @on("ChangeConfiguration")
    def change_configuration(self, key: str, value: str) -> Any:
        if key not in self.settings:
            return v16.call_result.ChangeConfiguration("NotSupported")
        if not self.outlet.has("forgets_settings"):
            self.settings[key] = value
        return v16.call_result.ChangeConfiguration("Accepted")

    @on("GetConfiguration")
    def get_configuration(self, key: list[str]) -> Any:
        known = [{"key": k, "readonly": False, "value": self.settings[k]} for k in key if k in self.settings]
        return v16.call_result.GetConfiguration(known, [k for k in key if k not in self.settings])

    @on("SetChargingProfile")
    def set_charging_profile(self, cs_charging_profiles: dict[str, Any], **_: Any) -> Any:
        limit_a = cs_charging_profiles["charging_schedule"]["charging_schedule_period"][0]["limit"]
        if not self.outlet.has("ignores_profile"):
            self.outlet.limit_w = round(limit_a * 3 * 230)
        return v16.call_result.SetChargingProfile("Accepted")

    @on("ClearChargingProfile")
    def clear_charging_profile(self, **_: Any) -> Any:
        self.outlet.limit_w = FULL_W
        return v16.call_result.ClearChargingProfile("Accepted")


class Point201(v201.ChargePoint):
    """OCPP 2.0.1: as much as a session takes."""

    version = "2.0.1"

    def __init__(self, connection: Any, outlet: Outlet) -> None:
        super().__init__("FOREIGN-1", connection, response_timeout=stretched(5))
        self.outlet, self.number, self.seq = outlet, 0, 0
        self.work: set[asyncio.Task[Any]] = set()

    spawn = Point16.spawn

    async def begin(self) -> None:
        await self.call(v201.call.BootNotification({"model": "Point 1", "vendor_name": "Foreign"}, "PowerUp"))
        await self.tell("Available")
        self.spawn(self.sample())

    async def tell(self, status: str) -> None:
        await self.call(v201.call.StatusNotification(now(), status, 1, 1))

    async def plug(self, values: dict[str, Any]) -> None:
        self.outlet.plugged = True
        await self.tell("Occupied")

    async def unplug(self, values: dict[str, Any]) -> None:
        if self.outlet.transaction is not None:
            await self.end("EVCommunicationLost", "EVDisconnected")
        if values.get("side") != "vehicle":
            self.outlet.plugged = False
            await self.tell("Available")

    async def tap(self, values: dict[str, Any]) -> None:
        if self.outlet.transaction is not None:
            await self.end("StopAuthorized", "Local")
            return
        token = {"id_token": values["tap"], "type": "ISO14443"}
        answer = await self.call(v201.call.Authorize(token))
        if answer.id_token_info["status"] == "Accepted":
            self.number, self.seq = self.number + 1, 0
            self.outlet.transaction = f"foreign-{self.number}"
            await self.event("Started", "Authorized", {"charging_state": "EVConnected"}, id_token=token)
            self.outlet.charging = True
            state = "EVConnected" if self.outlet.has("sleeping_status") else "Charging"
            await self.event("Updated", "ChargingStateChanged", {"charging_state": state})

    async def end(self, trigger: str, reason: str) -> None:
        self.outlet.charging = False
        if not self.outlet.has("lost_stop"):
            said = "Other" if self.outlet.has("wrong_reason") else reason
            await self.event("Ended", trigger, {"stopped_reason": said})
        self.outlet.transaction = None

    async def event(self, kind: str, trigger: str, info: dict[str, Any], **more: Any) -> None:
        value = {"value": float(self.outlet.meter_wh), "unit_of_measure": {"unit": "Wh"}}
        sample = {"timestamp": now(), "sampled_value": [value]}
        seq, self.seq = self.seq, self.seq + 1
        await self.call(v201.call.TransactionEvent(
            kind, now(), trigger, seq, {"transaction_id": self.outlet.transaction, **info}, meter_value=[sample],
            evse={"id": 1, "connector_id": 1}, **more,
        ))  # fmt: skip

    async def sample(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_S)
            if self.outlet.charging:
                self.outlet.meter_wh += STEP_WH
                if not self.outlet.has("no_meter_values"):
                    await self.event("Updated", "MeterValuePeriodic", {})


async def _act(point: Any, connection: Any, kind: str, values: dict[str, Any]) -> str:
    if kind == "link" and not point.outlet.has("never_disconnects"):
        point.outlet.connected = values["link"] != "down"
        if not point.outlet.connected:
            await connection.close()
        return "done"
    if not hasattr(point, kind):
        return "done" if kind == "link" else "cannot"
    await getattr(point, kind)(values)
    return "done"


@asynccontextmanager
async def foreign_charge_point(
    url: str, socket_path: Path, mistakes: Collection[str] = (), version: str = "1.6"
) -> AsyncIterator[Outlet]:
    """The charge point, connected to a backend; it connects again when a person brings its network back."""
    outlet = Outlet(mistakes)
    current: dict[str, Any] = {}

    async def follow_deeds(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind, values = json.loads(await reader.readline())
        said = await _act(current["point"], current["connection"], kind, values)
        writer.write(f"{said}\n".encode())
        await writer.drain()
        writer.close()

    async def stay_connected() -> None:
        while True:
            with contextlib.suppress(ConnectionClosed, OSError):
                if outlet.connected:
                    protocols: Any = [f"ocpp{version}"]
                    async with connect(f"{url}/FOREIGN-1", subprotocols=protocols, compression=None, proxy=None) as c:
                        await live(c)
            await asyncio.sleep(0.05)

    async def live(connection: Any) -> None:
        point = (Point16 if version == "1.6" else Point201)(connection, outlet)
        current.update(point=point, connection=connection)
        begin = asyncio.create_task(point.begin())
        try:
            await point.start()
        finally:
            for task in (begin, *point.work):
                task.cancel()

    server = await asyncio.start_unix_server(follow_deeds, str(socket_path))
    running = asyncio.create_task(stay_connected())
    try:
        yield outlet
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()
