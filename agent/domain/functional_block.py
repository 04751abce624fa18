"""A functional block answers to events; a board of blocks is the domain.

``@handles_events(Event)`` marks a generator method ``(event, now)`` that yields orders, and facts
for the other blocks. ``@answers_requests(XRequest)`` marks the one method that replies to a request
of the backend: a second method for the same request is a start-up error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType
from typing import Any, TypeAlias

from agent.domain.events import Event, RequestReceived
from agent.domain.orders import Order, Response
from agent.model.types import Moment

Yielded: TypeAlias = Order | Event
Handler: TypeAlias = Callable[[Any, Moment], Iterator[Yielded]]


def handles_events(*kinds: type[Event]) -> Callable[[Any], Any]:
    """Mark a method as handler of these events."""
    return lambda method: _mark_handler(method, kinds, ())


def answers_requests(*asks: type[Any]) -> Callable[[Any], Any]:
    """Mark a method as the one that answers these requests."""
    return lambda method: _mark_handler(method, (), asks)


def _mark_handler(method: Any, kinds: Sequence[type[Event]], asks: Sequence[type[Any]]) -> Any:
    before = getattr(method, "marks", ((), ()))
    method.marks = (*before[0], *kinds), (*before[1], *asks)
    return method


Marks: TypeAlias = tuple[tuple[str, Sequence[type[Event]], Sequence[type[Any]]], ...]
_MARKED: dict[type[Any], Marks] = {}


def _marked_handlers(cls: type[Any]) -> Marks:
    """Return the name of each marked method, the events it handles and the requests it answers, in
    the order of definition: two methods that handle the same event are called in that order."""
    if cls not in _MARKED:
        own = {name: m for c in reversed(cls.__mro__) if c is not object for name, m in vars(c).items()}
        found = [(n, *m.marks) for n, m in own.items() if isinstance(m, FunctionType) and hasattr(m, "marks")]
        _MARKED[cls] = tuple(found)
    return _MARKED[cls]


class DuplicateHandler(Exception):
    """Two blocks want to answer the same request."""


class Blocks:
    """All blocks of a station. ``handle_event`` is the whole domain: an event in, orders out, in
    the order they were yielded; facts that blocks yield are handled after the event that caused
    them."""

    def __init__(self, blocks: Sequence[object]) -> None:
        self._handlers: dict[type[Any], list[Handler]] = {}
        self._answerers: dict[type[Any], Handler] = {}
        for block in blocks:
            for name, kinds, asks in _marked_handlers(type(block)):
                for kind in kinds:
                    self._handlers.setdefault(kind, []).append(getattr(block, name))
                for ask in asks:
                    if ask in self._answerers:
                        raise DuplicateHandler(
                            f"{ask.__name__}: {type(block).__name__} is the second block to answer it"
                        )
                    self._answerers[ask] = getattr(block, name)

    def handle_event(self, event: Event, now: Moment) -> list[Order]:
        orders: list[Order] = []
        events: deque[Event] = deque([event])
        while events:
            current = events.popleft()
            for handler in self._handlers_of(current):
                for item in handler(current, now):
                    if isinstance(item, Event):
                        events.append(item)
                    else:
                        orders.append(item)
        return orders

    def _handlers_of(self, event: Event) -> list[Handler]:
        if isinstance(event, RequestReceived):
            answerer = self._answerers.get(type(event.ask))
            return [answerer] if answerer else [_answer_not_implemented]
        return self._handlers.get(type(event), [])


def _answer_not_implemented(event: RequestReceived, now: Moment) -> Iterator[Yielded]:
    yield Response(event.link, event.request, "NotImplemented")
