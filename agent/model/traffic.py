"""What was sent and received over a bearer, as the transport counts it and the data budget keeps it."""

from __future__ import annotations

from agent.model.fastclass import frozen

DEFAULT_BEARER = "default"
"""The kind of bearer of a station without ``[[bearer]]``: the routes of the kernel decide."""
CONNECTION, PING, OTHER = "connection", "ping", "other"
"""What is counted beside the actions of OCPP: opening and closing a connection with TLS; pings and pongs; frames that
are no known message."""


@frozen
class TrafficCount:
    """What one action has taken over one kind of bearer since the last report."""

    bearer: str
    action: str
    messages: int = 0
    """Requests and answers."""
    sent_bytes: int = 0
    received_bytes: int = 0
    """At the socket, TLS included."""
    header_bytes: int = 0
    """Of IP and TCP, both ways: estimated by the number of segments."""
