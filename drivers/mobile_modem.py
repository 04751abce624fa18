"""What drivers of modems share: the forms of PIN, APN and its password, words for a technician, and the command that
switches the supply of a modem."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from typing import Annotated, TypeAlias

from agent.model.bearer import Registration
from agent.model.key_rules import Text
from agent.model.pin_mark import make_pin_mark
from agent.ports import Refused
from agent.ports.bearer import PinNotPresented

SimPin: TypeAlias = Annotated[str, Text(8, form="([0-9]{4,8})?", like="4 to 8 digits")]
AccessPointName: TypeAlias = Annotated[
    str, Text(100, form="[A-Za-z0-9.-]*", like="letters, digits, dots and hyphens, without blanks")
]
UserName: TypeAlias = Annotated[str, Text(64, form=r'[^\s"]*', like="a name without blanks and quotes")]
ApnPassword: TypeAlias = Annotated[str, Text(64, form=r'[^"\\]*', like="a text without quotes and backslashes")]
OperatorCode: TypeAlias = Annotated[
    str, Text(6, form="([0-9]{5,6})?", like='5 or 6 digits: country and network code, for example "27001"')
]

REGISTRATIONS = {
    0: Registration.IDLE,
    1: Registration.HOME,
    2: Registration.SEARCHING,
    3: Registration.DENIED,
    5: Registration.ROAMING,
    9: Registration.HOME,
    10: Registration.ROAMING,
}
"""By the status of a registration (3GPP TS 27.007, 7.2); MMModem3gppRegistrationState has the same numbers. With
a registration for short messages or emergency calls alone nothing is connected."""
REGISTERED = (Registration.HOME, Registration.ROAMING)
MTU_BYTES = 1400
"""Tunnels of the network operator leave no more."""
POWER_S = 30.0


def describe_registration(registration: Registration, signal_dbm: int | None) -> str:
    """Return why a modem is not registered, for a technician."""
    if registration is Registration.DENIED:
        return "the network refuses the SIM: ask the network operator"
    if signal_dbm is None:
        return "no signal: check the antenna"
    return f"not registered in the network ({registration})"


def check_ordered_pin(name: str, pin: str, pin_mark: str) -> None:
    """Raise ``PinNotPresented`` if this is not the PIN that was ordered: the order may be older than the PIN."""
    if not pin:
        raise PinNotPresented(f"{name}: there is no PIN to try")
    if make_pin_mark(pin) != pin_mark:
        raise PinNotPresented(f"{name}: the PIN that was ordered is another one than the modem is set to")


async def cycle_power(name: str, command: Sequence[str]) -> None:
    """Switch the supply of a modem off and on by the command of the station file. Raises ``Refused``."""
    if not command:
        raise Refused(f"{name}: its supply cannot be switched: power names no command")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as e:
        raise Refused(f"{name}: power: {e}") from e
    try:
        async with asyncio.timeout(POWER_S):
            code = await process.wait()
    except TimeoutError as e:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        raise Refused(f"{name}: power: it does not end within {POWER_S:g} s, and is killed") from e
    if code != 0:
        raise Refused(f"{name}: power has failed (exit {code})")
