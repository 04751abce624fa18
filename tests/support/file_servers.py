"""File servers for uploads and downloads: pyftpdlib, paramiko, the standard library's. Certificates are made when
they are needed."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "chargy", "s3cr3t:@/"
QUOTED = "s3cr3t%3A%40%2F"


def certificate(folder: Path, name: str = "127.0.0.1") -> Path:
    """A self-signed one for this machine, with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    path.write_bytes(private + cert.public_bytes(pem))
    return path


@contextmanager
def ftp_server(root: Path, tls: Path | None = None, unknown: Collection[str] = ()) -> Iterator[int]:
    """Its port. ``tls``: only with AUTH TLS, for data too. ``unknown``: commands that it does not know."""
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user(USER, PASSWORD, str(root), perm="elradfmwMT")
    base: Any = FTPHandler if tls is None else TLS_FTPHandler
    more = {} if tls is None else {"certfile": str(tls), "tls_control_required": True, "tls_data_required": True}
    known = {name: about for name, about in base.proto_cmds.items() if name not in unknown}
    own = {"authorizer": authorizer, "auth_failed_timeout": 0.05, "proto_cmds": known}
    handler = type("Handler", (base,), own | more)
    loop = IOLoop()
    server = FTPServer(("127.0.0.1", 0), handler, ioloop=loop)
    port = int(server.socket.getsockname()[1])
    going = threading.Event()

    def run() -> None:
        while not going.is_set():
            loop.loop(timeout=0.02, blocking=False)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        going.set()
        thread.join(5)
        server.close_all()


@dataclass
class WebServer:
    """``files``: path -> content to fetch. ``got``: what was sent here, (method, path, content). ``puts``: whether PUT
    is known here. ``cut_at``: break off every answer after so many bytes, once. ``asked``: headers of each request.
    ``status``: answer that instead. ``moved``: path -> where it is now."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    puts: bool = True
    cut_at: int | None = None
    status: int | None = None
    moved: dict[str, str] = field(default_factory=dict)
    says_length: bool = True
    hold: threading.Event = field(default_factory=threading.Event)
    """Clear: every request waits for it."""

    def __post_init__(self) -> None:
        self.hold.set()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append({"path": handler.path, **{k.title(): v for k, v in handler.headers.items()}})
        self.hold.wait(20)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = handler.path.partition("?")[0]
        if path in self.moved:
            self._say(handler, 307, [("Location", self.moved[path])])
        elif self.status is not None:
            self._say(handler, self.status)
        elif handler.command == "GET":
            self._give(handler, path)
        elif handler.command == "PUT" and not self.puts:
            self._say(handler, 405)
        else:
            self.got.append((handler.command, handler.path, body))
            self._say(handler, 201)

    def _give(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        content = self.files.get(path)
        if content is None:
            self._say(handler, 404)
            return
        wanted = handler.headers.get("Range", "")
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        rest = content[begin:]
        self._say(handler, 206 if begin else 200, [("ETag", '"v1"')], rest)

    def _say(
        self,
        handler: BaseHTTPRequestHandler,
        code: int,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> None:
        handler.send_response(code)
        for name, value in headers or []:
            handler.send_header(name, value)
        if self.says_length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        cut, self.cut_at = self.cut_at, None
        handler.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def web_server(tls: Path | None = None) -> Iterator[WebServer]:
    web = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.answer(self)

        do_PUT = do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(tls))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.hold.set()
        server.shutdown()
        server.server_close()


@contextmanager
def sftp_server(root: Path) -> Iterator[tuple[int, str]]:
    """Port, and its line for a known hosts file. One client at a time."""
    import paramiko

    class Site(paramiko.ServerInterface):
        def check_auth_password(self, username: str, password: str) -> int:
            good = (username, password) == (USER, PASSWORD)
            return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED

    class Folder(paramiko.SFTPServerInterface):
        def _real(self, path: str) -> Path:
            return root / path.lstrip("/")

        def stat(self, path: str) -> Any:
            real = self._real(path)
            return paramiko.SFTPAttributes.from_stat(real.stat()) if real.exists() else paramiko.SFTP_NO_SUCH_FILE

        def open(self, path: str, flags: int, attr: Any) -> Any:
            import os

            handle = paramiko.SFTPHandle(flags)
            writing = flags & (os.O_WRONLY | os.O_RDWR)
            if not writing and not self._real(path).exists():
                return paramiko.SFTP_NO_SUCH_FILE
            file = self._real(path).open("wb" if writing else "rb")
            handle.readfile = handle.writefile = file  # type: ignore[attr-defined]
            handle.stat = lambda: self.stat(path)  # type: ignore[method-assign]
            return handle

    key = paramiko.ECDSAKey.generate()
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def run() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(client)
            transport.add_server_key(key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Folder)
            try:
                transport.start_server(server=Site())
            except (paramiko.SSHException, EOFError, OSError):
                pass  # the client did not like us, and may have reset the connection

    threading.Thread(target=run, daemon=True).start()
    try:
        yield port, f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}"
    finally:
        listener.close()
