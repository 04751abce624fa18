"""A backend that moves a station to another APN: SetNetworkProfile of OCPP 2.0.1 against a station with LAN and a
modem, from the message to the modem, and back when the network does not know the APN."""

from __future__ import annotations

import asyncio
from pathlib import Path

from websockets.exceptions import ConnectionClosed

from tests.support.busy_machine import deadline
from tests.support.simulated_station import Simulated
from tests.support.station_rig import Backend, station_text
from tests.support.station_rig_v201 import Street201

BEARERS = """
[[bearer]]
driver = "lan_static"
kind = "lan"
[[bearer]]
driver = "modem_at"
kind = "gprs"
apn = "old.m2m"
"""
APN = {
    "apn": "new.m2m", "apnAuthentication": "CHAP", "apnUserName": "user", "apnPassword": "geheim-apn", "simPin": 42,
}  # fmt: skip
ACTIVE = "OCPPCommCtrlr.ActiveNetworkProfile"
PRIORITY = "OCPPCommCtrlr.NetworkConfigurationPriority"
SPEED = 60.0


async def active(s: Street201, slot: str) -> None:
    """Wait until the link is up with this slot."""
    async with deadline(120):
        while True:
            await s.station.until(lambda p: p["backend"] and p["backend"]["boot"] == "Accepted", 120)
            try:
                if (await s.get(ACTIVE))[1] == slot:
                    return
            except (ConnectionClosed, TimeoutError):
                pass  # the link was moving
            await asyncio.sleep(0.2)


async def test_another_apn_is_used_over_the_modem_and_taken_back(tmp_path: Path) -> None:
    text = station_text(backend='versions = ["2.0.1"]') + BEARERS
    async with Backend(speaks=("2.0.1",)) as csms, Simulated(tmp_path, text, csms.url, SPEED) as station:
        s = Street201(station, csms)
        await s.booted()
        profile = {
            "ocppVersion": "OCPP20", "ocppTransport": "JSON", "ocppCsmsUrl": csms.url, "messageTimeout": 30,
            "securityProfile": 0, "ocppInterface": "Wireless0", "apn": APN,
        }  # fmt: skip
        wrong = {**profile, "ocppInterface": "Wired0"}
        for data, status in ((wrong, "Rejected"), (profile, "Accepted")):
            answer = await s.csms.ask("SetNetworkProfile", {"configurationSlot": 2, "connectionData": data})
            assert answer["status"] == status
        await s.station.post("/modem", {"apn": "new.m2m"})
        assert await s.put(PRIORITY, "2") == "RebootRequired"
        await s.csms.ask("Reset", {"type": "Immediate"})
        await active(s, "2")
        assert (await s.station.picture())["modem"]["apn"] == "new.m2m"
        gprs = {"component": {"name": "DataLink", "instance": "Wireless0"}}
        assert await s.get("DataLink.Active", **gprs) == ("Accepted", "true")
        # an APN that the network does not know: back to what has worked
        unknown = {**profile, "apn": {**APN, "apn": "gone.m2m"}}
        answer = await s.csms.ask("SetNetworkProfile", {"configurationSlot": 3, "connectionData": unknown})
        assert answer["status"] == "Accepted"
        assert await s.put(PRIORITY, "3") == "RebootRequired"
        await s.csms.ask("Reset", {"type": "Immediate"})
        await station.until(lambda p: p["modem"]["apn"] == "gone.m2m")
        await station.until(lambda p: p["modem"]["apn"] == "new.m2m", 120)
        await active(s, "2")
        assert (await s.station.picture())["modem"]["apn"] == "new.m2m"
        assert s.csms.violations == []
    log = (tmp_path / "world" / "agent.log").read_text("utf-8", "replace")
    assert "APN new.m2m" in log
    assert "geheim-apn" not in log
    assert "0042" not in log
