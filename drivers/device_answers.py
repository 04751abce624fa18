"""The answer of a device to one request, and the time that it has."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


async def await_answer(answer: asyncio.Future[T], wait_s: float) -> T:
    """Return the answer, or raise its error. Raises ``TimeoutError`` if none has come within ``wait_s``.

    An answer that came in time counts also if the event loop was blocked until the time was over, as by an import:
    ``asyncio.timeout`` would throw it away.
    """
    try:
        await asyncio.wait([answer], timeout=wait_s)
        if not answer.done():
            raise TimeoutError
        return answer.result()
    finally:
        if not answer.cancel() and not answer.cancelled():
            answer.exception()  # retrieved: the caller may have been cancelled at the same moment
