"""The code of a failed handshake, by the exceptions that raced ends of a connection leave behind."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from websockets.exceptions import InvalidMessage

from agent.ocpp.transport.connect_problems import ProblemCode
from agent.ocpp.transport.ocpp_j.handshake_problems import name_problem


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (socket.gaierror(socket.EAI_NONAME, "not known"), ProblemCode.NAME),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), ProblemCode.REFUSED),
        (OSError(errno.EHOSTUNREACH, "no route to host"), ProblemCode.UNREACHABLE),
        (OSError(errno.ENETUNREACH, "network is unreachable"), ProblemCode.UNREACHABLE),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), ProblemCode.CERTIFICATE),
        (ssl.SSLError(1, "wrong version number"), ProblemCode.TLS),
        (TimeoutError(), ProblemCode.SILENT),
    ],
)
def test_what_fails_before_http_names_its_step(error: Exception, code: ProblemCode) -> None:
    assert name_problem(error).code is code
    outer = OSError("all addresses have failed")
    outer.__cause__ = error
    assert isinstance(error, TimeoutError) or name_problem(outer).code is code


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (EOFError("connection closed"), ProblemCode.CLOSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), ProblemCode.CLOSED),
        (OSError(errno.ENOTCONN, "Transport endpoint is not connected"), ProblemCode.CLOSED),
        (ValueError("unsupported protocol"), ProblemCode.NOT_HTTP),
    ],
)
def test_an_end_before_the_answer_is_no_other_protocol(cause: Exception, code: ProblemCode) -> None:
    """The end of the connection may be seen as a reset, or as a socket that is not connected any more."""
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = cause
    assert name_problem(error).code is code
