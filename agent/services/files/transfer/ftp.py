"""Transfer files by FTP and FTPS.

FTPS uses AUTH TLS (RFC 4217). If the port is 990, it uses TLS from the first byte.
"""

from __future__ import annotations

import contextlib
import ftplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.services.files.transfer.address import Address
from agent.services.files.transfer.partial_file import PartialFile
from agent.services.files.transfer.progress import CHUNK, TransferControl, TransferFailed

IMPLICIT = 990
_DENIED = ("530", "532", "550", "553")


class _Client(ftplib.FTP):
    """A client whose connections are opened by the transfer. Those of data are passive."""

    def open_control_connection(self, address: Address, going: TransferControl) -> None:
        """Connect, and read the greeting."""
        self._going, self.host = going, address.host
        self.sock = self._first_socket(going.open_connection(address.host, address.port))
        self.af = self.sock.family
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()

    def _first_socket(self, plain: socket.socket) -> socket.socket:
        return plain

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        data = self._going.open_connection(*self.makepasv())
        try:
            if rest is not None:
                self.sendcmd(f"REST {rest}")
            reply = self.sendcmd(cmd)
            if reply.startswith("2"):  # of some servers, before the one that is due
                reply = self.getresp()
            if not reply.startswith("1"):
                raise ftplib.error_reply(reply)
        except BaseException:
            data.close()
            raise
        return data, None


class _Tls(_Client, ftplib.FTP_TLS):
    """A client whose data connections resume the TLS session of the control connection: many servers demand that."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        conn, size = super().ntransfercmd(cmd, rest)
        if getattr(self, "_prot_p", False):
            session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
        return conn, size


class _Implicit(_Tls):
    def _first_socket(self, plain: socket.socket) -> socket.socket:
        return self.context.wrap_socket(plain, server_hostname=self.host)


def fetch_file(address: Address, part: PartialFile, going: TransferControl) -> None:
    """Fetch a file. Raise ``TransferFailed`` if that fails.

    The transfer goes on where an earlier attempt broke off if the file still has the same length and time.
    """
    with _open_session(address, going) as ftp:
        ftp.voidcmd("TYPE I")
        size, tag = _size_and_tag(ftp, address.file_path)
        begin = part.have if tag and tag == part.tag and size is not None and part.have <= size else 0
        data, begin = _open_data(ftp, f"RETR {address.file_path}", begin)
        try:
            part.write_chunks(iter(lambda: data.recv(CHUNK), b""), going, size, begin, tag)
        finally:
            data.close()
        ftp.voidresp()


def _open_data(ftp: ftplib.FTP, command: str, begin: int) -> tuple[socket.socket, int]:
    """Return the data connection, and the position from which on the file comes: 0 where the server refuses another
    one, for it need not know REST (RFC 3659)."""
    if begin:
        with contextlib.suppress(ftplib.error_perm):
            return ftp.transfercmd(command, begin), begin
    return ftp.transfercmd(command), 0


def _size_and_tag(ftp: ftplib.FTP, path: str) -> tuple[int | None, str]:
    """Return length and a tag of the file, as far as the server reports them (RFC 3659)."""
    size, time = None, ""
    with contextlib.suppress(ftplib.error_perm):
        size = ftp.size(path)
    with contextlib.suppress(ftplib.error_perm):
        time = ftp.sendcmd(f"MDTM {path}")
    return size, f"{size} {time}" if size is not None and time else ""


def send_file(address: Address, source: Path, going: TransferControl) -> None:
    """Send a file. Raise ``TransferFailed`` if that fails."""
    with _open_session(address, going) as ftp, source.open("rb") as file:
        ftp.storbinary(f"STOR {address.file_path}", file, CHUNK, lambda _: going.check_limits())


@contextlib.contextmanager
def _open_session(address: Address, going: TransferControl) -> Iterator[ftplib.FTP]:
    """Open a connection and log in. Raise ``TransferFailed`` if that fails."""
    ftp = _new_client(address, going)
    try:
        ftp.open_control_connection(address, going)
        sock = ftp.sock
        going.set_hang_up(lambda: _shut_socket(sock))
        user, password = address.secret or ("anonymous", "")
        ftp.login(user, password)
        if isinstance(ftp, ftplib.FTP_TLS):
            ftp.prot_p()
        yield ftp
        with contextlib.suppress(*ftplib.all_errors):
            ftp.quit()
    except ftplib.Error as e:
        going.check_limits()
        raise TransferFailed(
            "PermissionDenied" if str(e)[:3] in _DENIED else "UploadFailure", _error_line(address, e)
        ) from e
    except (OSError, EOFError) as e:
        going.check_limits()
        raise TransferFailed("UploadFailure", _error_line(address, e)) from e
    finally:
        ftp.close()


def _new_client(address: Address, going: TransferControl) -> _Client:
    if address.scheme == "ftp":
        return _Client(encoding="utf-8")
    kind = _Implicit if address.port == IMPLICIT else _Tls
    return kind(context=going.context(), encoding="utf-8")


def _shut_socket(sock: Any) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _error_line(address: Address, error: Exception) -> str:
    said = str(error).splitlines()
    return f"{address.shown_url}: {type(error).__name__}: {said[0][:120] if said else ''}"
