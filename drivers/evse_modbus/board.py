"""One EVSE of a charge controller board behind a Modbus line, after its map."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace

from agent.kinds import EvseState, EvseTraits, Fault, Limit
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.bus import Line, Priority
from drivers.evse_modbus import BoardSettings
from drivers.evse_modbus.board_map import BoardMap, Switch, Unlock
from drivers.evse_modbus.picture import Poll, Reader, told

log = logging.getLogger(__name__)

MISSED_POLLS = 3
NOMINAL_V = 230.0
_LOOK_S = 0.1
_END_S = 2.0


class ModbusBoard:
    """``agent.ports.evse.EvsePort``. ``_released`` and ``_limit_a`` are the levels that are wanted now."""

    def __init__(
        self, settings: BoardSettings, where: Where, board_map: BoardMap, extra: tuple[Fault, ...], line: Line
    ) -> None:
        tethered = where.facts.get("outlet") == "tethered"
        phases = int(where.facts.get("phases", 3))
        self.traits = EvseTraits(
            tethered=tethered,
            lockable=not tethered and board_map.unlock is not None,
            phases=phases,
            min_a=float(board_map.limit.least),
            max_a=float(where.facts.get("max_a", 32.0)),
            counts_plugged="plugged_s" in board_map.picture,
            holds=not tethered and board_map.hold is not None,
        )
        self._settings = settings
        self._map = board_map
        self._line = line
        self._extra_words = -(-len(extra) // 16)
        self._reader = Reader(board_map, tethered, settings.bay_input, extra)
        self._base = board_map.stride * settings.point
        self._name = f"board of EVSE {where.evse} ({line.settings.name}, point {settings.point})"
        self._nudge = asyncio.Event()
        self._released = False
        self._limit_a = 0
        self._armed: tuple[int, ...] | None = None

    # --- orders -------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        """While paused by a limit, giving release is only remembered: ``set_limit`` carries it out on resuming."""
        self._released = on
        with self._told():
            if not on:
                await self._withdraw()
            elif self._limit_a:
                await self._release()
        self._nudge.set()

    async def set_limit(self, limit: Limit) -> float:
        """Whole amperes, rounded down. No current withdraws release on these boards, so resuming gives it again."""
        wanted_a = self._amperes(limit)
        resumes = wanted_a > 0 and not self._limit_a
        self._limit_a = wanted_a
        with self._told():
            await self._write(self._map.limit.at, wanted_a or self._map.limit.pause)
            if resumes and self._released:
                await self._release()
        self._nudge.set()
        return float(wanted_a)

    async def set_service(self, on: bool) -> None:
        with self._told():
            if self._map.service is not None:
                await self._switch(self._map.service, on)
        self._nudge.set()

    async def set_hold(self, on: bool) -> None:
        with self._told():
            if self._map.hold is not None and self.traits.holds:
                await self._switch(self._map.hold, on)
        self._nudge.set()

    async def unlock(self) -> bool:
        """True when the board neither reports a failure nor still shows the cable locked."""
        if self.traits.tethered:
            raise Refused(f"{self._name}: the cable is fixed to the station, there is nothing to unlock")
        if self._map.unlock is None:
            raise Refused(f"{self._name}: the board has no register for its lock")
        state = await self.state()
        if state.contactor is not False:
            raise Refused(f"{self._name}: the contactor is not confirmed open; withdraw release first")
        await self.set_hold(False)
        with self._told():
            await self._write(self._map.unlock.at, self._map.unlock.on)
            free = await self._wait_free(self._map.unlock, state.cable)
        self._nudge.set()
        return free

    async def clear_fault(self) -> None:
        """These boards drop a fault by themselves when its cause is gone: look again."""
        self._nudge.set()

    async def beat(self) -> None:
        """Any write feeds the watchdog: the limit as it stands, so that a lost one is put right at the same time."""
        with self._told():
            await self._write(self._map.limit.at, self._limit_a or self._map.limit.pause)

    # --- looking ------------------------------------------------------------------------------------------------

    async def state(self) -> EvseState:
        with self._told():
            return self._reader.state(await self._poll())

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        missed = 0
        loop = asyncio.get_running_loop()
        while True:
            next_s = loop.time() + self._settings.poll_s
            self._nudge.clear()
            try:
                now = await self._look()
                missed = 0
            except (Broken, Refused):
                raise
            except DeviceError as e:
                missed += 1
                if missed == MISSED_POLLS:
                    raise Unreachable(f"{e} ({missed} polls missed)") from e
            else:
                for picture in told(last, now):
                    yield picture
                last = now
            await self._pause(next_s - loop.time())

    async def _pause(self, seconds: float) -> None:
        """Until the next poll; an order of ours shows its effect sooner."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._nudge.wait()
                await asyncio.sleep(_LOOK_S)

    async def _look(self) -> EvseState:
        with self._told():
            released = self._released
            poll = await self._poll()
            state = self._reader.state(poll)
            if state.released and not released and not self._released:
                log.warning("%s: released without our order; withdrawing", self._name)
                await self._withdraw()
                state = replace(state, released=False)
            if self._armed is not None and self._watchdog_in(poll) != self._armed:
                await self._arm()
            return state

    async def _wait_free(self, unlock: Unlock, plugged: bool) -> bool:
        """A plug that was pulled out was free, whatever the lock does with the next one."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            await asyncio.sleep(_LOOK_S)
            poll = await self._poll()
            if self._reader.bits(poll) & self._map.lock_failed_bits:
                return False
            passed_s = loop.time() - began
            now = self._reader.state(poll)
            if (plugged and not now.cable) or (not now.locked and passed_s >= unlock.settle_s):
                return True
            if passed_s >= unlock.within_s:
                return False

    # --- beginning and end --------------------------------------------------------------------------------------

    async def begin(self) -> None:
        with self._told():
            await self._withdraw()
            await self._read_traits()
            await self._arm()
            self._limit_a = int(self.traits.max_a)
            await self._write(self._map.limit.at, self._limit_a)
            await self._poll()

    async def end(self) -> None:
        """Best effort: the watchdog does the same a little later."""
        self._released = False
        try:
            async with asyncio.timeout(_END_S):
                await self._withdraw()
        except (DeviceError, TimeoutError) as e:
            log.warning("%s: release could not be withdrawn at the end (%s): its watchdog has to", self._name, e)

    async def _read_traits(self) -> None:
        place = self._map.traits
        if place is None:
            return
        try:
            words = await self._read(self._map.poll_function, place.address, place.count, Priority.IDENTITY)
        except Refused as e:
            log.info("%s: does not tell its traits: %s", self._name, e)
            return
        max_a = words[place.max_a - place.address] if place.max_a is not None else 0
        min_a = words[place.min_a - place.address] if place.min_a is not None else 0
        limit = self._map.limit
        self.traits = replace(
            self.traits,
            max_a=min(self.traits.max_a, float(max_a)) if limit.least <= max_a <= limit.most else self.traits.max_a,
            min_a=float(min_a) if limit.least <= min_a <= self.traits.max_a else self.traits.min_a,
        )
        if place.tethered is not None:
            at, value = place.tethered
            if (words[at - place.address] == value) != self.traits.tethered:
                log.warning("%s: outlet in the station file and in the board's settings differ", self._name)

    async def _arm(self) -> None:
        """The fallback is written only when it differs: such registers may be kept in a memory that wears out."""
        dog = self._map.watchdog
        stop = True
        if await self._value(dog.fallback_at) != dog.stop:
            try:
                await self._write(dog.fallback_at, dog.stop)
            except Refused:
                await self._write(dog.fallback_at, dog.least)
                stop = False
        if await self._value(dog.seconds_at) != self._settings.watchdog_s:
            await self._write(dog.seconds_at, self._settings.watchdog_s)
        self.traits = replace(self.traits, fallback_stop=stop)
        self._armed = self._watchdog_in(await self._poll())

    def _watchdog_in(self, poll: Poll) -> tuple[int, ...]:
        """The watchdog's registers as the poll shows them; empty where the poll does not cover them."""
        dog, first = self._map.watchdog, self._map.poll_address
        places = [at - first for at in (dog.fallback_at, dog.seconds_at)]
        return tuple(poll.block[i] for i in places if 0 <= i < len(poll.block))

    # --- registers ----------------------------------------------------------------------------------------------

    def _amperes(self, limit: Limit) -> int:
        bounds = [self.traits.max_a, float(self._map.limit.most)]
        if limit.current_a is not None:
            bounds.append(limit.current_a)
        if limit.power_w is not None:
            bounds.append(limit.power_w / (NOMINAL_V * (limit.phases or self.traits.phases)))
        whole = int(min(bounds))
        return whole if whole >= self.traits.min_a else 0

    async def _withdraw(self) -> None:
        self._released = False
        await self._switch(self._map.release, False, Priority.WITHDRAW)

    async def _release(self) -> None:
        """Not sent, or not sent again, once it has been withdrawn: that order overtakes this one in the queue."""
        release = self._map.release
        await self._write(release.at, release.on, wanted=lambda: self._released and self._limit_a > 0)

    async def _switch(self, switch: Switch, on: bool, priority: Priority = Priority.CONTROL) -> None:
        await self._write(switch.at, switch.on if on else switch.off, priority)

    async def _write(
        self, at: int, value: int, priority: Priority = Priority.CONTROL, wanted: Callable[[], bool] | None = None
    ) -> None:
        function = self._map.write_function if self._settings.line == "tcp" else 16
        await self._line.write(
            self._settings.unit, self._base + at, [value], priority, function=function, wanted=wanted
        )

    async def _read(self, function: int, at: int, count: int, priority: Priority = Priority.POLL) -> list[int]:
        return await self._line.read(self._settings.unit, function, self._base + at, count, priority)

    async def _value(self, at: int) -> int:
        return (await self._read(self._map.poll_function, at, 1, Priority.CONTROL))[0]

    async def _poll(self) -> Poll:
        m = self._map
        try:
            block = await self._read(m.poll_function, m.poll_address, m.poll_count)
            extra: list[int] = []
            if self._extra_words:
                extra = await self._read(m.poll_function, self._settings.extra_fault_base, self._extra_words)
        except Refused as e:
            raise Broken(f"{e}; does the map {m.name!r} fit this board and its firmware?") from e
        return Poll(block, extra)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors name the EVSE."""
        try:
            yield
        except DeviceError as e:
            text = str(e)
            kind = next(k for k in (Unreachable, Garbled, Refused, Broken) if isinstance(e, k))
            raise kind(text if text.startswith(self._name) else f"{self._name}: {text}") from e
