"""Board, meter and reader of a fleet keep the contracts of their ports, and the register is exact."""

from __future__ import annotations

import asyncio

import pytest

from agent.fleet.outlet_ports import CardReader, OutletBoard, OutletMeter, always_open, open_board
from agent.fleet.simulated_outlet import FleetLoad, SimulatedOutlet, Vehicle
from agent.model.board import Pilot
from agent.model.types import Fault, MeterIdentity, Token
from drivers.testkit.evse import SOON_S, EvseWorld, check_evse
from drivers.testkit.meter import check_meter
from drivers.testkit.reader import check_reader
from tests.support.busy_machine import stretched


class MovingTime:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time_s() -> MovingTime:
    return MovingTime()


def charging_outlet(time_s: MovingTime, vehicle: Vehicle) -> SimulatedOutlet:
    outlet = SimulatedOutlet(time_s, 1.0, 5000.0)
    outlet.plug_vehicle_in(vehicle)
    outlet.set_limit(32.0)
    outlet.set_release(True)
    return outlet


async def test_the_board_keeps_its_contract(time_s: MovingTime) -> None:
    outlet = SimulatedOutlet(time_s, 1.0, 0.0)

    async def show_pilot(pilot: Pilot) -> None:
        if pilot is Pilot.A:
            await OutletBoard(outlet).unlock()
            assert outlet.pull_plug_out()
        else:
            outlet.plug_vehicle_in(Vehicle())

    async with open_board(outlet) as board:
        await check_evse(board, EvseWorld(pilot=show_pilot), soon_s=stretched(SOON_S))
    assert not outlet.state.released


async def test_the_meter_keeps_its_contract(time_s: MovingTime) -> None:
    outlet = charging_outlet(time_s, Vehicle(max_a=16.0, energy_wh=1e6))

    def now() -> tuple[int, float]:
        time_s.s += 0.5
        return 1, time_s.s

    meter = OutletMeter(outlet, now, MeterIdentity(vendor="V", model="M", serial="S"))
    await check_meter(meter)


async def test_the_reader_keeps_its_contract() -> None:
    reader = CardReader()

    async def tap_card(value: str) -> None:
        reader.present_card(Token(value))

    await check_reader(always_open(reader), tap_card, ["04A1B2C3D4E5F6", "04000000000002"], lag_s=stretched(0.05))


async def test_the_register_counts_what_the_vehicle_draws(time_s: MovingTime) -> None:
    outlet = charging_outlet(time_s, Vehicle(max_a=16.0, phases=3, energy_wh=1e6))
    assert outlet.power_w == pytest.approx(16 * 3 * 230)
    time_s.s += 3600
    assert outlet.read_register_wh() == pytest.approx(5000 + 11040)
    outlet.set_limit(8.0)  # half the power from here on
    time_s.s += 1800
    assert outlet.read_register_wh() == pytest.approx(5000 + 11040 + 2760)
    outlet.set_limit(0.0)
    time_s.s += 3600
    assert not outlet.state.contactor
    assert outlet.read_register_wh() == pytest.approx(5000 + 11040 + 2760)


async def test_the_load_of_all_outlets_follows_each_change(time_s: MovingTime) -> None:
    load = FleetLoad()
    one, other = (SimulatedOutlet(time_s, 1.0, 0.0, load) for _ in range(2))
    for outlet, max_a in ((one, 16.0), (other, 32.0)):
        outlet.plug_vehicle_in(Vehicle(max_a=max_a, energy_wh=1e6))
        outlet.set_release(True)
    assert (load.charging, load.power_w) == (2, pytest.approx((16 + 32) * 3 * 230))
    other.set_limit(8.0)
    assert load.power_w == pytest.approx((16 + 8) * 3 * 230)
    one.set_release(False)
    assert (load.charging, load.power_w) == (1, pytest.approx(8 * 3 * 230))
    other.set_faults(frozenset({Fault.GROUND_FAILURE}))
    assert (load.charging, load.power_w) == (0, pytest.approx(0.0))


async def test_a_single_phase_draws_a_third(time_s: MovingTime) -> None:
    outlet = charging_outlet(time_s, Vehicle(max_a=32.0, phases=1, energy_wh=1e6))
    assert outlet.power_w == pytest.approx(32 * 230)


async def test_a_full_battery_takes_no_more(time_s: MovingTime) -> None:
    outlet = SimulatedOutlet(time_s, 1e6, 0.0)  # a millionth of a second for each of its own
    outlet.plug_vehicle_in(Vehicle(max_a=32.0, energy_wh=1000.0))
    outlet.set_release(True)
    assert outlet.state.pilot is Pilot.C
    time_s.s += 1000.0 / (32 * 3 * 230) * 3600
    assert await outlet.wait_until(lambda o: o.state.pilot is Pilot.B, 20.0)
    assert outlet.read_register_wh() == pytest.approx(1000.0)
    assert outlet.state.contactor is False


async def test_a_fault_opens_the_contactor_and_a_locked_plug_stays(time_s: MovingTime) -> None:
    outlet = charging_outlet(time_s, Vehicle(energy_wh=1e6))
    assert not outlet.pull_plug_out()
    outlet.set_faults(frozenset({Fault.GROUND_FAILURE}))
    assert outlet.state.contactor is False
    assert outlet.state.faults == {Fault.GROUND_FAILURE}
    assert outlet.unlock_plug()
    assert outlet.pull_plug_out()
    assert outlet.state.pilot is Pilot.A


async def test_a_wait_ends_without_the_condition(time_s: MovingTime) -> None:
    outlet = SimulatedOutlet(time_s, 1.0, 0.0)
    assert not await outlet.wait_until(lambda o: o.is_occupied, 0.01)
    waiting = asyncio.create_task(outlet.wait_until(lambda o: o.is_occupied, 60.0))
    await asyncio.sleep(0)
    outlet.plug_vehicle_in(Vehicle())
    assert await waiting
