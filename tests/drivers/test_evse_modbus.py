"""The board driver against a hand-written CHARX far end on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.model.board import EvseState, Pilot
from agent.model.types import Fault, Limit
from agent.ports import Broken, Garbled, Refused, Unreachable
from agent.ports.driver import StationFacts, Where
from agent.ports.evse import EvsePort
from agent.station_file.settings import build_table
from drivers.evse_modbus import DRIVER
from drivers.evse_modbus.settings import BoardSettings
from drivers.meter_modbus import DRIVER as METER
from drivers.meter_modbus.settings import MeterSettings
from drivers.testkit.evse import SOON_S, EvseWorld, check_evse
from tests.drivers import modbus_far_ends as far
from tests.drivers.modbus_far_ends import Asked, Bank, Part, PtyLine, TcpLine
from tests.support.busy_machine import Deadline, deadline, stretched

pytestmark = pytest.mark.steady_clock

CONFIG = Path(__file__).parents[2] / "config"
FAST_S = 0.3
POINT = 2000
"""Registers of charging point 2."""


class Charx:
    """The board's own logic, as far as its registers show it: pilot, release, limit, lock, watchdog."""

    def __init__(self) -> None:
        self.bank = Bank()
        self.pilot = Pilot.A
        self.lock_jams = self.lock_moves = False
        self.writes: list[tuple[int, int]] = []
        self.bank.on_write = self._written
        for place, value in (
            (100, 0),
            (101, 32),
            (102, 6),
            (120, 5),
            (300, 1),
            (301, 16),
            (304, 1),
            (306, 6),
            (307, 65535),
        ):
            self.put(place, value)
        self.errors()
        self._settle()

    def put(self, place: int, *words: int) -> None:
        self.bank.put(1, POINT + place, *words)

    def get(self, place: int) -> int:
        return self.bank.units[1].get(POINT + place, 0)

    def errors(self, *bits: int) -> None:
        mask = sum(1 << b for b in bits)
        self.put(293, mask >> 16, mask & 0xFFFF)

    async def set_pilot(self, pilot: Pilot) -> None:
        self.pilot = pilot
        self._settle()

    async def silence(self, on: bool) -> None:
        """The board is off; when it comes back its watchdog has withdrawn release."""
        self.bank.deaf = {1} if on else set()
        if on:
            self.put(300, 0)
            self._settle()

    def _written(self, address: int, value: int) -> None:
        place = address - POINT
        self.writes.append((place, value))
        if place == 301 and value == 0:
            self.put(300, 0)
        if place == 305 and value == 1:
            self.put(305, 0)
            self.put(303, int(self.lock_jams))
            if self.lock_jams or self.lock_moves:
                self.errors(22 if self.lock_jams else 23)
        self._settle()

    def _settle(self) -> None:
        vehicle = self.pilot is not Pilot.A
        pwm = bool(self.get(300)) and 6 <= self.get(301) <= 80
        text = f"{self.pilot}{2 if pwm and vehicle else 1}" if self.get(304) else "F0"
        self.put(299, int.from_bytes(text.encode(), "big"))
        self.put(285, 0, 42 if vehicle else 0)
        self.put(297, self.get(301) if pwm else 0)
        self.put(298, 32 if vehicle else 0)
        if vehicle:
            self.put(303, 1)
        elif not self.lock_jams:
            self.put(303, 0)


@pytest.fixture
def charx() -> Charx:
    return Charx()


@pytest.fixture
async def tcp(charx: Charx) -> AsyncIterator[TcpLine]:
    async with TcpLine(charx.bank) as line:
        yield line


def place(outlet: str = "socket", **more: Any) -> Where:
    facts = StationFacts(**{"outlet": outlet, "phases": 3, "max_a": 32.0, **more})
    return Where(2, "evse", lambda: (1, time.monotonic()), (CONFIG,), facts)


def settings(tcp: TcpLine, **more: Any) -> BoardSettings:
    options = {"map": "charx_sec", "host": "127.0.0.1", "port": tcp.port, "point": 2, "timeout_s": FAST_S}
    wrong: list[str] = []
    built = build_table(BoardSettings, options | {"poll_s": 0.05} | more, "board", wrong)
    assert wrong == []
    return built


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    patience = Deadline(within_s)
    while not true():
        assert not patience.over, "did not come true"
        await asyncio.sleep(0.005)


async def seen(
    states: AsyncIterator[EvseState], true: Callable[[EvseState], bool], within_s: float = 30.0
) -> EvseState:
    async with deadline(within_s):
        async for state in states:
            if true(state):
                return state
    raise AssertionError("states() ended")


async def test_it_keeps_the_contract(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place()) as board:
        await check_evse(board, EvseWorld(charx.set_pilot, charx.silence), soon_s=stretched(SOON_S))


async def test_a_tethered_outlet_keeps_the_contract(tcp: TcpLine, charx: Charx) -> None:
    charx.put(100, 1)
    async with DRIVER.open(settings(tcp), place("tethered")) as board:
        assert board.traits.tethered
        assert not board.traits.lockable
        await check_evse(board, EvseWorld(charx.set_pilot, charx.silence), soon_s=stretched(SOON_S))
        assert (await board.state()).locked is None


# --- beginning and end ----------------------------------------------------------------------------------------------


async def test_it_comes_up_withdrawn_and_armed(tcp: TcpLine, charx: Charx) -> None:
    assert charx.get(300) == 1, "the board remembered a release"
    async with DRIVER.open(settings(tcp, watchdog_s=12), place()) as board:
        assert charx.writes[0] == (300, 0), "withdrawing is the very first thing"
        assert (charx.get(300), charx.get(306), charx.get(307)) == (0, 0, 12)
        assert board.traits.fallback_stop
        assert (board.traits.min_a, board.traits.max_a, board.traits.phases) == (6.0, 32.0, 3)
        assert board.traits.counts_plugged


async def test_watchdog_registers_are_not_written_needlessly(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place()):
        pass
    charx.writes.clear()
    async with DRIVER.open(settings(tcp), place()) as board:
        await board.beat()
        await board.set_release(True)
    assert not [w for w in charx.writes if w[0] in (306, 307)]


async def test_a_firmware_that_cannot_fall_back_to_nothing(tcp: TcpLine, charx: Charx) -> None:
    charx.bank.locked = {POINT + 306}
    charx.put(306, 10)
    with pytest.raises(Refused):
        async with DRIVER.open(settings(tcp), place()):
            pass
    charx.bank.locked = set()

    def refuse_nothing(asked: Asked, good: bytes) -> list[Part]:
        if asked.function == 6 and asked.address == POINT + 306 and asked.values == [0]:
            charx.put(306, 10)
            return far.tcp_exception(3)(asked, good)
        return [(0, good)]

    charx.bank.script.extend([refuse_nothing] * 30)
    async with DRIVER.open(settings(tcp), place()) as board:
        assert not board.traits.fallback_stop
        assert charx.get(306) == 6


@pytest.mark.parametrize("mode", [0, 1, 2, 3, 4])
async def test_a_board_that_others_release_is_not_used(tcp: TcpLine, charx: Charx, mode: int) -> None:
    """Its release mode: dashboard, white list, external, permanent, its own OCPP. Only Modbus waits for the agent."""
    charx.put(120, mode)
    with pytest.raises(Broken, match=f"register 120 has {mode} instead of 5: set .*release mode.* to Modbus"):
        async with DRIVER.open(settings(tcp), place()):
            pass
    assert charx.get(300) == 0, "what can be withdrawn is"
    assert 120 not in [at for at, _ in charx.writes], "a person's setting"


async def test_a_firmware_that_does_not_tell_its_release_mode(
    tcp: TcpLine, charx: Charx, caplog: pytest.LogCaptureFixture
) -> None:
    charx.bank.holes = {POINT + 120}
    async with DRIVER.open(settings(tcp), place()):
        assert "does not report whether" in caplog.text
        assert "release mode" in caplog.text


async def test_closing_withdraws_release(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place()) as board:
        await board.set_release(True)
        assert charx.get(300) == 1
    assert charx.get(300) == 0


async def test_an_error_in_the_agent_withdraws_release(tcp: TcpLine, charx: Charx) -> None:
    async def crash() -> None:
        async with DRIVER.open(settings(tcp), place()) as board:
            await board.set_release(True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert charx.get(300) == 0


async def test_closing_does_not_hang_on_a_dead_board(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp, timeout_s=2.0), place()):
        charx.bank.deaf = {1}
        began = time.monotonic()
    assert time.monotonic() - began < 3.9  # not twice the time-out


async def test_the_other_point_is_left_alone(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place()) as board:
        await board.set_release(True)
        await board.beat()
    assert {a.address // 1000 for a in charx.bank.asked} == {2}


async def test_two_points_share_one_connection(tcp: TcpLine, charx: Charx) -> None:
    for address, value in list(charx.bank.units[1].items()):
        charx.bank.put(1, address - 1000, value)
    async with DRIVER.open(settings(tcp), place()), DRIVER.open(settings(tcp, point=1), place()) as first:
        assert (await first.state()).pilot is Pilot.A
    assert tcp.connections == 1


async def test_a_board_that_does_not_fit(tcp: TcpLine, charx: Charx) -> None:
    charx.bank.holes = {POINT + 299}
    with pytest.raises(Broken, match="does the map"):
        async with DRIVER.open(settings(tcp), place()):
            pass


# --- orders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def board(tcp: TcpLine) -> AsyncIterator[EvsePort]:
    async with DRIVER.open(settings(tcp), place()) as board:
        yield board


@pytest.mark.parametrize(
    ("limit", "amperes"),
    [
        (Limit(current_a=16.9), 16),
        (Limit(current_a=6.0), 6),
        (Limit(current_a=5.99), 0),
        (Limit(current_a=0.0), 0),
        (Limit(), 32),
        (Limit(current_a=63.0), 32),
        (Limit(power_w=11040.0), 16),
        (Limit(power_w=3680.0, phases=1), 16),
        (Limit(power_w=3680.0), 0),
        (Limit(current_a=10.0, power_w=11040.0), 10),
    ],
)
async def test_limits(board: EvsePort, charx: Charx, limit: Limit, amperes: int) -> None:
    assert await board.set_limit(limit) == amperes
    assert charx.get(301) == amperes


async def test_the_site_may_allow_less_than_the_board(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place(max_a=20.0)) as board:
        assert await board.set_limit(Limit()) == 20


async def test_resuming_gives_release_again(board: EvsePort, charx: Charx) -> None:
    await board.set_release(True)
    await board.set_limit(Limit(current_a=0))
    assert charx.get(300) == 0, "no current withdraws release on this board"
    await board.set_limit(Limit(current_a=10))
    assert (charx.get(300), charx.get(301)) == (1, 10)


async def test_resuming_gives_nothing_that_was_withdrawn(board: EvsePort, charx: Charx) -> None:
    await board.set_release(True)
    await board.set_limit(Limit(current_a=0))
    await board.set_release(False)
    await board.set_limit(Limit(current_a=10))
    assert charx.get(300) == 0


async def test_a_release_during_a_pause_waits_for_its_end(board: EvsePort, charx: Charx) -> None:
    await board.set_limit(Limit(current_a=0))
    await board.set_release(True)
    assert charx.get(300) == 0
    await board.set_limit(Limit(current_a=6))
    assert charx.get(300) == 1


async def test_withdrawing_overtakes_everything_queued(board: EvsePort, charx: Charx) -> None:
    """Also the release that was ordered before it and still waits."""
    charx.bank.script.append(far.late(FAST_S / 2))
    charx.writes.clear()
    busy = asyncio.ensure_future(board.state())
    await asyncio.sleep(0.01)
    orders = [
        asyncio.ensure_future(board.set_limit(Limit(current_a=10))),
        asyncio.ensure_future(board.set_release(True)),
        asyncio.ensure_future(board.beat()),
    ]
    await asyncio.sleep(0)
    await board.set_release(False)
    assert charx.writes[0] == (300, 0)
    outcome = await asyncio.gather(busy, *orders, return_exceptions=True)
    assert isinstance(outcome[2], Refused)
    assert (300, 1) not in charx.writes
    assert charx.get(300) == 0


async def test_a_release_in_flight_is_not_repeated_after_a_withdrawal(board: EvsePort, charx: Charx) -> None:
    """Its acknowledgement is lost; the second attempt must not undo the withdrawal that came in between."""
    charx.bank.script.append(far.silent)
    charx.writes.clear()
    give = asyncio.ensure_future(board.set_release(True))
    await until(lambda: (300, 1) in charx.writes)
    await board.set_release(False)
    with pytest.raises(Refused):
        await give
    assert charx.writes == [(300, 1), (300, 0)]


async def test_a_beat_feeds_the_watchdog_and_changes_nothing(board: EvsePort, charx: Charx) -> None:
    await board.set_limit(Limit(current_a=13))
    await board.set_release(True)
    charx.writes.clear()
    await board.beat()
    assert charx.writes == [(301, 13)]
    await board.set_limit(Limit(current_a=0))
    charx.writes.clear()
    await board.beat()
    assert charx.writes == [(301, 0)]


async def test_polls_do_not_feed_the_watchdog(board: EvsePort, charx: Charx) -> None:
    charx.writes.clear()
    states = board.states()
    await anext(states)
    before = len(charx.bank.asked)
    follow = asyncio.ensure_future(anext(states))
    await until(lambda: len(charx.bank.asked) > before + 3)
    follow.cancel()
    assert charx.writes == []


async def test_out_of_service_is_state_f(board: EvsePort, charx: Charx) -> None:
    await board.set_service(False)
    assert (await board.state()).pilot is Pilot.F
    await board.set_service(True)
    assert (await board.state()).pilot is Pilot.A


# --- lock -----------------------------------------------------------------------------------------------------------


async def test_unlocking(board: EvsePort, charx: Charx) -> None:
    await charx.set_pilot(Pilot.B)
    assert (await board.state()).locked is True
    charx.pilot = Pilot.A
    assert await board.unlock() is True
    assert (305, 1) in charx.writes


async def test_a_plug_that_was_pulled_was_free_even_if_the_next_one_is_locked_already(
    board: EvsePort, charx: Charx
) -> None:
    await charx.set_pilot(Pilot.B)
    unlocking = asyncio.ensure_future(board.unlock())
    await until(lambda: (305, 1) in charx.writes)
    await charx.set_pilot(Pilot.A)
    looks = len(charx.bank.asked)
    await until(lambda: len(charx.bank.asked) > looks + 1 or unlocking.done())
    await charx.set_pilot(Pilot.B)
    assert await unlocking is True


async def test_it_is_enough_that_any_person_has_seen_the_socket_empty(tcp: TcpLine, charx: Charx) -> None:
    """The next plug was in before the lock was looked at again: it was reported as one that could not be freed."""
    await charx.set_pilot(Pilot.B)
    async with DRIVER.open(settings(tcp, poll_s=0.02), place()) as board:
        seen: list[EvseState] = []

        async def look() -> None:
            async for state in board.states():
                seen.append(state)  # noqa: PERF401  it never ends

        looking = asyncio.ensure_future(look())
        await until(lambda: seen and seen[-1].cable)
        unlocking = asyncio.ensure_future(board.unlock())
        await until(lambda: (305, 1) in charx.writes)
        await charx.set_pilot(Pilot.A)
        await until(lambda: not seen[-1].cable)
        await charx.set_pilot(Pilot.B)
        assert await unlocking is True
        looking.cancel()


async def test_a_jammed_lock_says_so(board: EvsePort, charx: Charx) -> None:
    charx.lock_jams = True
    assert await board.unlock() is False


async def turned(charx: Charx, looks: int) -> None:
    """So many looks at the board later its motor has turned, and the lock is where it should be."""
    before = len(charx.bank.asked)
    await until(lambda: len(charx.bank.asked) > before + looks)
    charx.errors()
    charx.put(303, 0)


async def test_the_error_of_the_last_try_is_none_of_this_one(board: EvsePort, charx: Charx) -> None:
    """The board drops it when its motor has turned."""
    charx.lock_jams = True
    assert await board.unlock() is False
    unlocking = asyncio.ensure_future(board.unlock())
    await until(lambda: charx.writes.count((305, 1)) == 2)
    await turned(charx, 8)
    assert await unlocking is True


async def test_a_motor_that_turns_is_in_doubt_and_no_fault(board: EvsePort, charx: Charx) -> None:
    """Neither the answer nor the pictures take it for one, which would put the outlet out of service for a moment."""
    charx.lock_moves = True
    broken = asyncio.ensure_future(seen(board.states(), lambda state: bool(state.faults)))
    await until(lambda: bool(charx.bank.asked))
    unlocking = asyncio.ensure_future(board.unlock())
    await until(lambda: (305, 1) in charx.writes)
    await turned(charx, 8)
    assert await unlocking is True
    assert not broken.done()
    charx.errors(23)
    assert (await broken).faults == {Fault.LOCK_FAILURE}


async def test_a_lock_that_stays_in_doubt_has_not_freed_its_cable(board: EvsePort, charx: Charx) -> None:
    charx.lock_moves = True
    assert await board.unlock() is False
    assert (await board.state()).faults == {Fault.LOCK_FAILURE}


@pytest.mark.parametrize(("released", "pilot"), [(True, Pilot.C), (True, Pilot.D)])
async def test_nothing_is_unlocked_under_load(board: EvsePort, charx: Charx, released: bool, pilot: Pilot) -> None:
    await charx.set_pilot(pilot)
    await board.set_release(released)
    with pytest.raises(Refused, match="not confirmed open"):
        await board.unlock()
    assert (305, 1) not in charx.writes


@pytest.mark.parametrize("trouble", ["welded", "unknown state"])
async def test_nothing_is_unlocked_in_doubt(board: EvsePort, charx: Charx, trouble: str) -> None:
    if trouble == "welded":
        charx.errors(27)
    else:
        charx.put(299, int.from_bytes(b"IN", "big"))
    with pytest.raises(Refused, match="not confirmed open"):
        await board.unlock()


# --- pictures -------------------------------------------------------------------------------------------------------


async def test_the_picture_of_a_session(board: EvsePort, charx: Charx) -> None:
    s = await board.state()
    assert (s.pilot, s.pwm, s.cable, s.cable_a, s.contactor, s.released) == (Pilot.A, False, False, None, False, False)
    await charx.set_pilot(Pilot.C)
    s = await board.state()
    assert (s.pilot, s.pwm, s.cable, s.cable_a, s.contactor, s.locked) == (Pilot.C, False, True, 32, False, True)
    assert (s.plugged_s, s.offered_a) == (42.0, 0.0)
    await board.set_limit(Limit(current_a=16))
    await board.set_release(True)
    s = await board.state()
    assert (s.pilot, s.pwm, s.contactor, s.released, s.offered_a) == (Pilot.C, True, True, True, 16.0)
    assert s.bay_occupied is None


@pytest.mark.parametrize(
    ("bit", "fault"),
    [(0, Fault.HIGH_TEMPERATURE), (18, Fault.PROXIMITY_FAULT), (21, Fault.LOCK_FAILURE), (24, Fault.OVER_CURRENT),
     (28, Fault.DIODE_FAULT), (30, Fault.GROUND_FAILURE), (31, Fault.RCD_TEST_FAILED)],
)  # fmt: skip
async def test_error_bits(board: EvsePort, charx: Charx, bit: int, fault: Fault) -> None:
    charx.errors(bit)
    assert (await board.state()).faults == {fault}


async def test_bits_that_are_no_fault(board: EvsePort, charx: Charx) -> None:
    charx.errors(4, 5)
    assert (await board.state()).faults == frozenset()


async def test_faults_of_the_wiring(tcp: TcpLine, charx: Charx) -> None:
    names = ["EmergencyStop", "DoorOpen"] + ["Tilt"] * 15 + ["OverVoltage"]
    charx.put(950, 0b10, 0b10)
    more = {"extra_fault_names": names, "extra_fault_base": 950}
    async with DRIVER.open(settings(tcp, **more), place()) as board:
        assert (await board.state()).faults == {Fault.DOOR_OPEN, Fault.OVER_VOLTAGE}
        charx.put(950, 0b1, 0)
        assert (await board.state()).faults == {Fault.EMERGENCY_STOP}


async def test_faults_at_the_digital_inputs(tcp: TcpLine, charx: Charx) -> None:
    """A contact that is closed as long as all is well shows a broken wire, too."""
    more = {"input_faults": ["", "!EmergencyStop", "DoorOpen"], "bay_input": 0}
    async with DRIVER.open(settings(tcp, **more), place()) as board:
        for word, faults in (
            (0b011, set()),
            (0b001, {Fault.EMERGENCY_STOP}),
            (0b110, {Fault.DOOR_OPEN}),
            (0b100, {Fault.EMERGENCY_STOP, Fault.DOOR_OPEN}),
        ):
            charx.put(295, word)
            state = await board.state()
            assert (state.faults, state.bay_occupied) == (faults, bool(word & 1))


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"input_faults": ("DoorOpn",)}, "input_faults: 'DoorOpn'"),
        ({"input_faults": ("DoorOpen",), "bay_input": 0}, "input_faults: bit 0 is the bay's"),
        ({"input_faults": ("DoorOpen",), "map": "heidelberg", "device": "/dev/null"}, "no digital inputs"),
        ({"bay_input": 0, "map": "heidelberg", "device": "/dev/null"}, "no digital inputs"),
        ({"input_faults": ("",) * 16 + ("DoorOpen",)}, "input_faults: 16"),
    ],
)
def test_inputs_that_are_wired_wrongly(more: dict[str, Any], complaint: str) -> None:
    assert complaint in " ".join(DRIVER.check(BoardSettings(**{"map": "charx_sec", **more}), place()))


@pytest.mark.parametrize("bit", [0, 3])
async def test_the_bay_sensor(tcp: TcpLine, charx: Charx, bit: int) -> None:
    async with DRIVER.open(settings(tcp, bay_input=bit), place()) as board:
        assert (await board.state()).bay_occupied is False
        charx.put(295, 1 << bit)
        assert (await board.state()).bay_occupied is True


async def test_states_tell_changes_only(board: EvsePort, charx: Charx) -> None:
    states = board.states()
    assert (await anext(states)).pilot is Pilot.A
    asked = len(charx.bank.asked)
    change = asyncio.ensure_future(anext(states))
    await until(lambda: len(charx.bank.asked) > asked + 3)
    assert not change.done()
    await charx.set_pilot(Pilot.B)
    assert (await change).pilot is Pilot.B


async def test_counting_seconds_is_no_change_but_counting_again_is(board: EvsePort, charx: Charx) -> None:
    """Another vehicle between two polls shows in nothing else."""
    await charx.set_pilot(Pilot.B)
    states = board.states()
    assert (await anext(states)).plugged_s == 42.0
    change = asyncio.ensure_future(anext(states))
    charx.put(285, 0, 50)
    asked = len(charx.bank.asked)
    await until(lambda: len(charx.bank.asked) > asked + 3)
    assert not change.done()
    charx.put(285, 0, 1)
    gone = await change
    assert (gone.pilot, gone.plugged_s) == (Pilot.A, None), "another vehicle: one left"
    came = await anext(states)
    assert (came.pilot, came.plugged_s) == (Pilot.B, 1.0), "and one came"


async def test_an_order_shows_before_the_next_poll_is_due(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp, poll_s=5.0), place()) as board:
        states = board.states()
        await anext(states)
        change = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await board.set_release(True)
        assert (await change).released is True
        assert time.monotonic() - began < 4.5


async def test_three_missed_polls_end_the_states(board: EvsePort, charx: Charx) -> None:
    states = board.states()
    await anext(states)
    charx.bank.script.extend([far.silent] * 3)
    change = asyncio.ensure_future(anext(states))
    await until(lambda: not charx.bank.script)
    await charx.set_pilot(Pilot.B)
    assert (await change).pilot is Pilot.B, "two missed polls are forgiven"
    charx.bank.deaf = {1}
    with pytest.raises(Unreachable, match=r"board of EVSE 2.*polls missed"):
        await seen(states, lambda s: False)


async def test_a_foreign_release_is_withdrawn(board: EvsePort, charx: Charx) -> None:
    """Another client (the board's web page) gave release: no energy without a session."""
    states = board.states()
    await anext(states)
    charx.put(300, 1)
    follow = asyncio.ensure_future(seen(states, lambda s: False))
    await until(lambda: charx.get(300) == 0)
    follow.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follow


async def test_a_restarted_board_is_armed_again(board: EvsePort, charx: Charx) -> None:
    states = board.states()
    await anext(states)
    charx.put(306, 6)
    charx.put(307, 65535)
    follow = asyncio.ensure_future(seen(states, lambda s: False))
    await until(lambda: (charx.get(306), charx.get(307)) == (0, 10))
    follow.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await follow


async def test_release_is_not_replayed_after_a_reconnect(tcp: TcpLine, charx: Charx) -> None:
    async with DRIVER.open(settings(tcp), place()) as board:
        await board.set_release(True)
        await tcp.drop()
        charx.put(300, 0)
        await tcp.listen()
        states = board.states()
        assert (await seen(states, lambda s: True)).released is False
        with contextlib.suppress(TimeoutError):
            async with deadline(0.3):
                await anext(states)
        assert charx.get(300) == 0


@pytest.mark.parametrize("fault", [far.tcp_exception(6), far.silent])
async def test_a_lost_acknowledgement_is_repaired(
    board: EvsePort, charx: Charx, fault: Callable[[Asked, bytes], list[Part]]
) -> None:
    charx.bank.script.append(fault)
    await board.set_release(True)
    assert charx.get(300) == 1


async def test_an_order_that_was_not_acknowledged_raises(board: EvsePort, charx: Charx) -> None:
    charx.bank.deaf = {1}
    with pytest.raises(Unreachable, match="board of EVSE 2"):
        await board.set_release(True)


async def test_a_board_on_a_serial_line_is_written_with_function_16(charx: Charx) -> None:
    """There the acknowledgement of function 6 looks like the echo of a half-duplex adapter."""
    async with PtyLine(charx.bank) as serial:
        plain = BoardSettings("charx_sec", line="rtu", device=serial.path, point=2, timeout_s=0.3)
        async with DRIVER.open(plain, place()) as board:
            charx.bank.script.append(far.echo)
            await board.set_release(True)
            assert charx.get(300) == 1
            charx.bank.script.extend([lambda asked, good: [(0, far.framed(1, asked.pdu))]] * 2)
            with pytest.raises(Garbled):
                await board.set_release(True)
    assert {a.function for a in charx.bank.asked} == {3, 16}


async def test_a_board_and_a_meter_share_one_line(charx: Charx) -> None:
    """One RS-485 line: a device that is silent on it does not keep energy on, and begin and end go before looks."""
    charx.bank.floats(2, 0, 230.0, 231.0, 229.0, 16.0, 15.8, 16.1, 3680.0, 3650.0, 3687.0)
    charx.bank.floats(2, 52, 11017.0)
    charx.bank.floats(2, 70, 50.0, 1234.567, 0.5)
    charx.bank.put(2, 64512, 1, 2)
    charx.bank.put(2, 64514, 0x70)
    async with PtyLine(charx.bank) as serial:
        line = {"line": "rtu", "device": serial.path, "timeout_s": 0.3}
        of_board = BoardSettings("charx_sec", point=2, poll_s=0.05, **line)  # type: ignore[arg-type]
        of_meter = MeterSettings("eastron_sdm630", unit=2, **line)  # type: ignore[arg-type]
        async with METER.open(of_meter, place()) as meter, DRIVER.open(of_board, place()) as board:
            looking = asyncio.ensure_future(seen(board.states(), lambda s: False, within_s=60))
            await board.set_release(True)
            assert (await meter.read_billing()).energy_wh == 1234567
            charx.bank.deaf = {2}
            begun = len(charx.bank.asked)
            silent = [asyncio.ensure_future(meter.read()), asyncio.ensure_future(meter.read_billing())]
            await until(lambda: any(a.unit == 2 for a in charx.bank.asked[begun:]))
            await board.set_release(False)
            unheard = [a for a in charx.bank.asked[begun:] if a.unit == 2]
            assert charx.get(300) == 0
            assert len(unheard) == 1, "withdrawn while the meter was still waited for, right after its time-out"
            assert all(isinstance(e, Unreachable) for e in await asyncio.gather(*silent, return_exceptions=True))
            looking.cancel()
        other = MeterSettings("eastron_sdm630", unit=2, baud=19200, **line)  # type: ignore[arg-type]
        async with DRIVER.open(of_board, place()):
            with pytest.raises(Broken, match="set all devices of one line to the same baud rate"):
                async with METER.open(other, place()):
                    pass


# --- station file ---------------------------------------------------------------------------------------------------


def test_complaints_about_the_station_file() -> None:
    assert DRIVER.check(BoardSettings("charx_sec"), place()) == []
    assert "did you mean" in DRIVER.check(BoardSettings("charxsec"), place())[0]
    assert "DoorOpn" in DRIVER.check(BoardSettings("charx_sec", extra_fault_names=("DoorOpn",)), place())[0]
    assert "watchdog_s" in DRIVER.check(BoardSettings("charx_sec", watchdog_s=0), place())[0]
