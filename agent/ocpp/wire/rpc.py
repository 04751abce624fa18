"""The OCPP-J RPC framework (OCPP 1.6 JSON specification 4; 2.x part 4), sans-I/O: text in, findings
(``calls.py``) out.

Nothing here raises for anything that the other side may send. An answer is reported as one as
long as its CALL is remembered, however late it comes. A CALL that is repeated on the same
connection gets the same text again and is never executed twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from enum import IntEnum
from typing import Any

from agent.model import json_limits
from agent.model.fastclass import mutable
from agent.model.newest_kept import remember_newest
from agent.ocpp.wire.calls import (
    SENT_KEPT,
    UNREADABLE,
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
from agent.ocpp.wire.text import is_whole, replace_surrogates

ID_MAX = 36
ID_READABLE = 255
"""Characters of a message id that is still answered, if only with an error."""
ANSWERS_KEPT = 32


class Kind(IntEnum):
    """MessageTypeId. CALLRESULTERROR and SEND exist since 2.1 only."""

    CALL = 2
    CALLRESULT = 3
    CALLERROR = 4
    CALLRESULTERROR = 5
    SEND = 6


PLAIN = frozenset({Kind.CALL, Kind.CALLRESULT, Kind.CALLERROR})


def _reject_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def _parse_integer(text: str) -> int:
    if len(text) > json_limits.DIGITS_MAX:
        raise ValueError("too large for a number")
    return int(text)


def _parse_finite_float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("too large for a number")  # it could not be encoded again
    return value


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_int=_parse_integer, parse_float=_parse_finite_float)
"""Made once: ``dumps`` and ``loads`` with options make one for every frame."""


def encode_frame(frame: list[Any]) -> str:
    """Encode a frame, compact and pure ASCII, so that no text at all can fail on its way to the
    socket."""
    return _ENCODER.encode(frame)


@mutable
class Rpc:
    """State of the framework. It outlives a connection: ``connection_opened`` is called when a
    new one begins."""

    codes: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[Kind] = PLAIN
    dropped: int = 0
    _sent_actions: dict[str, str] = field(default_factory=dict)
    _responses: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """Id of a CALL of the other side -> a hash of its text, and the response."""

    # --- our CALLs -----------------------------------------------------------------------------------------------

    def encode_call(self, id_: str, action: str, payload: Mapping[str, Any]) -> str:
        """Encode a CALL. Raises ``ValueError`` or ``TypeError`` for what is not JSON."""
        if not 0 < len(id_) <= ID_MAX:
            raise ValueError(f"message id {id_!r} must have 1 to {ID_MAX} characters")
        text = encode_frame([Kind.CALL, id_, action, payload])
        remember_newest(self._sent_actions, id_, action, SENT_KEPT)
        return text

    def encode_unanswered(self, id_: str, action: str, payload: Mapping[str, Any]) -> str:
        """Encode a SEND. Raises ``ValueError`` or ``TypeError`` for what is not JSON."""
        return encode_frame([Kind.SEND, id_, action, payload])

    def encode_answer_error(self, error: AnswerError) -> str:
        """Encode a CALLRESULTERROR."""
        code = self.codes.get(error.code, error.code)
        return encode_frame([Kind.CALLRESULTERROR, error.id, code, error.description[:255], {}])

    def connection_opened(self) -> None:
        """Start with a new connection: the message ids of the other side start again."""
        self._responses.clear()

    # --- their CALLs ---------------------------------------------------------------------------------------------

    def encode_response(self, response: CallResult | CallError) -> str:
        """Encode our response. Raises ``ValueError`` or ``TypeError`` for what is not JSON."""
        if isinstance(response, CallError):
            return self.encode_error(response.id, response.code, response.description)
        return self.encode_result(response.id, response.payload)

    def encode_result(self, id_: str, payload: Mapping[str, Any]) -> str:
        """Encode a CALLRESULT."""
        return self._keep_answer(id_, encode_frame([Kind.CALLRESULT, id_, payload]))

    def encode_error(self, id_: str, code: str, description: str = "") -> str:
        """Encode a CALLERROR; ``code`` is a neutral name of ``Code``."""
        frame = [Kind.CALLERROR, id_, self.codes.get(code, code), description[:255], {}]
        return self._keep_answer(id_, encode_frame(frame))

    def _keep_answer(self, id_: str, text: str) -> str:
        if id_ in self._responses:
            self._responses[id_] = (self._responses[id_][0], text)
        return text

    def receive_frame(self, data: str | bytes) -> Finding:
        """Return what a frame means. Never raises."""
        if not isinstance(data, str):
            return self._drop_frame("binary frame")
        if (why := json_limits.why_excessive(data)) is not None:
            return self._classify_unreadable(data, why)
        try:
            frame = _DECODER.decode(data)
        except json.JSONDecodeError:
            return self._drop_frame("not JSON")
        except ValueError:  # JSON has no greatest number, but this station does
            return self._classify_unreadable(data, "a number that is too large")
        return self._classify_frame(frame, data) if isinstance(frame, list) else self._drop_frame("not a JSON array")

    def _classify_frame(self, frame: list[Any], text: str) -> Finding:
        kind = frame[0] if frame else None
        if type(kind) is not int or kind not in self.kinds:
            return self._drop_frame("unknown message type")
        id_ = frame[1] if len(frame) > 1 else None
        if not isinstance(id_, str) or not id_ or len(id_) > ID_READABLE:
            return self._drop_frame("no readable message id")
        if kind == Kind.CALL:
            return self._find_repetition(id_, text) or self._read_call(id_, frame, text)
        if kind in (Kind.CALLRESULT, Kind.CALLERROR):
            return self._read_response(Kind(kind), id_, frame, text)
        if kind == Kind.CALLRESULTERROR:
            return self._drop_frame(f"our response {ascii(id_)[:40]} cannot be used there: {ascii(frame[2:4])[:120]}")
        return self._drop_frame(f"a SEND, of which no station takes any: {ascii(frame[2:3])[:60]}")

    def _classify_unreadable(self, text: str, why: str) -> Finding:
        """Classify a frame that is too large to parse, by its head only: a CALL gets its
        response, and an answer counts as come."""
        kind, id_ = json_limits.frame_head(text) or (0, "")
        if kind == Kind.CALL and 0 < len(id_) <= ID_READABLE:
            return self._find_repetition(id_, text) or SendNow(self.encode_error(id_, Code.FORMAT, why))
        action = self._sent_actions.get(id_)
        if kind not in (Kind.CALLRESULT, Kind.CALLERROR) or action is None:
            return self._drop_frame(why)
        return Errored(id_, action, UNREADABLE, why)

    def _drop_frame(self, why: str) -> Dropped:
        self.dropped += 1
        return Dropped(why)

    def _find_repetition(self, id_: str, text: str) -> Finding | None:
        """Return the response to a CALL that came before; None if it is new. A new one is
        remembered."""
        known, fingerprint = self._responses.get(id_), hash(text)
        if known is not None and known[0] == fingerprint:
            return SendNow(known[1]) if known[1] is not None else self._drop_frame("repeated while being worked on")
        remember_newest(self._responses, id_, (fingerprint, None), ANSWERS_KEPT)
        return None

    def _read_call(self, id_: str, frame: list[Any], text: str) -> Finding:
        if len(id_) > ID_MAX:
            return SendNow(self.encode_error(id_, Code.FORMAT, f"a message id must have at most {ID_MAX} characters"))
        if not is_whole(frame, text):
            return SendNow(self.encode_error(id_, Code.FORMAT, "invalid character: a surrogate without its other half"))
        if len(frame) == 3:
            frame = [*frame, None]
        if len(frame) != 4 or not isinstance(frame[2], str):
            return SendNow(self.encode_error(id_, Code.FORMAT, "a CALL is [2, id, action, payload]"))
        payload = {} if frame[3] is None else frame[3]  # some senders write null for no fields
        if not isinstance(payload, dict):
            return SendNow(self.encode_error(id_, Code.FORMAT, "the payload must be an object"))
        return Called(id_, frame[2], payload)

    def _read_response(self, kind: Kind, id_: str, frame: list[Any], text: str) -> Finding:
        """Read an answer. An invalid character becomes a question mark: a transaction id is not
        thrown away for it."""
        action = self._sent_actions.get(id_)
        if action is None:
            return self._drop_frame("answer to a message id that was never sent")
        if not is_whole(frame, text):
            frame = replace_surrogates(frame)
        if kind is Kind.CALLERROR:
            words = [f if isinstance(f, str) else "" for f in (*frame[2:4], "", "")]
            return Errored(id_, action, words[0], words[1])
        payload = frame[2] if len(frame) == 3 else None
        if len(frame) in (2, 3) and payload is None:
            payload = {}
        if not isinstance(payload, dict):
            return Errored(id_, action, UNREADABLE, "a CALLRESULT is [3, id, payload]")
        return Answered(id_, action, payload)
