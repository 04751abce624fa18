"""Answer GET of one path over HTTP/1.1, for a collector of metrics.

A server for pages, forms or streams is a library's affair (decision 4). This one reads the head of a request within a
bound of bytes and of time, answers it, and closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus

from agent.model.web_origin import is_local_host

log = logging.getLogger(__name__)

PATH = "/metrics"
HEAD_BYTES = 8192
REQUEST_S = 5.0
CONNECTIONS_MOST = 8
OPEN_RETRY_S = 60.0


class MetricsService:
    """Serves ``text()`` at ``PATH``. ``host_names``: names that a request may use besides addresses and local names."""

    def __init__(
        self, host: str, port: int, content_type: str, text: Callable[[], str], host_names: tuple[str, ...] = ()
    ) -> None:
        self._host, self._port, self._content_type, self._text = host, port, content_type, text
        self._host_names = host_names
        self._open: set[asyncio.StreamWriter] = set()
        self._ending = False
        self.port = 0
        """Where it listens; 0: it does not."""

    async def run(self) -> None:
        """Serve until cancelled. An address that cannot be used is tried again each minute; the station goes on."""
        while True:
            try:
                server = await asyncio.start_server(self._serve_connection, self._host, self._port, limit=HEAD_BYTES)
            except (OSError, ValueError) as e:  # ValueError: the resolver of Python takes no such name
                log.error(
                    "[metrics] %s port %d: %s: is host an address of this machine? is another program using the port?"
                    " trying again",
                    self._host,
                    self._port,
                    getattr(e, "strerror", "") or e,
                )
                await asyncio.sleep(OPEN_RETRY_S)
                continue
            async with server:
                self.port = server.sockets[0].getsockname()[1]
                log.info("metrics at http://%s:%d%s", self._host, self.port, PATH)
                try:
                    await asyncio.Event().wait()
                finally:
                    self._end_connections()  # not serve_forever(): it waits for each of them before it ends

    def _end_connections(self) -> None:
        self._ending = True
        self.port = 0
        for writer in self._open:
            writer.transport.abort()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if len(self._open) <= CONNECTIONS_MOST and not self._ending:
                async with asyncio.timeout(REQUEST_S):
                    await self._answer_request(reader, writer)
                    writer.close()
                    await writer.wait_closed()
        except (OSError, EOFError):  # TimeoutError is one; the other side has gone, or does not read
            pass
        finally:
            writer.transport.abort()  # close() keeps the connection until the other side has read the answer
            self._open.discard(writer)

    async def _answer_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
        else:
            writer.write(self._respond_to(head))

    def _respond_to(self, head: bytes) -> bytes:
        request, *fields = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.partition(" ")
        hosts = [value.strip() for name, _, value in (f.partition(":") for f in fields) if name.lower() == "host"]
        if not version.startswith("HTTP/1.") or len(hosts) != 1:
            return _response(HTTPStatus.BAD_REQUEST)
        if not any(is_local_host(hosts[0], name) for name in ("", *self._host_names)):
            return _response(HTTPStatus.MISDIRECTED_REQUEST)  # a page of a foreign name that leads here
        if target.partition("?")[0] != PATH:
            return _response(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow: GET, HEAD",))
        body = self._text().encode()
        return _response(HTTPStatus.OK, (f"Content-Type: {self._content_type}",), body, method == "GET")


def _response(status: HTTPStatus, fields: tuple[str, ...] = (), body: bytes = b"", has_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        *fields,
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("latin-1") + (body if has_body else b"")
