"""What is known of a station: what it says of itself, what its kit and its file say, what a person was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.audit.context import KitFacts, StationFact
from agent.audit.plan_grammar import FACTS
from agent.scenario.frames import CALL, Frame
from agent.scenario.matching import MISSING, value_at

BOOT_PATHS: Mapping[str, tuple[str, ...]] = {
    "vendor": ("chargePointVendor", "chargingStation.vendorName"),
    "model": ("chargePointModel", "chargingStation.model"),
    "serial": ("chargePointSerialNumber", "chargeBoxSerialNumber", "chargingStation.serialNumber"),
    "firmware": ("firmwareVersion", "chargingStation.firmwareVersion"),
    "iccid": ("iccid", "chargingStation.modem.iccid"),
    "imsi": ("imsi", "chargingStation.modem.imsi"),
    "meter_type": ("meterType",),
    "meter_serial": ("meterSerialNumber",),
}
"""Where BootNotification has a fact, by version of OCPP."""


def boot_facts(frames: Sequence[Frame]) -> dict[str, StationFact]:
    """Return what the latest BootNotification says."""
    boots = [f for f in frames if f.kind == CALL and f.from_station and f.action == "BootNotification"]
    found = {}
    for key, paths in BOOT_PATHS.items():
        value = first_value(boots[-1].payload, paths) if boots else ""
        if value:
            found[key] = make_fact(key, value, "BootNotification")
    return found


def first_value(message: Any, paths: Iterable[str]) -> str:
    """Return the first of the values that a message has at these paths, or ""."""
    values = (value_at(message, path) for path in paths)
    return next((str(v) for v in values if v is not MISSING and v not in ("", None)), "")


def make_fact(key: str, value: object, source: str) -> StationFact:
    return StationFact(key, FACTS[key], str(value), source)


def kit_facts(kit: KitFacts | None) -> dict[str, StationFact]:
    if kit is None:
        return {}
    values = {
        "id": kit.charge_point_id, "number": kit.number, "station_type": kit.station_type, "iccid": kit.iccid,
        "apn": kit.apn, "evses": ", ".join(map(str, kit.evses)),
    }  # fmt: skip
    return {key: make_fact(key, value, "kit") for key, value in values.items() if value}


def gather_claims(*sources: Mapping[str, StationFact]) -> dict[str, tuple[StationFact, ...]]:
    """Return what each source says of a fact."""
    return {key: tuple(source[key] for source in sources if key in source) for key in FACTS}


def gather_facts(*sources: Mapping[str, StationFact]) -> dict[str, StationFact]:
    """Return all facts in the order of the report; of two sources the first counts."""
    found: dict[str, StationFact] = {}
    for source in reversed(sources):
        found.update(source)
    return {key: found[key] for key in FACTS if key in found}
