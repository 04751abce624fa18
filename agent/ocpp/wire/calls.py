"""What a transport carries, in no wire's words: requests, answers, refusals and their error codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from agent.model.fastclass import frozen

SENT_KEPT = 64
"""How many own message ids are remembered for late answers."""


class Code:
    """Neutral names of the error codes; ``Dialect.codes`` has the spelling of the version."""

    NOT_IMPLEMENTED = "NotImplemented"
    NOT_SUPPORTED = "NotSupported"
    INTERNAL = "InternalError"
    PROTOCOL = "ProtocolError"
    SECURITY = "SecurityError"
    FORMAT = "FormatViolation"
    PROPERTY = "PropertyConstraintViolation"
    OCCURRENCE = "OccurrenceConstraintViolation"
    TYPE = "TypeConstraintViolation"
    GENERIC = "GenericError"


UNREADABLE = "Unreadable"
"""Our own code for an answer that cannot be read."""
NOT_OFFERED = frozenset({Code.NOT_IMPLEMENTED, Code.NOT_SUPPORTED, "MessageTypeNotSupported"})
"""Error codes about the action as such: trying again is no use, whatever the payload."""

CODE_OF_RULE: Mapping[str, str] = {
    "type": Code.TYPE,
    "required": Code.OCCURRENCE,
    "minItems": Code.OCCURRENCE,
    "maxItems": Code.OCCURRENCE,
    "additionalProperties": Code.FORMAT,
}
"""The error code for each broken schema keyword; everything else is a
PropertyConstraintViolation."""


@frozen
class Called:
    """A request of the other side; a ``CallResult`` or a ``CallError`` follows."""

    id: str
    action: str
    payload: dict[str, Any]


@frozen
class Answered:
    """The answer to our CALL ``id``."""

    id: str
    action: str
    payload: dict[str, Any]


@frozen
class Errored:
    """A CALLERROR to our CALL, or an answer that cannot be read (``code`` ``UNREADABLE``)."""

    id: str
    action: str
    code: str
    description: str = ""


@frozen
class Unprocessed:
    """The exchange of our CALL ``id`` is over, and what came is no answer of OCPP: an error page, or the fault of a
    gateway. The message is neither taken nor refused. ``why`` is a part of a line for the log; ``status``: of HTTP;
    ``is_fault``: a fault of SOAP came; ``is_received`` False: the backend cannot have the message, for a reason that is
    not in it, and the connection is over."""

    id: str
    action: str
    why: str
    status: int = 0
    is_fault: bool = False
    is_received: bool = True


@frozen
class SendNow:
    """An answer that the transport has ready. It is given back to the transport in its turn."""

    text: str


@frozen
class Dropped:
    """A frame without a use; ``why`` is one line for the log."""

    why: str


Finding: TypeAlias = Called | Answered | Errored | Unprocessed | SendNow | Dropped


@frozen
class CallResult:
    """Our answer to the request ``id``."""

    id: str
    payload: Mapping[str, Any]


@frozen
class AnswerError:
    """Our report that the answer to our CALL ``id`` cannot be used (CALLRESULTERROR of 2.1); ``code`` is a neutral
    name of ``Code``."""

    id: str
    code: str
    description: str = ""


@frozen
class CallError:
    """Our refusal of the request ``id``; ``code`` is a neutral name of ``Code``."""

    id: str
    code: str
    description: str = ""
