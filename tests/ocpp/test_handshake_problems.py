"""The code of a failed handshake, by the exceptions that raced ends of a connection leave behind."""

from __future__ import annotations

import errno

import pytest
from websockets.exceptions import InvalidMessage

from agent.ocpp.transport.connect_problems import ProblemCode
from agent.ocpp.transport.ocpp_j.handshake_problems import name_problem


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
