"""Transfer files by HTTP and HTTPS.

A file is fetched by GET with Range. It is sent by PUT, or by POST as a form if the server knows no PUT.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin

from agent.services.files.transfer.address import Address, parse_address
from agent.services.files.transfer.partial_file import PartialFile
from agent.services.files.transfer.progress import CHUNK, TransferControl, TransferFailed

REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_WORDS = {400: "BadMessage", 401: "PermissionDenied", 403: "PermissionDenied"}
_NO_PUT = (404, 405, 501)
_BOUNDARY = "chargy-agent-5b1f0c6e2d"


def fetch_file(address: Address, part: PartialFile, going: TransferControl) -> None:
    """Fetch a file. Raise ``TransferFailed`` if that fails."""
    headers = {"Range": f"bytes={part.have}-", "If-Range": part.tag} if part.have and part.tag else {}
    for _ in range(REDIRECTS):
        with _open_response(address, "GET", going, headers) as answer:
            if answer.status in _MOVED:
                address = _redirected_address(address, answer)
                continue
            if answer.status == 416:  # the part here is longer than the file there: begin again
                headers = {}
                continue
            if answer.status not in (200, 206):
                raise _refusal_error(address, answer)
            begin = part.have if answer.status == 206 else 0
            length = answer.getheader("Content-Length")
            whole = begin + int(length) if length and length.isdecimal() else None
            tag = answer.getheader("ETag") or answer.getheader("Last-Modified") or ""
            part.write_chunks(_response_chunks(answer), going, whole, begin, tag)
            return
    raise TransferFailed("UploadFailure", f"{address.shown_url}: redirected too often")


def _response_chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read(CHUNK):
        yield chunk


def send_file(address: Address, source: Path, going: TransferControl) -> None:
    """Send a file. Raise ``TransferFailed`` if that fails."""
    try:
        _send_body(address, source, going, "PUT")
    except TransferFailed as e:
        if e.status != "NotSupportedOperation":
            raise
        _send_body(address, source, going, "POST")


def _send_body(address: Address, source: Path, going: TransferControl, method: str) -> None:
    for _ in range(REDIRECTS):
        with source.open("rb") as file:
            body = _FormBody(file, source.name) if method == "POST" else _PlainBody(file)
            with _open_response(address, method, going, body.body_headers, body.body_chunks(going)) as answer:
                if answer.status in _MOVED and answer.status != 303:
                    address = _redirected_address(address, answer)
                    continue
                if not 200 <= answer.status < 300:
                    raise _refusal_error(address, answer, method == "PUT")
                return
    raise TransferFailed("UploadFailure", f"{address.shown_url}: redirected too often")


class _PlainBody:
    """The file itself as the body of a request."""

    type = "application/zip"

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size = file, os.fstat(file.fileno()).st_size

    @property
    def body_headers(self) -> dict[str, str]:
        return {"Content-Type": self.type, "Content-Length": str(self.size)}

    def body_chunks(self, going: TransferControl) -> Iterator[bytes]:
        while chunk := self._file.read(CHUNK):
            going.check_limits()
            yield chunk


class _FormBody(_PlainBody):
    """The file in a form: multipart/form-data (RFC 7578)."""

    type = f"multipart/form-data; boundary={_BOUNDARY}"

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(file)
        said = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {_PlainBody.type}'
        self._head = f"--{_BOUNDARY}\r\n{said}\r\n\r\n".encode()
        self._tail = f"\r\n--{_BOUNDARY}--\r\n".encode()
        self.size += len(self._head) + len(self._tail)

    def body_chunks(self, going: TransferControl) -> Iterator[bytes]:
        yield self._head
        yield from super().body_chunks(going)
        yield self._tail


@contextlib.contextmanager
def _open_response(
    address: Address,
    method: str,
    going: TransferControl,
    headers: Mapping[str, str],
    body: Iterator[bytes] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send one request and yield its answer. Raise ``TransferFailed`` if that fails."""
    context = going.context() if address.scheme == "https" else None
    connection = _new_connection(address, context)
    try:
        sock = connection.sock = going.open_connection(address.host, address.port)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            sock = connection.sock = context.wrap_socket(sock, server_hostname=address.host)
        going.set_hang_up(lambda: _shut_socket(sock))
        connection.request(
            method, address.request_target, body, {**headers, **_authorization_header(address), "Connection": "close"}
        )
        yield connection.getresponse()
    except (OSError, http.client.HTTPException) as e:
        going.check_limits()
        raise TransferFailed("UploadFailure", f"{address.shown_url}: {type(e).__name__}: {e}") from e
    finally:
        connection.close()


def _new_connection(address: Address, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if context is not None:
        return http.client.HTTPSConnection(address.host, address.port, context=context)
    return http.client.HTTPConnection(address.host, address.port)


def _shut_socket(sock: Any) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _authorization_header(address: Address) -> dict[str, str]:
    if address.secret is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(address.secret).encode()).decode("ascii")}


def _redirected_address(address: Address, answer: http.client.HTTPResponse) -> Address:
    """Return the address that the answer redirects to.

    The password goes along to another place on the same server, and to no other server. A redirection out of TLS is
    refused.
    """
    there = parse_address(
        urljoin(f"{address.scheme}://{address.host}:{address.port}{address.request_target}", _location_header(answer))
    )
    if address.scheme == "https" and there.scheme != "https":
        raise TransferFailed(
            "PermissionDenied", f"{address.shown_url}: leads out of TLS to {there.shown_url}: not followed"
        )
    if there.scheme not in ("http", "https"):
        raise TransferFailed("NotSupportedOperation", f"{address.shown_url}: leads to {there.shown_url}: not followed")
    same = (there.host, there.port) == (address.host, address.port)
    secret = there.secret or (address.secret if same else None)
    return Address(there.scheme, there.host, there.port, there.path, there.query, secret)


def _location_header(answer: http.client.HTTPResponse) -> str:
    return answer.getheader("Location") or ""


def _refusal_error(address: Address, answer: http.client.HTTPResponse, may_post: bool = False) -> TransferFailed:
    word = "NotSupportedOperation" if may_post and answer.status in _NO_PUT else _WORDS.get(answer.status)
    return TransferFailed(word or "UploadFailure", f"{address.shown_url}: answered {answer.status} {answer.reason}")
