"""A functional block answers to events; a board of blocks is the domain.

``@handles_events(Event)`` marks a generator method ``(event, now)`` that yields orders, and facts
for the other blocks. ``@handles_timer(TimerKind.X)`` marks the method that handles a ``TimeCame`` of
this kind. ``@answers_requests(XRequest)`` marks the one method ``(request, reply, now)``
that answers a request of the backend, with ``yield reply("Accepted")``. The type checker holds its
annotation against the decorator. A second method for the same request is a start-up error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any, TypeAlias, TypeVar, overload

from agent.domain.events import Event, RequestReceived, TimeCame
from agent.domain.orders import Order, Response
from agent.domain.requests import BackendRequest
from agent.domain.timers import TimerKind
from agent.model.fastclass import frozen
from agent.model.types import Moment

Yielded: TypeAlias = Order | Event
EventKind: TypeAlias = type[Event] | TimerKind
Watcher: TypeAlias = Callable[[Sequence[Order], Moment], Iterator[Order]]
"""Sees the orders of an event when all blocks have handled it, and may add to them."""


@frozen
class Replier:
    """Makes the response to one request. A block that can answer only later keeps it until then.
    ``request_key`` is the ``request`` of ``RequestReceived`` and ``Response``."""

    link: str
    request_key: str

    def __call__(self, status: str, data: Mapping[str, Any] | None = None) -> Response:
        return Response(self.link, self.request_key, status, {} if data is None else data)


Block = TypeVar("Block")
R1 = TypeVar("R1", bound=BackendRequest)
R2 = TypeVar("R2", bound=BackendRequest)
Answerer: TypeAlias = Callable[[Block, R1, Replier, Moment], Iterator[Yielded]]
TimerHandler: TypeAlias = Callable[[Block, TimeCame, Moment], Iterator[Yielded]]
AnswererOfTwo: TypeAlias = Callable[[Block, R1 | R2, Replier, Moment], Iterator[Yielded]]


def handles_events(*kinds: type[Event]) -> Callable[[Any], Any]:
    """Mark a method as handler of these events."""
    if TimeCame in kinds:
        raise TypeError("a timer goes to the handlers of its kind: handles_timer")
    return lambda method: _mark_handler(method, kinds, ())


def handles_timer(*kinds: TimerKind) -> Callable[[TimerHandler[Block]], TimerHandler[Block]]:
    """Mark a method as handler of the timers of these kinds."""
    return lambda method: _mark_handler(method, kinds, ())


@overload
def answers_requests(request: type[R1], /) -> Callable[[Answerer[Block, R1]], Answerer[Block, R1]]: ...
@overload
def answers_requests(
    request: type[R1], other: type[R2], /
) -> Callable[[AnswererOfTwo[Block, R1, R2]], AnswererOfTwo[Block, R1, R2]]: ...
def answers_requests(*requests: type[BackendRequest]) -> Callable[[Any], Any]:
    """Mark a method as the one that answers these requests. A method that answers two has their
    union as the type of its request."""
    return lambda method: _mark_handler(method, (), requests)


def _mark_handler(method: Any, kinds: Sequence[EventKind], requests: Sequence[type[BackendRequest]]) -> Any:
    before = getattr(method, "marks", ((), ()))
    method.marks = (*before[0], *kinds), (*before[1], *requests)
    return method


Marks: TypeAlias = tuple[tuple[str, Sequence[EventKind], Sequence[type[BackendRequest]]], ...]
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


PlacedMethod: TypeAlias = tuple[int, Callable[..., Iterator[Yielded]]]
"""The place of a block among the blocks of its station, and a method of its class."""


@frozen
class HandlerTables:
    """Which methods handle an event and answer a request. All stations whose blocks are of the same classes share
    them: with ten thousand stations in a process, a table for each would be a third of their memory."""

    handlers: Mapping[EventKind, Sequence[PlacedMethod]]
    answerers: Mapping[type[BackendRequest], PlacedMethod]


_TABLES: dict[tuple[type[Any], ...], HandlerTables] = {}


def _tables_of_classes(classes: tuple[type[Any], ...]) -> HandlerTables:
    """Return the tables for blocks of these classes. Raises ``DuplicateHandler``."""
    if classes in _TABLES:
        return _TABLES[classes]
    handlers: dict[EventKind, list[PlacedMethod]] = {}
    answerers: dict[type[BackendRequest], PlacedMethod] = {}
    for place, cls in enumerate(classes):
        for name, kinds, requests in _marked_handlers(cls):
            method = getattr(cls, name)
            for kind in kinds:
                handlers.setdefault(kind, []).append((place, method))
            for request in requests:
                if request in answerers:
                    raise DuplicateHandler(f"{request.__name__}: {cls.__name__} is the second block to answer it")
                answerers[request] = (place, method)
    return _TABLES.setdefault(classes, HandlerTables(handlers, answerers))


class Blocks:
    """All blocks of a station. ``handle_event`` is the whole domain: an event in, orders out, in
    the order they were yielded; facts that blocks yield are handled after the event that caused
    them. ``watchers`` follow; a block may join and leave them."""

    def __init__(self, blocks: Sequence[object], watchers: Sequence[Watcher] = ()) -> None:
        self._watchers, self._blocks = watchers, tuple(blocks)
        self._tables = _tables_of_classes(tuple(map(type, self._blocks)))

    def handle_event(self, event: Event, now: Moment) -> list[Order]:
        orders: list[Order] = []
        events: deque[Event] = deque([event])
        while events:
            current = events.popleft()
            for item in self._handle_one(current, now):
                if isinstance(item, Event):
                    events.append(item)
                else:
                    orders.append(item)
        if self._watchers:
            for watch in tuple(self._watchers):
                orders += [*watch(tuple(orders), now)]
        return orders

    def _handle_one(self, event: Event, now: Moment) -> Iterator[Yielded]:
        if isinstance(event, RequestReceived):
            reply = Replier(event.link, event.request)
            answerer = self._tables.answerers.get(type(event.ask))
            if answerer is None:
                yield from _answer_not_implemented(event.ask, reply, now)
            else:
                yield from answerer[1](self._blocks[answerer[0]], event.ask, reply, now)
            return
        kind = event.timer.kind if isinstance(event, TimeCame) else type(event)
        for place, handler in self._tables.handlers.get(kind, ()):
            yield from handler(self._blocks[place], event, now)


def _answer_not_implemented(request: BackendRequest, reply: Replier, now: Moment) -> Iterator[Yielded]:
    yield reply("NotImplemented")
