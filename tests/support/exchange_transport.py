"""A transport for tests that shares nothing with OCPP-J, and a central system that speaks it.

There is no open connection: each call is a TCP exchange of its own, and the station listens for the calls of the
backend. OCPP over SOAP has the same shape. A request is a line ``ACTION {payload}``; the answer is a line
``OK {payload}`` or ``ERR CODE text``. A request of the station begins with its own port, as WS-Addressing's ``From``
does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from agent.ocpp.dialects.dialect import Dialect, NotExpressibleError
from agent.ocpp.transport.transport import Closed, ConnectorContext, NoConnection, TransportFamily
from agent.ocpp.wire.calls import Answered, AnswerError, Called, CallError, CallResult, Errored, Finding, SendNow
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend

READ_AHEAD = 4


class ExchangeTransport:
    """``agent.ocpp.transport.transport.Transport``."""

    tls_root = None

    def __init__(self, ctx: ConnectorContext, host: str, port: int) -> None:
        self._ctx, self._address = ctx, (host, port)
        self.end_reason = "closed"
        self._messages: asyncio.Queue[tuple[Finding, int]] = asyncio.Queue(READ_AHEAD)
        self._ended = asyncio.Event()
        self._numbers = itertools.count(1)
        self._responses: dict[str, asyncio.Future[str]] = {}
        self._exchanges: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def dialect(self) -> Dialect:
        return self._ctx.dialects[0]

    async def open(self) -> None:
        """Listen, and look whether the backend does. Raises ``OSError``."""
        await self._reach_backend()
        self._server = await asyncio.start_server(self._take_request, "127.0.0.1", 0)

    async def _reach_backend(self) -> None:
        (await asyncio.open_connection(*self._address))[1].close()

    # --- our calls -------------------------------------------------------------------------------------------------

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        try:
            line = f"{action} {json.dumps(payload)}\n"
        except TypeError as e:
            raise NotExpressibleError(str(e)) from e
        task = asyncio.create_task(self._exchange(id_, action, line))
        self._exchanges.add(task)
        task.add_done_callback(self._exchanges.discard)

    async def _exchange(self, id_: str, action: str, line: str) -> None:
        assert self._server is not None
        self._trace("out", line)
        try:
            reader, writer = await asyncio.open_connection(*self._address)
            with contextlib.closing(writer):
                writer.write(f"{self._server.sockets[0].getsockname()[1]} {line}".encode())
                text = (await reader.readuntil(b"\n")).decode()
        except (OSError, asyncio.IncompleteReadError) as e:
            self._end_connection(type(e).__name__)
            return
        self._trace("in", text)
        kind, _, rest = text.partition(" ")
        if kind == "OK":
            await self._messages.put((Answered(id_, action, json.loads(rest)), len(text)))
        else:
            code, _, description = rest.strip().partition(" ")
            await self._messages.put((Errored(id_, action, code, description), len(text)))

    async def send_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> None:
        raise NotExpressibleError("every message of this wire is answered")

    async def send_answer_error(self, error: AnswerError) -> None:
        raise NotExpressibleError("this wire has no word for it")

    # --- calls of the backend --------------------------------------------------------------------------------------

    async def _take_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = (await reader.readline()).decode()
        self._trace("in", text)
        action, _, payload = text.partition(" ")
        id_ = str(next(self._numbers))
        response = self._responses[id_] = asyncio.get_running_loop().create_future()
        await self._messages.put((Called(id_, action, json.loads(payload)), len(text)))
        writer.write((await response).encode())
        writer.close()

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        assert not isinstance(response, SendNow)  # this transport makes none
        if isinstance(response, CallResult):
            text = f"OK {json.dumps(response.payload)}\n"
        else:
            text = f"ERR {response.code} {response.description}\n"
        self._trace("out", text)
        self._responses.pop(response.id).set_result(text)

    # --- the connection that is none -------------------------------------------------------------------------------

    def _end_connection(self, reason: str) -> None:
        self.end_reason = reason
        self._ended.set()

    async def receive_message(self) -> tuple[Finding, int]:
        message, ended = asyncio.create_task(self._messages.get()), asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((message, ended), return_when=asyncio.FIRST_COMPLETED)
            if message.done():
                return message.result()
            raise Closed
        finally:
            message.cancel()
            ended.cancel()

    async def is_alive(self) -> bool:
        try:
            await self._reach_backend()
        except OSError:
            self._end_connection("unreachable")
            return False
        return True

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._exchanges:
            task.cancel()
        for response in self._responses.values():
            response.cancel()
        self._end_connection("closed")

    def _trace(self, direction: str, text: str) -> None:
        self._ctx.trace(direction, self._ctx.link, self.dialect.name, text.strip())


class ExchangeConnector:
    """``agent.ocpp.transport.transport.Connector``."""

    def __init__(self, ctx: ConnectorContext) -> None:
        self._ctx = ctx

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> ExchangeTransport:
        address = urlsplit(backend.url)
        transport = ExchangeTransport(self._ctx, address.hostname or "", address.port or 80)
        try:
            await transport.open()
        except OSError as e:
            raise NoConnection(f"{backend.url}: {e}") from e
        return transport


FAMILY = TransportFamily(ExchangeConnector)


class ExchangeCsms:
    """The other side. ``answers``: action -> payload, or the text of an error."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.calls: list[tuple[str, Any]] = []
        self.port = 0
        self.delay_s = 0.0
        self._station_port = 0

    def actions(self) -> list[str]:
        return [action for action, _ in self.calls]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[ExchangeCsms]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line := (await reader.readline()).decode():
            port, action, payload = line.split(" ", 2)
            self._station_port = int(port)
            self.calls.append((action, json.loads(payload)))
            answer, delay_s = self.answers.get(action, {}), self.delay_s
            await asyncio.sleep(delay_s)
            writer.write(
                f"ERR {answer}\n".encode() if isinstance(answer, str) else f"OK {json.dumps(answer)}\n".encode()
            )
        writer.close()

    async def ask(self, action: str, payload: Mapping[str, Any]) -> str:
        """Send a request to the station's own port. Return the line of its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._station_port)
        writer.write(f"{action} {json.dumps(payload)}\n".encode())
        text = (await reader.readline()).decode()
        writer.close()
        return text
