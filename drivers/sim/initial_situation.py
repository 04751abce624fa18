"""The situation at one EVSE when the world begins: from the station file at first, later as it was stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.station_file.settings import SimulatedEvse
from drivers.sim.car import Car
from drivers.sim.evse import NWS_PER_WH, Evse, Registers
from drivers.sim.faults import fault_by_name


def apply_first_situation(evse: Evse, first: SimulatedEvse) -> None:
    """Set the situation of the first start."""
    evse.energy_nws = evse.session_from_nws = first.meter_wh * NWS_PER_WH
    if first.ev_connected or (first.plugged and evse.has_fixed_cable):
        evse.connect_vehicle(Car.from_api_table(None, first.ev_ready, evse.fitted.is_dc))
    elif first.plugged:
        evse.cable = True


def stored_situation(evse: Evse) -> dict[str, Any]:
    car = evse.car.as_stored_table() if evse.car is not None else None
    return {"cable": evse.cable, "car": car, "bay": evse.bay, "faults": sorted(evse.faults), "locked": evse.lock.locked}


def resume_situation(evse: Evse, known: Mapping[str, Any]) -> None:
    """Restore the stored situation, as after a power loss: plug and lock are unchanged, the connection time is zero."""
    if known.get("car") is not None:
        table = dict(known["car"])
        evse.connect_vehicle(Car.from_api_table(table, table.pop("ready", True)))
    evse.cable, evse.bay = bool(known.get("cable")), bool(known.get("bay"))
    evse.lock.locked = bool(known.get("locked")) and evse.cable
    evse.faults = {fault_by_name(name) for name in known.get("faults", ())}
    evse.registers = Registers(limit_a=int(evse.fitted.max_a))
