"""A TLS terminator before a plain server, as a central system has one: blocking sockets and threads, since only these
send every alert (a server of asyncio hangs up where OpenSSL would have said why)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any


class TlsFront:
    """Listens on ``port`` and passes on to ``target`` on the loopback. ``context`` None: passes on what comes.
    ``tries``: TCP connections since the last ``become``; ``agreed``: what was said of the last TLS that came about.
    ``refuses``: hang up after this handshake?"""

    def __init__(self, target: int, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.target, self.context = target, context
        self.tries = 0
        self.agreed: dict[str, Any] = {}
        self.refuses: Callable[[ssl.SSLSocket], bool] = lambda inner: False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._listen, daemon=True).start()

    def become(self, context: ssl.SSLContext | None) -> None:
        """Another server at the same address: what is connected is cut."""
        self.context, self.tries, self.agreed = context, 0, {}
        self.cut()

    def cut(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    # --- threads -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.tries += 1
                threading.Thread(target=self._serve, args=(client, self.context), daemon=True).start()

    def _serve(self, client: socket.socket, context: ssl.SSLContext | None) -> None:
        self._open.add(client)
        client.settimeout(10.0)
        try:
            inner = self._wrapped(client, context)
        except OSError:
            self._say_goodbye(client)
        else:
            self._join(inner)
        finally:
            self._open.discard(client)
            client.close()

    def _wrapped(self, client: socket.socket, context: ssl.SSLContext | None) -> socket.socket:
        if context is None:
            return client
        inner = context.wrap_socket(client.dup(), server_side=True)
        if self.refuses(inner):
            inner.close()
            raise OSError
        self.agreed = {
            "version": inner.version(),
            "cipher": (inner.cipher() or ("",))[0],
            "shared": {name for name, _, _ in inner.shared_ciphers() or ()},
            "certificate": inner.getpeercert(binary_form=True),
            "resumed": bool(inner.session_reused),
        }
        return inner

    def _say_goodbye(self, client: socket.socket) -> None:
        """Close so that what was said arrives: unread bytes would make a reset of it."""
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass

    def _join(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            client.settimeout(None)
            back = threading.Thread(target=_pass, args=(server, client), daemon=True)
            back.start()
            _pass(client, server)
            back.join()


def _pass(from_: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := from_.recv(65536):
            to.sendall(data)
    for one in (from_, to):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
