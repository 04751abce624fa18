"""Name the problem behind an exception of the WebSocket handshake."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Any

from agent.ocpp.transport.connect_problems import UNKNOWN_PROBLEM, ConnectProblem, ProblemCode
from agent.ocpp.transport.transport import without_user_info

OF_STATUS = {401: ProblemCode.UNAUTHORIZED, 403: ProblemCode.FORBIDDEN, 404: ProblemCode.NOT_FOUND}
UPGRADE_REQUIRED = 426
BEFORE_HTTP: tuple[tuple[type[OSError], ProblemCode], ...] = (
    (ssl.SSLCertVerificationError, ProblemCode.CERTIFICATE),
    (ssl.SSLError, ProblemCode.TLS),
    (socket.gaierror, ProblemCode.NAME),
    (ConnectionRefusedError, ProblemCode.REFUSED),
)
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)
CHAIN_DEPTH = 8


def name_problem(error: BaseException) -> ConnectProblem:
    """Return the problem that this exception of ``websockets``, of TLS or of the socket stands for."""
    from websockets.exceptions import InvalidHandshake, InvalidMessage, NegotiationError

    chain = list(_causes(error))
    for cause in chain:
        response = getattr(cause, "response", None)
        if response is not None:
            return _problem_of_response(response)
    for kind, code in BEFORE_HTTP:
        if any(isinstance(cause, kind) for cause in chain):
            return ConnectProblem(code)
    if any(isinstance(cause, OSError) and cause.errno in UNREACHABLE for cause in chain):
        return ConnectProblem(ProblemCode.UNREACHABLE)
    if isinstance(error, NegotiationError):
        is_version = "subprotocol" in str(error)
        return ConnectProblem(ProblemCode.WRONG_SUBPROTOCOL) if is_version else UNKNOWN_PROBLEM
    if isinstance(error, InvalidMessage):
        is_end = any(isinstance(cause, EOFError | OSError) for cause in chain)
        return ConnectProblem(ProblemCode.CLOSED if is_end else ProblemCode.NOT_HTTP)
    if isinstance(error, InvalidHandshake):
        return ConnectProblem(ProblemCode.NOT_WEBSOCKET)
    if isinstance(error, TimeoutError):
        return ConnectProblem(ProblemCode.SILENT)
    return ConnectProblem(ProblemCode.CLOSED) if isinstance(error, ConnectionError) else UNKNOWN_PROBLEM


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(CHAIN_DEPTH):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _problem_of_response(response: Any) -> ConnectProblem:
    status = int(response.status_code)
    location = str(response.headers.get("Location", ""))
    code = OF_STATUS.get(status, ProblemCode.STATUS)
    if 300 <= status < 400 and location:
        shown = ascii(without_user_info(location).partition("?")[0])[1:-1][:120]
        return ConnectProblem(ProblemCode.REDIRECTED, status, shown)
    if 200 <= status < 300:
        kind = str(response.headers.get("Content-Type", "")).lower()
        code = ProblemCode.WEB_PAGE if "html" in kind else ProblemCode.NOT_WEBSOCKET
    elif status == UPGRADE_REQUIRED:
        code = ProblemCode.NOT_WEBSOCKET
    elif status >= 500:
        code = ProblemCode.SERVER_ERROR
    return ConnectProblem(code, status)
