"""A vehicle charges while the networks of the station come and go: LAN, Wi-Fi and GPRS into a network namespace, a
simulated station, a strict backend. Afterwards each message of a bill has arrived, once, in order."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.scenarios.control_rig import ROOT
from tests.scenarios.test_journal import Bench
from tests.support.bearer_networks import BearerNetworks, bearer_networks
from tests.support.busy_machine import deadline
from tests.support.simulated_station import SELDOM_S
from tests.support.station_rig import Backend, Street, station_text

VERSIONS = ["1.6", "2.0.1"] if os.environ.get("CHARGY_CAMPAIGN") == "full" else ["2.0.1"]
RATE = 10
"""The time of the agent runs so much faster: a bearer is taken back after two minutes."""


@asynccontextmanager
async def agent_running(folder: Path) -> AsyncIterator[Path]:
    file, journal = folder / "world" / "derived.toml", folder / "journal"
    file.write_text(re.sub(r"(?m)^via = .*\n", "", file.read_text("utf-8")), "utf-8")  # straight to the networks
    argv = [sys.executable, "-m", "agent", "run", "--clock-rate", str(RATE), str(file)]
    with journal.open("wb") as out:
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT, stdout=out, stderr=out)
        try:
            yield file
        finally:
            process.kill()
            await process.wait()


async def linked(networks: BearerNetworks, street: Street, kind: str, newer_than: int = 0) -> None:
    """Wait until the newest connection came over this bearer."""
    await street.heard(
        lambda: len(street.csms.peers) > newer_than and networks.kind_of_address(street.csms.peers[-1]) == kind, 120
    )


@pytest.mark.campaign
@pytest.mark.parametrize("version", VERSIONS)
async def test_each_bill_arrives_once_whichever_networks_fail(tmp_path: Path, version: str) -> None:
    with bearer_networks("lan", "wifi", "gprs") as networks:
        async with Backend(speaks=(version,), listening=networks.listen_inside()) as csms:
            text = station_text(
                1,
                backend=f'url = "{csms.url}"\nversions = ["{version}"]\ncall_timeout_s = 10',
                settings="sample_interval_s = 10\nping_interval_s = 1\nmessage_retry_interval_s = 20",
                simulation="[[simulation.evse]]\nnumber = 1\nmeter_wh = 1000",
            )
            async with Bench(tmp_path, text + networks.station_tables()) as station, agent_running(tmp_path):
                street = Street(station, csms)
                await linked(networks, street, "lan")
                await charge_through_failures(networks, street)


async def charge_through_failures(networks: BearerNetworks, street: Street) -> None:
    csms, station = street.csms, street.station
    await street.plug()
    await started_transactions(street, 1, "CARD-A")

    connection_count = len(csms.peers)
    networks.lose_carrier("lan")  # the vehicle goes on, and its driver ends while there is no link
    await street.tap("CARD-A")
    await linked(networks, street, "wifi", connection_count)
    await ended_transactions(street, 1)
    await street.unplug()
    await street.seen_free()

    await street.plug()
    await started_transactions(street, 2, "CARD-B")
    connection_count = len(csms.peers)
    networks.swallow_frames("wifi")
    await flowed(street, 5)
    await linked(networks, street, "gprs", connection_count)
    connection_count = len(csms.peers)
    networks.return_carrier("lan")
    await linked(networks, street, "lan", connection_count)  # after two minutes of the station
    await flowed(street, 5)
    await street.tap("CARD-B")
    await ended_transactions(street, 2)

    assert csms.violations == []
    billed = [t.stop_wh - t.start_wh for t in csms.transactions.values() if t.stop_wh is not None]
    assert len(billed) == 2
    assert sum(billed) == (await station.evse())["meter_wh"] - 1000


async def started_transactions(street: Street, number: int, token: str) -> None:
    await street.seen_occupied()
    await street.tap(token)
    await street.heard(lambda: len(street.csms.transactions) == number)
    await flowed(street, 5)


async def ended_transactions(street: Street, number: int) -> None:
    await street.heard(lambda: sum(t.stop_wh is not None for t in street.csms.transactions.values()) == number)


async def flowed(street: Street, more_wh: int) -> None:
    before = (await street.station.evse())["meter_wh"]
    async with deadline(90):
        while (await street.station.evse())["meter_wh"] < before + more_wh:
            await asyncio.sleep(SELDOM_S)
