"""The driver for NetworkManager against a far end of its bus: Wi-Fi, silence, rights, PINs of unclear fate."""

from __future__ import annotations

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.model.bearer import ApnAccess, BearerState, Registration, ResetStep, SimState
from agent.model.pin_mark import make_pin_mark
from agent.ports import Broken, DeviceError, Refused, Unreachable
from agent.ports.bearer import ApnPort, PinNotPresented
from drivers import system_bus
from drivers.network_manager import list_complaints, modem_bearer, modem_sim
from drivers.network_manager.settings import NetworkManagerSettings
from tests.support.busy_machine import deadline, stretched
from tests.support.network_services import SimulatedServices, running_services

PIN, PASSPHRASE = "4711", "correct horse"
MARK = make_pin_mark(PIN)
RADIO: dict[str, Any] = {"kind": "gprs", "apn": "chargy.m2m", "pin": PIN}


@pytest.fixture
async def services(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimulatedServices]:
    monkeypatch.setattr(modem_bearer, "POLL_S", 0.05)
    monkeypatch.setattr(modem_sim, "PIN_S", stretched(0.5))
    monkeypatch.setattr(modem_bearer, "RESTART_S", 0.5)
    async with running_services() as made:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", made.bus_address)
        yield made


@pytest.fixture
def wifi(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "psk"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    return {"kind": "wifi", "interface": "lo", "ssid": "Hôtel de Ville", "psk_file": file}


# --- Wi-Fi -----------------------------------------------------------------------------------------------------------


async def test_a_wifi_network_gets_a_profile_in_memory_with_its_passphrase(
    services: SimulatedServices, wifi: dict[str, Any]
) -> None:
    async with services.opened(**wifi) as port:
        assert (await port.read_status()).reason == "not connected"
        await port.bring_up()
        status = await port.read_status()
        assert (status.state, status.interface, status.address) == (BearerState.UP, "lo", "127.0.0.1")
        state = await services.do("state")
        (profile,) = state["profiles"]
        assert profile["connection"]["id"] == "chargy-agent CP-1 wifi lo"
        assert profile["802-11-wireless"] == {"ssid": "Hôtel de Ville", "mode": "infrastructure", "powersave": 2}
        assert profile["802-11-wireless-security"] == {"key-mgmt": "wpa-psk", "psk": PASSPHRASE}
        assert (profile["ipv4"]["route-metric"], profile["connection"]["autoconnect"]) == (600, True)
        await port.take_down()
        assert (await services.do("state"))["profiles"] == []


PRIVATE = {"id": "of a user", "uuid": "2", "type": "gsm", "permissions": ["user:anna:"]}


@pytest.mark.parametrize("kind", ["wifi", "gprs"])
async def test_a_profile_of_another_user_does_not_stop_ours(
    services: SimulatedServices, wifi: dict[str, Any], kind: str
) -> None:
    """NetworkManager does not show it. Our PIN is kept back all the same: it may dial with a PIN of its own."""
    await services.do("profile", connection=PRIVATE)
    await services.do("set", pin=PIN)
    async with services.opened(**(wifi if kind == "wifi" else RADIO)) as port:
        await port.bring_up()
        assert (await port.read_status()).is_up
        await port.take_down()
        if kind == "gprs":
            await services.do("set", locked=True)
            with pytest.raises(PinNotPresented, match="may not call GetSettings"):
                await port.unlock_sim(MARK)
    left = (await services.do("state"))["profiles"]
    assert [profile["connection"]["id"] for profile in left] == ["of a user"]


async def test_another_network_in_the_file_replaces_the_profile(
    services: SimulatedServices, wifi: dict[str, Any]
) -> None:
    async with services.opened(**wifi) as port:
        await port.bring_up()
    async with services.opened(**{**wifi, "ssid": "Chargy"}) as port:
        assert "another profile of NetworkManager is active on it" in (await port.read_status()).reason
        await port.bring_up()
        assert [p["802-11-wireless"]["ssid"] for p in (await services.do("state"))["profiles"]] == ["Chargy"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (53, "the Wi-Fi network is not in reach: check ssid"),
        (7, "a password is missing"),
        (17, "no DHCP server answers"),
        (999, "it failed (reason 999)"),
    ],
)
async def test_a_wifi_network_that_cannot_be_used_is_named(
    services: SimulatedServices, wifi: dict[str, Any], reason: int, words: str
) -> None:
    await services.do("set", reason=reason)
    async with services.opened(**wifi) as port:
        with pytest.raises(Refused, match=re.escape(words)):
            await port.bring_up()
        status = await port.read_status()
        assert (status.state, status.reason) == (BearerState.DOWN, words)
        await services.do("set", reason=0)
        await port.bring_up()
        assert (await port.read_status()).is_up


@pytest.mark.parametrize(
    ("fault", "words"), [("hangs", "no connection within 2 s"), ("not_allowed", "install the polkit rule")]
)
async def test_an_activation_that_does_not_end_or_begin(
    services: SimulatedServices, wifi: dict[str, Any], fault: str, words: str
) -> None:
    await services.fault(fault)
    async with services.opened(**wifi, connect_s=2.0) as port:
        with pytest.raises(Refused, match=words):
            await port.bring_up()
        assert (await port.read_status()).state is BearerState.DOWN
        await services.fault(fault, on=False)
        await port.bring_up()
        assert (await port.read_status()).is_up


async def test_a_passphrase_that_is_gone_is_for_a_person(services: SimulatedServices, wifi: dict[str, Any]) -> None:
    wifi["psk_file"].unlink()
    async with services.opened(**wifi) as port:
        with pytest.raises(Broken, match="psk_file"):
            await port.bring_up()


# --- the modem -------------------------------------------------------------------------------------------------------


async def test_the_profile_of_the_modem_has_no_pin_and_is_forgotten(services: SimulatedServices) -> None:
    keys = {**RADIO, "username": "station", "password": "secret", "auth": "chap", "roaming": False}
    async with services.opened(**keys) as port:
        await port.bring_up()
        assert (await port.read_status()).is_up
        state = await services.do("state")
        (profile,) = state["profiles"]
        assert profile["gsm"] == {
            "apn": "chargy.m2m", "username": "station", "password": "secret", "home-only": True, "mtu": 1400,
        }  # fmt: skip
        assert {key for key in profile["ppp"] if key.startswith("refuse")} == {
            "refuse-eap", "refuse-pap", "refuse-mschap", "refuse-mschapv2",
        }  # fmt: skip
        assert profile["connection"]["autoconnect"] is False
        assert PIN not in str(profile)
        await port.take_down()
        assert (await services.do("state"))["profiles"] == []


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (12, "PPP cannot be started"),
        (14, "PPP failed: check user and password of the APN"),
        (25, "the network has ended the call"),
        (29, "the network refuses the APN: check apn"),
        (5, "it got no address"),
    ],
)
async def test_a_call_that_fails_is_named(services: SimulatedServices, reason: int, words: str) -> None:
    await services.do("set", reason=reason)
    async with services.opened(**RADIO) as port:
        with pytest.raises(Refused, match=words):
            await port.bring_up()
        assert ((await port.read_status()).reason, (await services.do("state"))["profiles"]) == (words, [])


async def test_two_modems_are_distinguished_by_a_name(services: SimulatedServices) -> None:
    await services.fault("two_modems")
    async with services.opened(**RADIO) as port:
        assert "more than one modem" in (await port.read_status()).reason
        with pytest.raises(Refused, match="more than one modem"):
            await port.bring_up()
    async with services.opened(**RADIO, modem="ttyUSB7") as port:
        assert (await port.read_status()).reason == "ModemManager has no such modem: ttyUSB7"
    await services.fault("two_modems", on=False)
    for name in ("356938035643809", "/dev/ttyACM0", "ttyACM0", "/sys/devices/usb1/1-1"):
        async with services.opened(**RADIO, modem=name) as port:
            assert (await port.read_status()).sim is SimState.READY, name


@pytest.mark.parametrize(
    ("number", "registration", "words"),
    [
        (0, Registration.IDLE, "not registered in the network (not searching)"),
        (2, Registration.SEARCHING, "not registered in the network (searching)"),
        (3, Registration.DENIED, "the network refuses the SIM"),
        (6, Registration.UNKNOWN, "not registered in the network (unknown)"),
        (8, Registration.UNKNOWN, "not registered in the network (unknown)"),
    ],
)
async def test_a_modem_without_network_is_not_dialled(
    services: SimulatedServices, number: int, registration: Registration, words: str
) -> None:
    await services.do("set", registration=number)
    async with services.opened(**RADIO) as port:
        status = await port.read_status()
        assert (status.registration, words in status.reason) == (registration, True)
        with pytest.raises(Refused, match="not dialled"):
            await port.bring_up()
        assert "AddAndActivateConnection2" not in (await services.do("state"))["calls"]


async def test_a_radio_that_is_off_is_switched_on_to_dial(services: SimulatedServices) -> None:
    await services.do("set", state=3)
    async with services.opened(**RADIO) as port:
        await port.read_status()
        assert "Enable" not in (await services.do("state"))["calls"]
        await port.bring_up()
        assert (await port.read_status()).is_up


async def test_the_initial_apn_is_set_before_the_registration_and_once(services: SimulatedServices) -> None:
    await services.do("set", registration=3)
    keys = {**RADIO, "initial_apn": "attach.m2m", "username": "station", "password": "secret"}
    async with services.opened(**keys) as port:
        with pytest.raises(Refused, match="not dialled"):
            await port.bring_up()
        state = await services.do("state")
        assert state["values"]["initial"] == {"apn": "attach.m2m", "user": "station", "password": "secret"}
        await services.do("set", registration=1)
        await port.bring_up()
        assert (await services.do("state"))["calls"].count("SetInitialEpsBearerSettings") == 1
    await services.fault("no_lte")
    async with services.opened(**{**keys, "initial_apn": "other"}) as port:
        await port.bring_up()
        assert (await port.read_status()).is_up, "a modem without LTE needs none"


async def test_a_modem_that_cannot_reattach_registers_again(services: SimulatedServices) -> None:
    async with services.opened(**RADIO) as port:
        await port.reset_bearer(ResetStep.REATTACH)
        assert "Register" not in (await services.do("state"))["calls"]
        await services.fault("no_attach")
        await port.reset_bearer(ResetStep.REATTACH)
        assert "Register" in (await services.do("state"))["calls"]


async def test_a_modem_that_is_away_is_down_while_its_supply_can_be_switched(
    services: SimulatedServices, tmp_path: Path
) -> None:
    await services.fault("no_modem")
    async with services.opened(**RADIO) as port:
        assert (await port.read_status()).state is BearerState.ABSENT
        with pytest.raises(Refused, match="power names no command"):
            await port.reset_bearer(ResetStep.POWER_CYCLE)
    switched = tmp_path / "switched"
    async with services.opened(**RADIO, power=("touch", str(switched))) as port:
        assert (await port.read_status()).state is BearerState.DOWN
        with pytest.raises(Refused, match="no such modem"):
            await port.reset_bearer(ResetStep.MODEM_RESET)
        await port.reset_bearer(ResetStep.POWER_CYCLE)
        assert switched.exists()


# --- the PIN ---------------------------------------------------------------------------------------------------------


async def test_a_pin_without_an_answer_that_cost_a_try_is_refused(services: SimulatedServices) -> None:
    await services.do("set", pin="9999", locked=True)
    await services.fault("pin_silent")
    async with services.opened(**RADIO) as port:
        with pytest.raises(Refused, match="does not accept the PIN") as refused:
            await port.unlock_sim(MARK)
        assert not isinstance(refused.value, PinNotPresented)
        assert PIN not in str(refused.value)
        assert (await port.read_status()).sim is SimState.PIN_REFUSED
        with pytest.raises(PinNotPresented):
            await port.unlock_sim(MARK)
        assert (await services.do("state"))["calls"].count("SendPin") == 1


async def test_a_pin_with_an_unclear_error_is_neither_refused_nor_unused(services: SimulatedServices) -> None:
    await services.do("set", pin=PIN, locked=True)
    await services.fault("pin_fails")
    async with services.opened(**RADIO) as port:
        with pytest.raises(Refused, match="is not known") as refused:
            await port.unlock_sim(MARK)
        assert not isinstance(refused.value, PinNotPresented)
        assert (await port.read_status()).sim is SimState.PIN_REQUIRED


async def test_a_pin_that_was_accepted_without_an_answer(services: SimulatedServices) -> None:
    await services.do("set", pin=PIN, locked=True)
    await services.fault("pin_silent")
    async with services.opened(**RADIO) as port:
        with pytest.raises(Refused, match="is not known"):
            await port.unlock_sim(MARK)
        assert (await port.read_status()).sim is SimState.READY


@pytest.mark.parametrize("what", ["not_allowed", "no_modem", "foreign", "no_sim"])
async def test_a_pin_that_did_not_reach_the_sim_may_be_used_again(services: SimulatedServices, what: str) -> None:
    await services.do("set", pin=PIN, locked=True)
    if what == "foreign":
        await services.do("profile", connection={"id": "left behind", "uuid": "1", "type": "gsm"})
    else:
        await services.fault(what)
    async with services.opened(**RADIO) as port:
        with pytest.raises(PinNotPresented):
            await port.unlock_sim(MARK)
        assert (await services.do("state"))["values"]["tries"] == 3


@pytest.mark.parametrize(("faults", "is_known"), [((), True), (("no_tries",), False)], ids=["counted", "not counted"])
async def test_an_error_of_rights_after_which_the_tries_are_not_the_same_is_no_proof(
    services: SimulatedServices, faults: tuple[str, ...], is_known: bool
) -> None:
    """It is named like a refusal of polkit, and the SIM has got the PIN."""
    await services.do("set", pin="9999", locked=True)
    for fault in ("pin_denied", *faults):
        await services.fault(fault)
    async with services.opened(**RADIO) as port:
        with pytest.raises(Refused, match="does not accept" if is_known else "is not known") as refused:
            await port.unlock_sim(MARK)
        assert not isinstance(refused.value, PinNotPresented)


async def test_the_tries_after_a_pin_without_an_answer_are_not_known_until_they_change(
    services: SimulatedServices,
) -> None:
    """ModemManager reports what it has counted before. The old figure would look like a use that has cost no try."""
    await services.do("set", pin="9999", locked=True)
    for fault in ("pin_silent", "tries_stale"):
        await services.fault(fault)
    async with services.opened(**RADIO) as port:
        assert (await port.read_status()).pin_tries == 3
        with pytest.raises(Refused, match="is not known"):
            await port.unlock_sim(MARK)
        for _ in range(2):
            status = await port.read_status()
            assert (status.sim, status.pin_tries) == (SimState.PIN_REQUIRED, None)
        await services.fault("tries_stale", on=False)
        assert (await port.read_status()).pin_tries == 2


async def test_a_pin_that_is_not_the_one_ordered_is_not_presented(services: SimulatedServices) -> None:
    """The order is about the PIN of a network profile, and the modem has that of the station file, or the other way
    round."""
    await services.do("set", pin="0042", locked=True)
    new_mark = make_pin_mark("0042")
    async with services.opened(**RADIO) as port:
        assert isinstance(port, ApnPort)
        with pytest.raises(PinNotPresented, match="is another one"):
            await port.unlock_sim(new_mark)
        with pytest.raises(Refused, match="does not accept the PIN"):
            await port.unlock_sim(MARK)
        await port.use_apn_access(ApnAccess("other.m2m"))
        assert (await port.read_status()).sim is SimState.PIN_REFUSED, "the PIN is the same"
        await port.use_apn_access(ApnAccess("new.m2m", pin="0042"))
        assert (await port.read_status()).sim is SimState.PIN_REQUIRED
        with pytest.raises(PinNotPresented):
            await port.unlock_sim(MARK)
        assert (await services.do("state"))["calls"].count("SendPin") == 1
        await port.unlock_sim(new_mark)
        assert (await port.read_status()).sim is SimState.READY


# --- network profiles of OCPP ----------------------------------------------------------------------------------------


async def test_a_network_profile_has_its_own_apn_and_login_and_goes_again(services: SimulatedServices) -> None:
    async with services.opened(**RADIO) as port:
        assert isinstance(port, ApnPort)
        await port.bring_up()
        await port.use_apn_access(ApnAccess("new.m2m", "user", "secret", "pap"))
        assert "another profile of NetworkManager is active" in (await port.read_status()).reason
        await port.bring_up()
        assert (await port.read_status()).is_up
        (profile,) = (await services.do("state"))["profiles"]
        login = profile["gsm"]["apn"], profile["gsm"]["username"], profile["gsm"]["password"]
        assert login == ("new.m2m", "user", "secret")
        assert "refuse-pap" not in profile["ppp"]
        await port.use_apn_access(None)
        await port.bring_up()
        (profile,) = (await services.do("state"))["profiles"]
        assert (profile["gsm"]["apn"], "username" in profile["gsm"]) == ("chargy.m2m", False)
        assert (await services.do("state"))["calls"].count("Register") == 1, "no operator was ever asked for"


async def test_an_operator_of_before_the_start_is_given_up_once(services: SimulatedServices) -> None:
    """Many modems keep it, and ModemManager does not say which one they were given."""
    await services.do("set", operator="27077")
    async with services.opened(**RADIO) as port:
        for _ in range(2):
            await port.bring_up()
            assert (await services.do("state"))["values"]["operator"] == "", "the modem chooses"
            await port.take_down()
        assert (await services.do("state"))["calls"].count("Register") == 1


@pytest.mark.parametrize("fault", ["register_fails", "register_denied"])
@pytest.mark.parametrize("has_chosen", [True, False])
async def test_a_choice_that_is_not_taken_back_stops_no_call(
    services: SimulatedServices, fault: str, has_chosen: bool
) -> None:
    """It is ordered again where this driver has bound the modem."""
    async with services.opened(**RADIO) as port:
        assert isinstance(port, ApnPort)
        if has_chosen:
            await port.use_apn_access(ApnAccess("chargy.m2m", network="27077"))
            await port.bring_up()
            await port.take_down()
            await port.use_apn_access(None)
        await services.do("set", operator="27077")
        await services.fault(fault)
        await port.bring_up()
        assert (await port.read_status()).is_up
        await port.take_down()
        await services.fault(fault, on=False)
        await port.bring_up()
        assert (await services.do("state"))["values"]["operator"] == ("" if has_chosen else "27077")


async def test_a_network_profile_prefers_its_operator_or_takes_no_other(services: SimulatedServices) -> None:
    await services.do("set", networks=["27077"])
    async with services.opened(**RADIO) as port:
        assert isinstance(port, ApnPort)
        await port.use_apn_access(ApnAccess("chargy.m2m", network="27001", is_network_only=True))
        with pytest.raises(Refused, match="no such network"):
            await port.bring_up()
        await port.use_apn_access(ApnAccess("chargy.m2m", network="27077", is_network_only=True))
        await port.bring_up()
        state = await services.do("state")
        assert (state["values"]["operator"], state["profiles"][0]["gsm"]["network-id"]) == ("27077", "27077")
        await port.take_down()
        await port.use_apn_access(ApnAccess("chargy.m2m", network="27001"))
        await port.bring_up()
        state = await services.do("state")
        assert (state["values"]["operator"], "network-id" in state["profiles"][0]["gsm"]) == ("", False)
        await port.take_down()
        await port.use_apn_access(ApnAccess("chargy.m2m", network="27077"))
        await port.bring_up()
        await port.take_down()
        await port.use_apn_access(None)
        await port.bring_up()
        assert (await services.do("state"))["values"]["operator"] == "", "the modem chooses again"


# --- the bus ---------------------------------------------------------------------------------------------------------


async def test_services_that_are_silent_or_gone(services: SimulatedServices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_bus.SystemBus.call, "__kwdefaults__", {"timeout_s": stretched(0.5)})
    async with services.opened(**RADIO) as port:
        await services.fault("silent")
        with pytest.raises(DeviceError, match="no answer to GetManagedObjects"):
            await port.read_status()
        await services.end()
        with pytest.raises(Unreachable):
            await port.read_status()
    with pytest.raises(Unreachable, match="system bus"):
        async with services.opened(**RADIO):
            pass


@pytest.mark.parametrize("lines", [0, 1, 2, 4], ids=["at once", "in the login", "after the login", "after BEGIN"])
async def test_a_bus_that_closes_the_connection_is_unreachable(tmp_path: Path, lines: int) -> None:
    """``lines``: how many of the login it reads before. After BEGIN comes the first call."""

    async def close_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(lines):
            line = await reader.readline()
            if line == b"BEGIN\r\n":
                break
            if number < lines - 1:
                words = b"OK 0123456789abcdef0123456789abcdef" if b"AUTH" in line else b"AGREE_UNIX_FD"
                writer.write(words + b"\r\n")
        writer.close()

    with tempfile.TemporaryDirectory(prefix="bus-", dir="/tmp") as folder:
        async with await asyncio.start_unix_server(close_connection, f"{folder}/bus"), deadline(10):
            with pytest.raises(Unreachable, match="system bus"):
                async with system_bus.SystemBus.open_connection(f"unix:path={folder}/bus"):
                    pass


# --- the station file ------------------------------------------------------------------------------------------------

GOOD: dict[str, Any] = {"kind": "lan", "interface": "lo"}


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"kind": "satellite"}, "kind: must be one of 'lan', 'wifi', 'gprs'"),
        ({"interface": ""}, "interface: is missing"),
        ({"interface": "absent0"}, "interface: this machine has no interface 'absent0'"),
        ({"pin": "4711"}, "pin: a bearer of the kind 'lan' has no such key"),
        ({"ssid": "net"}, "ssid: a bearer of the kind 'lan' has no such key"),
        ({"address": "10.0.0.5"}, "address: must be an address with /prefix"),
        ({"address": "10.0.0.555/24"}, "address: '10.0.0.555/24' is no IP address with /prefix"),
        ({"address": "10.0.0.5/24", "gateway": "10.0.1.1"}, "gateway: 10.0.1.1 is not in the network of address"),
        ({"gateway": "10.0.1.1"}, "gateway: needs address"),
        ({"name_servers": ("one.one",)}, "name_servers[0]: must be an IP address"),
        ({"route_metric": 10_000}, "route_metric: must be 0 to 9999"),
        ({"kind": "wifi"}, "ssid: is missing"),
        ({"kind": "wifi", "ssid": "net", "psk_file": Path("/absent")}, "psk_file: /absent: No such file"),
        ({**RADIO, "interface": "lo"}, "interface: a bearer of the kind 'gprs' has no such key"),
        ({**RADIO, "interface": "", "apn": "chargy m2m"}, "apn: must be letters, digits"),
        ({**RADIO, "interface": "", "username": "u", "auth": "none"}, 'auth: must be "auto", "pap" or "chap"'),
    ],
)
def test_a_bad_table_is_named(keys: dict[str, Any], complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/absent")
    complaints = list_complaints(NetworkManagerSettings(**{**GOOD, **keys}))
    assert any(said.startswith(complaint) for said in complaints), complaints


def test_a_good_table_has_no_complaint_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/absent")
    assert list_complaints(NetworkManagerSettings(**GOOD)) == []
    radio = NetworkManagerSettings(**RADIO, password="secret")
    assert list_complaints(radio) == []
    assert PIN not in repr(radio)
    assert "secret" not in repr(radio)
    bad = NetworkManagerSettings(**{**RADIO, "pin": "47l1"})
    assert ["47l1" in said for said in list_complaints(bad)] == [False]
