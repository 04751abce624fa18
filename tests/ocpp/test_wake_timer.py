"""The timer of a waiting sender: it wakes in time, an earlier time counts, and a later one costs nothing."""

from __future__ import annotations

import asyncio

from agent.model.slim_event import SlimEvent
from agent.ocpp.transport.timeouts import WakeTimer
from tests.support.busy_machine import deadline

LONG_S = 100_000.0


async def test_an_earlier_time_takes_the_place_of_a_later_one() -> None:
    event = SlimEvent()
    timer = WakeTimer(event)
    timer.wake_within(LONG_S)
    timer.wake_within(0.001)
    async with deadline(30):
        await event.wait()
    event.clear()
    timer.wake_within(0.001)
    async with deadline(30):
        await event.wait()


async def test_a_later_time_keeps_the_timer() -> None:
    timer = WakeTimer(SlimEvent())
    timer.wake_within(LONG_S)
    before = timer._handle
    assert before is not None
    timer.wake_within(2 * LONG_S)
    assert timer._handle is before
    timer.cancel_timer()
    assert before.cancelled()
    timer.cancel_timer()


async def test_a_cancelled_timer_wakes_nothing() -> None:
    event = SlimEvent()
    timer = WakeTimer(event)
    timer.wake_within(0.0)
    timer.cancel_timer()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not event.is_set()
