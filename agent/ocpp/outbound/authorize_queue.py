"""Questions about tokens: each gets its ``TokenJudged`` within the call time-out, whatever the line does."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from agent.domain.events import Event, TokenJudged
from agent.domain.orders import JudgeToken
from agent.model.fastclass import mutable
from agent.ocpp.dialects.dialect import ResponseEffects


@mutable
class _Question:
    order: JudgeToken
    timer: asyncio.TimerHandle
    sent: bool = False


class AuthorizeQueue:
    def __init__(self, post_event: Callable[[Event], None], timeout_s: float) -> None:
        self._post_event, self._timeout_s = post_event, timeout_s
        self._open: OrderedDict[str, _Question] = OrderedDict()

    def add(self, order: JudgeToken) -> None:
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self.settle_request, order, None)
        self._open[order.request] = _Question(order, timer)

    def next_unsent(self) -> JudgeToken | None:
        """The oldest one that has not been sent yet."""
        for question in self._open.values():
            if not question.sent:
                question.sent = True
                return question.order
        return None

    def settle_request(self, order: JudgeToken, heard: ResponseEffects | None) -> None:
        """Answered, or (None) nobody could be asked. A second time nothing happens."""
        question = self._open.pop(order.request, None)
        if question is None:
            return
        question.timer.cancel()
        for event in heard.events if heard else (TokenJudged(order.request, order.token, None),):
            self._post_event(event)

    def fail_all(self) -> None:
        """The line is down: all of them are answered now."""
        for question in list(self._open.values()):
            self.settle_request(question.order, None)
