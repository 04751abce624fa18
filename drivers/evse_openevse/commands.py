"""The commands of the board that the driver uses, and what their answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from drivers.evse_openevse.decoded_state import BoardStatus
from drivers.evse_openevse.frames import parse_numbers
from drivers.evse_openevse.line import RapiLine

_UNLOCKED_WITHIN_S = 3.0
_LOOK_S = 0.1
_MISSED, _ACKNOWLEDGE = 2, 165
"""Trigger and password of ``$SY``: a beat was missed and the current is limited until this is acknowledged."""


class BoardCommands:
    """One method a command or a fixed sequence of commands. ``has_lock``: whether the board has a lock to read.
    ``heartbeat_s``, ``fallback_a``: what ``set_heartbeat`` sets. All raise ``DeviceError`` as ``RapiLine`` does."""

    def __init__(self, line: RapiLine, heartbeat_s: int, fallback_a: int) -> None:
        self.has_lock = False
        self._line = line
        self._heartbeat = f"SY {heartbeat_s} {fallback_a}"

    # --- release and sleep --------------------------------------------------------------------------------------

    async def fall_asleep(self) -> None:
        await self._line.send_command("FS", urgent=True)

    async def wake_up(self, wanted: Callable[[], bool]) -> None:
        """Wake the board, unless that is not ``wanted`` any more."""
        await self._line.send_command("FE", wanted=wanted)

    async def withdraw_release(self) -> None:
        await self.fall_asleep()
        await self._line.send_command("S4 1", urgent=True)

    async def give_release(self, wanted: Callable[[], bool]) -> None:
        """Take the auth lock off. It is not sent, or not sent again, once release is withdrawn: that order overtakes
        this one."""
        await self._line.send_command("S4 0", wanted=wanted)

    async def set_service(self, on: bool) -> None:
        """Take the board out of service, with its pilot at -12 V, or back. On again it sleeps until the next look wakes
        it."""
        await self._line.send_command("FS" if on else "FD", urgent=not on)

    async def restart_board(self) -> None:
        await self._line.send_unanswered("FR")

    # --- current, heartbeat and lock ----------------------------------------------------------------------------

    async def set_current(self, wanted_a: int) -> int:
        """Set the current until the next restart. Return what the board offers now, which is less when it or the cable
        bears no more."""
        _, words = await self._line.send_command(f"SC {wanted_a} V", no=True)
        (offers_a,) = parse_numbers(words, (10,))
        return offers_a

    async def send_beat(self) -> bool:
        """Send a sign of life. Return False if the board has missed one and lowered its offer."""
        in_time, _ = await self._line.send_command("SY", no=True)
        return in_time

    async def set_heartbeat(self) -> None:
        """Set heartbeat and fallback. To set the same again forgets a beat that was missed and leaves the current as it
        is; to acknowledge it would offer the maximum for a moment."""
        _, words = await self._line.send_command(self._heartbeat)
        _, _, trigger = parse_numbers(words, (10, 10, 10))
        if trigger == _MISSED:
            await self._line.send_command(f"SY {_ACKNOWLEDGE}")

    async def set_lock(self, *modes: str) -> None:
        for mode in modes:
            await self._line.send_command(f"S5 {mode}")

    async def wait_unlocked(self) -> bool:
        """Wait until the plug is free. Return False if it is not in time."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _UNLOCKED_WITHIN_S
        while True:
            seen = await self.read_status()
            if seen.locked is False or not seen.vehicle_present:
                return True
            if loop.time() >= until_s:
                return False
            await asyncio.sleep(_LOOK_S)

    # --- reading ------------------------------------------------------------------------------------------------

    async def read_status(self) -> BoardStatus:
        _, words = await self._line.send_command("GS")
        state, _, pilot, flags = parse_numbers(words, (16, 10, 16, 16))
        _, words = await self._line.send_command("GC")
        _, _, offered_a, most_a = parse_numbers(words, (10, 10, 10, 10))
        locked = None
        if self.has_lock:
            _, words = await self._line.send_command("G5")
            locked = bool(parse_numbers(words, (10,))[0])
        return BoardStatus(state, pilot, flags, offered_a, most_a, locked)
