"""Ten thousand stations for ten minutes, and their central system, on the same cores: all are accepted, heartbeats and
sessions hold, and both sides have the same books. ``make test`` runs thirty of them at a higher rate."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.lean_backend import LeanBackend, open_lean_backend
from tests.bench.process import ROOT
from tests.support.busy_machine import deadline, stretched

FULL = os.environ.get("CHARGY_CAMPAIGN") == "full"
SEED = int(os.environ.get("CHARGY_CAMPAIGN_SEED", "20261129"))
STATIONS, DURATION_S, RATE, RAMP_PER_S, MOST_S = (10_000, 600, 1, 100, 3600) if FULL else (30, 240, 30, 30, 180)
HEARTBEAT_S = 60
"""Of the stations' time. Any other exchange puts it off."""
PROFILE = f"""
duration_s = {DURATION_S}
rate = {RATE}
ramp_per_s = {RAMP_PER_S}
[visits]
per_hour = 6
stay_s = [60, 240]
energy_kwh = [1, 10]
[[wave]]
at_s = 30
within_s = 60
share = 0.2
"""
STATION = """
[settings.ocpp16]
MeterValueSampleInterval = "60"
[[evse]]
number = 1
"""


async def run_fleet(backend: LeanBackend, folder: Path, look: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run the fleet as a user does. ``look`` sees the books of the far end while it runs. Return the report."""
    (folder / "profile.toml").write_text(PROFILE)
    (folder / "station.toml").write_text(STATION)
    argv = (
        str(STATIONS), "--backend", backend.url, "--profile", str(folder / "profile.toml"), "--seed", str(SEED),
        "--station", str(folder / "station.toml"), "--processes", "2", "--settle", str(stretched(60.0)),
        "--json", str(folder / "report.json"), "--quiet",
    )  # fmt: skip
    fleet = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "agent", "fleet", *argv, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    ended = asyncio.ensure_future(fleet.communicate())
    try:
        while not ended.done():
            await asyncio.wait([ended], timeout=0.5)
            look(await backend.read_books())
    finally:
        if fleet.returncode is None:
            fleet.kill()
            await fleet.wait()
    out, err = ended.result()
    assert fleet.returncode == 0, (out + err).decode()
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.campaign
async def test_all_are_accepted_and_nothing_is_lost(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    silences_s, most_connected = [0.0], 0

    def look(books: dict[str, Any]) -> None:
        nonlocal most_connected
        most_connected = max(most_connected, books["connected"])
        if books["accepted"] == books["connected"] == STATIONS:  # as long as none has been switched off
            silences_s.append(books["longest_silence_s"])

    async with deadline(MOST_S), open_lean_backend(heartbeat_s=HEARTBEAT_S) as backend:
        report = await run_fleet(backend, tmp_path, look)
        books, backend_cpu_s = await backend.read_books(), backend.cpu_seconds()
    assert report["passed"], report["failures"]
    assert report["errors"] == {} or not FULL
    assert report["stations"]["accepted"] == books["accepted"] == most_connected == STATIONS
    assert books["opened"] == STATIONS, "a connection was lost"
    assert max(silences_s) <= 1.5 * HEARTBEAT_S / RATE + stretched(5.0)
    assert books["calls"]["Heartbeat"] > 0
    assert books["transactions"] == books["ended"] == report["books"]["transactions"] > STATIONS / 10
    for row in report["balances"]:
        assert row["billed_wh"] == pytest.approx(books["billed_wh"].get(row["station"], 0), abs=0.1), row["station"]
        assert row["agrees"]
    record_property("stations", STATIONS)
    record_property("all_accepted_s", report["stations"]["all_s"])
    record_property("calls", sum(books["calls"].values()))
    record_property("heartbeats", books["calls"]["Heartbeat"])
    record_property("transactions", books["transactions"])
    record_property("longest_silence_s", round(max(silences_s), 1))
    record_property("fleet_cpu_s", round(sum(one["cpu_s"] for one in report["processes"]), 1))
    record_property("backend_cpu_s", round(backend_cpu_s, 1))
    record_property("fleet_mib", round(sum(one["memory_kib"] for one in report["processes"]) / 1024))
    record_property("slowest_p99_ms", round(max(one["p99_ms"] for one in report["calls"].values()), 1))
