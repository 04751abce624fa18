"""The command ``simulate`` with central systems that share nothing with these tests: the built-in one, and one that is
not ours, from the package index."""

import asyncio
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.busy_machine import deadline, stretched
from tests.support.simulated_station import Simulated, held_port
from tests.support.station_rig import station_text

CARD = "04A1B2C3D4E5F6"


async def charge(station: Simulated) -> list[dict[str, Any]]:
    """One whole session with a card, every step seen in the picture. Returns the OCPP frames of the agent's trace."""
    await station.until(lambda p: p["backend"]["boot"] == "Accepted")
    await station.post("/evses/1/plug", {})
    await station.until_evse(lambda e: e["reported"]["status"] == "Preparing")
    await station.post("/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 1})
    await station.until_evse(lambda e: e["reported"]["status"] == "Charging" and e["session"]["transaction_id"])
    await station.until_evse(lambda e: e["session"]["energy_wh"] >= 10)
    await station.post("/cards/tap", {"uid": CARD, "evse": 1, "hold_s": 1})
    await station.until_evse(
        lambda e: e["reported"] == e["reported"] and e["reported"]["status"] == "Finishing" and not e["locked"]
    )
    await station.post("/evses/1/unplug", {"side": "station"})
    await station.until_evse(lambda e: e["reported"]["status"] == "Available" and e["session"] is None)
    await station.until(lambda p: p["agent"]["queue"] == 0)
    async with station.http.get("/api/v1/trace") as answer:
        return [json.loads(line) for line in (await answer.text()).splitlines()]


def actions(frames: list[dict[str, Any]]) -> list[str]:
    messages = [json.loads(f["frame"]) for f in frames if f["dir"] == "out"]
    return [m[2] for m in messages if m[0] == 2 and m[2] in ("Authorize", "StartTransaction", "StopTransaction")]


async def gone(processes: list[psutil.Process], timeout_s: float) -> None:
    async with deadline(timeout_s):
        while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            await asyncio.sleep(0.05)


async def test_a_session_with_the_built_in_central_system_and_an_end_in_order(tmp_path: Path) -> None:
    async with Simulated(tmp_path, station_text(1), speed=20) as station:
        assert actions(await charge(station)) == ["Authorize", "StartTransaction", "StopTransaction"]
        async with deadline(60):  # agent and central system; for moments the agent has children of its own
            while len(family := psutil.Process(station.process.pid).children(recursive=True)) != 2:
                await asyncio.sleep(0.02)
        began = time.monotonic()
        station.process.terminate()
        assert await asyncio.wait_for(station.process.wait(), stretched(8)) == 0
        await gone(family, max(0.1, began + 8 - time.monotonic()))
    said = "".join(p.read_text() for p in (tmp_path / "simulate.log", tmp_path / "world" / "agent.log"))
    assert "connected to" in said
    assert CARD not in said
    assert "Traceback" not in said


async def test_a_killed_simulation_in_a_session_takes_everybody_along_and_goes_on_later(tmp_path: Path) -> None:
    station = Simulated(tmp_path, station_text(1), speed=20)
    async with station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        await station.post("/evses/1/plug", {})
        await station.post("/cards/tap", {"token": "CARD-A", "evse": 1})
        await station.until_evse(lambda e: e["reported"]["status"] == "Charging")
        register = (await station.evse())["meter_wh"]
        family = psutil.Process(station.process.pid).children(recursive=True)
        station.process.kill()
        await gone(family, 5)
    async with station:
        evse = await station.evse()
        assert evse["cable"]
        assert evse["meter_wh"] >= register


FOREIGN = importlib.util.find_spec("ocpp_csms")


@pytest.mark.skipif(FOREIGN is None, reason="ocpp-csms is not installed: make test brings it along")
async def test_a_session_with_a_central_system_that_is_not_ours(tmp_path: Path) -> None:
    with held_port() as port, (tmp_path / "foreign.log").open("w") as log:
        argv = [sys.executable, "-m", "ocpp_csms", "--host", "127.0.0.1", "--port", str(port), "--debug"]
        foreign = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log)
        try:
            async with Simulated(tmp_path, station_text(1), f"ws://127.0.0.1:{port}", 20) as station:
                frames = await charge(station)
        finally:
            foreign.terminate()
            await foreign.wait()
    assert actions(frames) == ["Authorize", "StartTransaction", "StopTransaction"]
    heard = (tmp_path / "foreign.log").read_text()
    assert heard.count("TransactionStartedEvent(") == heard.count("TransactionStoppedEvent(") == 1
    assert "Traceback" not in heard


async def test_free_vending_starts_by_the_plug_and_ends_by_it(tmp_path: Path) -> None:
    async with Simulated(tmp_path, station_text(1, station="free_vending = true"), speed=20) as station:
        await station.until(lambda p: p["backend"]["boot"] == "Accepted")
        await station.post("/evses/1/plug", {})
        await station.until_evse(lambda e: e["reported"]["status"] == "Charging")
        await station.post("/links/backend", {"up": False})  # nor does it need a backend
        await station.post("/evses/1/unplug", {"side": "ev"})
        await station.until_evse(lambda e: e["session"] is None and not e["locked"])
        await station.post("/evses/1/plug", {})
        await station.until_evse(lambda e: e["screen"] == "charging")
        await station.post("/evses/1/unplug", {"side": "ev"})
        await station.until_evse(lambda e: e["session"] is None)
        await station.post("/links/backend", {"up": True})
        await station.until(lambda p: p["backend"]["link"] == "up" and p["agent"]["queue"] == 0)
        async with station.http.get("/api/v1/trace") as answer:
            trace = await answer.text()
        frames = [json.loads(line) for line in trace.splitlines()]
        assert actions(frames) == ["StartTransaction", "StopTransaction"] * 2
