"""One device of the station for its checks: ``agent.ports.verify.DeviceUnderTest``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import field
from typing import Any, TypeAlias, TypeVar

from agent.commands.verify.fault_proxy import open_fault_proxy
from agent.commands.verify.operator import Operator
from agent.model.fastclass import frozen
from agent.model.types import Limit
from agent.ports import DeviceError
from agent.ports.verify import Action, FaultProxy, Skipped
from agent.services.devices.configured import ComposedDevice, verify_kit_of

log = logging.getLogger(__name__)

T = TypeVar("T")

BEAT_S = 0.5
OPEN_S = 30.0
WITHDRAW_TRIES = 3


@frozen
class Options:
    """``consent``: release may be given. ``references``: values by "NAME.key". ``reads``: number of reads of the memory
    check."""

    consent: bool = False
    references: Mapping[str, str] = field(default_factory=dict)
    reads: int = 10_000
    samples: int = 40


def normalized_name(name: str) -> str:
    """Return the name in one spelling: ``evse[1].reader[0]`` and ``evse.1.reader.0`` mean the same."""
    return name.replace("[", ".").replace("]", "")


class DeviceUnderTest:
    """``board``: the board of the same EVSE, for a load."""

    def __init__(
        self,
        device: ComposedDevice,
        board: ComposedDevice | None,
        hands: Operator,
        options: Options,
        say: Callable[[str], None],
    ) -> None:
        self.name, self.evse, self.settings, self.where = device.name, device.evse, device.settings, device.where
        self.samples, self.reads, self.patience_s = options.samples, options.reads, hands.patience_s
        self.figures: dict[str, float | str] = {}
        self.verify_kit = verify_kit_of(device)
        self._device, self._board, self._hands, self._options, self._say = device, board, hands, options, say

    def open_port(self) -> AbstractAsyncContextManager[Any]:
        return open_withdrawing_release(functools.partial(self._device.driver.open, self.settings, self.where))

    @asynccontextmanager
    async def open_through_proxy(self) -> AsyncIterator[tuple[Any, FaultProxy]]:
        wire = self.verify_kit.wire(self.settings, self.where)
        if wire is None:
            raise Skipped("the bus shim does not fit between this driver and its device: unplug it by hand")
        async with open_fault_proxy(wire) as (between, here):
            settings = self.verify_kit.moved(self.settings, here)
            shimmed = functools.partial(self._device.driver.open, settings, self.where)
            async with open_withdrawing_release(shimmed, between) as port:
                yield port, between

    @asynccontextmanager
    async def vehicle_charging(self) -> AsyncIterator[None]:
        self.require_consent()
        if self._board is None:
            raise Skipped("no load: this EVSE has no board")
        async with open_withdrawing_release(self._board.opening) as port:
            await self.request_action(Action.CAR_ASKS)
            try:
                await port.set_limit(Limit())
                await port.set_release(True)
                async with watchdog_fed(port):
                    await self._wait_for_contactor(port)
                    yield
            finally:
                await _finish_uninterrupted(_withdraw_release(port))
        with contextlib.suppress(Skipped):
            await self.request_action(Action.CAR_AWAY)

    async def _wait_for_contactor(self, port: Any) -> None:
        async with asyncio.timeout(self.patience_s + OPEN_S + port.traits.begins_s):
            async for state in port.states():
                if state.contactor:
                    return

    async def request_action(self, action: Action, what: str = "") -> None:
        await self._hands.perform_action(action, self.evse, what)

    async def reference_value(self, key: str, question: str) -> str:
        given = self._options.references.get(f"{normalized_name(self.name)}.{key}")
        return (
            given
            if given is not None
            else await self._hands.reference_value(key, self.evse, f"{self.name}: {question}")
        )

    async def expect_observation(self, what: str, expected: str, question: str) -> None:
        seen = await self._hands.report_observation(what, self.evse, expected, f"{self.name}: {question}")
        assert seen == expected, f"{what}: {expected} was ordered, seen is: {seen}; check names and wiring"

    def require_consent(self) -> None:
        if not self._options.consent:
            raise Skipped("needs a technician's yes to release (--yes): the outlet may become live")

    def panel_image(self) -> bytes:
        seen = self._hands.panel_image(self.evse)
        if seen is not None:
            return seen
        if self.verify_kit.panel is None:
            raise Skipped("the panel cannot be seen: the driver cannot read its memory back")
        return self.verify_kit.panel(self.settings)

    async def finish_uninterrupted(self, work: Coroutine[Any, Any, T]) -> T:
        return await _finish_uninterrupted(work)

    def show_progress(self, text: str) -> None:
        self._say(f"{self.name}: {text}")

    def record_figure(self, name: str, value: float | str) -> None:
        self.figures[name] = round(value, 3) if isinstance(value, float) else value


Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def open_withdrawing_release(opening: Opening, between: Any = None) -> AsyncIterator[Any]:
    """Open a device and withdraw release on every way out, before the driver closes.

    The driver withdraws release once more when it closes. A fault proxy first passes everything again. A driver
    that has lost its board is closed and opened again: it comes up with release withdrawn.
    """
    from agent.ports.verify import FaultMode

    lost = ""

    async def withdraw_here() -> None:
        nonlocal lost
        lost = await _withdraw_release(port)

    try:
        async with asyncio.timeout(OPEN_S) as patience, opening() as port:
            patience.reschedule(None)
            try:
                yield port
            finally:
                if between is not None:
                    await between.set_fault_mode(FaultMode.PASS)
                if hasattr(port, "set_release"):
                    await _finish_uninterrupted(withdraw_here())
    finally:
        if lost:
            await _finish_uninterrupted(_reopen_board(opening, lost))


async def _finish_uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Finish the work before a cancellation takes effect, also a second and a third one (Ctrl-C again)."""
    task, ended = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            ended = True
    if not ended:
        return task.result()
    if (failed := task.exception()) is not None:  # no report will show it
        log.error("%s", failed)
    raise asyncio.CancelledError


async def _withdraw_release(port: Any) -> str:
    """Withdraw release. Returns why that failed, or "" if it is withdrawn."""
    why = ""
    for _ in range(WITHDRAW_TRIES):
        try:
            await port.set_release(False)
        except DeviceError as e:
            why = str(e)
            await asyncio.sleep(0.2)
        else:
            return ""
    return why


async def _reopen_board(opening: Opening, why: str) -> None:
    try:
        async with asyncio.timeout(OPEN_S), opening():
            pass
    except (DeviceError, TimeoutError) as e:
        log.error("release could not be withdrawn: switch the outlet off by hand (%s; opened again: %s)", why, e)


@asynccontextmanager
async def watchdog_fed(port: Any) -> AsyncIterator[None]:
    """Feed the watchdog of the board inside the block."""

    async def send_beats() -> None:
        while True:
            with contextlib.suppress(DeviceError):
                await port.beat()
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(send_beats())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
