"""Keeps the sign at the newest colours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from agent.domain.events import Event
from agent.domain.orders import SetLamp
from agent.model.types import EvseId
from agent.services.devices.supervisor import DeviceSupervisor, Opening

REFRESH_S = 0.1
"""The sign is written again at least so often: a sign that has gone is noticed."""


class SignSupervisor(DeviceSupervisor):
    """Its fault is the one of every role that names no other: ``Fault.DEVICE_SILENT``."""

    orders = (SetLamp,)

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self._colours: dict[EvseId, str] = {}

    def accept_order(self, order: SetLamp) -> None:
        self._colours[order.evse] = str(order.lamp)

    async def operate_device(self, port: Any) -> None:
        while True:
            await port.show_text(", ".join(f"{n} {colour}" for n, colour in sorted(self._colours.items())))
            await asyncio.sleep(REFRESH_S)
