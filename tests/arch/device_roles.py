"""The table of the device roles in ``docs/extending.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agent.domain.faults import CATALOGUE
from agent.model.device_role import DeviceRole
from agent.model.entry_points import load_entry_point
from agent.station_file.device_roles import ROLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
MARK = "<!-- The rest is generated from agent/station_file/device_roles.py: make docs -->\n"


def tables_of(role: DeviceRole) -> str:
    """The tables of the station file, as they are written there."""
    brackets = "[[{}]]" if role.is_list else "[{}]"
    return ", ".join(f"`{brackets.format({'evse': 'evse.', 'station': ''}[t] + role.name)}`" for t in role.tables)


def rows() -> Iterator[str]:
    for role in ROLES.values():
        supervisor = load_entry_point(role.supervisor)
        fault = f"`{supervisor.fault.value}` ({CATALOGUE[supervisor.fault].severity.value})"
        orders = ", ".join(f"`{kind.__name__}`" for kind in supervisor.orders)
        port, _, protocol = role.port.partition(":")
        yield (
            f"| {role.name} | {tables_of(role)} | `{port.replace('.', '/')}.py` `{protocol}` "
            f"| `{supervisor.__name__}` | {orders} | {fault if supervisor.raises_fault else 'none'} |\n"
        )


def text() -> str:
    """The page: what is written by hand, and the table below it."""
    by_hand = PAGE.read_text("utf-8").partition(MARK)[0]
    head = "| role | tables of the station file | port | supervisor | orders | fault |\n|---|---|---|---|---|---|\n"
    return by_hand.rstrip("\n") + f"\n\n{MARK}\n## The device roles\n\n{head}" + "".join(rows())
