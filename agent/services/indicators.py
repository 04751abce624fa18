"""Keepers of the small devices: the power-fail input."""

from __future__ import annotations

from typing import Any

from agent.domain.events import SupplyChanged
from agent.kinds import Fault
from agent.services.keep import Keeper


class PowerKeeper(Keeper):
    fault = Fault.POWER_INPUT_SILENT

    async def use(self, port: Any) -> None:
        async for supply in port.supplies():
            self._post(SupplyChanged(supply))
