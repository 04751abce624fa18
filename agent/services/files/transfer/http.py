"""HTTP and HTTPS: GET with Range, PUT, and POST as a form where a server knows no PUT."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin

from agent.services.files.transfer.address import Address, parse
from agent.services.files.transfer.partial_file import Part
from agent.services.files.transfer.progress import CHUNK, Failed, Going

REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_WORDS = {400: "BadMessage", 401: "PermissionDenied", 403: "PermissionDenied"}
_NO_PUT = (404, 405, 501)
_BOUNDARY = "chargy-agent-5b1f0c6e2d"


def fetch(address: Address, part: Part, going: Going) -> None:
    """Raises ``Failed``."""
    headers = {"Range": f"bytes={part.have}-", "If-Range": part.tag} if part.have and part.tag else {}
    for _ in range(REDIRECTS):
        with _asked(address, "GET", going, headers) as answer:
            if answer.status in _MOVED:
                address = _moved(address, answer)
                continue
            if answer.status == 416:  # what is here is longer than what is there: from the beginning
                headers = {}
                continue
            if answer.status not in (200, 206):
                raise _refused(address, answer)
            begin = part.have if answer.status == 206 else 0
            length = answer.getheader("Content-Length")
            whole = begin + int(length) if length and length.isdecimal() else None
            tag = answer.getheader("ETag") or answer.getheader("Last-Modified") or ""
            part.write(_chunks(answer), going, whole, begin, tag)
            return
    raise Failed("UploadFailure", f"{address.shown}: redirected too often")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk


def send(address: Address, source: Path, going: Going) -> None:
    """Raises ``Failed``."""
    try:
        _send(address, source, going, "PUT")
    except Failed as e:
        if e.status != "NotSupportedOperation":
            raise
        _send(address, source, going, "POST")


def _send(address: Address, source: Path, going: Going, method: str) -> None:
    for _ in range(REDIRECTS):
        with source.open("rb") as file:
            body = _Form(file, source.name) if method == "POST" else _Plain(file)
            with _asked(address, method, going, body.headers, body.chunks(going)) as answer:
                if answer.status in _MOVED and answer.status != 303:
                    address = _moved(address, answer)
                    continue
                if not 200 <= answer.status < 300:
                    raise _refused(address, answer, method == "PUT")
                return
    raise Failed("UploadFailure", f"{address.shown}: redirected too often")


class _Plain:
    type = "application/zip"

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size = file, os.fstat(file.fileno()).st_size

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": self.type, "Content-Length": str(self.size)}

    def chunks(self, going: Going) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK):
            going.check()
            yield chunk


class _Form(_Plain):
    """multipart/form-data (RFC 7578) with one file."""

    type = f"multipart/form-data; boundary={_BOUNDARY}"

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(file)
        said = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {_Plain.type}'
        self._head = f"--{_BOUNDARY}\r\n{said}\r\n\r\n".encode()
        self._tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self.size += len(self._head) + len(self._tail)

    def chunks(self, going: Going) -> Iterator[bytes]:
        yield self._head
        yield from super().chunks(going)
        yield self._tail


@contextlib.contextmanager
def _asked(
    address: Address, method: str, going: Going, headers: Mapping[str, str], body: Iterator[bytes] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """One request and its answer. Raises ``Failed``."""
    connection = _connection(address, going)
    try:
        connection.connect()
        sock = connection.sock
        going.connected(lambda: _shut(sock))
        connection.request(method, address.target, body, {**headers, **_secret(address), "Connection": "close"})
        yield connection.getresponse()
    except (OSError, http.client.HTTPException) as e:
        going.check()
        raise Failed("UploadFailure", f"{address.shown}: {type(e).__name__}: {e}") from e
    finally:
        connection.close()


def _connection(address: Address, going: Going) -> http.client.HTTPConnection:
    if address.scheme == "https":
        return http.client.HTTPSConnection(address.host, address.port, timeout=going.silence_s, context=going.context())
    return http.client.HTTPConnection(address.host, address.port, timeout=going.silence_s)


def _shut(sock: Any) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _secret(address: Address) -> dict[str, str]:
    if address.secret is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(address.secret).encode()).decode("ascii")}


def _moved(address: Address, answer: http.client.HTTPResponse) -> Address:
    """Elsewhere on the same server the password goes along; to another one it does not, and never out of TLS."""
    there = parse(urljoin(f"{address.scheme}://{address.host}:{address.port}{address.target}", _where(answer)))
    if address.scheme == "https" and there.scheme != "https":
        raise Failed("PermissionDenied", f"{address.shown}: leads out of TLS to {there.shown}: not followed")
    if there.scheme not in ("http", "https"):
        raise Failed("NotSupportedOperation", f"{address.shown}: leads to {there.shown}: not followed")
    same = (there.host, there.port) == (address.host, address.port)
    secret = there.secret or (address.secret if same else None)
    return Address(there.scheme, there.host, there.port, there.path, there.query, secret)


def _where(answer: http.client.HTTPResponse) -> str:
    return answer.getheader("Location") or ""


def _refused(address: Address, answer: http.client.HTTPResponse, may_post: bool = False) -> Failed:
    word = "NotSupportedOperation" if may_post and answer.status in _NO_PUT else _WORDS.get(answer.status)
    return Failed(word or "UploadFailure", f"{address.shown}: answered {answer.status} {answer.reason}")
