"""Authorize requests: each gets its ``TokenAuthorized`` within the call time-out, whatever the
connection does."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from agent.domain.events import Event, TokenAuthorized
from agent.domain.orders import AuthorizeToken
from agent.model.fastclass import mutable
from agent.ocpp.dialects.dialect import ResponseEffects


@mutable
class _Question:
    order: AuthorizeToken
    timer: asyncio.TimerHandle
    sent: bool = False


class AuthorizeQueue:
    def __init__(self, post_event: Callable[[Event], None], timeout_s: float) -> None:
        self._post_event, self._timeout_s = post_event, timeout_s
        self._open: OrderedDict[str, _Question] = OrderedDict()

    def add(self, order: AuthorizeToken) -> None:
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self.settle_request, order, None)
        self._open[order.request] = _Question(order, timer)

    def next_unsent(self) -> AuthorizeToken | None:
        """Return the oldest request that has not been sent yet."""
        for question in self._open.values():
            if not question.sent:
                question.sent = True
                return question.order
        return None

    def settle_request(self, order: AuthorizeToken, heard: ResponseEffects | None) -> None:
        """Report the answer to the domain, or (None) that there was none. A second call does
        nothing."""
        question = self._open.pop(order.request, None)
        if question is None:
            return
        question.timer.cancel()
        for event in heard.events if heard else (TokenAuthorized(order.request, order.token, None),):
            self._post_event(event)

    def fail_all(self) -> None:
        """Report every open request as unanswered: the connection is down."""
        for question in list(self._open.values()):
            self.settle_request(question.order, None)
