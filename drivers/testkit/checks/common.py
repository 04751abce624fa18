"""Checks of every device behind a bus: speed, silence, a cut line, corrupted replies, memory."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Generic, TypeAlias, TypeVar

from agent.ports import DeviceError, Unreachable
from agent.ports.verify import Check, DeviceUnderTest, FaultMode, FaultProxy, Skipped

T = TypeVar("T")
Look: TypeAlias = Callable[[Any], Awaitable[Any]]
Believable: TypeAlias = Callable[[Any, Any], str]
"""Compares the value before with the value now. Returns what is wrong, or ""."""

BACK_S = 30.0
"""The most time until a device that answers again is read again."""
NOTICED_S = 20.0
ROUNDS = 3
GARBLED_LOOKS = {FaultMode.NOISE: 3, FaultMode.SHORT: 3, FaultMode.LATE: 1}
MOST_GROWTH = 64 * 1024
"""Permitted growth in octets after the reads: caches and counters, far less than an octet per read."""
TOLD = 20
REMIND_S = 10.0


def bus_checks(role: str, look: Look, believable: Believable, most_s: float) -> tuple[Check, ...]:
    """Return the checks of any device on a bus. ``look``: one complete read of the port. It must not take longer than
    ``most_s`` (95 of 100)."""
    return (
        Check(role, "timing", lambda bench: check_timing(bench, look, most_s)),
        Check(role, "silence", lambda bench: check_silence(bench, look)),
        Check(role, "disconnect", lambda bench: check_disconnect(bench, look)),
        Check(role, "garbled", lambda bench: check_garbled(bench, look, believable)),
        Check(role, "memory", lambda bench: check_memory(bench, look)),
    )


def percentile_95(values: Sequence[float]) -> float:
    """Return the value that 95 of 100 do not exceed."""
    return sorted(values)[max(-(-len(values) * 95 // 100) - 1, 0)]


async def check_timing(bench: DeviceUnderTest, look: Look, most_s: float) -> str:
    async with bench.open_port() as port:
        await look(port)
        return await check_duration(bench, "look", lambda n: look(port), most_s)


async def check_duration(
    bench: DeviceUnderTest, what: str, once: Callable[[int], Awaitable[object]], most_s: float
) -> str:
    """Measure how long ``once`` takes. It gets the number of each try.

    If the host has more work than cores, the host may be slow: the measurement is repeated, and the last one is judged
    by the share of a core that this process gets.
    """
    took: list[float] = []
    for _ in range(ROUNDS):
        took.clear()
        for n in range(bench.samples):
            began_s = time.perf_counter()
            await once(n)
            took.append(time.perf_counter() - began_s)
        if percentile_95(took) <= most_s or host_overload() == 1:
            break
    return _judge_durations(bench, what, took, most_s * host_overload())


def host_overload() -> float:
    """Return how much more work the host has than cores: at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _judge_durations(bench: DeviceUnderTest, what: str, took: Sequence[float], most_s: float) -> str:
    found_s = percentile_95(took)
    bench.record_figure(f"{what}_p95_ms", found_s * 1000)
    bench.record_figure(f"{what}_most_ms", max(took) * 1000)
    says = f"{what}: {found_s * 1000:.0f} ms for 95 of 100 ({len(took)} measured), {most_s * 1000:.0f} ms are allowed"
    assert found_s <= most_s, (
        f"{bench.name}: {says}; raise the baud rate, shorten the map, or give it a line of its own"
    )
    return says


async def check_silence(bench: DeviceUnderTest, look: Look) -> str:
    """Check that an old value is not returned as fresh, and that a device that answers again is read again."""
    async with bench.open_through_proxy() as (port, shim):
        await look(port)
        await shim.set_fault_mode(FaultMode.SILENT)
        await expect_unreachable(
            bench, look, port, "the device is silent, and a value was returned: an old one as if it were fresh"
        )
        return f"silence is Unreachable; {await check_recovery(bench, look, port, shim)}"


async def check_disconnect(bench: DeviceUnderTest, look: Look) -> str:
    async with bench.open_through_proxy() as (port, shim):
        await look(port)
        await shim.set_fault_mode(FaultMode.CUT)
        await expect_unreachable(
            bench, look, port, "the line is cut, and a value was returned: an old one as if it were fresh"
        )
        await shim.set_fault_mode(FaultMode.PASS)
    return f"a cut line is Unreachable; {await reopen_after_failure(bench, look)}"


async def reopen_after_failure(bench: DeviceUnderTest, look: Look) -> str:
    """Close the device and open it again, as the agent does after a failure."""
    began_s, last = time.monotonic(), ""
    while time.monotonic() - began_s < BACK_S:
        try:
            async with bench.open_port() as port:
                await look(port)
        except DeviceError as e:
            last = str(e)
            await asyncio.sleep(0.05)
        else:
            return f"opened again, served again after {time.monotonic() - began_s:.1f} s"
    raise AssertionError(f"{bench.name}: the line is back, but it is not served again within {BACK_S:g} s ({last})")


async def expect_unreachable(bench: DeviceUnderTest, look: Look, port: Any, complaint: str) -> None:
    try:
        async with asyncio.timeout(NOTICED_S):
            await look(port)
    except Unreachable:
        return
    except TimeoutError:
        raise AssertionError(f"{bench.name}: no answer and no error within {NOTICED_S:g} s; set a time-out") from None
    except DeviceError as e:
        raise AssertionError(f"{bench.name}: Unreachable expected, {type(e).__name__} came: {e}") from e
    raise AssertionError(f"{bench.name}: {complaint}")


async def check_recovery(bench: DeviceUnderTest, look: Look, port: Any, shim: FaultProxy) -> str:
    await shim.set_fault_mode(FaultMode.PASS)
    began_s, last = time.monotonic(), ""
    while time.monotonic() - began_s < BACK_S:
        try:
            await look(port)
        except DeviceError as e:
            last = str(e)
            await asyncio.sleep(0.05)
        else:
            return f"served again after {time.monotonic() - began_s:.1f} s"
    raise AssertionError(f"{bench.name}: answers again, but is not served again within {BACK_S:g} s ({last})")


async def check_garbled(bench: DeviceUnderTest, look: Look, believable: Believable) -> str:
    """Check that a corrupted reply is noticed, or that the value is still true."""
    async with bench.open_through_proxy() as (port, shim):
        before, noticed, made = await look(port), 0, 0
        for mood, times in GARBLED_LOOKS.items():
            await shim.set_fault_mode(mood)
            for _ in range(times):
                made += 1
                try:
                    now = await look(port)
                except DeviceError:
                    noticed += 1
                else:
                    why = believable(before, now)
                    assert not why, (
                        f"{bench.name}: a reply was corrupted ({mood}) and believed: {why}; check every reply"
                    )
        assert noticed, f"{bench.name}: {made} corrupted replies, and not one was noticed; check every reply"
        found = f"{noticed} of {made} reads with corrupted replies failed, none returned nonsense"
        return f"{found}; {await check_recovery(bench, look, port, shim)}"


async def check_memory(bench: DeviceUnderTest, look: Look) -> str:
    if not bench.reads:
        raise Skipped("no reads were requested (--reads)")
    async with bench.open_port() as port:
        tracemalloc.start()
        try:
            grown = await _memory_growth(bench, look, port)
        finally:
            tracemalloc.stop()
    bench.record_figure("memory_growth_bytes", grown)
    assert grown <= MOST_GROWTH, (
        f"{bench.name}: {grown} more octets are held after {bench.reads} reads ({grown / bench.reads:.0f} each): "
        "memory leaks, and the agent runs for years"
    )
    return f"{bench.reads} reads, {max(grown, 0)} more octets are held"


async def _memory_growth(bench: DeviceUnderTest, look: Look, port: Any) -> int:
    """Return the growth in octets. One read in a hundred may fail: a long line has noise."""
    warm = max(bench.reads // 5, 1)
    held = lost = 0
    for n in range(1, bench.reads + warm + 1):
        try:
            await look(port)
        except DeviceError as e:
            lost += 1
            if lost > max(bench.reads // 100, 1):
                raise AssertionError(f"{bench.name}: {lost} of {n} reads failed, the last: {e}") from e
        if n == warm:
            held = _held_bytes()
        if n % max((bench.reads + warm) // TOLD, 1) == 0:
            bench.show_progress(f"memory: {n} of {bench.reads + warm} reads")
    bench.record_figure("reads_lost", lost)
    return _held_bytes() - held


def _held_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@asynccontextmanager
async def progress_reminders(bench: DeviceUnderTest, what: str, within_s: float) -> AsyncIterator[None]:
    """Show from time to time what the check waits for, and how much time is left."""

    async def print_reminders() -> None:
        until_s = time.monotonic() + within_s
        while True:
            await asyncio.sleep(REMIND_S)
            bench.show_progress(f"waiting: {what} ({max(until_s - time.monotonic(), 0):.0f} s left)")

    task = asyncio.create_task(print_reminders())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def wait_state(bench: DeviceUnderTest, port: Any, true: Callable[[T], bool], what: str, within_s: float) -> T:
    """Return the first state of ``port.states()`` with the property."""
    last: Any = None
    try:
        async with (
            progress_reminders(bench, what, within_s),
            asyncio.timeout(within_s),
            aclosing(port.states()) as states,
        ):
            async for last in states:
                if true(last):
                    found: T = last
                    return found
    except TimeoutError:
        pass
    raise AssertionError(f"{bench.name}: {what}: not seen within {within_s:g} s; last: {last}")


class PortEvents(Generic[T]):
    """The events of a port, one after the other. A time-out does not end the source, as a cancelled ``anext`` would."""

    def __init__(self, bench: DeviceUnderTest, source: AsyncIterator[T]) -> None:
        self._bench = bench
        self._source = source
        self._coming: asyncio.Task[T] | None = None

    async def __aenter__(self) -> PortEvents[T]:
        self._pending_event()
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._coming is not None:
            self._coming.cancel()
            await asyncio.wait([self._coming])

    async def next_event(self, what: str, within_s: float) -> T:
        """Return the next event. Raises what the port raises."""
        coming = self._pending_event()
        async with progress_reminders(self._bench, what, within_s):
            await asyncio.wait([coming], timeout=within_s)
        if not coming.done():
            why = f"{what}: nothing was reported within {within_s:g} s; check wiring and settings"
            raise AssertionError(f"{self._bench.name}: {why}")
        self._coming = None
        return coming.result()

    async def unexpected_event(self, for_s: float) -> T | None:
        """Return an event that is reported although nothing has happened, or None."""
        coming = self._pending_event()
        await asyncio.wait([coming], timeout=for_s)
        return await self.next_event("", 0.0) if coming.done() else None

    def _pending_event(self) -> asyncio.Task[T]:
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._fetch_event())
        return self._coming

    async def _fetch_event(self) -> T:
        return await anext(self._source)
