"""The way of one bearer to the backend: a link proxy that answers the opening of a connection as that network does.

The agent finds out over which bearers a backend can be reached by opening its port. A network that swallows everything
must swallow that too, and without a backend nothing is there to be opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from enum import Enum, auto
from pathlib import Path

from drivers.sim.link_proxy import AHEAD_BYTES, LinkProxy

INTERFACE = "lo"
"""The only interface that each machine has, and the only one to which a user may bind the way to a link proxy."""
QUEUE = 128


class Opening(Enum):
    """What becomes of a new connection."""

    ACCEPTED = auto()
    REFUSED = auto()
    SWALLOWED = auto()


class BearerProxy(LinkProxy):
    """``backend``: where it leads. ``has_carrier``: it is connected to its network."""

    def __init__(self, backend: LinkProxy, seed: int, network_folder: Path) -> None:
        super().__init__("127.0.0.1", backend.port, seed)
        self.network_folder = network_folder
        self.has_carrier = True
        self._backend = backend
        self._opening: Opening | None = None
        self._place_holder = _bind_local_port(0)
        self.port = int(self._place_holder.getsockname()[1])
        self._listener: socket.socket | None = None
        self._filler: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._written: dict[str, int] = {}

    async def start(self) -> None:
        self.update_opening()

    async def close(self) -> None:
        self._stop_listening()
        self._place_holder.close()
        await super().close()

    @property
    def is_cut(self) -> bool:
        return super().is_cut or not self.has_carrier

    def set_carrier(self, on: bool) -> None:
        """Connect the bearer to its network, or disconnect it."""
        self.has_carrier = on
        if not on:
            self.abort_connections()

    def update_opening(self) -> None:
        """Answer new connections as the conditions of this link and of the backend's are now."""
        wanted = self._present_opening()
        if wanted is self._opening:
            return
        self._stop_listening()
        self._opening = wanted
        if wanted is Opening.ACCEPTED:
            asyncio.get_running_loop().add_reader(self._open_listener(QUEUE), self._accept_next)
        elif wanted is Opening.SWALLOWED:  # the kernel drops what finds the queue full
            self._open_listener(0)
            self._filler = socket.socket()
            self._filler.setblocking(False)
            self._filler.connect_ex(("127.0.0.1", self.port))

    def _present_opening(self) -> Opening:
        if self.is_cut or self._backend.is_cut or self._backend.trouble:
            return Opening.REFUSED
        return Opening.SWALLOWED if self.swallows_everything or self._backend.swallows_everything else Opening.ACCEPTED

    def _open_listener(self, queue: int) -> socket.socket:
        self._listener = _bind_local_port(self.port)
        self._listener.setblocking(False)
        self._listener.listen(queue)
        return self._listener

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        if self._filler is not None:
            self._filler.close()
        self._listener = self._filler = None

    def _accept_next(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(BlockingIOError, ConnectionError):
            connection, _ = self._listener.accept()
            task = asyncio.get_running_loop().create_task(self._carry_accepted(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry_accepted(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        await self._accept_connection(*await asyncio.open_connection(sock=connection, limit=AHEAD_BYTES))

    def show_interface(self, carrier: bool | None) -> None:
        """Write the files of the interface that have changed. ``carrier`` None: another program writes that one."""
        folder = self.network_folder / INTERFACE
        files = {"statistics/rx_bytes": self.received_bytes, "statistics/tx_bytes": self.sent_bytes}
        if carrier is not None:
            files["carrier"] = int(carrier)
        elif not folder.is_dir():
            self._written = {}
            return
        try:
            (folder / "statistics").mkdir(parents=carrier is not None, exist_ok=True)
            for name, number in files.items():
                if self._written.get(name) != number:
                    (folder / name).write_bytes(b"%d\n" % number)
        except (FileExistsError, FileNotFoundError):  # the other program removes the interface at this instant
            files = {}
        self._written = files


def _bind_local_port(port: int) -> socket.socket:
    """Bind to the port, so that no other program gets it while this one does not listen."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
