"""Whatever people, the agent and time do in whatever order: the board never gives power that it must not give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.model.types import Fault
from drivers.sim.board import ChargeController
from drivers.sim.car import PROFILES
from drivers.sim.checked_values import Impossible
from drivers.sim.faults import SAFETY
from drivers.sim.modbus_slave import ModbusException
from drivers.sim.world import World
from tests.drivers.sim_stations import station

FAULTS = sorted(set(Fault) - {Fault.CONTACTOR_WELDED})


class AnyDay(RuleBasedStateMachine):
    world: World

    @initialize(speed=st.sampled_from([1.0, 7.0, 100.0]), outlet=st.sampled_from(["socket", "tethered"]))
    def morning(self, speed: float, outlet: str) -> None:
        self.world = World(station(Path("/nowhere"), evse=[{"number": 1, "outlet": outlet}]), speed=speed)
        self.board = ChargeController(self.world.evses, self.world._mains)
        self.register = 0

    def _do(self, call: Any, *args: Any, **named: Any) -> None:
        try:
            call(*args, **named)
        except Impossible:
            pass

    @rule(ready=st.booleans(), profile=st.sampled_from(sorted(set(PROFILES) - {"dc400"})), soc=st.integers(0, 100))
    def plug(self, ready: bool, profile: str, soc: int) -> None:
        self._do(self.world.plug_in_vehicle, 1, ready, {"profile": profile, "soc": soc})

    @rule(side=st.sampled_from(["station", "ev"]))
    def unplug(self, side: str) -> None:
        self._do(self.world.unplug_vehicle, 1, side)

    @rule(ready=st.booleans(), max_a=st.none() | st.integers(6, 63))
    def ev(self, ready: bool, max_a: int | None) -> None:
        self._do(self.world.set_vehicle_demand, 1, ready, max_a)

    @rule(name=st.sampled_from(FAULTS), active=st.booleans())
    def fault(self, name: str, active: bool) -> None:
        self.world.set_fault_state(1, name, active)

    @rule(mains=st.booleans())
    def power(self, mains: bool) -> None:
        self.world.set_mains_power(mains)

    @rule(max_a=st.none() | st.integers(0, 40))
    def limits(self, max_a: int | None) -> None:
        self.world.set_site_limit(max_a)

    @rule(wh=st.integers(0, 10**8))
    def meter(self, wh: int) -> None:
        self.world.set_meter_register(1, wh)
        self.register = self.world.evses[1].energy_nws

    @rule(address=st.integers(300, 308), value=st.sampled_from([0, 1, 6, 16, 32, 80, 81, 65535]))
    def write(self, address: int, value: int) -> None:
        self.world.evses[1].faults.discard(Fault.BOARD_SILENT)
        try:
            self.board.write_registers(1000 + address, [value])
        except ModbusException:
            pass

    @rule()
    def session(self) -> None:
        """The usual beginning, so that power flows in many of the days."""
        self._do(self.world.plug_in_vehicle, 1, True)
        self.world.evses[1].faults.clear()
        for address, value in ((304, 1), (301, 16), (300, 1)):
            self.board.write_registers(1000 + address, [value])
        self.wait(60)

    @rule(steps=st.integers(2, 100))
    def wait(self, steps: int) -> None:
        for _ in range(steps):
            self.world.step()
            self._after_a_step()

    def _after_a_step(self) -> None:
        e, picture = self.world.evses[1], self.world.evse_picture(1)
        assert e.energy_nws >= self.register
        self.register = e.energy_nws
        if e.contactor.closed:
            assert e.registers.release
            assert self.world.mains_on
            assert picture["cp"] == "C"
            assert picture["limit_a"] >= 6
            assert not e.faults & SAFETY
            assert e.has_fixed_cable or e.lock.locked
            assert e.car is not None
            if e.car.profile != "greedy":  # which draws what it likes until the board cuts it off: test_sim_physics
                assert max(picture["current_a"]) <= picture["limit_a"]
        else:
            assert e.power_mw == 0

    @invariant()
    def a_locked_plug_is_there(self) -> None:
        e = self.world.evses[1]
        assert not e.lock.locked or e.cable
        assert e.has_fixed_cable or e.car is None or e.cable


AnyDay.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyDay = AnyDay.TestCase
