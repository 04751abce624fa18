"""OCPP-J: the transport of JSON frames on a WebSocket (OCPP 1.6 JSON specification; 2.x part 4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from agent.model.newest_kept import remember_newest
from agent.model.secret_texts import HIDDEN, mask_urls_in_json
from agent.model.traffic import OTHER
from agent.ocpp.dialects.dialect import Dialect, NotExpressibleError
from agent.ocpp.transport import tls
from agent.ocpp.transport.ocpp_j.dialer import Dialer, preload_library
from agent.ocpp.transport.ocpp_j.websocket import WebSocket
from agent.ocpp.transport.transport import Closed, ConnectorContext, NoConnection, TransportFamily, without_user_info
from agent.ocpp.wire.calls import (
    Answered,
    AnswerError,
    Called,
    CallError,
    CallResult,
    Code,
    Dropped,
    Errored,
    Finding,
    SendNow,
)
from agent.ocpp.wire.masking import mask_frame
from agent.ocpp.wire.rpc import Kind, Rpc
from agent.ports.pki import TrustedRoots
from agent.station_file.settings import Backend

log = logging.getLogger("agent.ocpp")

ASKED_KEPT = 64
"""Requests of a backend whose answers are waited for, to count them by action."""


class JsonTransport:
    """``agent.ocpp.transport.transport.Transport`` on one WebSocket. ``rpc`` outlives it."""

    def __init__(self, ctx: ConnectorContext, rpc: Rpc, ws: WebSocket, dialect: Dialect, url: str) -> None:
        self._ctx, self._rpc, self._ws, self._dialect, self._url = ctx, rpc, ws, dialect, url
        rpc.codes, rpc.kinds = dialect.codes, dialect.kinds
        rpc.connection_opened()
        self._traffic = ctx.traffic.open_connection(ws.wire, ws.tcp_socket)
        self._asked: dict[str, str] = {}
        """The actions of requests whose answers are not sent yet, by id."""

    @property
    def dialect(self) -> Dialect:
        return self._dialect

    @property
    def end_reason(self) -> str:
        return str(self._ws.close_code)

    @property
    def tls_root(self) -> bytes | None:
        return tls.root_of(self._ws.transport.get_extra_info("ssl_object"))

    async def send_call(self, id_: str, action: str, payload: Mapping[str, Any], timeout_s: float) -> None:
        try:
            text = self._rpc.encode_call(id_, action, payload)
        except (ValueError, TypeError) as e:
            raise _not_json(e) from e
        await self._send_frame(text, action)

    async def send_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> None:
        if Kind.SEND not in self._dialect.kinds:
            raise NotExpressibleError("this version has no message without an answer")
        try:
            text = self._rpc.encode_unanswered(id_, action, payload)
        except (ValueError, TypeError) as e:
            raise _not_json(e) from e
        self._trace_sent(text)
        await self._ws.send_text(text)
        self._traffic.charge_message(action)

    async def send_answer_error(self, error: AnswerError) -> None:
        await self._send_frame(self._rpc.encode_answer_error(error), OTHER)

    async def send_response(self, response: CallResult | CallError | SendNow) -> None:
        if isinstance(response, SendNow):
            await self._send_frame(response.text, OTHER)
        else:
            await self._send_frame(self._encode_response(response), self._asked.pop(response.id, OTHER))

    def _encode_response(self, response: CallResult | CallError) -> str:
        try:
            return self._rpc.encode_response(response)
        except (ValueError, TypeError):  # one response must not end the connection or the charging sessions
            log.exception("%s: own response cannot be written as JSON: please report", self._ctx.link)
            return self._rpc.encode_error(response.id, Code.INTERNAL)

    async def _send_frame(self, text: str, action: str) -> None:
        """Send a frame, trace and count it. A lost connection is left to ``receive_message`` to report."""
        self._trace_sent(text)
        try:
            await self._ws.send_text(text)
        except Closed:
            return
        self._traffic.charge_message(action)

    def _trace_sent(self, text: str) -> None:
        self._ctx.trace("out", self._ctx.link, self._dialect.name, mask_urls_in_json(text))

    async def receive_message(self) -> tuple[Finding, int]:
        try:
            data = await self._ws.receive_message()
        except Closed:
            self._ctx.traffic.close_connection(self._traffic)
            raise
        try:
            finding = self._rpc.receive_frame(data)
        except Exception:  # no frame may end the agent, and with it the charging sessions
            log.exception("%s: a frame of %d characters cannot be read: dropped, please report", self._url, len(data))
            finding = Dropped("a frame that cannot be read")
        self._traffic.charge_message(self._action_of(finding))
        self._ctx.trace("in", self._ctx.link, self._dialect.name, self._mask_for_trace(data, finding))
        return finding, len(data)

    def _action_of(self, finding: Finding) -> str:
        """Return the action that a frame belongs to. Of the names that a backend sends, only those of the version
        count."""
        if isinstance(finding, Answered | Errored):
            return finding.action
        if not isinstance(finding, Called) or self._dialect.request_row(finding.action) is None:
            return OTHER
        remember_newest(self._asked, finding.id, finding.action, ASKED_KEPT)
        return finding.action

    def _mask_for_trace(self, data: str | bytes, finding: Finding) -> str:
        try:
            return mask_frame(data, finding, self._dialect)
        except Exception:  # likewise: a frame that cannot be masked is not shown, but answered
            log.exception("%s: a frame of %d characters cannot be masked: please report", self._url, len(data))
            return HIDDEN

    async def is_alive(self) -> bool:
        """Send a ping. Without its pong in time the connection is aborted."""
        try:
            async with asyncio.timeout(self._ctx.timeouts.pong_s):
                await self._ws.ping_and_wait()
        except (TimeoutError, Closed):
            self._ws.transport.abort()
            return False
        return True

    async def close(self) -> None:
        await self._ws.close()
        self._ctx.traffic.close_connection(self._traffic)


def _not_json(error: Exception) -> NotExpressibleError:
    return NotExpressibleError(f"not JSON ({ascii(str(error))[1:-1][:80]})")


class JsonConnector:
    """``agent.ocpp.transport.transport.Connector``. The subprotocol that the server chooses is the
    version."""

    def __init__(self, ctx: ConnectorContext) -> None:
        self._ctx, self._rpc = ctx, Rpc()
        self._dialer = Dialer(ctx.timeouts.open_s, ctx.wire)

    async def connect(self, backend: Backend, password: bytes | None, roots: TrustedRoots) -> JsonTransport:
        dialects = [d for d in self._ctx.dialects if d.subprotocol]
        if not dialects:
            where = without_user_info(backend.connection_url)
            raise NoConnection(f"{where}: no version in [backend] versions is spoken over a WebSocket: check both")
        try:
            ws = await self._dialer.connect(backend, [d.subprotocol for d in dialects], password, roots)
        except NoConnection as e:
            self._ctx.traffic.count_failed_attempt(with_tls=tls.ssl_error(e) is not None)
            raise
        dialect = next((d for d in dialects if d.subprotocol == ws.subprotocol), dialects[0])
        return JsonTransport(self._ctx, self._rpc, ws, dialect, without_user_info(backend.connection_url))


OCPP_J = TransportFamily(JsonConnector, preload_library)
