"""The model of the station, stepped by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.types import Fault
from drivers.sim.checked_values import Impossible, Unknown
from drivers.sim.evse import NWS_PER_WH
from drivers.sim.faults import SAFETY
from drivers.sim.world import STEP_US, World
from tests.drivers.sim_stations import charging, model, released, run


@pytest.fixture
def world(tmp_path: Path) -> World:
    return model(tmp_path)


def test_no_current_without_release(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 60)
    assert world.evse_picture(1) | {"soc": 0} == {
        "number": 1, "kind": "AC", "cable": True, "car": True, "ready": True, "cp": "B", "pwm": False, "locked": True,
        "contactor": False, "limit_a": 32, "limit_w": None, "current_a": [0.0, 0.0, 0.0], "power_w": 0, "meter_wh": 0,
        "soc": 0, "faults": [],
    }  # fmt: skip


def test_released_and_asking_charges_at_a_little_less_than_offered(world: World) -> None:
    charging(world, limit_a=10)
    picture = world.evse_picture(1)
    assert (picture["cp"], picture["pwm"], picture["contactor"], picture["limit_a"]) == ("C", True, True, 10)
    assert all(8.5 < a <= 10 for a in picture["current_a"])
    assert picture["power_w"] == pytest.approx(sum(picture["current_a"]) * 230 * 0.99, rel=0.03)


def test_register_is_the_exact_sum_of_power_over_time(world: World) -> None:
    evse = world.evses[1]
    world.set_meter_register(1, 1_234_567)
    world.plug_in_vehicle(1, car={"max_a": 32})
    released(world, limit_a=32)
    total_nws = 0
    for _ in range(20 * 600):
        world.step()
        total_nws += evse.power_mw * STEP_US
    assert evse.energy_nws == 1_234_567 * NWS_PER_WH + total_nws
    assert total_nws // NWS_PER_WH > 3000
    assert world.evse_picture(1)["meter_wh"] == 1_234_567 + total_nws // NWS_PER_WH


def test_speed_makes_energy_flow_faster_not_stronger(tmp_path: Path) -> None:
    slow, fast = model(tmp_path), model(tmp_path, speed=60)
    for world in (slow, fast):
        charging(world)
        world.set_meter_register(1, 0)
    run(slow, 360)
    run(fast, 6)
    assert slow.evse_picture(1)["power_w"] == pytest.approx(fast.evse_picture(1)["power_w"], rel=0.03)
    assert slow.evse_picture(1)["meter_wh"] == pytest.approx(fast.evse_picture(1)["meter_wh"], rel=0.03)


@pytest.mark.parametrize("what", ["pause", "ev side", "release", "limit", "mains", "service"])
def test_contactor_opens_within_100_ms(world: World, what: str) -> None:
    evse = charging(world)
    {
        "pause": lambda: world.set_vehicle_demand(1, ready=False),
        "ev side": lambda: world.unplug_vehicle(1, "ev"),
        "release": lambda: evse.set_release(False),
        "limit": lambda: evse.set_current_limit(0),
        "mains": lambda: world.set_mains_power(False),
        "service": lambda: setattr(evse.registers, "available", False),
    }[what]()
    run(world, 0.1)
    assert not evse.contactor.closed
    assert world.evse_picture(1)["current_a"] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("fault", sorted(SAFETY - {Fault.CONTACTOR_WELDED}))
def test_contactor_opens_within_100_ms_of_a_fault_and_charging_goes_on_after_it(world: World, fault: Fault) -> None:
    evse = charging(world)
    world.set_fault_state(1, fault.value, True)
    run(world, 0.1)
    assert not evse.contactor.closed
    world.set_fault_state(1, fault.value, False)
    run(world, 5)
    assert evse.contactor.closed


def test_welded_contactor_stays_closed(world: World) -> None:
    evse = charging(world)
    world.set_fault_state(1, "ContactorWelded", True)
    evse.set_release(False)
    run(world, 5)
    assert evse.contactor.closed
    assert world.evse_picture(1)["current_a"] == [0, 0, 0]
    world.set_fault_state(1, "ContactorWelded", False)
    run(world, 0.1)
    assert not evse.contactor.closed


def test_watchdog_withdraws_release_after_real_seconds(tmp_path: Path) -> None:
    world = model(tmp_path, speed=100)
    evse = charging(world)
    evse.registers.watchdog_s, evse.registers.fed_s = 10, 0.0
    run(world, 9.9)
    assert evse.contactor.closed
    run(world, 0.2)
    assert not evse.contactor.closed
    assert not evse.registers.release


def test_plug_is_locked_with_a_car_and_free_without(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 0.3)
    assert not world.evses[1].lock.locked
    run(world, 0.2)
    assert world.evses[1].lock.locked
    world.unplug_vehicle(1, "ev")
    run(world, 0.5)
    assert world.evse_picture(1)["cable"]
    assert not world.evses[1].lock.locked
    world.unplug_vehicle(1, "station")
    assert not world.evse_picture(1)["cable"]


def test_who_has_not_begun_takes_the_cable_along(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    world.unplug_vehicle(1, "station")
    assert (world.evse_picture(1)["car"], world.evse_picture(1)["cable"]) == (False, True)
    run(world, 0.5)
    assert not world.evse_picture(1)["cable"]


def test_a_plug_is_held_while_energy_is_released(world: World) -> None:
    evse = charging(world)
    with pytest.raises(Impossible, match="locked"):
        world.unplug_vehicle(1, "station")
    evse.set_release(False)
    run(world, 0.1)  # the backend may have heard of the end before the lock has
    world.unplug_vehicle(1, "station")
    run(world, 0.5)
    assert not world.evse_picture(1)["cable"]


def test_a_plug_that_is_stuck_or_to_be_kept_is_held(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    world.set_fault_state(1, "UnlockFailure", True)
    with pytest.raises(Impossible, match="locked"):
        world.unplug_vehicle(1, "station")
    world.set_fault_state(1, "UnlockFailure", False)
    world.evses[1].registers.lock = True
    with pytest.raises(Impossible, match="locked"):
        world.unplug_vehicle(1, "station")


def test_a_hand_does_not_pull_for_ever(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    world.unplug_vehicle(1, "station")
    world.evses[1].registers.lock = True
    run(world, 5)
    world.evses[1].registers.lock = False
    run(world, 1)
    assert world.evse_picture(1)["cable"]
    world.unplug_vehicle(1, "station")
    assert not world.evse_picture(1)["cable"]


def test_who_plugs_in_again_does_not_pull(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    world.unplug_vehicle(1, "station")
    world.plug_in_vehicle(1)
    run(world, 1)
    assert world.evse_picture(1)["cable"]


def test_an_order_to_unlock_right_after_a_failed_one_is_not_lost(world: World) -> None:
    """The motor is repaired and ordered between two steps of the world."""
    world.plug_in_vehicle(1)
    run(world, 5)
    evse = world.evses[1]
    world.set_fault_state(1, "UnlockFailure")
    evse.force_unlock()
    run(world, 5)
    assert evse.lock.failed
    assert evse.lock.locked
    world.set_fault_state(1, "UnlockFailure", active=False)
    evse.force_unlock()
    run(world, 5)
    assert not evse.lock.locked


def test_force_unlock_frees_the_plug_but_never_under_power(world: World) -> None:
    evse = charging(world)
    evse.force_unlock()
    run(world, 1)
    assert evse.lock.locked
    assert evse.contactor.closed
    evse.set_release(False)
    run(world, 2)
    assert evse.lock.locked, "the order given under power is void, not remembered"
    evse.force_unlock()
    run(world, 0.5)
    assert not evse.lock.locked
    world.unplug_vehicle(1)
    assert world.evses[1].car is None


def test_release_after_a_forced_unlock_locks_again(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    evse = world.evses[1]
    evse.force_unlock()
    run(world, 1)
    assert not evse.lock.locked
    evse.set_release(True)
    run(world, 5)
    assert evse.lock.locked
    assert evse.contactor.closed


def test_no_power_before_the_plug_is_locked(world: World) -> None:
    evse = charging(world, profile="stays_c")
    evse.set_release(False)
    run(world, 1)
    evse.force_unlock()
    run(world, 1)
    assert (evse.lock.locked, evse.control_pilot_state()) == (False, "C1")
    evse.set_release(True)
    while not evse.contactor.closed:
        assert evse.connected_s < 60
        world.step()
        assert evse.lock.locked or not evse.contactor.closed


def test_lock_that_cannot_open_stays_locked_and_is_reported_when_it_was_tried(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    evse = world.evses[1]
    world.set_fault_state(1, "UnlockFailure", True)
    run(world, 1)
    assert Fault.UNLOCK_FAILURE not in evse.reported_faults(True)
    evse.force_unlock()
    run(world, 1)
    assert evse.lock.locked
    assert Fault.UNLOCK_FAILURE in evse.reported_faults(True)
    world.set_fault_state(1, "UnlockFailure", False)
    run(world, 1)
    assert evse.lock.locked
    assert Fault.UNLOCK_FAILURE not in evse.reported_faults(True)
    evse.force_unlock()
    run(world, 1)
    assert not evse.lock.locked


def test_jammed_lock_gives_no_power(world: World) -> None:
    world.set_fault_state(1, "ConnectorLockFailure", True)
    world.plug_in_vehicle(1)
    released(world)
    run(world, 30)
    assert not world.evses[1].contactor.closed
    assert not world.evses[1].lock.locked


def test_full_battery_ends_asking(world: World) -> None:
    evse = charging(world, soc=99, capacity_kwh=10)
    run(world, 60)
    assert world.evse_picture(1)["cp"] == "B"
    assert world.evse_picture(1)["soc"] == 100
    assert not evse.contactor.closed
    energy = evse.energy_nws
    run(world, 120)
    assert evse.energy_nws == energy


def test_single_phase_car_loads_one_line(world: World) -> None:
    charging(world, limit_a=20, profile="single_phase")
    a, b, c = world.evse_picture(1)["current_a"]
    assert 18.5 < a < 20
    assert (b, c) == (0, 0)


def test_sleepy_car_wakes_when_the_offer_is_interrupted(world: World) -> None:
    world.plug_in_vehicle(1, car={"profile": "sleepy"})
    released(world)
    run(world, 29)
    assert world.evse_picture(1)["cp"] == "B"
    run(world, 7)
    assert world.evse_picture(1)["cp"] == "C"
    assert world.evses[1].contactor.closed


def test_normal_car_that_pauses_is_not_disturbed_twice(world: World) -> None:
    world.plug_in_vehicle(1, ready=False)
    evse = released(world)
    without_offer = 0
    for _ in range(20 * 120):
        world.step()
        without_offer += not evse.pwm
        assert evse.control_pilot_state() in ("A1", "B1", "B2")
    assert without_offer * 0.05 < 4.5


def test_car_that_stays_in_c_gets_no_power(world: World) -> None:
    evse = charging(world, profile="stays_c")
    evse.set_release(False)
    run(world, 20)
    assert evse.control_pilot_state() == "C1"
    assert not evse.contactor.closed
    evse.set_release(True)
    run(world, 1)
    assert evse.contactor.closed


def test_normal_car_lets_go_when_the_offer_ends(world: World) -> None:
    evse = charging(world)
    evse.set_release(False)
    run(world, 1)
    assert evse.control_pilot_state() == "B1"


def test_offer_below_6_a_is_a_pause_and_takes_release_away(world: World) -> None:
    evse = charging(world)
    evse.set_current_limit(5)
    run(world, 0.1)
    assert (evse.offered_current_a, evse.pwm, evse.registers.release) == (0, False, False)


def test_site_limit_binds_below_the_agents(world: World) -> None:
    evse = charging(world, limit_a=16)
    world.set_site_limit(8)
    run(world, 3)
    assert world.evse_picture(1)["limit_a"] == 8
    assert max(world.evse_picture(1)["current_a"]) <= 8
    world.set_site_limit(4)
    run(world, 1)
    assert not evse.contactor.closed
    world.set_site_limit(None)
    run(world, 5)
    assert world.evse_picture(1)["limit_a"] == 16
    assert evse.contactor.closed


def test_connection_counts_from_the_plug(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 12)
    assert world.evses[1].connected_s == pytest.approx(12)
    world.unplug_vehicle(1, "ev")
    assert world.evses[1].connected_s == 0


def test_tethered_outlet_has_no_lock(tmp_path: Path) -> None:
    world = model(tmp_path, evse=[{"number": 1, "outlet": "tethered", "phases": 1, "max_a": 16}])
    evse = charging(world)
    assert (evse.lock.locked, evse.cable_rating_a, world.evse_picture(1)["cable"]) == (False, 0, True)
    assert len(world.evse_picture(1)["current_a"]) == 1
    world.unplug_vehicle(1)
    run(world, 0.1)
    assert (evse.contactor.closed, world.evse_picture(1)["car"], world.evse_picture(1)["cable"]) == (False, False, True)


def test_dc_car_follows_its_curve(tmp_path: Path) -> None:
    world = model(tmp_path, evse=[{"number": 1, "kind": "DC", "outlet": "tethered", "max_a": 200, "power_kw": 80.0}])
    charging(world, limit_a=80, profile="dc400", soc=50)
    assert world.evse_picture(1)["power_w"] == pytest.approx(80 * 365, rel=0.01)


def test_who_comes_to_a_dc_outlet_has_a_battery(tmp_path: Path) -> None:
    """Without further keys; at an AC one a charger of its own."""
    evses = [{"number": 1, "kind": "DC", "outlet": "tethered", "max_a": 200, "power_kw": 80.0}, {"number": 2}]
    world = model(tmp_path, evse=evses)
    for n in (1, 2):
        world.plug_in_vehicle(n)
    cars = [world.evses[n].car for n in (1, 2)]
    assert [(c.profile, c.max_a) for c in cars if c] == [("dc400", 400.0), ("normal", 16.0)]


def test_mains_lost_tells_power_loss_and_comes_back(world: World) -> None:
    evse = charging(world)
    world.set_mains_power(False)
    run(world, 1)
    assert Fault.POWER_LOSS in evse.reported_faults(world.mains_on)
    assert evse.measured.voltage_v == (0, 0, 0)
    world.set_mains_power(True)
    run(world, 5)
    assert evse.contactor.closed


def test_same_seed_same_world(tmp_path: Path) -> None:
    pictures = []
    for _ in range(2):
        world = model(tmp_path, simulation={"seed": 7})
        charging(world)
        pictures.append((world.evse_picture(1), world.evses[1].energy_nws))
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda w: w.plug_in_vehicle(3), Unknown),
        (lambda w: w.plug_in_vehicle(1, ready="yes"), ValueError),
        (lambda w: w.plug_in_vehicle(1, car={"phases": 2}), ValueError),
        (lambda w: w.plug_in_vehicle(1, car={"profile": ["x"]}), ValueError),
        (lambda w: w.plug_in_vehicle(1, car={"maxa": 2}), ValueError),
        (lambda w: w.plug_in_vehicle(1, car=[1]), ValueError),
        (lambda w: (w.plug_in_vehicle(1), w.plug_in_vehicle(1)), Impossible),
        (lambda w: w.unplug_vehicle(1), Impossible),
        (lambda w: w.unplug_vehicle(1, "left"), ValueError),
        (lambda w: w.set_vehicle_demand(1, ready=True), Impossible),
        (lambda w: (w.plug_in_vehicle(1), w.set_vehicle_demand(1, max_a=0)), ValueError),
        (lambda w: w.set_fault_state(1, "GroundFailur", True), ValueError),
        (lambda w: w.set_fault_state(1, 7, True), ValueError),
        (lambda w: w.set_fault_state(1, "GroundFailure", 1), ValueError),
        (lambda w: w.set_meter_register(1, -1), ValueError),
        (lambda w: w.set_meter_register(1, 1.5), ValueError),
        (lambda w: w.set_bay_occupied(1, None), ValueError),
        (lambda w: w.set_site_limit(float("nan")), ValueError),
        (lambda w: w.set_mains_power("on"), ValueError),
    ],
)
def test_what_is_refused(world: World, call, error) -> None:
    with pytest.raises(error):
        call(world)


def test_wrong_fault_name_gets_a_suggestion(world: World) -> None:
    with pytest.raises(ValueError, match="did you mean 'GroundFailure'"):
        world.set_fault_state(1, "GroundFailur", True)


def test_names_of_ocpp_16_are_understood(world: World) -> None:
    world.set_fault_state(1, "PowerMeterFailure", True)
    world.set_fault_state(1, "MREC6UnderVoltage", True)
    assert world.evse_picture(1)["faults"] == ["MREC6UnderVoltage", "MeterSilent"]


def test_cable_that_stayed_in_the_socket_can_be_taken_again(world: World) -> None:
    world.plug_in_vehicle(1)
    run(world, 1)
    world.unplug_vehicle(1, "ev")
    world.plug_in_vehicle(1)
    assert world.evse_picture(1)["car"]


def test_a_hot_day_lowers_the_offer_and_a_hotter_one_stops_it(tmp_path: Path) -> None:
    """32 A warm a cabinet by 30 K, with a lag of 20 min: nothing at 25 degrees, half an hour at 50, no start at 70."""
    world = model(tmp_path, speed=100)
    evse = charging(world, limit_a=32, max_a=32, capacity_kwh=1000)
    run(world, 60)
    assert evse.offered_current_a == 32
    assert evse.board_faults == set()
    evse.inside.ambient_c = 50.0
    run(world, 60)
    assert evse.board_faults == {Fault.TEMPERATURE_DERATING}
    assert 6 < evse.offered_current_a < 32
    assert evse.contactor.closed
    assert max(evse.measured.current_a) <= evse.offered_current_a
    evse.inside.ambient_c = 95.0
    run(world, 60)
    assert evse.reported_faults(mains_on=True) == {Fault.HIGH_TEMPERATURE}
    assert not evse.contactor.closed
    evse.inside.ambient_c = 25.0
    run(world, 60)
    assert evse.board_faults == set()
    assert evse.offered_current_a == 32


@pytest.mark.parametrize(
    ("fault", "limit_a"),
    [("TemperatureDerating", 16.0), ("PlugTemperatureDerating", 16.0), ("MREC3HighTemperature", 16.0)],
)
def test_a_derating_charges_on_with_less(tmp_path: Path, fault: str, limit_a: float) -> None:
    world = model(tmp_path)
    evse = charging(world, limit_a=32, max_a=32)
    world.set_fault_state(1, fault)
    run(world, 3)
    assert evse.offered_current_a == limit_a
    assert evse.contactor.closed
    assert 0 < max(evse.measured.current_a) <= limit_a
    world.set_fault_state(1, fault, False)
    run(world, 10)
    assert evse.offered_current_a == 32


def test_a_greedy_car_is_cut_off_until_it_has_gone(tmp_path: Path) -> None:
    world = model(tmp_path)
    evse = charging(world, limit_a=16, profile="greedy")
    assert max(evse.measured.current_a) > 16 * 1.2
    run(world, 11)
    assert not evse.contactor.closed
    assert evse.reported_faults(mains_on=True) == {Fault.OVER_CURRENT}
    run(world, 60)
    assert not evse.contactor.closed
    world.unplug_vehicle(1, "ev")
    run(world, 1)
    assert evse.reported_faults(mains_on=True) == set()
