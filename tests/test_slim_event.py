"""The slim event is an event of asyncio, and slim."""

from __future__ import annotations

import asyncio
import sys

from agent.model.slim_event import SlimEvent


async def test_it_wakes_all_its_waiters_once() -> None:
    event = SlimEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    event.set()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await event.wait()
    event.clear()
    assert not event.is_set()


async def test_a_waiter_that_is_cancelled_is_forgotten() -> None:
    event = SlimEvent()
    first, second = (asyncio.create_task(event.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    event.set()
    assert await second
    assert len(event._waiters) == 0


def test_it_takes_less_memory_than_the_usual_one() -> None:
    slim, usual = SlimEvent(), asyncio.Event()
    assert sys.getsizeof(slim._waiters) * 6 < sys.getsizeof(usual._waiters)
