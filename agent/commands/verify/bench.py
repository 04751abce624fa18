"""One device of the station as its checks see it: ``agent.ports.verify.Bench``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import field
from typing import Any, TypeAlias, TypeVar

from agent.commands.verify.fault_proxy import shim
from agent.commands.verify.operator import Hands
from agent.model.fastclass import frozen
from agent.model.types import Limit
from agent.ports import DeviceError
from agent.ports.verify import Deed, Left, Shim
from agent.services.devices.configured import ComposedDevice, fitting_of

log = logging.getLogger(__name__)

T = TypeVar("T")

BEAT_S = 0.5
OPEN_S = 30.0
WITHDRAW_TRIES = 3


@frozen
class Options:
    """``consent``: release may be given; ``references``: values by "NAME.key"; ``reads``: of the memory check."""

    consent: bool = False
    references: Mapping[str, str] = field(default_factory=dict)
    reads: int = 10_000
    samples: int = 40


def plain(name: str) -> str:
    """``evse[1].reader[0]`` and ``evse.1.reader.0`` are the same."""
    return name.replace("[", ".").replace("]", "")


class Bench:
    """``board``: of the same EVSE, for a load."""

    def __init__(
        self,
        device: ComposedDevice,
        board: ComposedDevice | None,
        hands: Hands,
        options: Options,
        say: Callable[[str], None],
    ) -> None:
        self.name, self.evse, self.settings, self.where = device.name, device.evse, device.settings, device.where
        self.samples, self.reads, self.patience_s = options.samples, options.reads, hands.patience_s
        self.figures: dict[str, float | str] = {}
        self.fitting = fitting_of(device)
        self._device, self._board, self._hands, self._options, self._say = device, board, hands, options, say

    def direct(self) -> AbstractAsyncContextManager[Any]:
        return withdrawn(functools.partial(self._device.driver.open, self.settings, self.where))

    @asynccontextmanager
    async def shimmed(self) -> AsyncIterator[tuple[Any, Shim]]:
        wire = self.fitting.wire(self.settings, self.where)
        if wire is None:
            raise Left("the bus shim cannot go between this driver and its device: unplug it by hand")
        async with shim(wire) as (between, here):
            settings = self.fitting.moved(self.settings, here)
            shimmed = functools.partial(self._device.driver.open, settings, self.where)
            async with withdrawn(shimmed, between) as port:
                yield port, between

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        self.consented()
        if self._board is None:
            raise Left("no load: this EVSE has no board that could give one")
        async with withdrawn(self._board.opening) as port:
            await self.hand(Deed.CAR_ASKS)
            try:
                await port.set_limit(Limit())
                await port.set_release(True)
                async with beating(port):
                    await self._drawing(port)
                    yield
            finally:
                await _to_the_end(_withdraw(port))
        with contextlib.suppress(Left):
            await self.hand(Deed.CAR_AWAY)

    async def _drawing(self, port: Any) -> None:
        async with asyncio.timeout(self.patience_s + OPEN_S + port.traits.begins_s):
            async for state in port.states():
                if state.contactor:
                    return

    async def hand(self, deed: Deed, what: str = "") -> None:
        await self._hands.do(deed, self.evse, what)

    async def reference(self, key: str, question: str) -> str:
        given = self._options.references.get(f"{plain(self.name)}.{key}")
        return given if given is not None else await self._hands.tell(key, self.evse, f"{self.name}: {question}")

    async def look(self, what: str, expected: str, question: str) -> None:
        seen = await self._hands.see(what, self.evse, expected, f"{self.name}: {question}")
        assert seen == expected, f"{what}: {expected} was ordered, seen is: {seen}; check names and wiring"

    def consented(self) -> None:
        if not self._options.consent:
            raise Left("needs a technician's yes to release (--yes): the outlet may become live")

    def panel(self) -> bytes:
        seen = self._hands.panel(self.evse)
        if seen is not None:
            return seen
        if self.fitting.panel is None:
            raise Left("nobody can see the panel: the driver has no way to read its memory back")
        return self.fitting.panel(self.settings)

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        return await _to_the_end(work)

    def say(self, text: str) -> None:
        self._say(f"{self.name}: {text}")

    def measured(self, name: str, value: float | str) -> None:
        self.figures[name] = round(value, 3) if isinstance(value, float) else value


Opening: TypeAlias = Callable[[], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def withdrawn(opening: Opening, between: Any = None) -> AsyncIterator[Any]:
    """Whatever happens inside, a board's release is withdrawn before its driver closes (which does it once more). A
    shim lets everything through again first. A driver that has lost its board is closed and opened anew: it comes up
    withdrawn."""
    from agent.ports.verify import Mood

    lost = ""

    async def withdraw_here() -> None:
        nonlocal lost
        lost = await _withdraw(port)

    try:
        async with asyncio.timeout(OPEN_S) as patience, opening() as port:
            patience.reschedule(None)
            try:
                yield port
            finally:
                if between is not None:
                    await between.set(Mood.PASS)
                if hasattr(port, "set_release"):
                    await _to_the_end(withdraw_here())
    finally:
        if lost:
            await _to_the_end(_anew(opening, lost))


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """No cancellation hinders it, also not a second and a third one: who presses Ctrl-C again wants it all the more."""
    task, ended = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            ended = True
    if not ended:
        return task.result()
    if (failed := task.exception()) is not None:  # there will be no report to say it
        log.error("%s", failed)
    raise asyncio.CancelledError


async def _withdraw(port: Any) -> str:
    """Why it could not be; empty: it is."""
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


async def _anew(opening: Opening, why: str) -> None:
    try:
        async with asyncio.timeout(OPEN_S), opening():
            pass
    except (DeviceError, TimeoutError) as e:
        log.error("release could not be withdrawn: switch the outlet off by hand (%s; opened anew: %s)", why, e)


@asynccontextmanager
async def beating(port: Any) -> AsyncIterator[None]:
    """The board's watchdog is fed inside."""

    async def beat() -> None:
        while True:
            with contextlib.suppress(DeviceError):
                await port.beat()
            await asyncio.sleep(BEAT_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
