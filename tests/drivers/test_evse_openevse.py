"""The RAPI driver: its line parser under any noise, and the driver on a pseudo terminal with the simulated board."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Limit
from agent.ports import Broken, DeviceError, Garbled, Refused, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.station_file.settings import Evse as Fitted
from drivers.evse_openevse import DRIVER
from drivers.evse_openevse.board import OpenEvseBoard
from drivers.evse_openevse.frames import (
    COMMAND_MAX_BYTES,
    LINE_MAX_BYTES,
    LineParser,
    RapiMessage,
    encode_command,
    parse_numbers,
)
from drivers.evse_openevse.settings import OpenEvseSettings
from drivers.sim.car import Car
from drivers.sim.evse import Evse
from drivers.sim.mains import Mains
from drivers.sim.rapi import RapiBoard
from drivers.testkit.evse import SOON_S, EvseWorld, check_evse
from tests.support.busy_machine import Deadline, deadline, stretched

# --- the parser --------------------------------------------------------------------------------------------------

WORDS = st.lists(
    st.text(st.sampled_from("0123456789ABCDEFabcdefOKNKAT-."), min_size=1, max_size=8), min_size=1, max_size=5
)
CUTS = st.lists(st.integers(0, 2000), max_size=20)
NOISE = st.binary(max_size=200).map(lambda b: b.replace(b"$", b"").replace(b"\r", b""))


def framed(words: list[str], number: int = 0) -> bytes:
    """Not the driver's own: the checksum by hand."""
    text = "$" + " ".join(words) + (f" :{number:02X}" if number else "")
    value = 0
    for character in text:
        value ^= ord(character)
    return f"{text}^{value:02X}\r".encode()


def parsed(data: bytes, *cuts: int) -> list[RapiMessage]:
    parser = LineParser()
    edges = [0, *sorted(min(c, len(data)) for c in cuts), len(data)]
    return [line for a, b in pairwise(edges) for line in parser.feed_chunk(data[a:b])]


@given(st.lists(st.tuples(WORDS, st.integers(0, 255), NOISE)), CUTS)
def test_lines_pass_between_noise_in_any_chunks(lines: list[tuple[list[str], int, bytes]], cuts: list[int]) -> None:
    data = b"".join(noise + framed(words, number) for words, number, noise in lines)
    assert parsed(data, *cuts) == [RapiMessage(tuple(words), number) for words, number, _ in lines]


@given(st.binary(max_size=1500), CUTS)
def test_noise_never_raises_and_chunks_never_matter(data: bytes, cuts: list[int]) -> None:
    data += b"\r"
    assert parsed(data, *cuts) == parsed(data)


@given(WORDS, st.integers(0, 255), st.data())
def test_a_spoiled_line_is_no_other_line(words: list[str], number: int, data: st.DataObject) -> None:
    """One bit turned over, or one byte lost: the line is gone, or says what it said."""
    line = framed(words, number)
    at = data.draw(st.integers(0, len(line) - 2))
    turned = bytes([line[at] ^ 1 << data.draw(st.integers(0, 7))])
    for spoiled in (line[:at] + turned + line[at + 1 :], line[:at] + line[at + 1 :]):
        assert parsed(spoiled) in ([], [RapiMessage(tuple(words), number)])


def test_the_vectors_of_the_protocol() -> None:
    vectors = (
        "GS^30",
        "FE^27",
        "FS^31",
        "FD^26",
        "S4 1^52",
        "S5 M^2F",
        "SC 16 V^65",
        "SY 30 6^1B",
        "SY^2E",
        "SY 165^3C",
    )
    for vector in vectors:
        assert encode_command(vector.partition("^")[0], 0) == f"${vector}\r".encode()
    assert encode_command("GS", 0xA1) == b"$GS :A1^5A\r"


def test_what_is_thrown_away() -> None:
    parser = LineParser()
    assert parser.feed_chunk(b"$OK^00\r$OK\r$^24\r$GS$OK^24\r") == []
    assert parser.garbled == 4
    assert parser.feed_chunk(b"$" + b"x" * LINE_MAX_BYTES) == []
    assert parser.garbled == 5
    assert parser.feed_chunk(framed(["OK", "0"])) == [], "the end of the long one"
    assert parser.feed_chunk(framed(["OK", "1"])) == [RapiMessage(("OK", "1"))]
    with pytest.raises(ValueError, match="longer"):
        encode_command("X" * COMMAND_MAX_BYTES, 1)
    with pytest.raises(Garbled):
        parse_numbers(("1",), (10, 10))
    with pytest.raises(Garbled):
        parse_numbers(("1", "zz"), (10, 16))


# --- the board ---------------------------------------------------------------------------------------------------


class Rig:
    """One outlet with an OpenEVSE on a pseudo terminal; time runs ``speed`` times as fast for the physics."""

    def __init__(self, folder: Path, outlet: str = "socket", speed: float = 10.0) -> None:
        self.evse = Evse(Fitted(number=1, outlet=outlet), random.Random(1))
        self.board = RapiBoard(self.evse, folder / "board")
        self.mains = Mains(1)
        self.outlet, self.speed, self.haste = outlet, speed, 1
        """``haste``: of the board's own clock, which counts the seconds without a beat."""

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.evse.step(round(10_000 * self.speed), 10_000 * self.haste, self.mains)

    def open(self, **keys: Any) -> AbstractAsyncContextManager[OpenEvseBoard]:
        where = Where(1, "evse", lambda: (1, time.monotonic()), (), StationFacts(outlet=self.outlet))
        settings = OpenEvseSettings(self.board.address, **{"poll_s": 0.1, "timeout_s": 0.6, **keys})
        return DRIVER.open(settings, where)  # type: ignore[arg-type]

    async def pilot(self, pilot: Pilot) -> None:
        """A vehicle that asks although it is offered nothing, so that no driver has to release it first."""
        if pilot is Pilot.A:
            self.evse.disconnect_vehicle(cable_too=False)
        elif self.evse.car is None:
            self.evse.connect_vehicle(Car(profile="stays_c"))
        if self.evse.car is not None:
            self.evse.car.asks = pilot is Pilot.C

    async def silence(self, on: bool) -> None:
        self.evse.faults = {Fault.BOARD_SILENT} if on else set()


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    rig.board.start()
    ticking = asyncio.create_task(rig.tick())
    try:
        yield rig
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
        rig.board.hang_up()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(Rig(tmp_path)) as r:
        yield r


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    patience = Deadline(within_s)
    while not true():
        assert not patience.over, "did not come true"
        await asyncio.sleep(0.005)


async def seen(board: OpenEvseBoard, true: Callable[[EvseState], bool]) -> EvseState:
    """The first such picture; the watch goes on no longer than that."""
    states = board.states()
    try:
        async with deadline(30):
            async for state in states:
                if true(state):
                    return state
    finally:
        await states.aclose()  # type: ignore[attr-defined]
    raise AssertionError("states() ended")


@asynccontextmanager
async def watched(board: OpenEvseBoard) -> AsyncIterator[list[EvseState]]:
    """Every picture, and what ended them."""
    pictures: list[EvseState] = []

    async def watch() -> None:
        async for state in board.states():
            pictures.append(state)  # noqa: PERF401 - others look at it meanwhile

    task = asyncio.create_task(watch())
    try:
        yield pictures
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, DeviceError):
            await task


def recorded(rig: Rig) -> list[int]:
    """What the board offers from now on, after every command and every step."""
    offers: list[int] = []
    apply = rig.board._apply_to_outlet

    def applied() -> None:
        apply()
        offers.append(rig.board.offer_a)

    rig.board._apply_to_outlet = applied  # type: ignore[method-assign]
    return offers


async def charging(rig: Rig, board: OpenEvseBoard, limit_a: float = 16.0) -> None:
    await rig.pilot(Pilot.C)
    await board.set_limit(Limit(current_a=limit_a))
    await board.set_release(True)
    await until(lambda: rig.evse.contactor.closed)


@pytest.mark.parametrize("outlet", ["socket", "tethered"])
async def test_it_keeps_the_contract(tmp_path: Path, outlet: str) -> None:
    async with running(Rig(tmp_path, outlet)) as rig, rig.open() as board:
        assert board.traits.tethered == (outlet == "tethered")
        assert board.traits.lockable == board.traits.holds == (outlet == "socket")
        assert not board.traits.fallback_stop
        assert not board.traits.counts_plugged
        await check_evse(board, EvseWorld(rig.pilot, rig.silence), soon_s=stretched(SOON_S))


async def test_a_session(rig: Rig) -> None:
    async with rig.open() as board, watched(board) as pictures:
        await until(lambda: len(pictures) > 0)
        assert pictures[0].pilot is Pilot.A
        assert not pictures[0].released
        rig.evse.connect_vehicle(Car())
        await until(lambda: pictures[-1].pilot is Pilot.B)
        await until(lambda: pictures[-1].locked is True)
        assert not rig.evse.pwm
        assert await board.set_limit(Limit(current_a=16.9)) == 16.0
        await board.set_release(True)
        await until(lambda: pictures[-1].contactor is True and pictures[-1].pilot is Pilot.C)
        assert pictures[-1].pwm
        assert pictures[-1].offered_a == 16.0
        assert rig.evse.offered_current_a == 16.0
        await board.set_release(False)
        await until(lambda: not rig.evse.contactor.closed)
        await until(lambda: pictures[-1].contactor is False)
        assert await board.unlock() is True
        await until(lambda: not rig.evse.lock.locked)
        rig.evse.disconnect_vehicle(cable_too=True)
        await until(lambda: pictures[-1].pilot is Pilot.A)
        # held it is awake: it tests its relay, and reports a vehicle that requests energy
        await until(lambda: rig.board.state_code == 0x01)
        assert rig.board.auth_locked


async def test_it_comes_up_with_release_withdrawn_whatever_the_board_did(rig: Rig) -> None:
    rig.board.auth_locked = rig.board.boot_locked = False
    rig.evse.connect_vehicle(Car())
    await until(lambda: rig.evse.contactor.closed)
    async with rig.open() as board:
        assert (await board.state()).released is False
        await until(lambda: not rig.evse.contactor.closed)
        assert rig.board.auth_locked
        assert not rig.board.boot_locked, "or it could never be released"
        assert (rig.board.beat_interval_s, rig.board.fallback_a) == (10, 6)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"auth_lock": False}, "AUTH_LOCK"),
        ({"boot_lock": False}, "BOOTLOCK"),
        ({"heartbeat": False}, "HEARTBEAT"),
        ({"lock_motor": False}, "MENNEKES_LOCK"),
        ({"flags": 0x0021}, "PP_AUTO_AMPACITY"),
        ({"flags": 0x2061}, "boot lock is switched off"),
        ({"flags": 0x0261}, "residual current"),
        ({"flags": 0x0071}, "stuck relay"),
        ({"flags": 0x0069}, "protective earth"),
    ],
)
async def test_a_firmware_that_is_not_fit_is_refused_and_left_asleep(
    rig: Rig, change: dict[str, Any], complaint: str
) -> None:
    for name, value in change.items():
        setattr(rig.board.build, name, value)
    rig.board.reboot()
    rig.board.auth_locked = False
    await until(lambda: not rig.board._is_mute)
    with pytest.raises(Broken, match=complaint):
        async with rig.open():
            pass
    rig.evse.connect_vehicle(Car())
    assert rig.board.state_code == 0xFE


async def test_no_lock_and_no_cable_reading_are_needed_at_a_fixed_cable(tmp_path: Path) -> None:
    async with running(Rig(tmp_path, "tethered")) as rig:
        rig.board.build.lock_motor, rig.board.build.flags = False, 0x0021
        async with rig.open() as board:
            assert (await board.state()).released is False


async def test_limits_are_read_back(rig: Rig) -> None:
    rig.board.build.configured_a = 20
    async with rig.open() as board:
        assert board.traits.max_a == 20.0
        assert await board.set_limit(Limit(current_a=32.0)) == 20.0
        await charging(rig, board, 16.0)
        rig.board.build.configured_a = 10  # a person at its menu
        assert await board.set_limit(Limit(current_a=16.0)) == 10.0
        state = await seen(board, lambda s: s.offered_a == 10.0)
        assert state.released


async def test_a_thin_cable_bounds_the_offer(rig: Rig) -> None:
    rig.board.build.configured_a = 63
    rig.evse.fitted = Fitted(number=1, max_a=32)
    async with rig.open() as board:
        await charging(rig, board, 32.0)
        assert (await seen(board, lambda s: s.cable_a is not None)).cable_a == 32


async def test_lost_and_spoiled_bytes(rig: Rig) -> None:
    """Every third answer is spoiled, every fourth notice lost: orders come through, pictures are never nonsense."""
    rng = random.Random(4)

    def spoil(data: bytes) -> bytes:
        if rng.random() < 0.3:
            at = rng.randrange(len(data))
            return data[:at] + bytes([data[at] ^ 0x11]) + data[at + 2 :]
        return b"\xff$x" + data if rng.random() < 0.2 else data

    async with rig.open(timeout_s=0.05) as board:
        rig.board.spoil = spoil
        for wanted_a in (16.0, 10.0, 6.0, 20.0):
            await patiently(lambda a=wanted_a: board.set_limit(Limit(current_a=a)))  # type: ignore[misc]
            assert rig.board.offer_a == wanted_a
        await rig.pilot(Pilot.C)
        await patiently(lambda: board.set_release(True))
        await until(lambda: rig.evse.contactor.closed)
        await patiently(lambda: board.set_release(False))
        await until(lambda: not rig.evse.contactor.closed)
        rig.board.spoil = lambda data: data


async def patiently(order: Callable[[], Any]) -> None:
    """As a keeper would: an order is a level, and is said again."""
    async with deadline(30):
        while True:
            with suppress(Garbled, Unreachable):
                await order()
                return


async def test_noise_alone_is_garbled_and_silence_unreachable(rig: Rig) -> None:
    async with rig.open() as board:
        rig.board.spoil = lambda data: data[:-3] + b"00\r"
        with pytest.raises(Garbled, match=r"EVSE 1.*check baud"):
            await board.beat()
        rig.board.spoil = lambda data: b""
        with pytest.raises(Unreachable, match=r"EVSE 1.*check power"):
            await board.beat()
        rig.board.spoil = lambda data: data


async def test_a_late_answer_is_not_taken_for_the_next(rig: Rig) -> None:
    """What was given up is answered after all, once: with its own number."""
    async with rig.open() as board:
        sent: list[bytes] = []

        def first_is_late(data: bytes) -> bytes:
            """The first answer comes with the third: what was asked again was answered in between."""
            if b"$AT" in data:
                return data
            sent.append(data)
            return {1: b"", 3: sent[0] + data}.get(len(sent), data)

        rig.board.spoil = first_is_late
        assert await board.set_limit(Limit(current_a=10.0)) == 10.0
        assert await board.set_limit(Limit(current_a=20.0)) == 20.0
        rig.board.spoil = lambda data: data
        assert len(sent) == 3
        assert rig.board.offer_a == 20


async def test_the_line_is_closed_and_opened_again(rig: Rig) -> None:
    async with rig.open() as board:
        await charging(rig, board)
        states = board.states()
        await anext(states)
        rig.board.hang_up()
        with pytest.raises(Unreachable, match=r"EVSE 1"):
            async with deadline(30):
                async for _ in states:
                    pass
    with pytest.raises(Unreachable):
        async with rig.open():
            pass
    rig.board.start()
    async with rig.open() as board:
        assert (await board.state()).released is False
        await until(lambda: not rig.evse.contactor.closed)
        await board.set_release(True)
        await until(lambda: rig.evse.contactor.closed)


async def test_a_spurious_restart_gives_no_energy_and_ends_the_pictures(rig: Rig) -> None:
    async with rig.open() as board:
        await charging(rig, board)
        states = board.states()
        await anext(states)
        rig.board.reboot()
        await until(lambda: not rig.evse.contactor.closed)
        with pytest.raises(Unreachable, match="has restarted"):
            async with deadline(30):
                async for _ in states:
                    pass
        assert rig.board.boot_locked
    async with rig.open() as board:
        await charging(rig, board)


async def test_a_restart_whose_notice_is_lost_is_seen_by_its_lock(rig: Rig) -> None:
    async with rig.open() as board:
        await charging(rig, board)
        states = board.states()
        await anext(states)
        rig.board.spoil = lambda data: b"" if b"$AB" in data or b"$AT" in data else data
        rig.board.reboot()
        with pytest.raises(Unreachable):
            async with deadline(30):
                async for _ in states:
                    pass
        rig.board.spoil = lambda data: data


async def test_a_missed_beat_lowers_the_offer_and_a_beat_puts_it_right(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no fallback of 0 A: what a board without an agent gives is the least there is, for this vehicle only."""
    caplog.set_level(logging.WARNING)
    async with rig.open(heartbeat_s=5, poll_s=30) as board:
        await charging(rig, board, 16.0)
        rig.haste = 10
        await until(lambda: rig.board.offer_a == 6)
        assert rig.evse.contactor.closed, "as the documents say"
        offers = recorded(rig)
        await board.beat()
        await until(lambda: rig.board.offer_a == 16)
        assert max(offers, default=16) <= 16, "the maximum was offered for a moment"
        assert "missed our beat" in caplog.text


async def test_a_core_without_proof_of_life_loses_the_board(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The process lives, what decides in it does not: the board alone would go on with 6 A for ever."""
    caplog.set_level(logging.ERROR)
    async with rig.open() as board, watched(board) as pictures:
        await charging(rig, board, 16.0)
        await board.beat()
        board._beat_at -= 3600
        await until(lambda: not rig.evse.contactor.closed)
        await until(lambda: pictures[-1].released is False)
        assert rig.board.auth_locked
        assert "no sign of life for 10 s" in caplog.text


async def test_without_an_agent_the_next_vehicle_gets_nothing(rig: Rig) -> None:
    """The process is gone: no order comes any more."""
    async with rig.open(heartbeat_s=5) as board:
        await charging(rig, board)
        rig.haste = 10
        rig.board._line._heard = lambda data: b""
        await until(lambda: rig.board.offer_a == 6)
        rig.evse.disconnect_vehicle(cable_too=True)
        await until(lambda: rig.board.auth_locked)
        rig.evse.connect_vehicle(Car())
        await until(lambda: rig.evse.connected_s > 10)
        assert not rig.evse.contactor.closed
        assert not rig.evse.pwm


async def test_after_an_over_temperature_it_offers_its_maximum_and_is_put_right(rig: Rig) -> None:
    async with rig.open() as board, watched(board) as pictures:
        await charging(rig, board, 20.0)
        rig.evse.faults = {Fault.TEMPERATURE_DERATING}
        await until(lambda: Fault.TEMPERATURE_DERATING in pictures[-1].faults)
        assert pictures[-1].offered_a == 16.0
        assert rig.evse.contactor.closed, "it charges on"
        offers = recorded(rig)
        rig.evse.faults = set()
        await until(lambda: rig.board.offer_a == 20)
        assert 32 in offers
        await until(lambda: pictures[-1].offered_a == 20.0 and not pictures[-1].faults)


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        (Fault.GROUND_FAILURE, Fault.GROUND_FAILURE),
        (Fault.RCD_TEST_FAILED, Fault.RCD_TEST_FAILED),
        (Fault.CONTACTOR_WELDED, Fault.CONTACTOR_WELDED),
        (Fault.CONTACTOR_STUCK_OPEN, Fault.CONTACTOR_STUCK_OPEN),
        (Fault.DIODE_FAULT, Fault.DIODE_FAULT),
        (Fault.OVER_CURRENT, Fault.OVER_CURRENT),
        (Fault.HIGH_TEMPERATURE, Fault.HIGH_TEMPERATURE),
        (Fault.PROXIMITY_FAULT, Fault.PROXIMITY_FAULT),
        (Fault.VENTILATION_REFUSED, Fault.VENTILATION_REFUSED),
    ],
)
async def test_faults_are_reported_at_once(rig: Rig, fault: Fault, shown: Fault) -> None:
    async with rig.open(poll_s=2) as board, watched(board) as pictures:
        await charging(rig, board)
        rig.evse.faults = {fault}
        await until(lambda: bool(pictures) and pictures[-1].faults == {shown})
        if fault is Fault.CONTACTOR_WELDED:
            assert pictures[-1].contactor is None
            with pytest.raises(Refused, match="contactor"):
                await board.unlock()
        else:
            assert (await seen(board, lambda s: s.contactor is False)).faults == {shown}
        rig.evse.faults = set()
        await until(lambda: not pictures[-1].faults)


async def test_another_vehicle_is_one_that_left_and_one_that_came(rig: Rig) -> None:
    """Whatever of the board's notices is lost: its own lock proves that the vehicle was away."""
    async with rig.open() as board, watched(board) as pictures:
        await charging(rig, board)
        await until(lambda: bool(pictures) and pictures[-1].contactor is True)
        rig.board.spoil = lambda data: b"" if b"$AT" in data else data
        at = len(pictures)
        rig.evse.disconnect_vehicle(cable_too=False)
        rig.board.step(0.0)
        rig.evse.connect_vehicle(Car())
        await until(lambda: any(p.pilot is Pilot.A for p in pictures[at:]))
        between = next(i for i, p in enumerate(pictures) if i >= at and p.pilot is Pilot.A)
        assert pictures[between].contactor is False
        await until(lambda: pictures[-1].vehicle_connected and pictures[-1].released is True)
        assert [p.pilot for p in pictures[at:]].count(Pilot.A) == 1
        rig.board.spoil = lambda data: data


async def test_a_vehicle_that_leaves_during_a_poll_leaves_once(rig: Rig) -> None:
    """The board answers that it is there, and reports that it has left before the poll has ended."""
    async with rig.open() as board, watched(board) as pictures:
        await rig.pilot(Pilot.C)
        await until(lambda: bool(pictures) and pictures[-1].vehicle_connected)
        at = len(pictures)
        answer = rig.board._answer_query

        def leave_before_answer(name: str) -> tuple[bool, str]:
            if name == "GC" and rig.evse.car is not None:
                rig.evse.disconnect_vehicle(cable_too=False)
                rig.board.step(0.0)
            return answer(name)

        rig.board._answer_query = leave_before_answer  # type: ignore[method-assign]
        await until(lambda: not pictures[-1].vehicle_connected)
        assert [there for there, _ in groupby(p.vehicle_connected for p in pictures[at - 1 :])] == [True, False]


async def test_withdrawn_between_two_vehicles_it_stays_withdrawn(rig: Rig) -> None:
    async with rig.open() as board, watched(board) as pictures:
        await charging(rig, board)
        await until(lambda: bool(pictures) and pictures[-1].contactor is True)
        rig.evse.disconnect_vehicle(cable_too=False)
        await until(lambda: pictures[-1].pilot is Pilot.A)
        assert pictures[-1].released is not True
        await board.set_release(False)
        rig.evse.connect_vehicle(Car())
        await until(lambda: rig.evse.connected_s > 8)
        assert not rig.evse.pwm
        assert rig.board.auth_locked


async def test_released_by_another_person_is_withdrawn(rig: Rig) -> None:
    async with rig.open() as board, watched(board) as pictures:
        await rig.pilot(Pilot.C)
        await until(lambda: bool(pictures) and pictures[-1].requests_energy)
        rig.board.auth_locked = False
        await until(lambda: rig.board.auth_locked)
        await until(lambda: not rig.evse.contactor.closed)
        await until(lambda: pictures[-1].released is False)


async def test_released_by_another_person_in_a_pause_is_withdrawn(rig: Rig) -> None:
    async with rig.open() as board, watched(board) as pictures:
        await rig.pilot(Pilot.C)
        await until(lambda: bool(pictures) and pictures[-1].requests_energy)
        await board.set_release(True)
        await until(lambda: rig.evse.contactor.closed)
        assert await board.set_limit(Limit(current_a=0)) == 0
        await until(lambda: not rig.evse.contactor.closed)
        rig.board.auth_locked = False
        await until(lambda: rig.board.auth_locked)
        await until(lambda: not rig.evse.contactor.closed)
        assert await board.set_limit(Limit(current_a=10)) == 10
        await until(lambda: rig.evse.contactor.closed)


async def test_a_bad_moment_of_the_line_at_the_end_leaves_no_release_behind(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No agent looks at the board any more, and it falls back to 6 A, not to nothing."""
    monkeypatch.setattr("drivers.evse_openevse.board._END_S", stretched(2.0))
    lost = 0
    obey = rig.board._handle_line

    def loses(raw: bytes) -> None:
        nonlocal lost
        if lost:
            lost -= 1
        else:
            obey(raw)

    async with rig.open(timeout_s=0.3) as board:
        await charging(rig, board)
        rig.board._handle_line = loses  # type: ignore[method-assign]
        lost = 3
    assert lost == 0
    assert rig.board.auth_locked
    await until(lambda: not rig.evse.contactor.closed)


async def test_withdrawing_overtakes_what_waits(rig: Rig) -> None:
    """Release on its way to the board, three looks queued: the withdrawal is next, and nothing of release after it."""
    async with rig.open() as board:
        await rig.pilot(Pilot.C)
        looks = [asyncio.create_task(board.state()) for _ in range(3)]
        giving = asyncio.create_task(board.set_release(True))
        await asyncio.sleep(0)
        taking = asyncio.create_task(board.set_release(False))
        await asyncio.gather(*looks, giving, taking)
        assert rig.board.auth_locked
        await until(lambda: rig.evse.connected_s > 5)
        assert rig.board.auth_locked
        assert not rig.evse.contactor.closed


async def test_a_held_plug_stays_locked_without_a_vehicle(rig: Rig) -> None:
    async with rig.open() as board:
        rig.evse.connect_vehicle(Car())
        await until(lambda: rig.evse.lock.locked)
        await board.set_hold(True)
        rig.evse.disconnect_vehicle(cable_too=False)
        await until(lambda: rig.evse.car is None)
        before = rig.evse.lock
        await seen(board, lambda s: s.pilot is Pilot.A)
        assert before.locked
        assert await board.unlock() is True
        await until(lambda: not rig.evse.lock.locked)


async def test_a_plug_that_stays_locked_is_not_free(rig: Rig) -> None:
    async with rig.open() as board:
        rig.evse.connect_vehicle(Car())
        await until(lambda: rig.evse.lock.locked)
        rig.evse.faults = {Fault.UNLOCK_FAILURE}
        assert await board.unlock() is False


async def test_a_hard_fault_is_cleared_by_the_self_test_of_a_restart(rig: Rig) -> None:
    async with rig.open() as board:
        rig.evse.faults = {Fault.RCD_TEST_FAILED}
        await seen(board, lambda s: bool(s.faults))
        await board.clear_fault()
        await until(lambda: rig.board.boot_locked)  # it was started again
        rig.evse.faults = set()
    await until(lambda: not rig.board._is_mute)
    async with rig.open() as board:
        assert (await board.state()).faults == frozenset()
        await board.clear_fault()
        assert not rig.board.boot_locked, "nothing was wrong: no restart"


async def test_wrong_devices_and_settings(tmp_path: Path) -> None:
    where = Where(1, "evse", lambda: (1, 0.0), ())
    plain = tmp_path / "plain"
    plain.touch()
    for device, error in ((str(plain), Broken), (str(tmp_path / "none"), Unreachable)):
        with pytest.raises(error):
            async with DRIVER.open(OpenEvseSettings(device), where):
                pass
    wrong: list[dict[str, Any]] = [
        {"device": ""}, {"device": "x", "baud": 0}, {"device": "x", "heartbeat_s": 0}, {"device": "x", "fallback_a": 0},
        {"device": "x", "poll_s": 0},
    ]  # fmt: skip
    for keys in wrong:
        assert len(DRIVER.check(OpenEvseSettings(**keys), where)) == 1
        with pytest.raises(Broken):
            async with DRIVER.open(OpenEvseSettings(**keys), where):
                pass
