"""The modem driver against a simulated modem in its own process: SIM, network, connection, recovery, every fault."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import serial

from agent.model.bearer import ApnAccess, BearerState, BearerStatus, Registration, ResetStep, SimState
from agent.model.pin_mark import make_pin_mark
from agent.ports import Refused, Unreachable
from agent.ports.bearer import ApnPort, BearerPort, PinNotPresented
from drivers import mobile_modem
from drivers.modem_at import answers, list_complaints
from drivers.modem_at import channel as channel_module
from drivers.modem_at import modem as modem_module
from drivers.modem_at import ppp as ppp_module
from drivers.modem_at.ppp import ppp_options
from drivers.modem_at.settings import ModemSettings
from tests.support.busy_machine import deadline, stretched
from tests.support.control_socket import Json
from tests.support.modem_process import SimulatedModem, running

PIN = "4711"
MARK, WRONG_MARK = make_pin_mark(PIN), make_pin_mark("1234")


@pytest.fixture
async def modem(tmp_path: Path) -> AsyncIterator[SimulatedModem]:
    async with running(tmp_path) as made:
        yield made


@pytest.fixture
async def locked(tmp_path: Path) -> AsyncIterator[SimulatedModem]:
    async with running(tmp_path, "--pin", PIN) as made:
        yield made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modem_module, "GUARD_S", 0.05)
    monkeypatch.setattr(modem_module, "POLL_S", 0.05)
    monkeypatch.setattr(modem_module, "RESTART_S", 1.0)


async def until_up(port: BearerPort) -> BearerStatus:
    async with deadline(20):
        while not (status := await port.read_status()).is_up:
            await asyncio.sleep(0.02)
    return status


# --- SIM and network -------------------------------------------------------------------------------------------------


async def test_what_a_good_modem_reports(modem: SimulatedModem) -> None:
    async with modem.opened() as port:
        status = await port.read_status()
    assert status == BearerStatus(
        BearerState.DOWN, "not connected", sim=SimState.READY, iccid="89352010000000000176", imsi="270991234567890",
        registration=Registration.ROAMING, operator="LU POST", technology="EDGE", signal_dbm=-79,
    )  # fmt: skip


@pytest.mark.parametrize("fault", ["unasked", "pieces"])
async def test_reports_in_between_and_answers_in_pieces_change_nothing(modem: SimulatedModem, fault: str) -> None:
    await modem.fault(fault)
    async with modem.opened() as port:
        status = await port.read_status()
    assert (status.sim, status.registration, status.signal_dbm) == (SimState.READY, Registration.ROAMING, -79)
    assert status.imsi == "270991234567890"


@pytest.mark.parametrize(
    ("fault", "sim", "registration", "words"),
    [
        ("no_sim", SimState.MISSING, Registration.UNKNOWN, "SIM: missing"),
        ("puk", SimState.PUK_REQUIRED, Registration.UNKNOWN, "PUK required"),
        ("busy", SimState.NOT_USED, Registration.UNKNOWN, "SIM"),
        ("denied", SimState.READY, Registration.DENIED, "refuses the SIM"),
        ("searching", SimState.READY, Registration.SEARCHING, "not registered in the network (searching)"),
        ("no_signal", SimState.READY, Registration.IDLE, "no signal: check the antenna"),
        ("hang", SimState.NOT_USED, Registration.UNKNOWN, "no answer to AT"),
        ("garbage", SimState.NOT_USED, Registration.UNKNOWN, "no text: check baud"),
        ("refuses_all", SimState.NOT_USED, Registration.UNKNOWN, "SIM"),
    ],
)
async def test_each_fault_has_its_state_and_words_and_an_end(
    modem: SimulatedModem, fault: str, sim: SimState, registration: Registration, words: str
) -> None:
    await modem.fault(fault)
    async with modem.opened() as port:
        status = await port.read_status()
        assert (status.state, status.sim, status.registration) == (BearerState.DOWN, sim, registration)
        assert words in status.reason
        with pytest.raises(Refused):
            await port.bring_up()
        await modem.fault(fault, on=False)
        assert (await port.read_status()).registration is Registration.ROAMING
        await port.bring_up()
        await until_up(port)


async def test_a_late_answer_is_not_taken_for_the_next_one(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer_s = stretched(0.5)
    monkeypatch.setattr(channel_module, "LATE_S", stretched(0.5))
    async with modem.opened(answer_s=answer_s) as port:
        await port.read_status()
        await modem.do("set", delays_s=[answer_s + 0.05, 0.1, 0.1, 0.1])  # the first answer comes too late
        status = await port.read_status()
    assert (status.sim, status.registration) == (SimState.READY, Registration.ROAMING)


async def test_another_speed_is_named(modem: SimulatedModem) -> None:
    async with modem.opened(baud=9600) as port:
        assert "check baud" in (await port.read_status()).reason


async def test_a_modem_that_vanishes_is_unreachable_and_comes_back(modem: SimulatedModem) -> None:
    async with modem.opened() as port:
        await port.read_status()
        await modem.do("vanish")
        with pytest.raises(Unreachable):
            async with deadline(10):
                while True:
                    await port.read_status()
    with pytest.raises(Unreachable):
        async with modem.opened():
            pass
    await modem.do("return")
    async with modem.opened() as port:
        assert (await port.read_status()).sim is SimState.READY


async def test_after_a_brown_out_it_is_set_up_again(locked: SimulatedModem) -> None:
    async with locked.opened(pin=PIN) as port:
        await port.unlock_sim(MARK)
        assert (await port.read_status()).sim is SimState.READY
        await locked.do("restart")
        assert (await port.read_status()).sim is SimState.PIN_REQUIRED
        assert (await locked.do("state"))["commands"].count("+CMEE=1") == 2


# --- the PIN ---------------------------------------------------------------------------------------------------------


async def test_a_pin_is_used_only_when_ordered(locked: SimulatedModem) -> None:
    async with locked.opened(pin=PIN) as port:
        for _ in range(3):
            status = await port.read_status()
        assert (status.sim, status.pin_tries, status.iccid) == (SimState.PIN_REQUIRED, 3, "")
        with pytest.raises(Refused, match="PIN required"):
            await port.bring_up()
        assert (await locked.do("state"))["pins_tried"] == 0
        await port.unlock_sim(MARK)
        assert (await port.read_status()).iccid == "89352010000000000176"
        with pytest.raises(Refused, match="needs no PIN"):
            await port.unlock_sim(MARK)
        assert (await locked.do("state"))["pins_tried"] == 1


async def test_a_wrong_pin_is_tried_once(locked: SimulatedModem, caplog: pytest.LogCaptureFixture) -> None:
    async with locked.opened(pin="1234") as port:
        with pytest.raises(Refused, match="does not accept the PIN: correct pin") as refused:
            await port.unlock_sim(WRONG_MARK)
        status = await port.read_status()
        assert (status.sim, status.pin_tries) == (SimState.PIN_REFUSED, 2)
        with pytest.raises(Refused, match="has refused this PIN"):
            await port.unlock_sim(WRONG_MARK)
        assert (await locked.do("state"))["pins_tried"] == 1
    assert "1234" not in str(refused.value) + caplog.text


@pytest.mark.parametrize("faults", [("pin_busy",), ("pin_busy", "no_numbers"), ("no_numbers", "no_tries")])
async def test_an_error_that_is_no_refusal_leaves_the_outcome_open(
    locked: SimulatedModem, faults: tuple[str, ...]
) -> None:
    for fault in faults:
        await locked.fault(fault)
    pin = PIN if "pin_busy" in faults else "1234"
    async with locked.opened(pin=pin) as port:
        with pytest.raises(Refused, match="is not known"):
            await port.unlock_sim(make_pin_mark(pin))
        assert (await port.read_status()).sim is SimState.PIN_REQUIRED
        assert (await locked.do("state"))["pins_tried"] == 1


async def test_fewer_tries_mean_a_wrong_pin_whatever_the_error_is(locked: SimulatedModem) -> None:
    await locked.fault("no_numbers")
    async with locked.opened(pin="1234") as port:
        with pytest.raises(Refused, match="correct pin"):
            await port.unlock_sim(WRONG_MARK)
        assert (await port.read_status()).sim is SimState.PIN_REFUSED


async def test_a_sim_that_needs_its_puk_gets_no_pin(locked: SimulatedModem) -> None:
    await locked.fault("puk")
    async with locked.opened(pin=PIN) as port:
        with pytest.raises(PinNotPresented, match="needs no PIN"):
            await port.unlock_sim(MARK)
        await locked.fault("hang")
        with pytest.raises(PinNotPresented, match="no answer"):
            await port.unlock_sim(MARK)
        assert (await locked.do("state"))["pins_tried"] == 0


# --- connection ------------------------------------------------------------------------------------------------------


async def test_it_dials_and_hands_the_line_to_pppd(modem: SimulatedModem) -> None:
    async with modem.opened(username="station", password="p w", auth="pap") as port:
        await port.bring_up()
        status = await until_up(port)
        assert (status.interface, status.address) == ("lo", "127.0.0.1")
        assert (status.iccid, status.signal_dbm) == ("89352010000000000176", -79), "of before the connection"
        state = await modem.do("state")
        assert state["in_data_mode"]
        assert state["values"]["apn"] == "chargy.m2m"
        before = len(state["commands"])
        await port.read_status()
        await port.bring_up()
        assert len((await modem.do("state"))["commands"]) == before, "no command into the data"
        await port.take_down()
        status = await port.read_status()
        assert (status.state, status.reason, status.registration) == (
            BearerState.DOWN, "not connected", Registration.ROAMING,
        )  # fmt: skip
        assert not (await modem.do("state"))["in_data_mode"]
        options = modem.folder / "ppp-lo.options"
        assert options.stat().st_mode & 0o077 == 0
        assert 'password "p w"' in options.read_text("utf-8")


def choices(state: Json) -> list[str]:
    """What the modem was ordered to choose as its operator."""
    return [command for command in state["commands"] if command.startswith("+COPS=") and "=3" not in command]


@pytest.mark.parametrize("mode", [1, 4])
async def test_an_operator_that_the_modem_has_kept_is_given_up(modem: SimulatedModem, mode: int) -> None:
    """The agent has crashed, or lost the line, while a network profile was in turn that wanted this operator alone."""
    await modem.do("set", operator_mode=mode, chosen="20404")
    await modem.fault("cops_fails")
    async with modem.opened() as port:
        with contextlib.suppress(Refused):
            await port.bring_up()
        await port.take_down()
        await modem.fault("cops_fails", on=False)
        await port.bring_up()
        await until_up(port)
        assert choices(await modem.do("state")) == ["+COPS=0"] * 2, "an error answer: sent again before the next call"
        await port.take_down()
        await port.bring_up()
        await until_up(port)
        state = await modem.do("state")
        assert (len(choices(state)), state["values"]["operator_mode"]) == (2, 0)


async def test_a_modem_without_a_kept_operator_gets_no_choice(modem: SimulatedModem) -> None:
    async with modem.opened() as port:
        await port.bring_up()
        await until_up(port)
        assert choices(await modem.do("state")) == []


async def test_the_operator_of_a_profile_is_given_up_after_one_failure(modem: SimulatedModem) -> None:
    async with modem.opened() as port:
        assert isinstance(port, ApnPort)
        await port.use_apn_access(ApnAccess("new.m2m", network="27001", is_network_only=True))
        await port.bring_up()
        await port.use_apn_access(None)
        await port.take_down()
        await modem.fault("cops_fails")
        await port.bring_up()
        await port.take_down()
        await modem.fault("cops_fails", on=False)
        await port.bring_up()
        assert choices(await modem.do("state")) == ['+COPS=1,2,"27001"', "+COPS=0", "+COPS=0"]


async def test_the_operator_of_the_station_file_stays(modem: SimulatedModem) -> None:
    """Also after a network profile with another one, and after a start of the modem."""
    async with modem.opened(operator="27001") as port:
        assert isinstance(port, ApnPort)
        await port.bring_up()
        await port.take_down()
        await port.use_apn_access(ApnAccess("new.m2m", network="20404", is_network_only=True))
        with pytest.raises(Refused):
            await port.bring_up()
        await port.use_apn_access(None)
        await port.bring_up()
        await port.take_down()
        await modem.do("restart")
        await port.read_status()
        await port.bring_up()
        own, other = '+COPS=1,2,"27001"', '+COPS=1,2,"20404"'
        assert choices(await modem.do("state")) == [own, other, own, own]
    assert list_complaints(modem.settings(operator="POST"))[0].startswith("operator: ")


async def test_the_apn_is_written_only_when_it_differs(modem: SimulatedModem) -> None:
    async with modem.opened() as port:
        for _ in range(3):
            await port.bring_up()
            await port.take_down()
    written = [c for c in (await modem.do("state"))["commands"] if c.startswith("+CGDCONT=")]
    assert written == ['+CGDCONT=1,"IP","chargy.m2m"']


async def test_a_call_that_is_not_answered_says_why(modem: SimulatedModem) -> None:
    await modem.fault("no_carrier")
    async with modem.opened() as port:
        with pytest.raises(Refused, match=r"NO CARRIER \(PDP activation failed\); check apn"):
            await port.bring_up()
        assert (await port.read_status()).registration is Registration.ROAMING


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("sys.exit(4)", "this kernel has no PPP"),
        ("sys.exit(10)", "the other side agreed to no PPP"),
        ("sys.exit(19)", "refuses user or password"),
        ("sys.exit(99)", "exit 99"),
    ],
)
async def test_the_end_of_pppd_has_words_and_the_modem_commands_again(
    modem: SimulatedModem, deed: str, words: str
) -> None:
    async with modem.opened(pppd=modem.pppd(deed), interface="absent0") as port:
        with pytest.raises(Refused, match=words):
            await port.bring_up()
        status = await port.read_status()
        assert words in status.reason
        assert status.registration is Registration.ROAMING


async def test_a_connection_that_breaks_is_noticed(modem: SimulatedModem) -> None:
    broken = modem.folder / "broken"
    deed = f"while not os.path.exists({str(broken)!r}): time.sleep(0.05)\nsys.exit(16)"
    async with modem.opened(pppd=modem.pppd(deed)) as port:
        await port.bring_up()
        await until_up(port)
        broken.touch()
        async with deadline(10):
            while (status := await port.read_status()).is_up:
                await asyncio.sleep(0.05)
        assert "the modem has hung up" in status.reason
        await modem.do("detach")
        assert (await port.read_status()).registration is Registration.SEARCHING


async def test_pppd_that_gets_no_address_is_ended(modem: SimulatedModem) -> None:
    async with modem.opened(interface="absent0", connect_s=1.0) as port:
        with pytest.raises(Refused, match="no address within 1 s"):
            await port.bring_up()
        assert (await port.read_status()).registration is Registration.ROAMING


async def test_pppd_that_cannot_be_started(modem: SimulatedModem) -> None:
    async with modem.opened(pppd=("/nowhere/pppd",)) as port:
        with pytest.raises(Refused, match="cannot be started"):
            await port.bring_up()


async def test_without_a_file_of_options_pppd_is_not_started(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with modem.opened() as port:
        monkeypatch.setattr(ppp_module.os, "open", refuse)
        with pytest.raises(Refused, match="No space left"):
            await port.bring_up()
        monkeypatch.undo()
        assert (await port.read_status()).registration is Registration.ROAMING


async def test_pppd_of_another_user_is_ended_by_hanging_up(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pppd that sudo starts runs as root, and a signal to it gives EPERM."""

    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    async with modem.opened() as port:
        await port.bring_up()
        await until_up(port)
        process = port._ppp._process  # type: ignore[attr-defined]
        with monkeypatch.context() as patched:
            for end in ("terminate", "kill"):
                patched.setattr(asyncio.subprocess.Process, end, refuse)
            with pytest.raises(Refused, match="another user"):
                await port.take_down()
            assert not (await modem.do("state"))["in_data_mode"]
            await port.bring_up()
            assert not (await modem.do("state"))["in_data_mode"], "it waits until this pppd has ended"
            await port.reset_bearer(ResetStep.RADIO_CYCLE)
            assert "+CFUN=4" in (await modem.do("state"))["commands"]
        process.kill()
        await process.wait()
        await port.bring_up()
        await until_up(port)


async def test_a_call_that_a_killed_agent_has_left_is_ended(modem: SimulatedModem) -> None:
    """Agent and pppd were killed, or the board has started again while its modem kept its supply. No LCP has ended the
    call, and DTR has not dropped."""
    with serial.Serial(str(modem.line), 115_200) as line:
        line.write(b"ATD*99***1#\r")
        async with deadline(10):
            while not (await modem.do("state"))["in_data_mode"]:
                await asyncio.sleep(0.02)
    async with modem.opened() as port:
        assert (await port.read_status()).registration is Registration.ROAMING
        await port.bring_up()
        await until_up(port)


async def test_a_modem_that_wakes_late_keeps_its_first_call(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken for one in data mode, because it did not answer the first commands."""
    answer_s = stretched(0.5)
    monkeypatch.setattr(channel_module, "LATE_S", stretched(0.5))
    async with modem.opened(answer_s=answer_s) as port:
        await modem.do("set", delays_s=[0.0, answer_s + 0.05, 0.0, answer_s + 0.05])  # +COPS, AT, the escape, H
        await port.bring_up()
        for _ in range(2):
            await until_up(port)
        assert (await modem.do("state"))["in_data_mode"]


async def test_the_driver_ends_with_pppd_of_another_user(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        async with modem.opened() as port:
            await port.bring_up()
            process = port._ppp._process  # type: ignore[attr-defined]
            patched.setattr(asyncio.subprocess.Process, "terminate", refuse)
        assert not (await modem.do("state"))["in_data_mode"]
    process.kill()
    await process.wait()


async def test_pppd_ends_with_the_driver(modem: SimulatedModem) -> None:
    ready, gone = modem.folder / "ready", modem.folder / "gone"
    deed = f"import signal; signal.signal(15, lambda *_: (open({str(gone)!r}, 'w'), sys.exit()))"
    deed += f"; open({str(ready)!r}, 'w'); time.sleep(3600)"
    async with modem.opened(pppd=modem.pppd(deed)) as port:
        await port.bring_up()
        async with deadline(20):
            while not ready.exists():
                await asyncio.sleep(0.02)
    assert gone.exists()


async def test_the_real_pppd_takes_the_options(modem: SimulatedModem) -> None:
    if shutil.which("pppd") is None:
        pytest.skip("pppd is not installed here (Debian: ppp): its options and exit codes are those of its manual")
    async with modem.opened(pppd=("pppd",), interface="ppp-test", connect_s=20.0) as port:
        with pytest.raises(Refused) as refused:  # the simulated modem speaks no PPP
            await port.bring_up()
    assert "exit 2" not in str(refused.value), "an option is not known"


def test_the_options_of_pppd() -> None:
    settings = ModemSettings("/dev/ttyUSB2", "/dev/ttyUSB3", username="u", password="secret-word", auth="chap")
    options = ppp_options(settings).splitlines()
    assert options[:2] == ["/dev/ttyUSB3", "115200"]
    assert {"refuse-pap", "refuse-eap", 'user "u"', "hide-password", "ifname ppp0", "noauth"} <= set(options)
    assert "refuse-chap" not in options
    assert "secret-word" not in repr(settings)
    assert not [o for o in ppp_options(ModemSettings("/dev/ttyUSB2")).splitlines() if "password" in o]


# --- recovery --------------------------------------------------------------------------------------------------------


async def test_every_step_of_the_recovery(modem: SimulatedModem) -> None:
    switched = modem.folder / "switched"
    async with modem.opened(power=("touch", str(switched))) as port:
        await port.bring_up()
        await port.reset_bearer(ResetStep.REATTACH)
        assert (await modem.do("state"))["values"]["attached"] == 0
        assert not (await port.read_status()).is_up
        await port.reset_bearer(ResetStep.RADIO_CYCLE)
        await port.reset_bearer(ResetStep.MODEM_RESET)
        await port.reset_bearer(ResetStep.POWER_CYCLE)
        assert switched.exists()
        commands = (await modem.do("state"))["commands"]
        assert [c for c in commands if c.startswith("+CFUN")] == ["+CFUN=4", "+CFUN=1", "+CFUN=1,1"]
        await port.bring_up()
        await until_up(port)


async def test_a_step_that_cannot_be_taken_is_refused(modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch) -> None:
    async with modem.opened() as port:
        with pytest.raises(Refused, match="power names no command"):
            await port.reset_bearer(ResetStep.POWER_CYCLE)
        await modem.fault("hang")
        for step in (ResetStep.REATTACH, ResetStep.RADIO_CYCLE, ResetStep.MODEM_RESET):
            for name in ("ATTACH_S", "RADIO_S"):
                monkeypatch.setattr(modem_module, name, 0.2)
            with pytest.raises(Refused, match="no answer"):
                await port.reset_bearer(step)
    for power in (("false",), ("/nowhere/power",)):
        async with modem.opened(power=power) as port:
            with pytest.raises(Refused, match="power"):
                await port.reset_bearer(ResetStep.POWER_CYCLE)


def _is_running(number: str) -> bool:
    return Path(f"/proc/{number}").exists()


async def test_a_power_command_that_does_not_end_is_killed(
    modem: SimulatedModem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mobile_modem, "POWER_S", 2.0)
    number = modem.folder / "number"
    command = 'echo $$ >"$0"; exec sleep 3600'
    async with modem.opened(power=("sh", "-c", command, str(number))) as port:
        with pytest.raises(Refused, match="does not end"):
            await port.reset_bearer(ResetStep.POWER_CYCLE)
        async with deadline(10):
            while _is_running(number.read_text("utf-8").strip()):
                await asyncio.sleep(0.05)


# --- settings and answers --------------------------------------------------------------------------------------------


def test_what_check_says_of_a_modem(tmp_path: Path) -> None:
    wrong = list_complaints(ModemSettings("/dev/absent", pin="12a4", apn="my apn", pppd=("absent-pppd",), username="u"))
    assert [w.partition(": ")[0] for w in wrong] == ["pin", "apn", "device", "pppd", "auth"]
    assert "this machine has no /dev/absent" in wrong[2]
    assert list_complaints(ModemSettings("/dev/null", pppd=("true",))) == []
    assert list_complaints(ModemSettings(""))[0].startswith("device: is missing")


@pytest.mark.parametrize(
    ("line", "registration", "technology"),
    [
        ('+CGREG: 2,5,"00C3","0000A2F1",3', Registration.ROAMING, "EDGE"),
        ("+CGREG: 0,1", Registration.HOME, ""),
        ("+CGREG: 2, 2", Registration.SEARCHING, ""),
        ("+CGREG: 5", Registration.UNKNOWN, ""),
        ("+CGREG: 2,77", Registration.UNKNOWN, ""),
        ("+CGREG: x,y", Registration.UNKNOWN, ""),
        ('+CGREG: 2,1,"1","2",99', Registration.HOME, ""),
    ],
)
def test_registrations(line: str, registration: Registration, technology: str) -> None:
    assert answers.registration_of([line], "+CGREG:") == (registration, technology)
    assert answers.registration_of(["+CGREG: 2", line], "+CGREG:") == (registration, technology)


def test_numbers_of_a_sim_and_a_signal() -> None:
    assert answers.iccid_of_file(['+CRSM: 144,0,"989420100000000000F7"']) == "8949020100000000007"[:19]
    assert answers.iccid_of_file(["+CRSM: 148,8"]) == ""
    assert answers.iccid_of_file(['+CRSM: 144,0,"98XX"']) == ""
    assert [answers.signal_dbm_of([f"+CSQ: {n},99"]) for n in (0, 31, 32, 99)] == [-113, -51, None, None]
    assert answers.signal_dbm_of(["+CSQ: lots"]) is None
    assert answers.pin_tries_of(["+CPINR: SIM PIN,2,3"]) == 2
    assert answers.pin_tries_of(["+CPINR: SIM PUK,10,10"]) is None
    assert answers.operator_of(['+COPS: 0,0,"POST",7']) == ("POST", "LTE")
    assert answers.operator_of(["+COPS: 0"]) == ("", "")
    assert answers.checked_digits("12345F", 5, 5) == "12345"
    assert answers.checked_digits("12 45", 3, 5) == ""
