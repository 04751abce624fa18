"""Small and large plain HTTP requests to the port of a backend, without charge point id and without secret. Their
answers show latency, clock and whether large packets pass, also beside a running agent."""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime

from agent.commands.doctor.examination import BackendExamination
from agent.commands.doctor.network_rungs import open_tcp
from agent.model.fastclass import frozen

PADDING_OCTETS = 3000
"""Two full packets of any network, and less than a header may have at usual servers."""
HEAD_OCTETS = 16 * 1024
HTTP = b"HTTP/"


@frozen
class PlainAnswer:
    """``seconds``: from the request to the first octet. ``utc_offset_s``: the server's clock minus ours, to a second.
    ``status`` 0: what came was no HTTP."""

    status: int = 0
    seconds: float = 0.0
    utc_offset_s: float | None = None


def request_text(method: str, host: str, padding: int = 0) -> bytes:
    """Return a request for the path "/", so that no server takes it for a charge point."""
    more = f"X-Padding: {'x' * padding}\r\n" if padding else ""
    name = f"[{host}]" if ":" in host else host
    return f"{method} / HTTP/1.1\r\nHost: {name}\r\n{more}Connection: close\r\n\r\n".encode()


async def read_answer_head(reader: asyncio.StreamReader) -> PlainAnswer:
    """Read the head of an answer. Raises ``OSError``, ``ValueError``, ``IncompleteReadError``."""
    began_s = time.monotonic()
    first = await reader.readexactly(1)
    seconds = time.monotonic() - began_s
    head = first
    while b"\r\n\r\n" not in head and len(head) < HEAD_OCTETS:
        more = await reader.read(4096)
        if not more:
            break
        head += more
        if len(head) >= len(HTTP) and not head.startswith(HTTP):
            break
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    status = int(words[1]) if lines[0].startswith("HTTP/") and len(words) > 1 and words[1].isdigit() else 0
    dates = (line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("date:"))
    return PlainAnswer(status, seconds, _offset_of(next(dates, "")))


def _offset_of(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


async def send_plain_request(exam: BackendExamination, padding: int = 0) -> PlainAnswer | None:
    """Send one request on a connection of its own, with verified TLS where the backend has TLS. None: no reaction.

    A server that closes the connection has got the request.
    """
    try:
        async with asyncio.timeout(exam.of.options.timeout_s):
            connection = await open_tcp(exam.address, exam.port, exam.of.interface)
            tls = {"ssl": exam.tls_context, "server_hostname": exam.server_name} if exam.tls_context else {}
            reader, writer = await asyncio.open_connection(sock=connection, **tls)
            try:
                began_s = time.monotonic()
                writer.write(request_text("GET", exam.server_name, padding))
                try:
                    return await read_answer_head(reader)
                except (ConnectionError, asyncio.IncompleteReadError, ValueError):
                    return PlainAnswer(seconds=time.monotonic() - began_s)
            finally:
                writer.transport.abort()
    except OSError:
        return None
