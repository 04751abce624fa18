"""The answer of a device to one request: in time, too late, an error, and in time for a loop that was blocked."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from agent.ports import Unreachable
from drivers.device_answers import await_answer


def new_answer() -> asyncio.Future[bytes]:
    return asyncio.get_running_loop().create_future()


async def test_an_answer_in_time() -> None:
    answer = new_answer()
    asyncio.get_running_loop().call_soon(answer.set_result, b"x")
    assert await await_answer(answer, 60.0) == b"x"


async def test_an_error_in_time() -> None:
    answer = new_answer()
    asyncio.get_running_loop().call_soon(answer.set_exception, Unreachable("hung up"))
    with pytest.raises(Unreachable, match="hung up"):
        await await_answer(answer, 60.0)


async def test_no_answer() -> None:
    answer = new_answer()
    with pytest.raises(TimeoutError):
        await await_answer(answer, 0.01)
    assert answer.cancelled(), "one that comes later finds nothing to set"


async def test_a_caller_that_goes_away() -> None:
    answer = new_answer()
    waiting = asyncio.create_task(await_answer(answer, 60.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert answer.cancelled()


async def test_an_answer_that_is_read_when_the_time_is_over_because_the_loop_was_blocked() -> None:
    near, far = socket.socketpair()
    with near, far:
        answer, loop = new_answer(), asyncio.get_running_loop()
        loop.add_reader(near, lambda: answer.set_result(near.recv(1)))
        loop.call_soon(lambda: (far.send(b"x"), time.sleep(0.3)))
        assert await await_answer(answer, 0.1) == b"x"
        loop.remove_reader(near)
