"""Count what the links send and receive, by bearer and by action (decision 45).

A connection adds up its bytes, and charges them to an action when a message is complete: some additions for each
message. What TLS adds, and how many segments TCP has sent, the kernel knows (TCP_INFO): it is asked when the counts
are collected, and its answer is shared out among the messages since then. Each message is a record of TLS of its own,
so a share by messages is exact.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

from agent.model.traffic import CONNECTION, DEFAULT_BEARER, OTHER, PING, TrafficCount

COLLECT_S = 15.0
"""So long after the first uncounted message the counts are collected."""
ACTIONS_MOST = 100
"""So many different actions are counted by name. The names come from the tables of the dialects, or from a backend."""
NAME_MOST = 50
IPV4_BYTES, IPV6_BYTES, TCP_BYTES, TIMESTAMP_BYTES = 20, 40, 20, 12
"""Headers of a segment (RFC 791, 8200, 9293, 7323)."""
LAST_SEGMENTS = 3
"""FIN, its answer and the last acknowledgement."""
FAILED_TLS_BYTES, UNREACHED_BYTES = 4000, 180
"""Estimates of an attempt that brought no connection: a handshake with certificates that failed, or three SYN."""

_TCP_INFO = struct.Struct("=5xB114x2Q2I56xQ8x")
"""Of linux/tcp.h: options, bytes_acked, bytes_received, segs_out, segs_in, bytes_sent (Linux 4.19 and newer)."""
_TIMESTAMPS = 1
"""TCPI_OPT_TIMESTAMPS."""


class WireBytes:
    """The bytes of one WebSocket connection, without what TLS adds. Pings and pongs are in them, and counted apart."""

    __slots__ = ("control_frames", "control_received", "control_sent", "received", "sent")

    def __init__(self) -> None:
        self.sent = self.received = self.control_frames = self.control_sent = self.control_received = 0

    def count_control_frames(self, sent: int, received: int) -> None:
        """Count one frame, or a frame and its answer."""
        self.control_frames += (sent > 0) + (received > 0)
        self.control_sent += sent
        self.control_received += received


class TrafficRow:
    """What was charged to one action. ``unsettled``: messages that TLS and headers were not shared out to yet."""

    __slots__ = ("headers", "messages", "received", "sent", "unsettled")

    def __init__(self) -> None:
        self.messages = self.sent = self.received = self.headers = self.unsettled = 0

    def add_row(self, other: TrafficRow) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class TrafficCounter:
    """The counts of all links of a station. ``bearer``: the kind of bearer of a new connection. ``wake``: called some
    time after something was counted."""

    def __init__(
        self, bearer: Callable[[], str] = lambda: DEFAULT_BEARER, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._bearer, self._wake = bearer, wake
        self._rows: dict[str, dict[str, TrafficRow]] = {}
        self._connections: set[ConnectionTraffic] = set()
        self._timer: asyncio.TimerHandle | None = None

    def open_connection(self, wire: WireBytes, connection: Any) -> ConnectionTraffic:
        """Count a new connection: what it has taken until now is charged to its opening. ``connection``: its socket,
        if that is known."""
        traffic = ConnectionTraffic(self, self._rows_of_bearer(self._bearer()), wire, connection)
        self._connections.add(traffic)
        traffic.charge_message(CONNECTION)
        traffic.settle_connection()
        return traffic

    def close_connection(self, traffic: ConnectionTraffic) -> None:
        """Count the end of a connection, once."""
        if traffic in self._connections:
            traffic.charge_message(CONNECTION)
            traffic.settle_closed_connection()
            self._connections.remove(traffic)

    def count_failed_attempt(self, with_tls: bool) -> None:
        """Count an attempt that brought no connection. Its bytes are estimated."""
        row = self._rows_of_bearer(self._bearer()).setdefault(CONNECTION, TrafficRow())
        row.headers += FAILED_TLS_BYTES if with_tls else UNREACHED_BYTES
        self.schedule_collection()

    def collect_counts(self) -> tuple[TrafficCount, ...]:
        """Return what was counted since the last time, and begin again at zero."""
        for traffic in self._connections:
            traffic.settle_connection()
        if DEFAULT_BEARER in self._rows:
            self._assign_early_rows()
        counts = tuple(_nonzero_counts(self._rows))
        for rows in self._rows.values():
            rows.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return counts

    def _assign_early_rows(self) -> None:
        """Count for the bearer in use what was counted before there was one. The connection of then stays."""
        bearer = self._bearer()
        if bearer == DEFAULT_BEARER:
            return
        early, rows = self._rows.pop(DEFAULT_BEARER), self._rows_of_bearer(bearer)
        for action, row in early.items():
            rows.setdefault(action, TrafficRow()).add_row(row)
        for traffic in self._connections:
            traffic.replace_rows(early, rows)

    def schedule_collection(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(COLLECT_S, self._wake)

    def _rows_of_bearer(self, bearer: str) -> dict[str, TrafficRow]:
        return self._rows.setdefault(bearer, {})


def _nonzero_counts(rows_by_bearer: dict[str, dict[str, TrafficRow]]) -> Iterator[TrafficCount]:
    for bearer, rows in rows_by_bearer.items():
        for action, row in rows.items():
            if row.messages or row.sent or row.received or row.headers:
                yield TrafficCount(bearer, action, row.messages, row.sent, row.received, row.headers)


class ConnectionTraffic:
    """The bytes of one connection on their way to the rows of its bearer."""

    def __init__(self, counter: TrafficCounter, rows: dict[str, TrafficRow], wire: WireBytes, connection: Any) -> None:
        self._counter, self._rows, self._wire, self._connection = counter, rows, wire, connection
        self._sent = self._received = self._pings = self._pings_sent = self._pings_received = 0
        self._tls_sent = self._tls_received = self._segments = 0
        self._header_bytes = _header_bytes_of(connection)

    def replace_rows(self, before: dict[str, TrafficRow], rows: dict[str, TrafficRow]) -> None:
        """Charge to these rows from now on, if it was to the ones before."""
        if self._rows is before:
            self._rows = rows

    def charge_message(self, action: str) -> None:
        """Charge all that has passed since the last message to this action, but for the control frames."""
        wire = self._wire
        sent, received = wire.sent - wire.control_sent, wire.received - wire.control_received
        row = self._rows.get(action) or self._make_traffic_row(action)
        row.messages += 1
        row.unsettled += 1
        row.sent += sent - self._sent
        row.received += received - self._received
        self._sent, self._received = sent, received
        self._counter.schedule_collection()

    def _charge_pings(self) -> None:
        frames = self._wire.control_frames - self._pings
        if not frames:
            return
        row = self._rows.get(PING) or self._make_traffic_row(PING)
        row.messages += frames
        row.unsettled += frames
        row.sent += self._wire.control_sent - self._pings_sent
        row.received += self._wire.control_received - self._pings_received
        self._pings = self._wire.control_frames
        self._pings_sent, self._pings_received = self._wire.control_sent, self._wire.control_received

    def _make_traffic_row(self, action: str) -> TrafficRow:
        if action not in (CONNECTION, PING) and (len(self._rows) >= ACTIONS_MOST or not _is_plain_name(action)):
            action = OTHER
        return self._rows.setdefault(action, TrafficRow())

    def settle_closed_connection(self) -> None:
        """Settle a connection whose socket is closed by now: the segments since the last time are estimated too."""
        self._charge_pings()
        owed = [row for row in self._rows.values() if row.unsettled]
        segments = LAST_SEGMENTS + sum(row.unsettled for row in owed) * 3 // 2  # an exchange of two takes three
        _share_out(owed, 0, 0, segments * self._header_bytes)

    def settle_connection(self) -> None:
        """Charge the control frames, and share out what TLS and the headers have added since the last time."""
        self._charge_pings()
        seen = _read_tcp_info(self._connection)
        owed = [row for row in self._rows.values() if row.unsettled]
        if seen is None or not owed:
            return
        sent, received, segments = seen
        tls_sent = max(0, sent - self._wire.sent - self._tls_sent)
        tls_received = max(0, received - self._wire.received - self._tls_received)
        headers = max(0, segments - self._segments) * self._header_bytes
        _share_out(owed, tls_sent, tls_received, headers)
        self._tls_sent += tls_sent
        self._tls_received += tls_received
        self._segments = max(segments, self._segments)


def _share_out(rows: list[TrafficRow], sent: int, received: int, headers: int) -> None:
    """Give each row its share by its messages, and the last one what is left."""
    left = sum(row.unsettled for row in rows)
    for row in rows:
        shares = [amount * row.unsettled // left for amount in (sent, received, headers)]
        row.sent += shares[0]
        row.received += shares[1]
        row.headers += shares[2]
        sent, received, headers = sent - shares[0], received - shares[1], headers - shares[2]
        left -= row.unsettled
        row.unsettled = 0


def _is_plain_name(action: str) -> bool:
    return 0 < len(action) <= NAME_MOST and action.isascii() and action.isalnum()


def _header_bytes_of(connection: Any) -> int:
    """Return the bytes of the IP and TCP headers of a segment."""
    raw = _raw_tcp_info(connection)
    if not raw:
        return 0
    has_timestamps = raw[5] & _TIMESTAMPS
    ip_bytes = IPV6_BYTES if connection.family == socket.AF_INET6 else IPV4_BYTES
    return ip_bytes + TCP_BYTES + (TIMESTAMP_BYTES if has_timestamps else 0)


def _read_tcp_info(connection: Any) -> tuple[int, int, int] | None:
    """Return bytes sent (again and again, if need be), bytes received, and segments both ways."""
    raw = _raw_tcp_info(connection)
    if len(raw) < _TCP_INFO.size:  # another kernel: TLS and headers are not counted
        return None
    _, _, received, segments_out, segments_in, sent = _TCP_INFO.unpack_from(raw)
    return sent, received, segments_out + segments_in


def _raw_tcp_info(connection: Any) -> bytes:
    if connection is None:
        return b""
    try:
        return bytes(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256))
    except OSError:  # closed, or no TCP
        return b""
