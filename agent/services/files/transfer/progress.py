"""Control a transfer: it can be stopped from outside, and it has limits."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from typing import TypeAlias

SILENCE_S = 60.0
CHUNK = 64 * 1024
FETCH_MAX = 1024 * 1024 * 1024
Connect: TypeAlias = Callable[[str, int, float], socket.socket]
"""Opens a TCP connection to host and port, which has this time limit (s) for itself and for each read and write. Raises
``OSError``."""


class TransferFailed(Exception):
    """A transfer failed. ``str()`` is one line for a technician.

    ``status``: UploadLogStatusEnumType of OCPP 2.x.
    """

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def connect_as_routed(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connect as the routes of the kernel say."""
    return socket.create_connection((host, port), timeout_s)


class TransferControl:
    """The limits of one transfer, and the way to stop it.

    ``stop_transfer()`` may be called from any thread. The transfer ends at its next chunk, or at once if its connection
    is known.
    ``silence_s``: how long the other side may send nothing.
    ``context``: makes the TLS context when it is needed.
    ``connect``: opens each connection of the transfer.
    """

    def __init__(
        self,
        silence_s: float = SILENCE_S,
        most_bytes: int = FETCH_MAX,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        known_hosts: str = "",
        connect: Connect = connect_as_routed,
    ) -> None:
        self.silence_s, self.most_bytes, self.context, self.known_hosts = silence_s, most_bytes, context, known_hosts
        self._connect = connect
        self._stopped = threading.Event()
        self._hang_up: Callable[[], object] = lambda: None

    def stop_transfer(self) -> None:
        self._stopped.set()
        self._hang_up()

    def open_connection(self, host: str, port: int) -> socket.socket:
        """Connect to this host. Raises ``OSError``."""
        return self._connect(host, port, self.silence_s)

    def set_hang_up(self, hang_up: Callable[[], object]) -> None:
        """Set the function that makes a blocked read or write fail."""
        self._hang_up = hang_up
        if self._stopped.is_set():
            hang_up()

    def check_limits(self, done_bytes: int = 0) -> None:
        """Raise ``TransferFailed`` if the transfer is stopped, or longer than any file of this kind."""
        if self._stopped.is_set():
            raise TransferFailed("UploadFailure", "stopped")
        if done_bytes > self.most_bytes:
            raise TransferFailed("UploadFailure", f"more than {self.most_bytes} bytes")
