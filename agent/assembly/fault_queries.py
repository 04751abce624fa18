"""Answers about faults: one row per fault and outlet, and the order to clear what is latched.

The running agent answers over its status socket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.domain.evse import StationState
from agent.domain.faults import JAMS, KEPT, most_severe_first
from agent.model.types import STATION, EvseId, Fault
from agent.services.devices.supervisor import DeviceSupervisor
from agent.services.store.store import Store

ASK = "faults"
ACTIONS = ("list", "clear")
CLEARABLE = KEPT | JAMS
Row = Mapping[str, Any]


def fault_rows(site: StationState, supervisors: Sequence[DeviceSupervisor]) -> list[Row]:
    """Return one row per fault and outlet, the heaviest first. Outlet 0 is the station.

    ``shown``: the board still reports the fault.
    """
    disk = {"evse": STATION, "fault": Fault.STORE_FAILED.value, "latched": False, "shown": False, "waits": False}
    return [*([] if site.store_ok else [{**disk, "trouble": []}]), *_evse_fault_rows(site, supervisors)]


def _evse_fault_rows(site: StationState, supervisors: Sequence[DeviceSupervisor]) -> list[Row]:
    return [
        {
            "evse": evse.number,
            "fault": fault.value,
            "latched": fault in evse.latched & CLEARABLE,
            "shown": fault in evse.board.faults,
            "waits": evse.acknowledged,
            "trouble": [
                f"{s.name}: {s.trouble}" for s in supervisors if s.trouble and _raises_fault_at(s, evse.number, fault)
            ],
        }
        for evse in site.evses.values()
        for fault in most_severe_first(frozenset(evse.faults))
    ]


def _raises_fault_at(supervisor: DeviceSupervisor, number: EvseId, fault: Fault) -> bool:
    return supervisor.raises_fault and supervisor.fault is fault and supervisor.evse in (STATION, number)


async def answer_faults(
    store: Store, question: Mapping[str, Any], rows: Callable[[], list[Row]], clear: Callable[[EvseId], Any]
) -> dict[str, Any]:
    """Answer one question. ``question``: ``do``, ``evses`` (None: all), ``store`` (the path of the store meant)."""
    do, evses = question.get("do"), question.get("evses")
    if question.get("store") != str(store.path.resolve()):
        return {"error": "another store", "other": True}
    if do not in ACTIONS or not (evses is None or (isinstance(evses, list) and all(type(n) is int for n in evses))):
        return {"error": f"do must be one of {', '.join(ACTIONS)}, evses a list of numbers"}
    found = [r for r in rows() if evses is None or r["evse"] in evses]
    if do == "clear":
        for number in sorted({r["evse"] for r in found if r["latched"] or r["fault"] == Fault.BOARD_SILENT}):
            await clear(number)
    return {"faults": found, "running": True}
