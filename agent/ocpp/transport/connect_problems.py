"""What a failed attempt to connect has shown, as a code: ``doctor`` needs more than a line of text."""

from __future__ import annotations

from agent.model.fastclass import frozen
from agent.model.string_enum import StrEnum


class ProblemCode(StrEnum):
    """``OTHER``: nothing more is known. Before an HTTP answer was due have failed: the name (``NAME``), TCP
    (``REFUSED``, ``UNREACHABLE``), TLS (``CERTIFICATE`` of the backend, ``TLS``), or one of these (``EARLIER``, as an
    older agent reports it). ``OWN_PORT``: the station cannot listen for what a backend sends over SOAP."""

    OTHER = "other"
    EARLIER = "earlier"
    NAME = "name"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CERTIFICATE = "certificate"
    TLS = "TLS"
    SILENT = "silent"
    CLOSED = "closed"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    REDIRECTED = "redirected"
    WEB_PAGE = "web page"
    SERVER_ERROR = "server error"
    STATUS = "status"
    NOT_HTTP = "not HTTP"
    NOT_WEBSOCKET = "not a WebSocket"
    NO_SUBPROTOCOL = "no subprotocol"
    WRONG_SUBPROTOCOL = "wrong subprotocol"
    OWN_PORT = "own port"


VERSION_REFUSED = "version is refused"
"""Part of the reason why a connection has ended, where the next one is tried in another version."""


@frozen
class ConnectProblem:
    """``status``: of HTTP, 0 without an answer. ``location``: where a redirection points to, without user and query."""

    code: ProblemCode = ProblemCode.OTHER
    status: int = 0
    location: str = ""


UNKNOWN_PROBLEM = ConnectProblem()
