"""Faults of a modem that the real ModemManager has: the state, the words, and the end of each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.sim.modem import FAULTS
from tests.support.bearer_process import driven_bearer
from tests.support.network_daemons import NetworkDaemons, running_daemons

RADIO: dict[str, Any] = {"kind": "gprs", "apn": "chargy.m2m", "register_s": 5.0}


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[NetworkDaemons]:
    async with running_daemons(tmp_path) as made:
        yield made


AT_START = {
    "no_sim": ("missing", "unknown", "SIM: missing"),
    "puk": ("PUK required", "unknown", "SIM: PUK required"),
    "searching": ("ready", "searching", "not registered in the network (searching)"),
    "no_signal": ("ready", "not searching", "no signal is known: check the antenna"),
    "pieces": ("ready", "roaming", ""),
    "denied": ("ready", "denied", "the network refuses the SIM"),
    "unasked": ("ready", "roaming", ""),
    "no_numbers": ("ready", "roaming", ""),
    "no_tries": ("ready", "roaming", ""),
    "cops_fails": ("ready", "roaming", ""),
    "detached": ("ready", "searching", "not registered in the network (searching)"),
    "no_network": ("ready", "searching", "not registered in the network (searching)"),
    "busy": ("missing", "unknown", "SIM: missing"),
    "refuses_all": ("not used", "unknown", "the modem has failed"),
}
"""By the fault of the modem: SIM, registration and words. Those that roam are none, but for a call: a report
``+CGREG: 2`` between the answers says that the network is lost, and ModemManager believes it. A SIM that stays busy is
missing to it."""
IN_OTHER_TESTS = {"hang", "garbage", "no_apn", "no_carrier"}
PIN_FAULTS = {"pin_busy"}
"""ModemManager hides the answer of the SIM: the errors of its D-Bus methods are in test_network_services.py."""
PPP_FAULTS = {"auth_refused", "ipcp_refused"}
"""They need a kernel with PPP, and are answers of pppd: test_network_services.py has what NetworkManager says of it,
test_sim_bearers.py what ``modem_at`` does."""


def test_every_fault_of_the_simulated_modem_is_tried_or_has_a_reason() -> None:
    assert {*FAULTS} == {*AT_START, *IN_OTHER_TESTS, *PIN_FAULTS, *PPP_FAULTS}


async def test_each_fault_of_the_modem_has_its_state_and_words_and_an_end(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        for fault, (sim, registration, words) in AT_START.items():
            await daemons.modem.fault(fault)
            await daemons.replug()
            status = await bearer.until(state="down", sim=sim, registration=registration)
            assert words in status["reason"], fault
            tried = await bearer.do("bring_up")
            assert fault == "unasked" or ("error" in tried) == (registration != "roaming"), (fault, tried)
            assert tried["state"] == "up" or words in tried["why"], (fault, tried)
            await daemons.modem.fault(fault, on=False)
        await daemons.replug()
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"


async def test_a_modem_that_answers_nothing_or_noise_is_none(daemons: NetworkDaemons) -> None:
    for fault in ("hang", "garbage"):
        await daemons.modem.fault(fault)
        await daemons.replug()
        async with driven_bearer(daemons, **RADIO) as bearer:
            status = await bearer.until(state="absent")
            assert status["reason"] == "ModemManager has no such modem"
            assert "no such modem" in (await bearer.do("bring_up"))["why"]
        await daemons.modem.fault(fault, on=False)


async def test_a_line_of_another_speed_has_no_modem_until_the_speeds_agree(daemons: NetworkDaemons) -> None:
    """ModemManager talks with the speed of its udev rule (ID_MM_TTY_BAUDRATE) and hears noise."""
    await daemons.modem.do("set", baud=9600)
    await daemons.replug()
    async with driven_bearer(daemons, **RADIO) as bearer:
        status = await bearer.until(state="absent")
        assert status["reason"] == "ModemManager has no such modem"
        assert "no such modem" in (await bearer.do("bring_up"))["why"]
        assert (await daemons.modem.do("state"))["commands"] == [], "not one command was understood"
        await daemons.modem.do("set", baud=115200)
        await daemons.replug()
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"


async def test_an_operator_that_the_modem_has_kept_is_given_up(daemons: NetworkDaemons) -> None:
    """An agent before has bound it to one that is not in reach any more (+COPS=1), and ModemManager does not know."""
    await daemons.modem.do("set", operator_mode=1, chosen="27099")
    await daemons.replug()
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="searching")
        up = await bearer.do("bring_up")
        assert up["state"] == "up", (up, daemons.logs())
        values = (await daemons.modem.do("state"))["values"]
        assert (values["operator_mode"], values["chosen"]) == (0, "")


async def test_a_wrong_apn_and_a_call_that_is_not_answered_are_named(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        for fault in ("no_apn", "no_carrier"):
            await daemons.modem.fault(fault)
            refused = await bearer.do("bring_up")
            assert refused["error"] == "Refused"
            assert "check apn" in refused["reason"], (fault, refused)
            await daemons.modem.fault(fault, on=False)
            assert (await bearer.do("bring_up"))["state"] == "up"
            await bearer.do("take_down")
