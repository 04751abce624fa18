"""Far ends for the doctor: backends that do one thing wrong each, on real sockets, with certificates of the moment."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve

from tests.support.certificate_authorities import LOCAL, Authority, _alternatives, pem
from tests.support.tls_terminator import TlsFront

Answer = Callable[[ServerConnection, str], Awaitable[None]]
Respond = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
DAY_S = 86400.0


def now_text(offset_s: float = 0.0) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_answer(status: str = "Accepted", offset_s: float = 0.0) -> Answer:
    """Answers a BootNotification well, with this status and clock."""

    async def answer(ws: ServerConnection, id_: str) -> None:
        await ws.send(json.dumps([3, id_, {"status": status, "currentTime": now_text(offset_s), "interval": 300}]))

    return answer


class Backend:
    """A central system that knows BootNotification. ``seen``: the actions and paths that came."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[str] = []

    async def serve_station(self, ws: ServerConnection) -> None:
        self.seen.append(ws.request.path if ws.request is not None else "")
        async for text in ws:
            _, id_, action, *_ = json.loads(text)
            self.seen.append(action)
            await self.answer(ws, id_)


@asynccontextmanager
async def backend(answer: Answer | None = None, **options: Any) -> AsyncIterator[tuple[int, Backend]]:
    """The port, and what came. ``options``: of ``serve``."""
    made = Backend(answer or boot_answer())
    given = {"subprotocols": ["ocpp1.6"], "ping_interval": None, **options}
    async with serve(made.serve_station, "127.0.0.1", 0, **given) as server:
        yield next(iter(server.sockets)).getsockname()[1], made


@asynccontextmanager
async def raw_server(respond: Respond) -> AsyncIterator[int]:
    """A server that reads a request and does with the connection what it wants."""

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            await respond(head + await reader.readexactly(int(length[1]) if length else 0), writer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0, limit=1 << 20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def is_upgrade(head: bytes) -> bool:
    return b"upgrade: websocket" in head.lower()


def plain_answer(offset_s: float = 0.0) -> bytes:
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=offset_s), usegmt=True)
    return f"HTTP/1.1 426 Upgrade Required\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()


def http(status: str, *headers: str, body: str = "") -> Respond:
    """Answers the upgrade with this status, and everything else as a usual server."""

    async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", body]
        writer.write("\r\n".join(lines).encode() if is_upgrade(head) else plain_answer())
        await writer.drain()

    return respond


def upgrade(act: Respond) -> Respond:
    """Does this at the upgrade, and answers everything else as a usual server."""

    async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        if is_upgrade(head):
            await act(head, writer)
        else:
            writer.write(plain_answer())
            await writer.drain()

    return respond


SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP_OF_15 = "urn://Ocpp/Cs/2012/06/"


def soap_text(body: str) -> str:
    return f'<e:Envelope xmlns:e="{SOAP_12}" xmlns:o="{SOAP_OF_15}"><e:Body>{body}</e:Body></e:Envelope>'


def fault_text(code: str, subcode: str = "", reason: str = "no") -> str:
    inner = f"<e:Subcode><e:Value>o:{subcode}</e:Value></e:Subcode>" if subcode else ""
    return soap_text(
        f"<e:Fault><e:Code><e:Value>e:{code}</e:Value>{inner}</e:Code>"
        f"<e:Reason><e:Text>{reason}</e:Text></e:Reason></e:Fault>"
    )


def post_answer(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", body]
    return "\r\n".join(lines).encode()


def over_soap(act: Respond) -> Respond:
    """Does this at a POST, and answers everything else as a usual server."""

    async def respond(request: bytes, writer: asyncio.StreamWriter) -> None:
        if request.startswith(b"POST "):
            await act(request, writer)
        else:
            writer.write(plain_answer())
        await writer.drain()

    return respond


def soap_backend(seen: list[str]) -> Respond:
    """A backend of OCPP 1.5. ``seen``: the elements that came; what is of another version gets a fault."""

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        name = re.search(r"<o:(\w+)Request", request.decode())
        seen.append(name[1] if name and SOAP_OF_15 in request.decode() else "?")
        now = f"<o:currentTime>{now_text()}</o:currentTime>"
        known = {
            "heartbeat": now,
            "bootNotification": f"<o:status>Accepted</o:status>{now}<o:heartbeatInterval>300</o:heartbeatInterval>",
        }
        if seen[-1] not in known:
            writer.write(post_answer("400 Bad Request", fault_text("Sender")))
            return
        body = f"<o:{seen[-1]}Response>{known[seen[-1]]}</o:{seen[-1]}Response>"
        writer.write(post_answer("200 OK", soap_text(body)))

    return over_soap(answer)


async def stay_silent(head: bytes, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def close_at_once(head: bytes, writer: asyncio.StreamWriter) -> None:
    return


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until its end."""
    with contextlib.suppress(OSError):
        while data := await reader.read(4096):
            writer.write(data)
    writer.close()


def say(text: bytes) -> Respond:
    async def respond(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return respond


@contextmanager
def talker(act: Callable[[socket.socket], None]) -> Iterator[int]:
    """A listening port that does this with each connection at once, whatever it is sent."""
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    kept: list[socket.socket] = []

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                kept.append(client)
                with contextlib.suppress(OSError):
                    act(client)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        for one in (listener, *kept):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def swallowing_port() -> Iterator[int]:
    """A port that drops the packets of new connections: its queue is full, and no program takes from it."""
    with contextlib.ExitStack() as kept:
        listener = kept.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = kept.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@contextmanager
def closed_port() -> Iterator[int]:
    """A port on which nothing listens, and that no other process gets."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


# --- TLS -------------------------------------------------------------------------------------------------------------


def server_file(
    signer: Authority,
    folder: Path,
    hosts: tuple[str, ...] = LOCAL,
    span: tuple[float, float] = (-100, 100),
    chain: Sequence[Authority] = (),
) -> Path:
    """Certificate, the chain that the server sends with it, and its key in one file; ``span`` in days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    made = signer.certify(subject, key.public_key(), span, _alternatives(hosts))  # type: ignore[arg-type]
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / f"server-{len(list(folder.iterdir()))}.pem"
    path.write_bytes("".join([pem(made), *(one.pem for one in chain)]).encode() + secret)
    return path


@contextmanager
def tls_front(port: int, context: Any) -> Iterator[int]:
    front = TlsFront(port, context)
    try:
        yield front.port
    finally:
        front.close()
