"""A modem of the real ModemManager that loses its network, goes away, or hangs while it is connected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bearer_process import driven_bearer
from tests.support.network_daemons import NetworkDaemons, running_daemons

PIN = "0042"
RADIO: dict[str, Any] = {"kind": "gprs", "apn": "chargy.m2m", "register_s": 5.0}


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[NetworkDaemons]:
    async with running_daemons(tmp_path) as made:
        yield made


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[NetworkDaemons]:
    async with running_daemons(tmp_path, "--pin", PIN) as made:
        yield made


async def test_a_lost_network_is_seen_and_dialled_by_order_only(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"
        await daemons.modem.do("detach")
        status = await bearer.until(state="down", within_s=90)
        assert status["reason"], status
        await daemons.modem.fault("searching", on=False)
        await bearer.until(registration="roaming")
        await asyncio.sleep(2)
        assert not (await daemons.modem.do("state"))["is_connected"], "NetworkManager has dialled by itself"
        assert (await bearer.do("bring_up"))["state"] == "up"


async def test_a_modem_that_vanishes_comes_back_with_its_sim_locked(locked: NetworkDaemons) -> None:
    async with driven_bearer(locked, **RADIO, pin=PIN) as bearer:
        await bearer.until(sim="PIN required")
        await bearer.do("unlock_sim")
        assert (await bearer.do("bring_up"))["state"] == "up"
        await locked.modem.do("vanish")
        await locked.report_ports("remove")
        await bearer.until(state="absent")
        await locked.modem.do("return")
        await locked.report_ports("add")
        await bearer.until(sim="PIN required", pin_tries=3)
        assert (await locked.modem.do("state"))["pins_tried"] == 1
        await bearer.do("unlock_sim")
        assert (await bearer.do("bring_up"))["state"] == "up"


async def test_a_modem_that_falls_back_to_another_speed_is_given_up(daemons: NetworkDaemons) -> None:
    """A brown-out takes the speed that was set (+IPR): from now on the line carries noise."""
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"
        await daemons.modem.do("set", baud=9600)
        await bearer.until(state="absent", within_s=300)
        await daemons.modem.do("set", baud=115200)
        await daemons.replug()
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"


async def test_a_modem_that_hangs_while_it_is_connected_is_given_up(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"
        await daemons.modem.fault("hang")
        await bearer.until(state="absent", within_s=300)
        await daemons.modem.fault("hang", on=False)
        await daemons.replug()
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"
