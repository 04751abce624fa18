"""``[payment.master]`` and ``[payment.satellite]`` of the station file: one terminal for several stations
(docs/payments.md, decision 73)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from agent.model.fastclass import frozen
from agent.model.key_rules import Between, Entries
from agent.model.types import EvseId
from agent.station_file.settings import StationFile, build_table
from agent.station_file.tables import MasterTable

NAME_FORM = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_MASTER, _SATELLITE = "payment.master", "payment.satellite"


@frozen
class MasterEntry:
    """A satellite. ``outlets``: which numbers its EVSEs have at the terminal, in their order."""

    outlets: Annotated[tuple[Annotated[int, Between(1, 99)], ...], Entries(1)]


def satellite_numbers(file: StationFile, wrong: list[str]) -> dict[str, tuple[EvseId, ...]]:
    """Return the satellites by name, with the numbers of their outlets at the terminal."""
    if file.payment_master is None:
        return {}
    taken = {e.number: "an EVSE of this station" for e in file.evses}
    found: dict[str, tuple[EvseId, ...]] = {}
    for name, raw in file.payment_master.satellites.items():
        where = f"{_MASTER}.satellites.{name}"
        if not re.fullmatch(NAME_FORM, name):
            wrong.append(f"{where}: a name has small letters, digits and -")
        entry = build_table(MasterEntry, raw, where, wrong)
        for number in entry.outlets:
            if number in taken:
                wrong.append(f"{where}.outlets: {number} is that of {taken[number]} too")
            taken.setdefault(number, f"satellite {name}")
        found[name] = entry.outlets
    return found


def shared_terminal_problems(file: StationFile) -> list[str]:
    """Return what is wrong with the tables of a payment master or a satellite, and what a station lacks for them."""
    wrong: list[str] = []
    satellite_numbers(file, wrong)
    if file.payment_master is not None:
        wrong += _master_problems(file, file.payment_master)
    if file.payment_satellite is not None:
        wrong += _satellite_problems(file)
    return wrong


def _master_problems(file: StationFile, table: MasterTable) -> Iterator[str]:
    if "terminal" not in file.devices:
        yield f"[{_MASTER}]: serves others with the terminal of the station: add [terminal], or take it out"
    if file.payment_satellite is not None:
        yield f"[{_MASTER}]: a station is either payment master or satellite: take [{_SATELLITE}] out"
    if not table.satellites:
        yield f"{_MASTER}.satellites: is missing: [{_MASTER}.satellites.NAME] outlets = [3, 4] for each satellite"


def _satellite_problems(file: StationFile) -> Iterator[str]:
    if any("terminal" in devices for devices in file.all_devices):
        yield f"[{_SATELLITE}]: the terminal of the payment master takes the cards: take [terminal] out"
    if file.payment is not None:
        yield f"[{_SATELLITE}]: the payment master holds amounts and receipts: take the other keys of [payment] out"
    for e in file.evses:
        if e.tariff is None and file.tariff is None:
            yield f"evse[{e.number}].tariff: no card can be charged without a price: add [tariff]"
        if "display" not in file.devices and "display" not in e.devices:
            yield f"evse[{e.number}].display: drivers must see the price where they charge: add [display]"
