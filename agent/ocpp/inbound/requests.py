"""Requests of the backend: checked against the schema, put to the domain, answered in their
order."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from agent.domain.events import Event, RequestReceived, SecurityNoticed
from agent.domain.messages import Message
from agent.domain.orders import Response
from agent.domain.requests import BackendRequest
from agent.domain.security_events import SecurityEvent
from agent.model.fastclass import frozen, replace
from agent.model.slim_event import SlimEvent
from agent.ocpp.dialects.dialect import (
    Dialect,
    FixedAnswer,
    LocalAnswer,
    NotOffered,
    Refused,
    RequestRow,
    RowContext,
)
from agent.ocpp.wire.calls import CODE_OF_RULE, Called, CallError, CallResult, Code
from agent.ocpp.wire.schema import Violation

log = logging.getLogger("agent.ocpp")

WHERE_MAX = 120
"""Characters of the place at which a request breaks its schema: the backend chose the name."""


@frozen
class ServedRequest:
    """The response to a request, and the messages to send right after it."""

    response: CallResult | CallError
    follow_up: tuple[Message, ...] = ()


class InboundRequests:
    """Answers one request at a time. ``answer_s``: how long the domain may take (real seconds)."""

    def __init__(self, ctx: RowContext, post_event: Callable[[Event], None], answer_s: float) -> None:
        self._ctx, self._post_event, self._answer_s = ctx, post_event, answer_s
        self._waiting: dict[str, asyncio.Future[Response]] = {}
        self._numbers = itertools.count(1)
        self._unsent: set[str] = set()
        self._flushed = SlimEvent()
        self._flushed.set()

    def resolve_request(self, order: Response) -> None:
        """Pass on the domain's answer. A late or unknown one is ignored: the backend already has
        a response."""
        future = self._waiting.get(order.request)
        if future is not None and not future.done():
            self._unsent.add(order.request)
            self._flushed.clear()
            future.set_result(order)

    def responses_sent(self) -> None:
        """Note that every response is on the wire, or that its connection is gone."""
        self._unsent.clear()
        self._flushed.set()

    @property
    def is_busy(self) -> bool:
        """Whether a request is being worked on, or its response is not written yet."""
        return bool(self._waiting or self._unsent)

    async def wait_until_sent(self) -> None:
        """Wait until every response is written."""
        await self._flushed.wait()

    async def serve_request(self, called: Called, dialect: Dialect) -> ServedRequest:
        """Return the response, always. Only bugs of ours become InternalError."""
        try:
            return await self._answer_request(called, dialect)
        except Refused as e:
            return ServedRequest(CallError(called.id, e.code, str(e)))
        except TimeoutError:
            log.error("%s: %s was not answered in %g s: please report", self._ctx.link, called.action, self._answer_s)
            return ServedRequest(CallError(called.id, Code.INTERNAL, "no answer of the station in time"))
        except Exception:  # one request must not end the connection or the charging sessions
            log.exception("%s: %s could not be answered: please report", self._ctx.link, ascii(called.action[:60]))
            return ServedRequest(CallError(called.id, Code.INTERNAL))

    async def _answer_request(self, called: Called, dialect: Dialect) -> ServedRequest:
        row = dialect.request_row(called.action)
        if row is None:
            return ServedRequest(CallError(called.id, Code.NOT_IMPLEMENTED, "unknown action"))
        if not dialect.admits_request(self._ctx.boot, called.action):
            return ServedRequest(CallError(called.id, Code.SECURITY, "not before the boot is accepted"))
        if isinstance(row, NotOffered):
            return ServedRequest(CallError(called.id, row.code, row.reason))
        called = replace(called, payload=dict(dialect.preprocess_received(called.action, False, called.payload)))
        lenient = dialect.tolerates_unknown
        check = dialect.schemas.request_check(called.action, lenient) if dialect.schemas else None
        broken = check(called.payload) if check else None
        if broken is not None:
            return self._answer_broken_request(called, row, broken)
        payload, follow_up = await self._run_row(row, called)
        return self._checked_result(called, payload, follow_up, dialect)

    def _answer_broken_request(self, called: Called, row: RequestRow | FixedAnswer, broken: Violation) -> ServedRequest:
        """Return NotSupported where the standard wants that for a word that it does not know, otherwise a CALLERROR."""
        field = broken.path.split("/")[1] if broken.rule == "enum" else ""
        if isinstance(row, RequestRow) and field in row.open_enumerations:
            return ServedRequest(CallResult(called.id, {"status": "NotSupported"}))
        where = ascii(str(broken)[:WHERE_MAX])[1:-1]
        what = f"{called.action}: {where}"
        self._post_event(SecurityNoticed(SecurityEvent.INVALID_MESSAGES, what, self._ctx.link))
        return ServedRequest(CallError(called.id, CODE_OF_RULE.get(broken.rule, Code.PROPERTY), where))

    async def _run_row(self, row: RequestRow | FixedAnswer, called: Called) -> tuple[dict[str, Any], Sequence[Message]]:
        """Return the payload of the response, and the messages to send right after it."""
        if isinstance(row, FixedAnswer):
            return dict(row.payload), ()
        question = row.decode(called.payload, self._ctx)
        if isinstance(question, LocalAnswer):
            return dict(question.payload), ()
        reply = await self._ask_domain(question)
        if "reason" in reply.data:
            why = getattr(reply.data["reason"], "text", reply.data["reason"])  # web payments have a type of their own
            log.info("%s: %s is %s: %s", self._ctx.link, row.action, reply.status, why)
        if row.look_up is not None:
            reply = replace(reply, data={**reply.data, **await row.look_up(called.payload, self._ctx)})
        answer = row.answer(reply, called.payload, self._ctx)
        return answer, row.follow_up(reply, called.payload, self._ctx)

    async def _ask_domain(self, question: BackendRequest) -> Response:
        request = f"{self._ctx.link}:{next(self._numbers)}"
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        try:
            self._post_event(RequestReceived(self._ctx.link, request, question))
            async with asyncio.timeout(self._answer_s):
                return await future
        finally:
            del self._waiting[request]

    def _checked_result(
        self, called: Called, payload: dict[str, Any], follow_up: Sequence[Message], dialect: Dialect
    ) -> ServedRequest:
        """Return the response after a check against the schema. A response that breaks the
        schema is a bug of ours and is logged as one."""
        check = dialect.schemas.response_check(called.action) if dialect.schemas else None
        broken = check(payload) if check else None
        if broken is None:
            return ServedRequest(CallResult(called.id, payload), tuple(follow_up))
        log.error("%s: own answer to %s breaks the schema at %s: please report", self._ctx.link, called.action, broken)
        return ServedRequest(CallError(called.id, Code.INTERNAL))
