"""A central system that deviates from the standard in everything that a profile can name, and takes offence at what it
does not know: with the profile a station gets on with it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.support.simulated_station import Simulated
from tests.support.station_rig import TIME_TO_PLUG_IN, Backend, Street, station_text

pytestmark = pytest.mark.asyncio(loop_scope="module")
PROFILE = """
about = "everything at once"
subprotocol_echo = "missing_is_first"
nulls = "are_absent"
unknown_fields = "are_ignored"
start_without_verdict = "is_accepted"
id_tag_case = "upper"
remote_start_asks = "never"
remote_start_connector_0 = "is_any"
suspended_told_as = "charging"
finishing_told_as = "preparing"
heartbeat = "always"
security_events = "kept_here"
fractions_of_seconds = false
transaction_data = false
charge_point_id_in_url = "plain"
"""
FRACTION = re.compile(r"\d\d:\d\d:\d\d\.\d")
UNKNOWN = {"SuspendedEV", "SuspendedEVSE", "Finishing"}


@dataclass
class Deviant(Backend):
    """``paths``: of the addresses at which stations have called."""

    paths: list[str] = field(default_factory=list)

    def _choose(self, connection: ServerConnection, offered: Any) -> Any:
        return None

    async def _station(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        connection.protocol.subprotocol = "ocpp1.6"  # type: ignore[assignment]  # spoken, but never named
        await super()._station(connection)

    def _judge(self, name: str, payload: Any, version: str = "1.6") -> None:
        if name == "StartTransactionResponse":
            return  # its own deviation
        super()._judge(name, payload, version)
        text = json.dumps(payload)
        if not name.endswith("Response") or name == "GetCompositeScheduleResponse":
            faults = {
                "a fraction of a second": FRACTION.search(text),
                "small letters": any(c.islower() for c in payload.get("idTag", "")),
                "transactionData": "transactionData" in payload,
                "an action it does not know": name == "SecurityEventNotification",
                f"status {payload.get('status')}": payload.get("status") in UNKNOWN,
            }
            self.violations += [f"{name}: {what} in {text[:200]}" for what, found in faults.items() if found]

    def _StartTransaction(self, id_: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {"transactionId": super()._StartTransaction(id_, payload)["transactionId"], "hint": None}


@asynccontextmanager
async def station(folder: Path, backend: str) -> AsyncIterator[Street]:
    (folder / "own" / "quirks").mkdir(parents=True)
    (folder / "own" / "quirks" / "everything.toml").write_text(PROFILE)
    settings = f'sample_interval_s = 5\n{TIME_TO_PLUG_IN}\nstop_sampled_measurands = ["Voltage.L1-N"]'
    text = station_text(2, station='config_dir = "own"', backend=backend, settings=settings)
    async with Deviant(first_id=0, interval_s=10) as csms, Simulated(folder, text, csms.url, 20.0) as simulated:
        yield Street(simulated, csms)


async def test_with_the_profile_they_get_on(tmp_path: Path) -> None:
    async with station(tmp_path, 'quirks = "everything"\ncharge_point_id = "RDAM|123"') as s:
        await s.station.until(lambda p: p["backend"]["boot"] == "Accepted")
        assert s.csms.paths[0] == "/RDAM|123"  # type: ignore[attr-defined]
        await s.status_reported("Available", 2)
        await s.tap("card-low")
        await s.heard(lambda: s.payloads("Authorize"))  # the card is read first, then the cable is seen
        await s.plug()
        await s.status_reported("Charging")
        assert [p["idTag"] for a, p in s.calls() if a in ("Authorize", "StartTransaction")] == ["CARD-LOW"] * 2
        assert (await s.until(lambda e: e["session"]["transaction_id"]))["session"]["transaction_id"] == "0"
        await s.station.post("/evses/1/ev", {"ready": False})
        await s.screen("paused")
        await s.plug(2)
        await s.status_reported("Preparing", 2)
        start = {"connectorId": 0, "idTag": "app-1", "chargingProfile": None, "expires": "soon"}
        assert (await s.csms.ask("RemoteStartTransaction", start))["status"] == "Accepted"
        await s.status_reported("Charging", 2)
        await s.heard(lambda: len(s.payloads("Heartbeat")) > 3)
        stop = {"transactionId": 0, "reason": None}
        assert (await s.csms.ask("RemoteStopTransaction", stop))["status"] == "Accepted"
        await s.status_reported("Preparing")
        assert [p["idTag"] for p in s.payloads("Authorize")] == ["CARD-LOW"]
        story = [a for a in s.story() if a not in ("BootNotification", "MeterValues")]
        assert story[:5] == ["Available", "Authorize", "Preparing", "StartTransaction", "Charging"]
        await s.end()


async def test_it_takes_offence_at_what_it_does_not_know() -> None:
    """Otherwise the play above could not fail. (No echo, no link: tests/ocpp/test_quirks.py.)"""
    csms = Deviant()
    stop = {"transactionId": 1, "meterStop": 1, "idTag": "a", "timestamp": "2026-11-25T10:00:00.250Z"}
    csms._judge("StopTransaction", {**stop, "transactionData": []})
    csms._judge("SecurityEventNotification", {"type": "X", "timestamp": "2026-11-25T10:00:00Z"})
    status = {"connectorId": 1, "errorCode": "NoError", "status": "Finishing"}
    csms._judge("StatusNotification", status)
    assert [v.split(" in ")[0] for v in csms.violations] == [
        "StopTransaction: a fraction of a second", "StopTransaction: small letters", "StopTransaction: transactionData",
        "SecurityEventNotification: an action it does not know", "StatusNotification: status Finishing",
    ]  # fmt: skip
