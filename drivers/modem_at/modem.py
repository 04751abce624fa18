"""The modem: its SIM, registration and signal by AT commands, its connection by PPP, and the steps of a recovery."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace as settings_replace
from pathlib import Path
from typing import Self

from agent.model.bearer import ApnAccess, BearerState, BearerStatus, Registration, ResetStep, SimState
from agent.model.fastclass import replace
from agent.ports import DeviceError, Refused
from agent.ports.bearer import PinNotPresented
from drivers.mobile_modem import REGISTERED, check_ordered_pin, cycle_power, describe_registration
from drivers.modem_at.answers import (
    EF_ICCID,
    PIN_REFUSALS,
    SIM_ERRORS,
    answer_text,
    checked_digits,
    iccid_of_file,
    operator_of,
    pin_tries_of,
    registration_of,
    signal_dbm_of,
    sim_state_of,
)
from drivers.modem_at.channel import AtChannel, CommandFailed, NoAnswer
from drivers.modem_at.operator_choice import OperatorChoice
from drivers.modem_at.ppp import PppProcess
from drivers.modem_at.settings import ModemSettings
from drivers.network_interface import interface_status

log = logging.getLogger(__name__)

WAKE_TRIES = 3
"""A modem that finds the speed of the line by itself needs some commands for it."""
ESCAPE, GUARD_S = b"+++", 1.1
ATTACH_S, RADIO_S, RESTART_S = 20.0, 15.0, 25.0
POLL_S = 1.0


class Modem:
    """``agent.ports.bearer.BearerPort``. Without a line of its own for data, the modem takes no commands while it is
    connected: SIM, registration and signal are then those of before."""

    def __init__(self, settings: ModemSettings, state_dir: Path) -> None:
        self._settings = settings
        self._name = f"modem {settings.device}"
        self._channel = AtChannel(self._name, settings.answer_s)
        self._data = (
            AtChannel(f"modem {settings.data_device}", settings.answer_s) if settings.data_device else self._channel
        )
        """The line that carries PPP."""
        self._ppp = PppProcess(settings, state_dir)
        self._known = BearerStatus(BearerState.DOWN)
        """What is known of SIM and network; state and interface in it do not count."""
        self._is_pin_refused = False
        self._may_be_in_data_mode = True
        """The connection has ended, or the driver has begun, and the modem has not answered since. A call may be left
        from before: a killed pppd ends none, and a modem may keep its supply while the board starts again."""
        self._given = settings
        self._operator = OperatorChoice(self._name, self._channel, settings.operator)

    @asynccontextmanager
    async def open_line(self) -> AsyncIterator[Self]:
        async with AsyncExitStack() as lines:
            await lines.enter_async_context(self._channel.open_line(self._settings.device, self._settings.baud))
            if self._data is not self._channel:
                await lines.enter_async_context(self._data.open_line(self._settings.data_device, self._settings.baud))
            try:
                yield self
            finally:
                await self._end_connection()

    async def _end_connection(self) -> None:
        """End pppd when the driver ends. One that takes no signal ends after the modem has hung up."""
        try:
            await self._ppp.stop()
        except Refused as e:
            log.warning("%s", e)
            with contextlib.suppress(DeviceError):
                await self._leave_data_mode()

    # --- state -------------------------------------------------------------------------------------------------------

    async def read_status(self) -> BearerStatus:
        if self._ppp.take_exit() or self._may_be_in_data_mode:
            await self._leave_data_mode()
        if not self._ppp.is_running or self._settings.data_device:
            try:
                await self._wake_modem()
                self._known = await self._read_modem()
            except NoAnswer as e:
                self._channel.has_restarted = True
                self._known = BearerStatus(BearerState.DOWN, str(e))
        return self._with_connection(self._known)

    def _with_connection(self, known: BearerStatus) -> BearerStatus:
        if not self._ppp.is_running:
            return replace(known, state=BearerState.DOWN, reason=known.reason or self._ppp.why)
        carried = interface_status(self._settings.interface, self._settings.network_folder)
        return replace(
            known,
            state=BearerState.UP if carried.is_up else BearerState.DOWN,
            reason=carried.reason,
            interface=carried.interface,
            address=carried.address,
            received_bytes=carried.received_bytes,
            sent_bytes=carried.sent_bytes,
        )

    async def _wake_modem(self) -> None:
        """Find out whether the modem answers, and set it up after its start. Raises ``NoAnswer``."""
        for attempt in range(WAKE_TRIES):
            try:
                await self._channel.send_command("")
                break
            except CommandFailed:
                break  # it answers
            except NoAnswer:
                if attempt == WAKE_TRIES - 1:
                    raise
        if self._channel.has_restarted:
            for command in ("E0", "+CMEE=1"):
                await self._try_command(command)
            self._channel.has_restarted = False
            self._operator.forget_choice()
            self._known = BearerStatus(BearerState.DOWN)

    async def _read_modem(self) -> BearerStatus:
        sim = await self._read_sim_state()
        if sim is not SimState.READY:
            return BearerStatus(BearerState.DOWN, f"SIM: {sim}", sim=sim, pin_tries=await self._read_pin_tries())
        registration, technology, by_packets = Registration.UNKNOWN, "", False
        for command in ("+CGREG", "+CEREG", "+CREG"):
            lines = await self._try_command(f"{command}?", f"{command}:")
            found, in_use = registration_of(lines, f"{command}:")
            if found in REGISTERED or not by_packets:
                registration, technology, by_packets = found, in_use, found is not Registration.UNKNOWN
            if found in REGISTERED:
                break
        operator, of_operator = operator_of(await self._try_command("+COPS?", "+COPS:"))
        signal_dbm = signal_dbm_of(await self._try_command("+CSQ", "+CSQ:"))
        return BearerStatus(
            BearerState.DOWN,
            "" if registration in REGISTERED else describe_registration(registration, signal_dbm),
            sim=sim,
            iccid=self._known.iccid or await self._read_iccid(),
            imsi=self._known.imsi or await self._read_imsi(),
            registration=registration,
            operator=operator,
            technology=technology or of_operator,
            signal_dbm=signal_dbm,
        )

    async def _read_sim_state(self) -> SimState:
        """Return the state of the SIM. One that is busy, or whose words are not known, is not used."""
        try:
            found = sim_state_of(await self._channel.send_command("+CPIN?", "+CPIN:"))
        except CommandFailed as e:
            found = SIM_ERRORS.get(e.code)
        if found is SimState.READY:
            self._is_pin_refused = False
        if found is SimState.PIN_REQUIRED and self._is_pin_refused:
            return SimState.PIN_REFUSED
        return found or SimState.NOT_USED

    async def _read_iccid(self) -> str:
        found = iccid_of_file(await self._try_command(f"+CRSM=176,{EF_ICCID},0,0,10", "+CRSM:"))
        return found or checked_digits(answer_text(await self._try_command("+CCID", "+CCID:"), "+CCID:"), 18, 20)

    async def _read_imsi(self) -> str:
        lines = await self._try_command("+CIMI")
        return next((digits for line in lines if (digits := checked_digits(line, 6, 15))), "")

    async def _try_command(self, command: str, prefix: str = "") -> list[str]:
        """Return the answer; nothing if the modem does not know the command. Raises ``NoAnswer``."""
        try:
            return await self._channel.send_command(command, prefix)
        except CommandFailed:
            return []

    # --- connection --------------------------------------------------------------------------------------------------

    async def bring_up(self) -> None:
        if self._ppp.is_running:
            return
        await self._operator.apply_choice()
        await self._wait_for_network()
        await self._set_apn()
        with contextlib.suppress(CommandFailed):  # some refuse it while they are attached
            await self._channel.send_command("+CGATT=1", timeout_s=ATTACH_S)
        await self._dial()
        self._data.pause_reading()
        try:
            await self._ppp.start()
        except Refused:
            await self._leave_data_mode()
            raise

    async def take_down(self) -> None:
        if self._ppp.is_running:
            try:
                await self._ppp.stop()
            except Refused:
                await self._leave_data_mode()
                raise
            await self._leave_data_mode()

    async def use_apn_access(self, access: ApnAccess | None) -> None:
        """``agent.ports.bearer.ApnPort``."""
        settings = self._given
        if access is not None:
            settings = settings_replace(
                settings, apn=access.apn, username=access.username, password=access.password, auth=access.auth,
                pin=access.pin or settings.pin,
            )  # fmt: skip
        if settings.pin != self._settings.pin:
            self._is_pin_refused = False
        self._settings = self._ppp.settings = settings
        self._operator.use_operator_of_access(access)

    async def _wait_for_network(self) -> None:
        """Wait for the registration. Raises ``Refused``."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._settings.register_s
        while True:
            status = await self.read_status()
            if status.registration in REGISTERED:
                return
            is_hopeless = status.sim is not SimState.READY or status.registration is Registration.DENIED
            if is_hopeless or loop.time() >= end_s:
                raise Refused(f"{self._name}: not dialled: {status.reason}")
            await asyncio.sleep(min(POLL_S, self._settings.register_s / 4))

    async def _set_apn(self) -> None:
        """Set the APN, unless it is set: the modem keeps it in a memory that wears."""
        wanted = f'+CGDCONT=1,"IP","{self._settings.apn}"'
        lines = await self._try_command("+CGDCONT?", "+CGDCONT:")
        if not any(line.replace(" ", "").startswith(wanted.replace("=", ":", 1)) for line in lines):
            await self._channel.send_command(wanted)

    async def _dial(self) -> None:
        try:
            await self._data.send_command(f"D{self._settings.number}", timeout_s=self._settings.connect_s)
        except CommandFailed as e:
            why = answer_text(await self._try_command("+CEER", "+CEER:"), "+CEER:")
            raise Refused(f"{e}{f' ({why})' if why else ''}; check apn, user and password") from e
        self._may_be_in_data_mode = False  # of no call but this one

    async def _leave_data_mode(self) -> None:
        """Take the line back from pppd, and hang up."""
        self._data.resume_reading()
        self._may_be_in_data_mode = True
        try:
            await self._data.send_command("")
        except Refused:
            await self._data.write_raw(ESCAPE, GUARD_S)
        with contextlib.suppress(NoAnswer):
            await self._hang_up()
            self._may_be_in_data_mode = False

    async def _hang_up(self) -> None:
        with contextlib.suppress(CommandFailed):  # there was no call
            await self._data.send_command("H")

    # --- recovery ----------------------------------------------------------------------------------------------------

    async def reset_bearer(self, step: ResetStep) -> None:
        try:
            await self.take_down()
        except Refused as e:  # a pppd that does not end must not stop the recovery
            log.warning("%s", e)
        match step:
            case ResetStep.REATTACH:
                await self._channel.send_command("+CGATT=0", timeout_s=ATTACH_S)
            case ResetStep.RADIO_CYCLE:
                for function in (4, 1):
                    await self._channel.send_command(f"+CFUN={function}", timeout_s=RADIO_S)
            case ResetStep.MODEM_RESET:
                await self._channel.send_command("+CFUN=1,1", timeout_s=RADIO_S)
                await self._wait_for_restart()
            case ResetStep.POWER_CYCLE:
                await cycle_power(self._name, self._settings.power)
                await self._wait_for_restart()

    async def _wait_for_restart(self) -> None:
        """Wait until the modem answers again; one that takes longer is found by ``read_status``."""
        self._channel.has_restarted = True
        self._known = BearerStatus(BearerState.DOWN)
        end_s = asyncio.get_running_loop().time() + RESTART_S
        while asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(POLL_S)
            with contextlib.suppress(Refused):
                await self._channel.send_command("")
                return

    async def unlock_sim(self, pin_mark: str) -> None:
        check_ordered_pin(self._name, self._settings.pin, pin_mark)
        if self._is_pin_refused:
            raise PinNotPresented(f"{self._name}: the SIM has refused this PIN")
        try:
            is_needed = await self._read_sim_state() is SimState.PIN_REQUIRED
            tries = await self._read_pin_tries()
        except NoAnswer as e:
            raise PinNotPresented(str(e)) from e
        if not is_needed:
            raise PinNotPresented(f"{self._name}: the SIM needs no PIN")
        try:
            await self._channel.send_command(f'+CPIN="{self._settings.pin}"', timeout_s=RADIO_S)
        except CommandFailed as e:
            self._is_pin_refused = e.code in PIN_REFUSALS or _is_fewer(await self._read_pin_tries(), tries)
            if self._is_pin_refused:
                raise Refused(f"{self._name}: the SIM does not accept the PIN: correct pin") from e
            raise Refused(f"{e}: whether the SIM has accepted the PIN is not known") from e

    async def _read_pin_tries(self) -> int | None:
        return pin_tries_of(await self._try_command('+CPINR="SIM PIN"', "+CPINR:"))


def _is_fewer(tries: int | None, before: int | None) -> bool:
    return tries is not None and before is not None and tries < before
