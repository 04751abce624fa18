"""The driver for NetworkManager against the real ModemManager and NetworkManager: a simulated modem, a LAN, faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bearer_process import DrivenBearer, driven_bearer
from tests.support.busy_machine import deadline
from tests.support.network_daemons import NetworkDaemons, ip, running_daemons

PIN, WRONG_PIN = "0042", "1234"
ICCID, IMSI = "89352010000000000176", "270991234567890"
RADIO: dict[str, Any] = {"kind": "gprs", "apn": "chargy.m2m", "register_s": 5.0}
HAS_PPP = Path("/dev/ppp").exists()
POLKIT_RULE = Path(__file__).resolve().parents[2] / "systemd/50-chargy-agent-network.rules"


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[NetworkDaemons]:
    async with running_daemons(tmp_path) as made:
        yield made


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[NetworkDaemons]:
    async with running_daemons(tmp_path, "--pin", PIN) as made:
        yield made


async def pins_tried(daemons: NetworkDaemons) -> int:
    return int((await daemons.modem.do("state"))["pins_tried"])


# --- mobile radio ----------------------------------------------------------------------------------------------------


async def test_a_locked_sim_is_unlocked_by_order_and_the_modem_carries(locked: NetworkDaemons) -> None:
    async with driven_bearer(locked, **RADIO, pin=PIN) as bearer:
        waiting = await bearer.until(sim="PIN required")
        assert (waiting["state"], waiting["pin_tries"], waiting["iccid"]) == ("down", 3, "")
        assert await pins_tried(locked) == 0, "it was not ordered"
        unlocked = await bearer.do("unlock_sim")
        assert "error" not in unlocked, unlocked
        up = await bearer.do("bring_up")
        assert "error" not in up, (up, locked.logs())
        assert (up["state"], up["interface"], up["sim"]) == ("up", "wwan0", "ready")
        assert up["address"] in locked.addresses("wwan0")[0]
        assert (up["iccid"], up["imsi"], up["operator"], up["technology"]) == (ICCID, IMSI, "LU POST", "EDGE")
        assert up["registration"] == "roaming"
        assert -85 < up["signal_dbm"] < -73
        modem = await locked.modem.do("state")
        assert (modem["pins_tried"], modem["is_connected"], modem["values"]["apn"]) == (1, True, "chargy.m2m")
        words = ("nmcli", "--show-secrets", "--get-values", "gsm.pin,connection.autoconnect", "connection", "show")
        assert await locked.command(*words, "chargy-agent CP-1 gprs") == "\nno\n"
        down = await bearer.do("take_down")
        assert (down["state"], down["reason"]) == ("down", "not connected")
        assert not (await locked.modem.do("state"))["is_connected"]
        assert "chargy-agent" not in await locked.command("nmcli", "connection"), "it is forgotten"


async def test_a_wrong_pin_is_tried_once_by_anyone(locked: NetworkDaemons) -> None:
    async with driven_bearer(locked, **RADIO, pin=WRONG_PIN) as bearer:
        await bearer.until(sim="PIN required")
        refused = await bearer.do("unlock_sim")
        assert (refused["error"], refused["sim"], refused["pin_tries"]) == ("Refused", "PIN refused", 2)
        assert "does not accept the PIN: correct pin" in refused["why"]
        assert WRONG_PIN not in refused["why"]
        assert (await bearer.do("unlock_sim"))["error"] == "PinNotPresented"
        assert (await bearer.do("bring_up"))["error"] == "Refused"
        await bearer.do("reset_bearer re-attach")
        await locked.end("NetworkManager")
        assert (await bearer.do())["status_error"] == "ServiceAbsent"
        await locked.start_network_manager()
        await locked.replug()
        await bearer.until(sim="PIN refused")
        assert await pins_tried(locked) == 1


async def test_a_profile_that_dials_by_itself_keeps_the_pin_from_the_sim(locked: NetworkDaemons) -> None:
    words = ("nmcli", "connection", "add", "type", "gsm", "ifname", "*", "con-name", "left behind", "apn", "other")
    await locked.command(*words, "autoconnect", "yes")
    async with driven_bearer(locked, **RADIO, pin=PIN) as bearer:
        await bearer.until(sim="PIN required")
        refused = await bearer.do("unlock_sim")
        assert refused["error"] == "PinNotPresented"
        assert "nmcli connection delete 'left behind'" in refused["why"]
        assert await pins_tried(locked) == 0
        await locked.command("nmcli", "connection", "delete", "left behind")
        assert "error" not in await bearer.do("unlock_sim")


async def test_the_steps_of_a_recovery_reach_the_modem(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        for step, command in (("re-attach", "+CGATT=0"), ("radio off and on", "+CFUN=4"), ("reset", "+CFUN=15")):
            await bearer.until(registration="roaming")
            assert (await bearer.do("bring_up"))["state"] == "up", step
            done = await bearer.do(f"reset_bearer {step}")
            assert done["state"] == "down", (step, done)
            commands = (await daemons.modem.do("state"))["commands"]
            assert command in commands, (step, done, commands[-30:])
        await daemons.replug()  # a modem on USB goes away and comes back with a reset
        await bearer.until(registration="roaming")
        assert (await bearer.do("bring_up"))["state"] == "up"
        refused = await bearer.do("reset_bearer power off and on")
        assert "power names no command" in refused["why"]


async def test_the_initial_apn_reaches_the_modem_once(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO, initial_apn="attach.m2m") as bearer:
        await bearer.until(registration="roaming")
        for _ in range(2):
            assert (await bearer.do("bring_up"))["state"] == "up"
            await bearer.do("take_down")
        commands = (await daemons.modem.do("state"))["commands"]
        assert commands.count('+CGDCONT=1,"IP","attach.m2m"') == 1


async def test_another_address_is_reported(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        before = await bearer.do("bring_up")
        ip("-n", daemons.space, "addr", "flush", "dev", "wwan0")
        ip("-n", daemons.space, "addr", "add", "10.91.2.200/24", "dev", "wwan0")
        after = await bearer.do()
        assert before["address"] != after["address"] == "10.91.2.200"


async def test_data_over_a_serial_line_need_ppp_of_the_kernel(tmp_path: Path) -> None:
    """What this kernel cannot do is named; ModemManager has dialled, and nothing stays connected."""
    async with running_daemons(tmp_path, has_net_port=False) as daemons, driven_bearer(daemons, **RADIO) as bearer:
        await bearer.until(registration="roaming")
        tried = await bearer.do("bring_up")
        commands = (await daemons.modem.do("state"))["commands"]
        assert any(c.startswith("D*99***") for c in commands), commands[-20:]
        if tried["state"] == "down" and not HAS_PPP:
            assert "PPP" in tried["reason"], tried
            pytest.skip("this kernel has no PPP (/dev/ppp): the connection ends after the call")
        assert "error" in tried, "the simulated modem speaks no PPP"


# --- LAN -------------------------------------------------------------------------------------------------------------


async def test_a_lan_gets_its_address_and_is_taken_up_again_without_the_agent(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, kind="lan", interface=daemons.lan) as bearer:
        await bearer.until(state="down", reason="not connected")
        up = await bearer.do("bring_up")
        assert (up["state"], up["address"][:8]) == ("up", "10.91.1."), up
        daemons.pull_cable()
        await bearer.until(state="down", reason="no carrier: check the cable or the radio")
        async with deadline(30):
            while "unavailable" not in await daemons.command("nmcli", "device"):
                await asyncio.sleep(0.2)
        assert "error" not in await bearer.do("bring_up"), "without a carrier it waits"
        daemons.pull_cable(is_out=False)
        await bearer.until(state="up")
        down = await bearer.do("take_down")
        assert down["state"] == "down"
        assert "chargy-agent" not in await daemons.command("nmcli", "connection")


async def test_a_lan_with_a_fixed_address(daemons: NetworkDaemons) -> None:
    keys = {"kind": "lan", "interface": daemons.lan, "address": "10.91.1.99/24", "gateway": "10.91.1.1"}
    async with driven_bearer(daemons, **keys, route_metric=123) as bearer:
        up = await bearer.do("bring_up")
        assert (up["state"], up["address"]) == ("up", "10.91.1.99"), up
        assert "default via 10.91.1.1" in (routes := ip("-n", daemons.space, "route"))
        assert "metric 123" in routes
    async with driven_bearer(daemons, **keys, route_metric=123) as bearer:
        assert (await bearer.do())["state"] == "up", "what carries stays when the agent ends"
        await daemons.end("NetworkManager")
        assert (await bearer.do())["state"] == "up", "it still carries while NetworkManager starts again"
        daemons.pull_cable()
        assert (await bearer.do())["status_error"] == "ServiceAbsent"


async def test_an_interface_that_is_not_there_or_not_managed(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, kind="lan", interface="absent0") as bearer:
        assert (await bearer.do())["state"] == "absent"
        assert "this machine has no interface 'absent0'" in (await bearer.do("bring_up"))["why"]
    await daemons.command("nmcli", "device", "set", daemons.lan, "managed", "no")
    async with driven_bearer(daemons, kind="lan", interface=daemons.lan) as bearer:
        assert "NetworkManager does not manage it" in (await bearer.do())["reason"]


# --- rights ----------------------------------------------------------------------------------------------------------


async def test_the_agents_user_needs_the_polkit_rule_and_no_more(locked: NetworkDaemons) -> None:
    async with driven_bearer(locked, user="nobody", **RADIO, pin=PIN) as bearer:
        await bearer.until(sim="PIN required")
        refused = await bearer.do("unlock_sim")
        assert refused["error"] == "PinNotPresented"
        assert "install the polkit rule (docs/operations.md)" in refused["why"]
        assert await pins_tried(locked) == 0
    await locked.end("polkitd")
    await locked.start_polkit(POLKIT_RULE.read_text("utf-8").replace('"chargy-agent"', '"nobody"'))
    async with (
        driven_bearer(locked, user="nobody", **RADIO, pin=PIN) as bearer,
        driven_bearer(locked, user="nobody", kind="lan", interface=locked.lan) as lan,
    ):
        await bearer.until(sim="PIN required")
        for order in ("unlock_sim", "bring_up", "reset_bearer re-attach", "reset_bearer radio off and on", "take_down"):
            assert "error" not in (done := await bearer.do(order)), (order, done)
        for order in ("bring_up", "take_down"):
            assert "error" not in (done := await lan.do(order)), (order, done)


async def test_without_a_bus_it_is_unreachable(daemons: NetworkDaemons) -> None:
    async with driven_bearer(daemons, **RADIO) as bearer:
        await bearer.do()
        await daemons.end("ModemManager")
        assert (await bearer.do())["status_error"] == "ServiceAbsent"
        await daemons.end("dbus-daemon")
        assert (await bearer.do())["status_error"] == "Unreachable"
    assert await unreachable(daemons)


async def unreachable(daemons: NetworkDaemons) -> bool:
    async with driven_bearer(daemons, **RADIO) as bearer:
        return isinstance(bearer, DrivenBearer) and (await bearer.do())["error"] == "Unreachable"
