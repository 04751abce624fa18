"""Answer GET over HTTP/1.1: metrics, receipts.

A server for pages, forms or streams is a library's affair (decision 4). This one reads the head of a request within a
bound of bytes and of time, answers it, and closes the connection.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import field
from http import HTTPStatus
from urllib.parse import parse_qsl

from agent.model.fastclass import frozen
from agent.model.web_origin import is_local_host

log = logging.getLogger(__name__)

HEAD_BYTES = 8192
REQUEST_S = 5.0
CONNECTIONS_MOST = 8
OPEN_RETRY_S = 60.0


@frozen
class GetRequest:
    """``query``: the first value of each name. ``fields``: of the header, by their names in small letters."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


@frozen
class GetAnswer:
    """``fields``: lines of the header."""

    status: HTTPStatus
    body: bytes = b""
    fields: tuple[str, ...] = ()


class GetService:
    """Serves what ``answer_get`` returns. ``title``: its table of the station file; ``host_names``: names that a
    request may use besides addresses and local names; ``answer_s``: how long an answer may take."""

    def __init__(
        self, title: str, host: str, port: int, host_names: tuple[str, ...] = (), tls: ssl.SSLContext | None = None
    ) -> None:
        self._title, self._host, self._port, self._tls = title, host, port, tls
        self._host_names = host_names
        self._open: set[asyncio.StreamWriter] = set()
        self._ending = False
        self.answer_s = 0.0
        self.port = 0
        """Where it listens; 0: it does not."""

    async def answer_get(self, request: GetRequest) -> GetAnswer:
        """Answer GET or HEAD of any path."""
        raise NotImplementedError

    async def run(self) -> None:
        """Serve until cancelled. An address that cannot be used is tried again each minute; the station goes on."""
        while True:
            try:
                server = await asyncio.start_server(
                    self._serve_connection, self._host, self._port, limit=HEAD_BYTES, ssl=self._tls
                )
            except (OSError, ValueError) as e:  # ValueError: the resolver of Python takes no such name
                log.error(
                    "[%s] %s port %d: %s: is host an address of this machine? is another program using the port?"
                    " trying again",
                    self._title,
                    self._host,
                    self._port,
                    getattr(e, "strerror", "") or e,
                )
                await asyncio.sleep(OPEN_RETRY_S)
                continue
            async with server:
                self.port = server.sockets[0].getsockname()[1]
                self.report_address()
                try:
                    await asyncio.Event().wait()
                finally:
                    self._end_connections()  # not serve_forever(): it waits for each of them before it ends

    def report_address(self) -> None:
        """Write into the log where it listens."""
        log.info("[%s] listens at %s port %d", self._title, self._host, self.port)

    def _end_connections(self) -> None:
        self._ending = True
        self.port = 0
        for writer in self._open:
            writer.transport.abort()

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if len(self._open) <= CONNECTIONS_MOST and not self._ending:
                async with asyncio.timeout(REQUEST_S + self.answer_s):
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
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_response_bytes(GetAnswer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)))
        else:
            writer.write(await self._respond_to(head))

    async def _respond_to(self, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        target, _, version = rest.partition(" ")
        pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        hosts = [value for name, value in pairs if name == "host"]
        if not version.startswith("HTTP/1.") or len(hosts) != 1:
            return _response_bytes(GetAnswer(HTTPStatus.BAD_REQUEST))
        if not any(is_local_host(hosts[0], name) for name in ("", *self._host_names)):
            # a page of a foreign name that leads here
            return _response_bytes(GetAnswer(HTTPStatus.MISDIRECTED_REQUEST))
        path, _, query = target.partition("?")
        answer = await self.answer_get(GetRequest(path, dict(reversed(parse_qsl(query))), dict(pairs)))
        if answer.status is not HTTPStatus.NOT_FOUND and method not in ("GET", "HEAD"):
            answer = GetAnswer(HTTPStatus.METHOD_NOT_ALLOWED, fields=("Allow: GET, HEAD",))
        return _response_bytes(answer, method != "HEAD")


def _response_bytes(answer: GetAnswer, has_body: bool = True) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        *answer.fields,
        f"Content-Length: {len(answer.body)}",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode("latin-1") + (answer.body if has_body else b"")
