"""What is remembered of the SIM of a bearer: its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.model.fastclass import frozen


@frozen
class SimMemory:
    """The numbers of the SIM of a bearer."""

    iccid: str = ""
    imsi: str = ""

    def to_record(self) -> dict[str, Any]:
        return {"iccid": self.iccid, "imsi": self.imsi}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> SimMemory:
        """Read what was stored. What cannot be read is not known."""
        return cls(str(record.get("iccid", "")), str(record.get("imsi", "")))
