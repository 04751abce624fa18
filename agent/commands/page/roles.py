"""Who may do what on the field page. Each role includes the ones before it."""

from __future__ import annotations

from agent.model.string_enum import StrEnum


class Role(StrEnum):
    READER = "reader"
    TECHNICIAN = "technician"
    MANUFACTURER = "manufacturer"

    def includes_role(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)
