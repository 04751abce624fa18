"""Do blocking work beside the event loop, in a thread that never holds up the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[..., T], *args: Any) -> T:
    """Return the result of the work, or raise what it raised.

    If the wait is cancelled, the thread goes on: stop its work by the means of the work itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def set_outcome(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run_work() -> None:
        result, error = None, None
        try:
            result = work(*args)
        except BaseException as e:  # noqa: BLE001 - it is raised where it is waited for
            error = e
        try:
            loop.call_soon_threadsafe(set_outcome, result, error)
        except RuntimeError:
            pass  # the loop is closed: no task waits any more

    threading.Thread(target=run_work, daemon=True, name="transfer").start()
    return await done
