"""The contract of every display driver: ``check_display`` for any ``DisplayPort``."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from agent.model.types import Screen, ScreenName
from agent.ports.display import DisplayPort

_THREADS = Path("/proc/self/task")
"""Of each its ``schedstat``: nanoseconds on a processor, nanoseconds of waiting for one, number of time slices."""


class LoopLag:
    """``worst_s``: the longest delay of a task of 1 ms by the event loop.

    Time in which the thread of the loop waited for a processor, or another thread of the process that may have kept it
    from running, is not included, if the system reports it (Linux: proc(5), ``schedstat``).
    """

    worst_s: float = 0.0


@asynccontextmanager
async def loop_lag() -> AsyncIterator[LoopLag]:
    """Measure how long the event loop is blocked while the block runs."""
    lag = LoopLag()

    async def measure_lag() -> None:
        while True:
            started_s, waits_before_s = time.perf_counter(), _waits_of_threads_s()
            await asyncio.sleep(0.001)
            took_s, waits_s = time.perf_counter() - started_s, _waits_of_threads_s()
            longest_s = max((wait_s - waits_before_s.get(thread, 0.0) for thread, wait_s in waits_s.items()), default=0)
            lag.worst_s = max(lag.worst_s, took_s - longest_s - 0.001)

    watcher = asyncio.create_task(measure_lag())
    try:
        await asyncio.sleep(0.005)
        lag.worst_s = 0.0
        yield lag
    finally:
        watcher.cancel()


def _waits_of_threads_s() -> dict[str, float]:
    """Return how long each thread of this process has waited for a processor since it began."""
    waits_s = {}
    for file in _THREADS.glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # the thread has ended, or the system counts nothing
            waits_s[file.parent.name] = int(file.read_text().split()[1]) / 1e9
    return waits_s


async def check_display(
    open_port: Callable[[], AbstractAsyncContextManager[DisplayPort]],
    pixels: Callable[[], bytes],
    *,
    timeout_s: float = 10.0,
    lag_s: float = 0.02,
) -> None:
    """Check that each screen is shown in each language, that a repeated one changes nothing, and that the newest wins.

    ``pixels`` returns what the panel shows, in bytes of any kind. No screen may block the loop for ``lag_s``. The
    contract says 5 ms; the rest, and the best of five tries, allow for the machine that runs the check.
    """
    async with asyncio.timeout(timeout_s), open_port() as port:
        await port.show(Screen(ScreenName.IDLE, "fr"))
        for name in ScreenName:
            await _check_shown(port, Screen(name, "en", "", {"number": "1234"}), pixels)
        await _check_languages(port, pixels)
        await _check_newest(port, pixels)
        lags = [await _lag_of_show(port, n) for n in range(5)]
        assert min(lags) < lag_s, f"show() blocked the event loop for {min(lags) * 1000:.1f} ms, each time"


async def _lag_of_show(port: DisplayPort, n: int) -> float:
    async with loop_lag() as lag:
        values = {"energy_wh": 4711 + n, "power_w": 11000, "since_s": 60 + n}
        await port.show(Screen(ScreenName.CHARGING, "de", "", values))
    return lag.worst_s


async def _check_shown(port: DisplayPort, screen: Screen, pixels: Callable[[], bytes]) -> None:
    before = pixels()
    await port.show(screen)
    shown = pixels()
    assert shown != before, f"show({screen.name}) returned, but the panel shows what it showed before"
    await port.show(screen)
    assert pixels() == shown, f"showing {screen.name} a second time changed the panel"


async def _check_languages(port: DisplayPort, pixels: Callable[[], bytes]) -> None:
    seen: dict[bytes, str] = {}
    for language in ("fr", "de", "lb", "en"):
        await port.show(Screen(ScreenName.OUT_OF_SERVICE, language))
        shown = pixels()
        assert shown not in seen, f"out of service looks the same in {language} and {seen[shown]}"
        seen[shown] = language
    await port.show(Screen(ScreenName.OUT_OF_SERVICE, "xx", "NoSuchDetail"))  # must not raise


async def _check_newest(port: DisplayPort, pixels: Callable[[], bytes]) -> None:
    newest = Screen(ScreenName.FINISHED, "fr", "stopped", {"energy_wh": 812})
    await port.show(newest)
    wanted = pixels()
    await port.show(Screen(ScreenName.IDLE, "fr"))
    crowd = [Screen(ScreenName.CHARGING, "fr", "", {"energy_wh": n}) for n in range(8)]
    await asyncio.gather(*(port.show(s) for s in (*crowd, newest)))
    assert pixels() == wanted, "after many screens at once the panel does not show the newest"
