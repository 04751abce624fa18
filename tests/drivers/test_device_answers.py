"""The answer of a device to one request: in time, too late, an error, and in time for a loop that was blocked."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from agent.ports import Unreachable
from drivers.bus import LineSettings, open_line
from drivers.device_answers import await_answer
from tests.drivers import modbus_far_ends as modbus
from tests.drivers.modbus_far_ends import Bank, PtyLine, TcpLine


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


async def test_the_answer_of_a_modbus_device_that_a_blocked_loop_reads_late_is_in_time() -> None:
    """The time-out would count as a silent device, and a write would be sent again."""
    bank = Bank()
    bank.put(1, 4, 104, 105)
    async with PtyLine(bank) as serial, TcpLine(bank) as tcp:
        for settings in (
            LineSettings("rtu", serial.path, baud=115200, timeout_s=0.3),
            LineSettings("tcp", host="127.0.0.1", port=tcp.port, timeout_s=0.3),
        ):
            async with open_line(settings) as line:
                bank.script.extend([modbus.before_a_block(0.6)] * 2)
                bank.asked.clear()
                assert await line.read_registers(1, 3, 4, 2) == [104, 105]
                assert len(bank.asked) == 1, "no second attempt was needed"
                bank.script.clear()
