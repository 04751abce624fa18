"""The control socket of a far end that is a process of its own: an order in, its state out, one JSON object a line."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Collection
from typing import Any

ControlOrder = dict[str, Any]


class ControlSocket:
    """``obey_order``: raises ``KeyError``, ``ValueError`` or ``TypeError`` for an order that it does not understand.
    ``read_state``: the answer to each order."""

    def __init__(self, obey_order: Callable[[ControlOrder], None], read_state: Callable[[], ControlOrder]) -> None:
        self._obey_order, self._read_state = obey_order, read_state

    async def serve_until_signal(self, path: str) -> None:
        """Take orders until the process is to end (SIGTERM, SIGINT)."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        server = await asyncio.start_unix_server(self._serve_client, path)
        await ended.wait()
        server.close()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while text := await reader.readline():
            try:
                self._obey_order(json.loads(text))
                answer = self._read_state()
            except (KeyError, ValueError, TypeError) as e:
                answer = {"error": f"{type(e).__name__}: {e}"}
            writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()


def switch_fault(faults: set[str], order: ControlOrder, known: Collection[str]) -> None:
    """Obey ``{"do": "fault", "name": ..., "on": ...}``. Raises ``ValueError`` for a fault that there is not."""
    name = order["name"]
    if name not in known:
        raise ValueError(f"no such fault: {name}; there are: {', '.join(known)}")
    (faults.add if order.get("on", True) else faults.discard)(name)
