"""Find out whether the first backend can be reached over a bearer that is not in use: its port is opened and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.domain.events import BearerProbed, Event
from agent.domain.orders import ProbeBearer

PROBE_S = 15.0
"""On GPRS a connection takes some seconds; one that takes longer is of no use."""


class BearerProbe:
    """The executor of ``ProbeBearer``. ``address``: host and port of the first backend over the bearer of this name;
    None: there is no backend."""

    orders = (ProbeBearer,)

    def __init__(self, post: Callable[[Event], None], address: Callable[[str], tuple[str, int] | None]) -> None:
        self._post, self._address = post, address
        self._tasks: set[asyncio.Task[None]] = set()

    def accept_order(self, order: ProbeBearer) -> None:
        task = asyncio.get_running_loop().create_task(self._probe_backend(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _probe_backend(self, order: ProbeBearer) -> None:
        address = self._address(order.bearer)
        reached = address is not None and await is_reachable(order.interface, *address)
        self._post(BearerProbed(order.bearer, reached))


async def is_reachable(interface: str, host: str, port: int) -> bool:
    """Return whether this port can be opened over this interface."""
    from agent.ocpp.transport.bound_socket import connect_through

    try:
        async with asyncio.timeout(PROBE_S):
            (await connect_through(interface, host, port)).close()
    except (OSError, ValueError):  # TimeoutError is the first; a host that no resolver takes is the second
        return False
    return True
