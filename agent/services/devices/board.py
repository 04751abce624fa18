"""The supervisor of a charge controller board."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from agent.domain.events import (
    BoardChanged,
    BoardOpened,
    Event,
    FaultCleared,
    FaultRaised,
    ReleaseRefused,
    ReleaseWithdrawn,
    UnlockTried,
)
from agent.domain.orders import ClearFaults, Order, SetHold, SetLimit, SetRelease, SetService, Unlock
from agent.model.slim_event import SlimEvent
from agent.model.types import EvseId, Fault, Limit, Stamp
from agent.ports import DeviceError, Refused, Unreachable
from agent.services.devices.release import Release
from agent.services.devices.supervisor import DeviceSupervisor, Opening, SupervisorServices
from agent.services.watchdog import LivenessSignal

log = logging.getLogger(__name__)


async def _run_together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one fails."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


class BoardSupervisor(DeviceSupervisor):
    """One EVSE of a board. Wanted levels wait in ``_limit``, ``_service`` ...: the newest wins. Release is a matter of
    ``Release``."""

    fault = Fault.BOARD_SILENT
    orders = (SetRelease, SetLimit, SetService, SetHold, Unlock, ClearFaults)

    def __init__(
        self,
        evse: EvseId,
        name: str,
        opening: Opening,
        post: Callable[[Event], None],
        alive: LivenessSignal,
        boot_stamp: Callable[[], tuple[int, float]],
    ) -> None:
        super().__init__(evse, name, opening, post)
        self._alive, self._boot_stamp = alive, boot_stamp
        self._release = Release(name, lambda: self._wanted.set(), self._release_refused, self._release_withdrawn)
        self._limit: Limit | None = None
        self._service: bool | None = None
        self._hold: bool | None = None
        self._others: list[Order] = []
        self._wanted, self._settled = SlimEvent(), SlimEvent()
        self._opening_told: BoardOpened | None = None
        self._heard = False
        self._paused = False
        """By its limit, or a limit is under way: the board may show release or not."""
        self._confirmed = Limit()
        self._unlocking = asyncio.Lock()

    @classmethod
    def for_device(cls, evse: EvseId, name: str, opening: Opening, services: SupervisorServices) -> BoardSupervisor:
        return cls(evse, name, opening, services.post_event, services.liveness, services.boot_stamp)

    @property
    def has_pending_orders(self) -> bool:
        return self.open and (self._release.has_pending_order or bool(self._others))

    def accept_order(self, order: Order) -> None:
        match order:
            case SetRelease(_, on):
                self._order_release(on)
            case SetLimit(_, limit):
                self._limit = limit
            case SetService(_, on):
                self._service = on
            case SetHold(_, on):
                self._hold = on
            case _:
                self._others.append(order)
        self._wanted.set()

    def _order_release(self, on: bool) -> None:
        """Order release. An order to give it that was meant for the board before it was reopened is void: the domain
        does not know yet that the vehicle may be another one."""
        if self._heard or not on:
            self._release.order_release(on)

    def before_event(self, event: Event) -> None:
        # the domain is about to learn of this opening: later orders are meant for this board
        if event is self._opening_told:
            self._heard = True

    async def operate_device(self, port: Any) -> None:
        # Earlier levels are void: the board starts without release, and the domain orders again what it wants.
        self._release.reset_for_opened_board()
        self._limit = self._service = self._hold = None
        self._heard = self._paused = False
        self._confirmed = Limit()
        self._opening_told = None
        for order in self._others:
            self._report_not_done(order)
        self._others = []
        await _run_together(
            self._watch_states(port),
            self._apply_levels(port),
            self._release.send_withdrawals(port),
            self._release.confirm_withdrawals(port),
            self._carry_out_slow_orders(port),
            self._alive.feed_watchdog(port),
        )

    def _stamp_now(self) -> Stamp:
        return Stamp(*self._boot_stamp())

    async def _watch_states(self, port: Any) -> None:
        asked_at = self._stamp_now()
        async for state in port.states():
            if self._opening_told is None:
                self._opening_told = BoardOpened(self.evse, state, port.traits, asked_at, self._stamp_now())
                self._post(self._opening_told)
            else:
                self._post(BoardChanged(self.evse, state))
            self._release.observe_state(state)
            if state.released is False and self._holds_release and not await self._still_holds_release(port):
                raise Unreachable("the board has withdrawn release by itself (its watchdog, or a restart)")

    @property
    def _holds_release(self) -> bool:
        """The board has release from us, and should show it."""
        return self._release.given and not self._paused

    async def _still_holds_release(self, port: Any) -> bool:
        """A picture may be older than our last order: look again before we believe that the board forgot it."""
        released = (await port.state()).released
        return released is not False or not self._holds_release

    async def _apply_levels(self, port: Any) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while await self._apply_next_level(port):
                pass
            self._settled.set()

    async def _carry_out_slow_orders(self, port: Any) -> None:
        """What takes its time (an unlock: seconds), beside the levels but after those that were wanted before it. It
        stays in ``_others`` until it is answered."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            if self._others:
                await self._carry_out_slow_order(port, self._others[0])
                self._others.pop(0)
                self._wanted.set()

    async def _apply_next_level(self, port: Any) -> bool:
        """Write the most urgent wanted level. Return False if none is wanted. A level that the board refuses is logged
        and not fatal: the next board state shows what is true."""
        try:
            return await self._write_next_level(port)
        except Refused as e:
            log.warning("%s: %s", self.name, e)
            return True

    async def _write_next_level(self, port: Any) -> bool:
        if self._service is not None:
            on, self._service = self._service, None
            await port.set_service(on)
        elif self._limit is not None:
            limit, self._limit = self._limit, None
            await self._write_limit(port, limit)
        elif self._hold is not None:
            on, self._hold = self._hold, None
            await port.set_hold(on)
        elif self._release.can_be_given and not self._unlocking.locked():
            # while the cable is being freed no energy is given; the order may be withdrawn before the lock is had
            async with self._unlocking:
                if self._release.can_be_given:
                    await self._release.give_release(port)
        else:
            return False
        return True

    def _release_withdrawn(self) -> None:
        self._post(ReleaseWithdrawn(self.evse))

    def _release_refused(self) -> None:
        self._post(ReleaseRefused(self.evse))

    async def _write_limit(self, port: Any, limit: Limit) -> None:
        """Write the limit. Release is not given at a limit that the board has not confirmed: the board may still offer
        an old one. Release is not kept either if the limit is to be lowered: the difference already belongs to
        another EVSE."""
        before, self._paused = self._paused, True
        try:
            before = await port.set_limit(limit) == 0
        except Refused as e:
            if self._release.given and not _is_lower_limit(limit, self._confirmed):
                raise
            raise Unreachable(f"no limit, no release: {e}") from e
        finally:
            self._paused = before
        self._confirmed = limit

    async def _carry_out_slow_order(self, port: Any, order: Order) -> None:
        if isinstance(order, Unlock):
            try:
                async with self._unlocking:
                    if not await self._release.wait_for_obedience():  # no fault of the lock
                        log.info("%s: a plug that has release is not freed", self.name)
                        self._report_not_done(order)
                        return
                    freed = await port.unlock()
            except Refused as e:
                log.warning("%s: %s", self.name, e)
                freed = False
            self._post(UnlockTried(self.evse, order.request, freed))
            self._post(FaultCleared(self.evse, Fault.UNLOCK_FAILURE) if freed else _unlock_failure(self.evse))
        elif isinstance(order, ClearFaults):
            await port.clear_fault()

    def _report_not_done(self, order: Order) -> None:
        if isinstance(order, Unlock):
            self._post(UnlockTried(self.evse, order.request, False))

    async def _on_failure(self, error: DeviceError) -> None:
        for order in self._others:
            self._report_not_done(order)
        self._others = []
        if self._raised is not None and self._opening_told is not None:
            self._post_fault(FaultRaised(self.evse, self._raised))  # still raised, and silent once more
        self._opening_told = None
        await super()._on_failure(error)


def _is_lower_limit(limit: Limit, than: Limit) -> bool:
    """None: no bound."""
    pairs = ((limit.current_a, than.current_a), (limit.phases, than.phases), (limit.power_w, than.power_w))
    return any(new is not None and (old is None or new < old) for new, old in pairs)


def _unlock_failure(evse: EvseId) -> Event:
    return FaultRaised(evse, Fault.UNLOCK_FAILURE)
