"""A dialect is a table of rows that translate between the domain's messages and one version of
OCPP.

``RequestRow``: a request of the backend. ``FixedAnswer``: a request that always gets the same
answer. ``NotOffered``: a request that the standard knows and this station does not offer.
``MessageRow``: a message or request of ours. ``NotExpressible``: a message that this version has
no words for, and why. A neighbouring version is derived by ``with_rows`` and ``without_rows``.
``find_gaps`` lists what is neither translated nor excused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from agent.domain.events import Event
from agent.domain.messages import MESSAGES, REPORTS, Message, StatusChanged
from agent.domain.orders import AuthorizeToken, Response
from agent.domain.requests import BackendRequest
from agent.domain.variables import Settings, Value
from agent.model.fastclass import frozen, mutable, replace
from agent.model.types import AuthorizationStatus, Verdict
from agent.ocpp.wire.calls import Code
from agent.ocpp.wire.rpc import PLAIN, Kind
from agent.ocpp.wire.schema import Schemas
from agent.ports.clock import ClockPort
from agent.ports.store import OutboxPort, Put

if TYPE_CHECKING:
    from agent.ocpp.dialects.billing_scope import BackendScope
    from agent.ocpp.dialects.device_model_v2x import Name

Payload: TypeAlias = Mapping[str, Any]


@frozen
class Identity:
    """The identity of the station, for BootNotification. The parts of the meter and the modem
    may become known later."""

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
    """BootReasonEnumType of 2.x: why the agent was started."""


@mutable
class RowContext:
    """What rows may look at."""

    link: str
    outbox: OutboxPort
    clock: ClockPort
    settings: Settings
    identity: Callable[[], Identity]
    evse_numbers: tuple[int, ...] = ()
    overlay: dict[str, Value] = field(default_factory=dict)
    """Settings whose present value the link knows better, by our own names."""
    primary: bool = True
    """This backend is the first of the station file; the AuthorizationKey is its own."""
    number: int = 0
    """The place of the billed message in its session."""
    boot: str | None = None
    """The backend's latest answer to a BootNotification."""
    triggered: bool = False
    """The next BootNotification was asked for."""
    added_variables: tuple[Name, ...] = ()
    """``Dialect.added_variables`` of the version of the connection."""
    signed_data_max: int = 2500
    """``Dialect.signed_data_max``, likewise."""
    unstored_effects: Callable[[], Iterable[ResponseEffects]] = tuple
    """The effects of answers to billed messages that the store has not accepted yet, the latest first."""

    def session_of(self, transaction_id: str) -> str | None:
        """Return the session that this backend calls so, or None. The id counts from the answer on that brings it: the
        backend may name it in its next frame (1.6 4.8), and the store may not accept the answer for a long time."""
        for effects in self.unstored_effects():
            for fact in effects.facts:
                if fact.kind == "transaction" and fact.value is not None and fact.value["id"] == transaction_id:
                    return fact.key.removeprefix(f"{self.link}/")
        return self.outbox.session_of(self.link, transaction_id)


class NotExpressibleError(Exception):
    """This version has no words for this message (a token too long, a transaction without an
    id). Trying again is no use. ``elsewhere``: another version may have the words."""

    def __init__(self, why: str, elsewhere: bool = False) -> None:
        super().__init__(why)
        self.elsewhere = elsewhere


class Refused(Exception):
    """Answer the request with a CALLERROR; ``code`` is a neutral name of ``calls.Code``."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text)
        self.code = code


@frozen
class BootAnswer:
    """The answer to a BootNotification. ``status``: Accepted, Pending, Rejected. ``interval_s``
    0: ours to choose."""

    status: str
    interval_s: int


@frozen
class ResponseEffects:
    """What an answer brought. ``utc_s``: the backend's clock. ``version``: the version of the
    answer (``Dialect.book_name``)."""

    events: tuple[Event, ...] = ()
    facts: tuple[Put, ...] = ()
    utc_s: float | None = None
    boot: BootAnswer | None = None
    version: str = ""


@frozen
class StatusProjection:
    """A status in the words of a version. Equal ones need not be sent twice."""

    status: str
    error: str
    info: str = ""
    vendor_code: str = ""


@frozen
class LocalAnswer:
    """The answer to a request with which the domain has nothing to do. ``payload``: that of the
    response."""

    payload: Mapping[str, Any]


@frozen
class RequestRow:
    """A request of the backend."""

    action: str
    decode: Callable[[Payload, RowContext], BackendRequest | LocalAnswer]
    """Make a request for the domain, or answer it where the domain has no say. May raise
    ``Refused``."""
    answer: Callable[[Response, Payload, RowContext], dict[str, Any]]
    """Make the payload of the response. ``payload`` is that of the request."""
    look_up: Callable[[Payload, RowContext], Awaitable[Payload]] | None = None
    """Query the queue for what the answer needs besides. The result is found in the response's
    data."""
    follow_up: Callable[[Response, Payload, RowContext], Sequence[Message]] = lambda reply, payload, ctx: ()
    """Return the messages to send right after the answer."""
    open_enumerations: tuple[str, ...] = ()
    """Fields at the top of the payload in which a word that the standard does not know is answered with the status
    NotSupported. In all others such a word breaks the schema."""


@frozen
class MessageMerging:
    """How messages of one transaction that wait travel in one: the list of each goes into that of the first."""

    fits: Callable[[Any, Any], bool]
    """Return whether the list of the second message may travel in the first."""
    list_field: str


@frozen
class MessageRow:
    """A message of ours. ``message``: a class of ``domain/messages.py``, or the request to
    authorize a token."""

    message: type[Any]
    action: str
    encode: Callable[[Any, RowContext], dict[str, Any] | None]
    """Make the payload. Returns None if this version has nothing of the message to send. May
    raise ``NotExpressibleError``."""
    decode_response: Callable[[Any, Payload, RowContext], ResponseEffects]
    is_other: Callable[[Any], bool] = lambda message: False
    """Return whether ``other`` is the row for this message of the class."""
    other: MessageRow | None = None
    decode_malformed: Callable[[Any, Payload, RowContext], ResponseEffects | None] = lambda message, payload, ctx: None
    """Decode what is left of an answer that breaks its schema; None: it counts as no answer."""
    is_unanswered: bool = False
    """The message gets no answer (SEND of 2.1): it counts as delivered once it is written."""
    merging: MessageMerging | None = None
    """None: each message travels alone."""

    def row_for(self, message: Any) -> MessageRow:
        """Return the row of this very message."""
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


@frozen
class FixedAnswer:
    """The answer to a request of something that is not offered here, in the standard's own
    words."""

    action: str
    payload: Mapping[str, Any]


_AnyRequestRow: TypeAlias = RequestRow | FixedAnswer | NotOffered
Row: TypeAlias = _AnyRequestRow | MessageRow | NotExpressible


def decode_status_alone(info: Any) -> Verdict | None:
    """Return the status of an IdTagInfo or IdTokenInfoType that breaks its schema; None if not
    even that can be read."""
    status = info.get("status") if isinstance(info, Mapping) else None
    return next((Verdict(known) for known in AuthorizationStatus if known.value == status), None)


def decode_empty_response(message: Any, payload: Payload, ctx: RowContext) -> ResponseEffects:
    """Decode a response without content."""
    return ResponseEffects()


def answer_always(action: str, **answer: Any) -> FixedAnswer:
    """Make a row for a request that always gets the same answer."""
    return FixedAnswer(action, answer)


class _RowTables:
    """The rows of a dialect by their keys. A record has no room for what is computed later; this base has."""

    rows: tuple[Row, ...]

    @cached_property
    def rows_by_action(self) -> dict[str, _AnyRequestRow]:
        return {r.action: r for r in self.rows if isinstance(r, _AnyRequestRow)}

    @cached_property
    def rows_by_message(self) -> dict[type[Any], MessageRow | NotExpressible]:
        return {r.message: r for r in self.rows if isinstance(r, MessageRow | NotExpressible)}


@frozen
class Dialect(_RowTables):
    """One version of OCPP as a table of rows. Of two rows with one key the last one wins. A dialect equals itself
    alone."""

    __eq__, __hash__, __repr__ = object.__eq__, object.__hash__, object.__repr__

    name: str
    subprotocol: str
    """Of the WebSocket; "": it is not spoken over one."""
    rows: tuple[Row, ...]
    project_status: Callable[[StatusChanged], StatusProjection]
    soap: str = ""
    """Where its tables for SOAP are (``module:attribute`` of a ``SoapService``); "": it is not spoken over SOAP."""
    family: str = ""
    """The versions that share keys and variables of settings (``versions.FAMILIES``)."""
    shared_book: str = ""
    """The version with whose transactions those of this one are the same, by the same ids: a backend that changes from
    one to the other keeps one book, and a running session is not opened again there. "": its own."""
    added_variables: tuple[Name, ...] = ()
    """Variables of the device model that this version has besides those of its family, or in their place."""
    signed_data_max: int = 2500
    """Characters of ``signedMeterData`` in a signed value."""
    feature_refusals: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    """The rows in place of a feature profile that the station file switches off."""
    kinds: frozenset[Kind] = PLAIN
    """The message types that this version has on the wire."""
    scope: Callable[[], BackendScope | None] = lambda: None
    """Return what a backend gets that sees billing only or is not the first; None: nothing. A
    station that has no such backend does not load the table."""
    vendor_length_max: int | None = None
    """Characters of the vendor's name; None: room for every name of a station file."""
    schemas: Schemas | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    max_token_length: int = 36
    station_actions: frozenset[str] = frozenset()
    """Actions that only a station sends."""
    mask_secrets: Callable[[str, Payload], Payload] = lambda action, payload: payload
    """Return the payload of this request with ``secret_texts.HIDDEN`` for each secret in it."""
    admits_request: Callable[[str | None, str], bool] = lambda boot, action: True
    """Return whether this action may be requested after that answer to the boot."""
    silent_when_rejected: bool = True
    """A backend that has rejected this station gets no responses."""
    backend_assigns_ids: bool = True
    """A session has no id on the wire before its start was answered."""
    resends_statuses: bool = False
    """After a long time offline every status is sent again."""
    silence_is_attempt: bool = False
    """A billed message that gets no answer on a working connection has had an attempt (2.0.1
    E13)."""
    preprocess_received: Callable[[str, bool, Payload], Payload] = lambda action, is_answer, payload: payload
    """Sees every payload of the other side first: action, whether it is an answer, payload."""
    tolerates_unknown: bool = False
    """Requests may have fields that the standard does not know."""
    limits_transactions: bool = False
    """The backend may limit a transaction in its answers."""
    csms_settles: bool = False
    """The backend may settle card payments (SettlementByCSMS)."""
    takes_tariffs: bool = False
    """The backend may set tariffs by which the station computes costs."""
    heartbeat_always: bool = False
    """Heartbeats are also sent while other messages are exchanged (quirks.py)."""

    @property
    def book_name(self) -> str:
        """The version under which the transactions of this one are recorded."""
        return self.shared_book or self.name

    def request_row(self, action: str) -> _AnyRequestRow | None:
        """Return the row for a request of the backend."""
        return self.rows_by_action.get(action)

    def message_row(self, message: type[Any]) -> MessageRow | NotExpressible | None:
        """Return the row for a message of the domain."""
        return self.rows_by_message.get(message)

    def with_rows(self, *rows: Row, **changes: Any) -> Dialect:
        """Return a neighbouring dialect: these rows replace those of the same key."""
        return replace(
            self.without_rows(*map(_row_key, rows)),
            **changes,
            rows=(*self.without_rows(*map(_row_key, rows)).rows, *rows),
        )

    def without_features(self, features: Collection[str]) -> Dialect:
        """Return the dialect without the feature profiles that a station does not offer."""
        refusals = [row for feature in features for row in self.feature_refusals.get(feature, ())]
        return self.with_rows(*refusals) if refusals else self

    def without_rows(self, *keys: Any) -> Dialect:
        """Return a neighbouring dialect without the rows of these actions (requests) or message
        classes."""
        return replace(self, rows=tuple(r for r in self.rows if _row_key(r) not in keys))


def _row_key(row: Row) -> Any:
    return row.action if isinstance(row, _AnyRequestRow) else row.message


def find_gaps(dialect: Dialect, messages: Iterable[type[Any]] = (*MESSAGES, *REPORTS, AuthorizeToken)) -> list[str]:
    """List the messages and requests that are neither translated nor excused; empty if the
    dialect is complete."""
    found = [f"{m.__name__}: neither a row nor a reason" for m in messages if dialect.message_row(m) is None]
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
