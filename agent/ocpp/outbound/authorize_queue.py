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
class _OpenRequest:
    order: AuthorizeToken
    timer: asyncio.TimerHandle
    sent: bool = False


class AuthorizeQueue:
    def __init__(self, post_event: Callable[[Event], None], timeout_s: float) -> None:
        self._post_event, self._timeout_s = post_event, timeout_s
        self._open: OrderedDict[str, _OpenRequest] = OrderedDict()

    @property
    def has_requests(self) -> bool:
        """Whether a driver waits for an answer."""
        return bool(self._open)

    def add_request(self, order: AuthorizeToken) -> None:
        """Queue a request and start its time-out."""
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self.settle_request, order, None)
        self._open[order.request] = _OpenRequest(order, timer)

    def next_unsent(self) -> AuthorizeToken | None:
        """Return the oldest request that has not been sent yet."""
        for question in self._open.values():
            if not question.sent:
                question.sent = True
                return question.order
        return None

    def settle_request(self, order: AuthorizeToken, effects: ResponseEffects | None) -> None:
        """Report the answer to the domain, or (None) that there was none. A second call does
        nothing."""
        question = self._open.pop(order.request, None)
        if question is None:
            return
        question.timer.cancel()
        for event in effects.events if effects else (TokenAuthorized(order.request, order.token, None),):
            self._post_event(event)

    def fail_all_requests(self) -> None:
        """Report every open request as unanswered: the connection is down."""
        for question in list(self._open.values()):
            self.settle_request(question.order, None)
