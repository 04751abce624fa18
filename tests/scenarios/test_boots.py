"""A backend that says Pending or Rejected, and people who want to charge meanwhile, on both versions: what off line is
allowed is allowed now (OCPP 1.6 4.2 and 2.0.1 B02 leave it to the operator), nothing of it is sent before the boot is
accepted, and then all of it is, with the energy to the Wh. The backend itself starts nothing meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.simulated_station import CAMPAIGN, Simulated
from tests.support.station_rig import SPEED, Backend, Street, station_text
from tests.support.station_rig_v201 import CARD, STRANGER, Street201


async def start(s: Street201) -> Any:
    return await (Street.charge(s, CARD) if s.csms.version == "1.6" else s.session(CARD))


async def booted_as(s: Street201, status: str) -> None:
    s.csms.boot, s.csms.interval_s = status, 60
    await s.kill()
    await s.station.until(lambda p: p["backend"]["boot"] == status)
    s.begin()


async def remote_start(s: Street201) -> str:
    """The station's word, which may be an error (2.0.1 while rejected)."""
    if s.csms.version == "1.6":
        answer = await s.csms.call("RemoteStartTransaction", {"connectorId": 1, "idTag": CARD})
    else:
        wanted = {"idToken": {"idToken": CARD, "type": "Central"}, "remoteStartId": 5, "evseId": 1}
        answer = await s.csms.call("RequestStartTransaction", wanted)
    return str(answer[2]["status"] if answer[0] == 3 else answer[2])


async def charges_meanwhile(s: Street201, status: str) -> None:
    await booted_as(s, status)
    await s.plug()
    await s.until(lambda e: e["session_state"] == "Occupied" and e["screen"] == "idle")
    await s.tap(STRANGER)
    await s.screen("refused")
    if status == "Pending":
        assert await remote_start(s) == "Rejected"
    await s.until(lambda e: e["screen"] == "idle")
    await s.tap(CARD)
    evse = await s.until(lambda e: e["session"] and e["session"]["energy_wh"] > 20)
    assert evse["session"]["transaction_id"] is None or s.csms.version != "1.6"
    await s.kill()
    await s.until(lambda e: e["session"] and e["contactor"])
    await s.tap(CARD)
    await s.screen("finished")
    assert {action for action, _ in s.calls()} == {"BootNotification"}, s.calls()
    await s.unplug()


EVERY = [(version, status) for version in ("1.6", "2.0.1") for status in ("Pending", "Rejected")]


@pytest.mark.campaign
@pytest.mark.parametrize(("version", "status"), EVERY if CAMPAIGN else [EVERY[0], EVERY[-1]])
async def test_sessions_while_the_boot_is_not_accepted(tmp_path: Path, version: str, status: str) -> None:
    text = station_text(1, backend=f'versions = ["{version}"]', settings="sample_interval_s = 30")
    async with Backend(speaks=(version,)) as csms, Simulated(tmp_path, text, csms.url, SPEED) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        s = Street201(station, csms)
        register = (await station.evse())["meter_wh"]
        await start(s)  # the card is known from now on
        await s.tap(CARD)
        await s.screen("finished")
        await s.empty()
        await s.leave()
        await charges_meanwhile(s, status)
        assert len(csms.transactions) == 1
        s.csms.boot, s.csms.interval_s = "Accepted", 300
        await s.station.until(lambda p: p["backend"]["link"] == "up", 40)
        await s.end()
        found = list(csms.transactions.values())
        assert [t.token for t in found] == [CARD] * 2
        assert sum((t.stop_wh or 0) - t.start_wh for t in found) == (await station.evse())["meter_wh"] - register
