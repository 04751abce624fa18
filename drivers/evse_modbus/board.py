"""One EVSE of a charge controller board behind a Modbus line, after its map."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from agent.model.board import EvseState, EvseTraits
from agent.model.types import Limit
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import Where
from drivers.ampere_limits import limit_in_amperes
from drivers.bus import ModbusLine, Priority
from drivers.device_errors import naming_device
from drivers.evse_modbus.arming import apply_setup, arm_watchdog, read_traits, watchdog_registers
from drivers.evse_modbus.board_map import BoardMap, Unlock
from drivers.evse_modbus.contacts import WORD_BITS, Contact
from drivers.evse_modbus.decoded_state import PollDecoder, states_to_report
from drivers.evse_modbus.registers import BoardRegisters
from drivers.evse_modbus.settings import BoardSettings

log = logging.getLogger(__name__)

MISSED_POLLS = 3
CONFIRM_S = 2.0
"""A limit that the board has not confirmed by then counts as not taken."""
_LOOK_S = 0.1
_END_S = 2.0


class _OffersTooMuch(Refused):
    """The board offers more than the limit sent to it."""


class ModbusBoard:
    """``agent.ports.evse.EvsePort``. ``_released`` and ``_limit_a`` are the levels that are wanted now, ``_taken_a``
    the limit that the board has confirmed last."""

    def __init__(
        self, settings: BoardSettings, where: Where, board_map: BoardMap, inputs: tuple[Contact, ...],
        extra: tuple[Contact, ...], line: ModbusLine,
    ) -> None:  # fmt: skip
        tethered = where.facts.outlet == "tethered"
        phases = where.facts.phases
        self.traits = EvseTraits(
            tethered=tethered,
            lockable=not tethered and board_map.unlock is not None,
            phases=phases,
            min_a=float(board_map.limit.least),
            max_a=min(where.facts.max_a, float(board_map.limit.most)),
            counts_plugged="plugged_s" in board_map.picture,
            holds=not tethered and board_map.hold is not None,
            contactor_feedback=board_map.tells_welding,
            sees_contactor="contactor" in board_map.picture,
            fallback_stop=board_map.watchdog is not None,
        )
        self._settings = settings
        self._map = board_map
        self._registers = BoardRegisters(settings, board_map, line, where.evse, -(-len(extra) // WORD_BITS))
        self._reader = PollDecoder(board_map, tethered, settings.bay_input, inputs, extra)
        self._name = self._registers.name
        self._nudge = asyncio.Event()
        self._released = self._unlocking = False
        self._empty = False
        """The socket was seen without a plug since the last order to unlock it."""
        self._limit_a = self._taken_a = 0.0
        self._armed: tuple[int, ...] | None = None
        self._beat_at = asyncio.get_running_loop().time()

    # --- orders -------------------------------------------------------------------------------------------------

    async def set_release(self, on: bool) -> None:
        """Give or withdraw release. While the vehicle is paused by a limit, giving release is only remembered:
        ``set_limit`` carries it out on resuming."""
        self._released = on
        with naming_device(self._registers.name):
            if not on:
                await self._withdraw_release()
            elif self._limit_a:
                await self._send_release()
        self._nudge.set()

    async def set_limit(self, limit: Limit) -> float:
        """Round down to a step of the board. A limit of 0 withdraws release on these boards, so resuming gives
        it again. A limit that the board does not confirm is an error; where the board may offer more than that, there
        is no current at all until a limit is confirmed, even on a release: a cable or a fuse may depend on it."""
        wanted_a = self._limit_amperes(limit)
        resumes = wanted_a > 0 and not self._limit_a
        less = wanted_a < self._taken_a
        self._limit_a = wanted_a
        with naming_device(self._registers.name):
            try:
                async with asyncio.timeout(CONFIRM_S):
                    self._taken_a = await self._apply_limit(wanted_a)
            except (DeviceError, TimeoutError) as e:
                self._taken_a = max(self._taken_a, wanted_a)  # it may have heard us all the same
                if less or resumes or isinstance(e, _OffersTooMuch):
                    self._limit_a = 0.0
                    self._released = self._released and resumes  # remembered, as in any pause
                    await self._cut_current()
                raise _unconfirmed_limit_error(wanted_a, e) from e
            if resumes and self._released:
                await self._send_release()
        self._limit_a = self._taken_a
        self._nudge.set()
        return self._taken_a

    async def set_service(self, on: bool) -> None:
        with naming_device(self._registers.name):
            if self._map.service is not None:
                await self._registers.write_switch(self._map.service, on)
        self._nudge.set()

    async def set_hold(self, on: bool) -> None:
        with naming_device(self._registers.name):
            if self._map.hold is not None and self.traits.holds:
                await self._registers.write_switch(self._map.hold, on)
        self._nudge.set()

    async def unlock(self) -> bool:
        """Unlock the plug. Return True when the board neither reports a failure nor still shows the cable locked."""
        if self.traits.tethered:
            raise Refused(f"{self._name}: the cable is fixed to the station, there is nothing to unlock")
        if self._map.unlock is None:
            raise Refused(f"{self._name}: the board has no register for its lock")
        state = await self.state()
        if state.contactor is not False:
            raise Refused(f"{self._name}: the contactor is not confirmed open; withdraw release first")
        await self.set_hold(False)
        self._unlocking, self._empty = True, False
        try:
            with naming_device(self._registers.name):
                failed = self._reader.error_bits(await self._registers.poll_registers()) & self._map.lock_failed_bits
                await self._registers.write_value(self._map.unlock.at, self._map.unlock.on)
                return await self._wait_free(self._map.unlock, state.cable, failed)
        finally:
            self._unlocking = False
            self._nudge.set()

    async def clear_fault(self) -> None:
        """Look again: these boards drop a fault by themselves when its cause is gone."""
        self._nudge.set()

    async def beat(self) -> None:
        """Feed the watchdog by writing the present limit, so that a lost one is corrected at the same time.
        A board without a watchdog gets no such write, which spares its memory."""
        self._beat_at = asyncio.get_running_loop().time()
        with naming_device(self._registers.name):
            level = self._limit_register_level()
            stands = self._map.watchdog is None and await self._registers.read_value(self._map.limit.at) == level
            if level is not None and not stands:
                await self._write_limit(level)

    # --- looking ------------------------------------------------------------------------------------------------

    async def state(self) -> EvseState:
        with naming_device(self._registers.name):
            return self._reader.decode_state(await self._registers.poll_registers(), self._unlocking)

    async def states(self) -> AsyncIterator[EvseState]:
        last: EvseState | None = None
        missed = 0
        loop = asyncio.get_running_loop()
        while True:
            next_s = loop.time() + self._settings.poll_s
            self._nudge.clear()
            try:
                now = await self._poll_state()
                missed = 0
            except (Broken, Refused):
                raise
            except DeviceError as e:
                missed += 1
                if missed == MISSED_POLLS:
                    raise Unreachable(f"{e} ({missed} polls missed)") from e
            else:
                for picture in states_to_report(last, now):
                    yield picture
                last = now
            await self._wait_next_poll(next_s - loop.time())

    async def _wait_next_poll(self, seconds: float) -> None:
        """Wait for the next poll, or less after an order, to see its effect."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._nudge.wait()
                await asyncio.sleep(_LOOK_S)

    async def _poll_state(self) -> EvseState:
        with naming_device(self._registers.name):
            if self._released and self._core_is_silent():  # also where the line loses every look
                log.error("%s: the core has given no sign of life for %d s", self._name, self._settings.watchdog_s)
                await self._withdraw_release()
            released = self._released
            poll = await self._registers.poll_registers()
            state = self._reader.decode_state(poll, self._unlocking)
            self._empty |= not state.cable
            if state.released and not released and not self._released:
                log.warning("%s: released without our order; withdrawing", self._name)
                await self._withdraw_release()
            if self._armed is not None and watchdog_registers(self._registers, poll) != self._armed:
                await self._arm_watchdog()
            return state

    def _core_is_silent(self) -> bool:
        """Return whether the core has given no sign of life for too long. The board may not notice: a look feeds the
        watchdog of some boards, and others have none."""
        return asyncio.get_running_loop().time() - self._beat_at > self._settings.watchdog_s

    async def _wait_free(self, unlock: Unlock, plugged: bool, failed: frozenset[int]) -> bool:
        """Wait until the plug is free. Return False if it is not. A plug that was pulled out was free, whatever the
        lock does with the next one. ``failed``: the error bits that the last try has left; a motor that still turns is
        in doubt."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        sure = self._map.lock_failed_bits - self._map.lock_doubtful_bits - failed
        while True:
            await asyncio.sleep(_LOOK_S)
            poll = await self._registers.poll_registers()
            passed_s, bits = loop.time() - began, self._reader.error_bits(poll)
            now = self._reader.decode_state(poll)
            if plugged and (self._empty or not now.cable):
                return True
            if bits & sure or passed_s >= unlock.within_s:
                return False
            if not (bits & self._map.lock_failed_bits or now.locked) and passed_s >= unlock.settle_s:
                return True

    # --- beginning and end --------------------------------------------------------------------------------------

    async def start_board(self) -> None:
        with naming_device(self._registers.name):
            await self._withdraw_release()
            await apply_setup(self._registers)
            self.traits = await read_traits(self._registers, self.traits)
            await self._arm_watchdog()
            self._limit_a = self._limit_amperes(Limit())
            self._taken_a = await self._apply_limit(self._limit_a)
            await self._registers.poll_registers()

    async def stop_board(self) -> None:
        """Withdraw release, best effort: the watchdog does the same a little later."""
        self._released = False
        try:
            async with asyncio.timeout(_END_S):
                await self._withdraw_release()
        except (DeviceError, TimeoutError) as e:
            log.warning("%s: release could not be withdrawn at the end (%s): its watchdog has to", self._name, e)

    async def _arm_watchdog(self) -> None:
        self.traits = replace(self.traits, fallback_stop=await arm_watchdog(self._registers, self._settings.watchdog_s))
        self._armed = watchdog_registers(self._registers, await self._registers.poll_registers())

    # --- levels -------------------------------------------------------------------------------------------------

    def _limit_amperes(self, limit: Limit) -> float:
        most_a = min(limit_in_amperes(limit, self.traits), float(self._map.limit.most))
        steps = int(round(most_a * self._map.limit.per_a, 6))
        limit_a = steps / self._map.limit.per_a
        return limit_a if limit_a >= self.traits.min_a else 0.0

    def _limit_register_level(self) -> int | None:
        """Return what the limit register has to hold now; None: it stays as it is."""
        limit = self._map.limit
        offered = self._limit_a > 0 and (self._released or self._map.release is not None)
        if not offered:
            return None if limit.pause is None else limit.pause * limit.per_a
        return round(self._limit_a * limit.per_a)

    async def _apply_limit(self, wanted_a: float) -> float:
        """Write the limit and read it back. Return what the board has taken; less is accepted, more is not."""
        limit, level = self._map.limit, self._limit_register_level()
        if not wanted_a and limit.pause is None and self._map.release is not None:
            await self._registers.write_switch(self._map.release, False, Priority.WITHDRAW)
        if level is None or not await self._write_limit(level):
            return wanted_a
        kept = await self._registers.read_value(limit.at)
        if level != self._limit_register_level() or kept == level:
            return wanted_a
        if kept > level or kept < limit.least * limit.per_a:
            kind = _OffersTooMuch if kept > level else Refused
            raise kind(f"{level} was written to register {limit.at}, but the board has {kept}")
        return kept / limit.per_a

    async def _write_limit(self, level: int) -> bool:
        """Write the limit. Return False if a newer order has overtaken it. A withdrawal does, where release is the
        limit itself."""
        try:
            await self._registers.write_value(
                self._map.limit.at, level, wanted=lambda: self._limit_register_level() == level
            )
        except Refused:
            if self._limit_register_level() == level:
                raise
            return False
        return True

    async def _withdraw_release(self) -> None:
        self._released = False
        await self._cut_current()

    async def _cut_current(self) -> None:
        release, limit = self._map.release, self._map.limit
        if release is not None:
            await self._registers.write_switch(release, False, Priority.WITHDRAW)
        else:
            await self._registers.write_value(limit.at, (limit.pause or 0) * limit.per_a, Priority.WITHDRAW)

    async def _send_release(self) -> None:
        """Give release. It is not sent, or not repeated, once withdrawn: that order overtakes this one in the queue."""
        release, limit = self._map.release, self._map.limit

        def release_wanted() -> bool:
            return self._released and self._limit_a > 0

        if release is not None:
            await self._registers.write_switch(release, True, wanted=release_wanted)
        else:
            await self._registers.write_value(limit.at, round(self._limit_a * limit.per_a), wanted=release_wanted)


def _unconfirmed_limit_error(wanted_a: float, error: Exception) -> DeviceError:
    why = f"not within {CONFIRM_S:g} s" if isinstance(error, TimeoutError) else str(error)
    kind = next((k for k in (Refused, Broken, Garbled) if isinstance(error, k)), Unreachable)
    return kind(f"a limit of {wanted_a:g} A was not confirmed: {why}")
