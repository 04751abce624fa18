"""A dialect is a table of rows that translate between the domain's words and one version of OCPP.

``In``: a request of the backend. ``Out``: something we tell or ask. ``Mute``: what this version cannot say, and why.
``Refusal``: what the standard knows and this station does not offer. A neighbouring version is derived by ``plus`` and
``minus``. ``gaps`` says what is neither translated nor excused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent.domain.events import Event, TokenJudged
from agent.domain.messages import MESSAGES, Message, StatusChanged
from agent.domain.orders import JudgeToken, Reply
from agent.domain.requests import Ask
from agent.domain.variables import Settings, Value
from agent.model.fastclass import frozen, mutable, replace
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.wire.rpc import Code
from agent.ocpp.wire.schema import Schemas
from agent.ports.clock import ClockPort
from agent.ports.store import OutboxPort, Put

Payload: TypeAlias = Mapping[str, Any]


HIDDEN = "***"
"""What is shown in the place of a secret."""


def names_secret(text: str) -> bool:
    """Something in it has the name of what is written nowhere, whether or not this version or station knows it."""
    small = text.lower()
    return any(name in small for name in ("authorizationkey", "password", "sharedsecret", "simpin"))


@frozen
class Identity:
    """Who the station is, for BootNotification. The meter's and the modem's part may become known later."""

    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    meter_serial: str = ""
    meter_type: str = ""
    iccid: str = ""
    imsi: str = ""
    organisation: str = ""
    boot_reason: str = "Unknown"
    """BootReasonEnumType of 2.x: why the agent runs anew."""


@mutable
class RowContext:
    """What rows may look at. ``overlay``: settings whose present value the link knows better (by our own names).
    ``primary``: this backend is the first of the station file; the AuthorizationKey is its own. ``number``: the place
    of the billed message on the ctx in its session. ``boot``: the backend's last word to a BootNotification;
    ``triggered``: the next one was asked for. ``owed``: what a row wants told right after its answer."""

    link: str
    outbox: OutboxPort
    clock: ClockPort
    settings: Settings
    identity: Callable[[], Identity]
    evse_numbers: tuple[int, ...] = ()
    overlay: dict[str, Value] = field(default_factory=dict)
    primary: bool = True
    number: int = 0
    boot: str | None = None
    triggered: bool = False
    messages_after_answer: list[Message] = field(default_factory=list)


class NotExpressibleError(Exception):
    """This version cannot say this message (a token too long, a transaction without an id). Trying again is no use.
    ``elsewhere``: another version may have the words."""

    def __init__(self, why: str, elsewhere: bool = False) -> None:
        super().__init__(why)
        self.elsewhere = elsewhere


class Refused(Exception):
    """Answer the request with a CALLERROR; ``code`` is a neutral name of ``rpc.Code``."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.code = code


@frozen
class BootAnswer:
    """Answer to a BootNotification. ``status``: Accepted, Pending, Rejected. ``interval_s`` 0: ours to choose."""

    status: str
    interval_s: int


@frozen
class ResponseEffects:
    """What an answer brought. ``utc_s``: the backend's clock. ``version``: in which it was heard."""

    events: tuple[Event, ...] = ()
    facts: tuple[Put, ...] = ()
    utc_s: float | None = None
    boot: BootAnswer | None = None
    version: str = ""


@frozen
class StatusProjection:
    """A status in the words of a version: equal ones need not be told twice."""

    status: str
    error: str
    info: str = ""
    vendor_code: str = ""


@frozen
class In:
    """``decode`` makes a question for the domain, or the answer itself where the domain has no say; it may raise
    ``Refused``. ``answer`` makes the payload of the reply; ``payload`` is the request's. ``look``: what it needs of the
    queue besides; it is found in the reply's data."""

    action: str
    decode: Callable[[Payload, RowContext], Ask | dict[str, Any]]
    answer: Callable[[Reply, Payload, RowContext], dict[str, Any]]
    look_up: Callable[[Payload, RowContext], Awaitable[Payload]] | None = None


@frozen
class Out:
    """``message``: a class of ``domain/messages.py``, or ``JudgeToken``. ``encode`` returns None when nothing of it
    can be told in this version, and may raise ``Unspeakable``. ``unless``: for which messages of this class ``other``
    is the row. ``malformed``: what an answer still says that breaks its schema; None: nothing, it counts as none."""

    message: type[Any]
    action: str
    encode: Callable[[Any, RowContext], dict[str, Any] | None]
    decode_response: Callable[[Any, Payload, RowContext], ResponseEffects]
    is_other: Callable[[Any], bool] = lambda message: False
    other: Out | None = None
    decode_malformed: Callable[[Any, Payload, RowContext], ResponseEffects | None] = lambda message, payload, ctx: None

    def row_for(self, message: Any) -> Out:
        """The row of this very message."""
        return self.other if self.other is not None and self.is_other(message) else self


@frozen
class NotExpressible:
    message: type[Any]
    reason: str


@frozen
class NotOffered:
    action: str
    reason: str
    code: str = Code.NOT_SUPPORTED


Row: TypeAlias = In | Out | NotExpressible | NotOffered


def decode_status_alone(info: Any) -> Verdict | None:
    """The status of an IdTagInfo or IdTokenInfoType that breaks its schema; None: not even that can be read."""
    status = info.get("status") if isinstance(info, Mapping) else None
    return next((Verdict(known) for known in AuthorizationStatus if known.value == status), None)


def judge_by_status_alone(order: JudgeToken, info: Any) -> ResponseEffects:
    """An answer to Authorize came, but it cannot be read: the token is refused, unless its status is plain. Nothing of
    it is remembered, and the backend is not taken for being away."""
    verdict = decode_status_alone(info) or Verdict(AuthorizationStatus.INVALID)
    return ResponseEffects((TokenJudged(order.request, order.token, verdict, remembered=False),))


def decode_empty_response(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """For answers without content."""
    return ResponseEffects()


def answer_always(action: str, **answer: Any) -> In:
    """A request whose answer is the same whatever is asked: the standard's own word for what is not offered here."""

    def decode_as_answer(payload: Payload, ctx: RowContext) -> dict[str, Any]:
        return dict(answer)

    def repeat_answer(reply: Reply, payload: Payload, ctx: RowContext) -> dict[str, Any]:
        return dict(answer)

    return In(action, decode_as_answer, repeat_answer)


@dataclass(frozen=True)
class Dialect:
    """``rows``: the last one of a key wins. ``station_says``: actions that only a station sends. ``masked``: the
    payload of this request with ``HIDDEN`` for each secret in it. ``admits``: may this action be asked with that word
    of the boot? ``silent_when_rejected``: a backend that has rejected us gets no answers. ``backend_numbers``: a
    session has no name on the wire before its start was answered. ``retells``: after a long time off line every status
    is told again. ``silence_counts``: a billed message that nobody answers on a live line has had an attempt (2.0.1
    E13). ``reads``: sees every payload of the other side first (action, is it an answer, payload);
    ``tolerates_unknown``: requests may have fields that the standard does not know; ``beats_always``: heartbeats also
    while other things are said (quirks.py)."""

    name: str
    subprotocol: str
    rows: tuple[Row, ...]
    project_status: Callable[[StatusChanged], StatusProjection]
    schemas: Schemas | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    max_token_length: int = 36
    station_actions: frozenset[str] = frozenset()
    mask_secrets: Callable[[str, Payload], Payload] = lambda action, payload: payload
    admits_request: Callable[[str | None, str], bool] = lambda boot, action: True
    silent_when_rejected: bool = True
    backend_assigns_ids: bool = True
    resends_statuses: bool = False
    silence_is_attempt: bool = False
    preprocess_received: Callable[[str, bool, Payload], Payload] = lambda action, is_answer, payload: payload
    tolerates_unknown: bool = False
    heartbeat_always: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ins", {r.action: r for r in self.rows if isinstance(r, In | NotOffered)})
        object.__setattr__(self, "_outs", {r.message: r for r in self.rows if isinstance(r, Out | NotExpressible)})

    def request_row(self, action: str) -> In | NotOffered | None:
        found: In | NotOffered | None = self.__dict__["_ins"].get(action)
        return found

    def message_row(self, message: type[Any]) -> Out | NotExpressible | None:
        found: Out | NotExpressible | None = self.__dict__["_outs"].get(message)
        return found

    def with_rows(self, *rows: Row, **changes: Any) -> Dialect:
        """A neighbour: these rows replace those of the same key."""
        return replace(
            self.without_rows(*map(_row_key, rows)),
            **changes,
            rows=(*self.without_rows(*map(_row_key, rows)).rows, *rows),
        )

    def without_rows(self, *keys: Any) -> Dialect:
        """A neighbour without the rows of these actions (requests) or message classes."""
        return replace(self, rows=tuple(r for r in self.rows if _row_key(r) not in keys))


def _row_key(row: Row) -> Any:
    return row.action if isinstance(row, In | NotOffered) else row.message


def find_gaps(dialect: Dialect, messages: Iterable[type[Any]] = (*MESSAGES, JudgeToken)) -> list[str]:
    """What has neither row nor mute, what has neither row nor refusal; empty if the dialect is complete."""
    found = [f"{m.__name__}: neither a row nor a mute" for m in messages if dialect.message_row(m) is None]
    unreasoned = [r for r in dialect.rows if isinstance(r, NotExpressible | NotOffered) and not r.reason]
    found += [f"{_row_key(r)}: neither translated nor excused: the reason is missing" for r in unreasoned]
    actions = dialect.schemas.known_actions() if dialect.schemas else frozenset()
    found += [
        f"{a}: neither a row nor a refusal"
        for a in sorted(actions - dialect.station_actions)
        if dialect.request_row(a) is None
    ]
    return found + _unknown_actions(dialect, actions)


def _unknown_actions(dialect: Dialect, actions: Collection[str]) -> list[str]:
    used = [r.action for r in dialect.rows if not isinstance(r, NotExpressible)]
    return [f"{a}: the standard knows no such action" for a in sorted(set(used)) if actions and a not in actions]
