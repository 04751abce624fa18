"""Contacts of the station's own wiring: which fault each of them reports, and how."""

from __future__ import annotations

from collections.abc import Sequence

from agent.model.fastclass import frozen
from agent.model.types import Fault
from drivers.device_maps import MapError
from drivers.evse_modbus.board_map import BoardMap
from drivers.evse_modbus.settings import BoardSettings

WORD_BITS = 16


@frozen
class Contact:
    """``fault`` None: not used. ``opens``: it is closed as long as all is well."""

    fault: Fault | None
    opens: bool


def wired_contacts(settings: BoardSettings, board_map: BoardMap) -> tuple[tuple[Contact, ...], tuple[Contact, ...]]:
    """Return the contacts at the digital inputs, and those in registers of their own. Raises ``MapError``."""
    inputs = _parse_contacts("input_faults", settings.input_faults)
    if (inputs or settings.bay_input is not None) and "inputs" not in board_map.picture:
        raise MapError(
            f"input_faults, bay_input: a {board_map.vendor} {board_map.model} has no digital inputs we know of"
        )
    if len(inputs) > WORD_BITS:
        raise MapError(f"input_faults: {WORD_BITS} at most, there are {len(inputs)}")
    bay = settings.bay_input
    if bay is not None and bay < len(inputs) and inputs[bay].fault is not None:
        raise MapError(f"input_faults: bit {bay} is the bay's (bay_input)")
    return inputs, _parse_contacts("extra_fault_names", settings.extra_fault_names)


def faults_of_contacts(contacts: Sequence[Contact], words: Sequence[int]) -> frozenset[Fault]:
    """Return the faults that the contacts report. ``words``: 16 contacts each, the lowest bit first."""
    return frozenset(
        c.fault
        for i, c in enumerate(contacts)
        if c.fault is not None and bool(words[i // WORD_BITS] >> i % WORD_BITS & 1) != c.opens
    )


def _parse_contacts(key: str, names: Sequence[str]) -> tuple[Contact, ...]:
    return tuple(_parse_contact(key, name) for name in names)


def _parse_contact(key: str, name: str) -> Contact:
    fault = name.removeprefix("!")
    try:
        return Contact(Fault(fault) if fault else None, name.startswith("!"))
    except ValueError:
        raise MapError(f"{key}: {fault!r} is no fault; known: {', '.join(Fault)}") from None
