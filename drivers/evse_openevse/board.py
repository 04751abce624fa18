"""One OpenEVSE board as an EVSE.

Held, the board is awake and auth-locked: it sees the vehicle, tests its relay and its earth, and closes nothing. Asleep
(``$FS``) it would look no further than whether a vehicle is there; it is put to sleep only to stop, since then it gives
the vehicle 3 s to end the current before it opens its relay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

from agent.model.board import EvseState, EvseTraits
from agent.model.types import Limit
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.ampere_limits import limit_in_amperes
from drivers.device_errors import naming_device
from drivers.evse_openevse import firmware as fw
from drivers.evse_openevse.commands import BoardCommands
from drivers.evse_openevse.decoded_state import (
    AUTH_LOCKED,
    BOOT_LOCKED,
    CONNECTED,
    DISABLED,
    HARD_FAULT,
    RELAY_CLOSED,
    SLEEPING,
    BoardStatus,
    evse_state,
    vehicle_gone,
)
from drivers.evse_openevse.frames import RapiMessage, parse_numbers
from drivers.evse_openevse.line import RapiLine
from drivers.evse_openevse.settings import LEAST_A, OpenEvseSettings

log = logging.getLogger(__name__)

MISSED_POLLS = 3
READS = 3
"""So often the board is read in one poll: what it has reported meanwhile may be newer than its answer."""
_END_S = 2.0


class OpenEvseBoard:
    """``agent.ports.evse.EvsePort``. ``_released`` and ``_limit_a`` are the levels that are wanted now; ``_given``:
    the board has confirmed that it is unlocked."""

    def __init__(self, settings: OpenEvseSettings, where: Where, line: RapiLine) -> None:
        self.traits = EvseTraits(
            tethered=where.facts.outlet == "tethered",
            lockable=False,
            phases=where.facts.phases,
            min_a=float(LEAST_A),
            max_a=where.facts.max_a,
            contactor_feedback=False,
            fallback_stop=False,
        )
        self._settings = settings
        self._line = line
        self._commands = BoardCommands(line, settings.heartbeat_s, settings.fallback_a)
        self._name = f"board of EVSE {where.evse} ({line.name})"
        self._released = self._given = False
        self._limit_a = 0
        self._in_service = True
        self._boot_unlocked = self._reads_cable = self._restarted = self._parted = False
        self._seen = BoardStatus(SLEEPING, 0, AUTH_LOCKED, 0, 0)
        self._derated = False
        self._nudge = line.news
        self._beat_at = asyncio.get_running_loop().time()

    # --- orders -------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        """Give or withdraw release. While the vehicle is paused by a limit, giving release is only remembered:
        ``set_limit`` carries it out on resuming."""
        self._released = on
        with naming_device(self._name):
            if not on:
                await self._withdraw_release()
            elif self._limit_a:
                await self._send_release()
        self._nudge.set()

    async def set_limit(self, limit: Limit) -> float:
        """Offer whole amperes, rounded down. Return them as the board confirms them. No current holds the vehicle."""
        wanted_a = self._whole_amperes(limit)
        resumes = wanted_a > 0 and not self._limit_a
        self._limit_a = wanted_a
        accepted_a = 0
        with naming_device(self._name):
            if not wanted_a:
                await self._withdraw_release()
            else:
                accepted_a = await self._set_current(wanted_a)
                if resumes and self._released:
                    await self._send_release()
        self._nudge.set()
        return float(accepted_a)

    async def set_service(self, on: bool) -> None:
        self._in_service = on
        with naming_device(self._name):
            await self._commands.set_service(on)
        self._nudge.set()

    async def set_hold(self, on: bool) -> None:
        with naming_device(self._name):
            if self.traits.holds:
                await self._commands.set_lock(*(("M", "1") if on else ("A",)))
        self._nudge.set()

    async def unlock(self) -> bool:
        """Unlock the plug. Return True when the board reports it unlocked: the board does not see the bolt itself."""
        if self.traits.tethered:
            raise Refused(f"{self._name}: the cable is fixed to the station, there is nothing to unlock")
        if not self.traits.lockable:
            raise Refused(f"{self._name}: the board has no lock")
        with naming_device(self._name):
            if self._evse_state(await self._commands.read_status()).contactor is not False:
                raise Refused("the contactor is not confirmed open; withdraw release first")
            await self._commands.set_lock("M", "0")
            free = await self._commands.wait_unlocked()
        self._nudge.set()
        return free

    async def clear_fault(self) -> None:
        """Restart the board if a fault needs its self test. Most faults go with their cause or with the vehicle. One
        that does not is a matter of the self test that the board makes when it starts."""
        with naming_device(self._name):
            seen = await self._commands.read_status()
            if seen.has_fault and seen.has_flag(HARD_FAULT) and not seen.has_flag(RELAY_CLOSED):
                await self._commands.restart_board()
        self._nudge.set()

    async def beat(self) -> None:
        self._beat_at = asyncio.get_running_loop().time()
        with naming_device(self._name):
            if not await self._commands.send_beat():
                log.warning("%s: it has missed our beat and lowered its offer; put right", self._name)
                await self._commands.set_heartbeat()
                if self._limit_a:
                    await self._set_current(self._limit_a)

    # --- looking ------------------------------------------------------------------------------------------------

    async def state(self) -> EvseState:
        with naming_device(self._name):
            return self._evse_state(await self._commands.read_status())

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        missed = 0
        self._line.forget_old_states()
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._settings.poll_s
            self._nudge.clear()
            try:
                pictures = await self._poll_states()
                missed = 0
            except (Broken, Refused):
                raise
            except DeviceError as e:
                missed += 1
                if missed == MISSED_POLLS or self._restarted or self._line.hung_up:
                    raise Unreachable(f"{e} ({missed} polls missed)") from e
                pictures = []
            for now in pictures:
                if now != last:
                    last = now
                    yield now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due_s - loop.time())):
                    await self._nudge.wait()

    async def _poll_states(self) -> list[EvseState]:
        """Return what the board has reported since the last look, then what it reports now."""
        with naming_device(self._name):
            if self._released and asyncio.get_running_loop().time() - self._beat_at > self._settings.heartbeat_s:
                log.error("%s: the core has given no sign of life for %d s", self._name, self._settings.heartbeat_s)
                self._released = False
                await self._withdraw_release()
            wanted, given = self._release_wanted, self._given
            pictures = []
            for _ in range(READS):
                pictures += [self._evse_state(seen) for seen in self._apply_notices()]
                self._seen = answered = await self._commands.read_status()
                if not self._line.notices:
                    break
            if answered.has_flag(BOOT_LOCKED):
                await self._clear_boot_lock(answered)
            if answered.is_released and not wanted and not self._release_wanted:
                log.warning("%s: released without our order; withdrawing", self._name)
                pictures.append(self._evse_state(answered))
                await self._withdraw_release()
                answered = self._seen = replace(answered, flags=answered.flags | AUTH_LOCKED)
            if given and self._given and self._limit_a and answered.is_awake and answered.has_flag(AUTH_LOCKED):
                pictures += await self._handle_relock(answered, departed=any(not p.vehicle_connected for p in pictures))
            await self._correct_board(answered)
            return [*pictures, self._evse_state(self._seen)]

    def _apply_notices(self) -> Iterator[BoardStatus]:
        while self._line.notices:
            notice = self._line.notices.popleft()
            if notice.words[0] == "AB":
                self._restarted = True
                raise Unreachable(f"the board has restarted ({' '.join(notice.words[1:])[:20]})")
            with contextlib.suppress(Garbled):  # of another firmware; the poll shows it
                self._seen = _apply_notice(self._seen, notice)
                yield self._seen

    async def _handle_relock(self, seen: BoardStatus, departed: bool) -> list[EvseState]:
        """Handle a lock that is on although we have opened it. The board locks itself when a vehicle leaves. If a
        vehicle is there all the same, it is another one: report its arrival first, and give release at the next poll if
        it is still wanted. ``departed``: the departure of the earlier one is reported already."""
        if not seen.vehicle_present or departed:
            self._parted = True
        elif not self._parted:
            self._parted = True
            return [vehicle_gone(self._evse_state(seen))]
        else:
            self._parted = False
            await self._send_release()
        return []

    async def _correct_board(self, seen: BoardStatus) -> None:
        """Keep the board awake while it is held, and its offer as it is wanted: a board that has cooled down offers its
        maximum again."""
        if seen.state == SLEEPING and not seen.has_flag(RELAY_CLOSED) and not self._release_wanted:
            await self._commands.wake_up(lambda: self._in_service)
        if seen.state == DISABLED and self._in_service:
            await self._commands.set_service(True)
        self._derated = False
        target_a = min(self._limit_a, seen.most_a)
        if target_a >= LEAST_A and seen.is_released and seen.offered_a != target_a:
            accepted_a = await self._set_current(target_a)
            self._derated = accepted_a < target_a
            self._seen = replace(self._seen, offered_a=accepted_a)

    async def _clear_boot_lock(self, seen: BoardStatus) -> None:
        if self._boot_unlocked:
            self._restarted = True
            raise Unreachable("the board has restarted")
        if not seen.has_fault:
            self._boot_unlocked = await fw.clear_boot_lock(self._line)

    def _evse_state(self, seen: BoardStatus) -> EvseState:
        reads = self._reads_cable and seen.vehicle_present and seen.is_awake
        state = evse_state(seen, seen.most_a or None if reads else None, self._derated)
        waits = self._given and self._released and seen.has_flag(AUTH_LOCKED) and seen.is_awake
        return replace(state, released=None) if waits and self._limit_a else state

    # --- beginning and end --------------------------------------------------------------------------------------

    async def start_board(self) -> None:
        """Set up the board. One that starts meanwhile is set up once more: opening the line may reset it."""
        with naming_device(self._name):
            for _ in range(2):
                self._line.notices.clear()
                await self._apply_settings()
                if not any(n.words[0] == "AB" for n in self._line.notices):
                    break
        log.info("%s: without the agent it gives %d A to the vehicle that was released", self._name,
                 self._settings.fallback_a)  # fmt: skip

    async def _apply_settings(self) -> None:
        await self._commands.fall_asleep()
        found = await fw.check_firmware(self._line, socket=not self.traits.tethered)
        self._reads_cable = found.reads_cable
        self._boot_unlocked = found.boot_unlocked
        await self._commands.set_heartbeat()
        if found.locks and not self.traits.tethered:
            await self._commands.set_lock("A")
        self.traits = replace(
            self.traits,
            max_a=min(self.traits.max_a, float(found.most_a)),
            lockable=found.locks and not self.traits.tethered,
            holds=found.locks and not self.traits.tethered,
        )
        self._commands.has_lock = self.traits.lockable
        self._limit_a = int(self.traits.max_a)
        await self._set_current(self._limit_a)
        self._seen = await self._commands.read_status()

    async def stop_board(self) -> None:
        """Withdraw release, best effort: retry while there is time. The board stays asleep, since polling ends."""
        self._released = False
        why = ""
        try:
            async with asyncio.timeout(_END_S):
                while why := await self._hold_or_reason():
                    if self._line.hung_up:
                        break
        except TimeoutError:
            why = why or "no answer in time"
        if why:
            log.warning("%s: release could not be withdrawn at the end (%s); it falls back to %d A until the vehicle "
                        "leaves", self._name, why, self._settings.fallback_a)  # fmt: skip

    async def _hold_or_reason(self) -> str:
        """Hold the vehicle. Return why that failed, "" if it did not."""
        try:
            await self._withdraw_release()
            await self._commands.fall_asleep()
        except DeviceError as e:
            return str(e)
        return ""

    # --- commands -----------------------------------------------------------------------------------------------

    def _whole_amperes(self, limit: Limit) -> int:
        whole = int(limit_in_amperes(limit, self.traits))
        return whole if whole >= LEAST_A else 0

    async def _withdraw_release(self) -> None:
        self._given = False
        await self._commands.withdraw_release()

    async def _send_release(self) -> None:
        """Set the current, wake the board and take its lock off, as long as release is wanted."""
        await self._set_current(self._limit_a)
        await self._commands.wake_up(lambda: self._release_wanted and self._in_service)
        await self._commands.give_release(lambda: self._release_wanted)
        self._given = self._release_wanted

    @property
    def _release_wanted(self) -> bool:
        """Release, and no pause."""
        return self._released and self._limit_a > 0

    async def _set_current(self, wanted_a: int) -> int:
        """Set the current and return what the board offers. Raises ``Refused`` if that is more."""
        offers_a = await self._commands.set_current(wanted_a)
        if offers_a > wanted_a:
            await self._withdraw_release()
            raise Refused(f"{self._name}: {wanted_a} A were ordered, it offers {offers_a} A; held")
        return offers_a


def _apply_notice(seen: BoardStatus, notice: RapiMessage) -> BoardStatus:
    """Return the status after the board's notice. The next poll shows what the cable of another vehicle bears."""
    state, pilot, offered_a, flags = parse_numbers(notice.words[1:], (16, 16, 10, 16))
    same = not (seen.flags ^ flags) & CONNECTED
    most_a = seen.most_a if same else 0
    return replace(seen, state=state, pilot=pilot, offered_a=offered_a, flags=flags, most_a=most_a)
