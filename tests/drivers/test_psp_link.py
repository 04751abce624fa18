"""One request in flight over PSP: which bytes are its answer, and which are not."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from agent.ports import Unreachable
from drivers.sim.apollo.blocks import encode_block
from drivers.terminal_payter import commands, messages
from drivers.terminal_payter.commands import From, State, To
from drivers.terminal_payter.dialogue import Dialogue
from drivers.terminal_payter.frames import Frame
from drivers.terminal_payter.link import NoAnswer, TerminalLink
from drivers.terminal_payter.settings import PayterSettings
from tests.support.busy_machine import deadline

OK, STATUS = encode_block(0x00, b"\x00", False), encode_block(0x00, b"\x08\x00", False)
REFUSED = encode_block(0x00, b"\x01\x05", False)
APPROVED = encode_block(0x31, b"\0\0\0\x07", False)


class Wire:
    """What was sent, and a link to answer on. ``answers``: what comes back at once, by header."""

    def __init__(self, **answers: bytes) -> None:
        self.sent: list[int] = []
        self.heard: list[Frame] = []
        self.answers = {int(k, 16): v for k, v in answers.items()}
        self.link = TerminalLink("t", 0.05, self.heard.append)
        self.link.attach_line(self)

    def write(self, data: bytes) -> None:
        self.sent.append(data[3])
        if data[3] in self.answers:
            asyncio.get_running_loop().call_soon(self.link.receive_bytes, self.answers[data[3]])

    def close(self) -> None:
        pass


async def asking(wire: Wire, header: int, *bytes_: bytes, judge: Callable[[Frame], bool] | None = None) -> Frame | None:
    task = asyncio.create_task(wire.link.request_answer(header, b"", 1.0, judge=judge))
    await asyncio.sleep(0)
    for data in bytes_:
        wire.link.receive_bytes(data)
    return await task


async def test_a_late_status_is_no_result_of_a_commit() -> None:
    frame = await asking(Wire(), To.COMMIT, STATUS, OK, judge=messages.is_result)
    assert frame is not None
    assert messages.parse_result(frame.payload) == commands.OK


async def test_a_late_result_is_no_status() -> None:
    wire = Wire(**{"26": OK + REFUSED + STATUS})
    status = await Dialogue(PayterSettings(reply_s=1), wire.link).request_status()
    assert status == messages.Status(State.ENABLED, False)


async def test_what_happens_in_between_is_reported_in_order_and_is_no_answer() -> None:
    wire = Wire()
    frame = await asking(wire, To.COMMIT, encode_block(0x34, b"\0", False) + APPROVED + OK)
    assert frame is not None
    assert frame.header == From.RESULT
    assert [f.header for f in wire.heard] == [From.CARD_READ, From.APPROVED]


async def test_what_no_one_waits_for_is_dropped() -> None:
    wire = Wire()
    wire.link.receive_bytes(OK + STATUS)
    assert wire.heard == []
    with pytest.raises(NoAnswer):
        await wire.link.request_answer(To.COMMIT, b"", 0.02)
    assert wire.link.unsure


async def test_an_answer_that_waits_while_the_event_loop_is_blocked_is_in_time() -> None:
    """It comes at once, and is read when the time is over: a hold that is captured would count as unreachable."""
    near, far = socket.socketpair()
    with near, far:
        wire = Wire()
        asyncio.get_running_loop().add_reader(near, lambda: wire.link.receive_bytes(near.recv(100)))
        asyncio.get_running_loop().call_soon(lambda: (far.send(OK), time.sleep(0.3)))
        frame = await wire.link.request_answer(To.COMMIT, b"", 0.1)
        asyncio.get_running_loop().remove_reader(near)
    assert frame is not None
    assert messages.parse_result(frame.payload) == commands.OK
    assert not wire.link.unsure


async def test_after_an_answer_that_may_still_come_the_state_is_asked_first() -> None:
    wire = Wire(**{"26": OK + STATUS, "35": REFUSED})
    wire.link.unsure = True
    code = await Dialogue(PayterSettings(reply_s=1), wire.link).request_result(To.COMMIT)
    assert (code, wire.sent) == (commands.WRONG_STATE, [To.GET_STATUS, To.COMMIT])


async def test_who_is_called_off_leaves_the_link_unsure() -> None:
    wire = Wire()
    task = asyncio.create_task(wire.link.request_answer(To.START, b"", 5))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert wire.link.unsure


async def test_a_lost_line_is_reported_to_who_waits_and_to_who_asks_later() -> None:
    wire = Wire()
    task = asyncio.create_task(wire.link.request_answer(To.COMMIT, b"", 5))
    await asyncio.sleep(0)
    wire.link.fail_link(Unreachable("gone"))
    with pytest.raises(Unreachable, match="gone"):
        await task
    with pytest.raises(Unreachable, match="gone"):
        await wire.link.request_answer(To.VOID, b"", 5)


async def test_half_a_frame_is_given_up_after_the_silence() -> None:
    wire = Wire()
    wire.link.receive_bytes(bytes.fromhex("AA F0 3C") + APPROVED)
    assert wire.heard == []
    async with deadline(30):
        while not wire.heard:
            await asyncio.sleep(0.005)
    assert wire.heard[0].header == From.APPROVED
