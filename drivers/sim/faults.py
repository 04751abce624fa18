"""The faults that can be injected, and the wire on which the agent can see each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from agent.model.types import Fault

ERROR_BIT: dict[Fault, int] = {
    Fault.HIGH_TEMPERATURE: 0,
    Fault.TEMPERATURE_DERATING: 1,
    Fault.BOARD_CONFIG: 3,
    Fault.CABLE_REJECTED: 17,
    Fault.PROXIMITY_FAULT: 18,
    Fault.PILOT_FAULT: 19,
    Fault.LOCK_FAILURE: 21,
    Fault.UNLOCK_FAILURE: 22,
    Fault.OVER_CURRENT: 24,
    Fault.VENTILATION_REFUSED: 26,
    Fault.CONTACTOR_WELDED: 27,
    Fault.DIODE_FAULT: 28,
    Fault.POWER_LOSS: 29,
    Fault.GROUND_FAILURE: 30,
    Fault.RCD_TEST_FAILED: 31,
}
"""Bits of the error mask at n*1000+293 (UM EN CHARX SEC, appendix B3)."""

ON_THE_WIRE = frozenset(
    {
        Fault.METER_SILENT,
        Fault.METER_IMPLAUSIBLE,
        Fault.METER_EXCHANGED,
        Fault.READER_SILENT,
        Fault.TERMINAL_SILENT,
        Fault.BOARD_SILENT,
    }
)
"""These are not reported: the device itself falls silent, or sends implausible values."""

EXTRA: tuple[Fault, ...] = tuple(f for f in Fault if f not in ERROR_BIT and f not in ON_THE_WIRE)
"""Faults that the station's wiring reports in the words from n*1000+900, sixteen to a word, lowest bit first."""
FAULT_NAMES: tuple[str, ...] = tuple(f.value for f in EXTRA)

_HARMLESS = ON_THE_WIRE | {
    Fault.METER_UNFIT,
    Fault.METER_DISAGREES,
    Fault.UNLOCK_FAILURE,
    Fault.TEMPERATURE_DERATING,
    Fault.PLUG_DERATING,
    Fault.DISPLAY_SILENT,
    Fault.DEVICE_SILENT,
    Fault.STORE_FAILED,
    Fault.STORE_NEARLY_FULL,
    Fault.RECORD_POISONED,
    Fault.WEAK_SIGNAL,
    Fault.RESET_FAILURE,
    Fault.INTERNAL_ERROR,
    Fault.MREC3,
    Fault.MREC18,
}
SAFETY = frozenset(Fault) - _HARMLESS
"""The board opens its contactor by itself and keeps it open while one of these faults is present."""

ALSO_KNOWN_AS: dict[str, Fault] = {
    "PowerMeterFailure": Fault.METER_SILENT,
    "ReaderFailure": Fault.READER_SILENT,
    "PowerSwitchFailure": Fault.CONTACTOR_STUCK_OPEN,
    "EVCommunicationError": Fault.PILOT_FAULT,
}
"""Error codes of OCPP 1.6 that have another name here."""

NO_CONDITION: dict[str, str] = {
    "NoError": 'is no fault: end the others with "active": false',
    "LocalListConflict": "is no condition of the station: it is reported when SendLocalList and Authorize contradict",
}
"""Error codes of OCPP 1.6 that nothing at the station can cause."""


def fault_by_name(name: str) -> Fault:
    """Return the fault of that name. Raises ``ValueError`` with a suggestion, or with the reason why it is no fault."""
    if name in NO_CONDITION:
        raise ValueError(f"fault: {name} {NO_CONDITION[name]}")
    if name in ALSO_KNOWN_AS:
        return ALSO_KNOWN_AS[name]
    try:
        return Fault(name)
    except ValueError:
        known = [*map(str, Fault), *ALSO_KNOWN_AS]
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"fault: {name!r} is not in the catalogue; {hint}") from None


def charx_error_mask(faults: Iterable[Fault]) -> int:
    """Return the 32 bits at n*1000+293."""
    mask = 0
    for fault in faults:
        if fault in ERROR_BIT:
            mask |= 1 << ERROR_BIT[fault]
    return mask


def extra_fault_words(faults: Iterable[Fault]) -> list[int]:
    """Return the words from n*1000+900 on."""
    words = [0] * -(-len(EXTRA) // 16)
    for fault in faults:
        if fault in EXTRA:
            k, bit = divmod(EXTRA.index(fault), 16)
            words[k] |= 1 << bit
    return words
