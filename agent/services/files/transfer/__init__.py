"""Files from and to a backend's file server: FTP, FTPS, HTTP, HTTPS (OCPP 1.6 8), SFTP where its library is installed.

Everything in here blocks and runs in a thread of its own (``thread.py``); it is imported when a transfer begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from agent.services.files.transfer.address import Address, parse_address
from agent.services.files.transfer.partial_file import PartialFile
from agent.services.files.transfer.progress import TransferControl, TransferFailed

__all__ = ["TransferControl", "TransferFailed", "fetch_file", "send_file"]


def fetch_file(location: str, target: Path, going: TransferControl) -> None:
    """The file at ``location`` becomes ``target``: complete and on disk, or not there. What an earlier attempt got is
    continued where the server can do so. Raises ``Failed``."""
    with _as_transfer_failure():
        address = parse_address(location)
        part = PartialFile(target, address)
        _protocol_module(address).fetch_file(address, part, going)
        part.finish_file()


def send_file(location: str, source: Path, name: str, going: TransferControl) -> None:
    """``source`` goes to ``location``: into that folder under ``name``, or to exactly this address if its path ends
    with a file name or a query. Raises ``Failed``."""
    with _as_transfer_failure():
        address = parse_address(location).with_name(name)
        _protocol_module(address).send_file(address, source, going)


@contextlib.contextmanager
def _as_transfer_failure() -> Iterator[None]:
    """What an address or a server can provoke in the libraries below is a failed transfer: a host that is no name
    (``UnicodeError``), a length that is no number, a port that is none. Their text may hold the address: not shown."""
    try:
        yield
    except OSError as e:
        raise TransferFailed("UploadFailure", f"{type(e).__name__}: {e}") from e
    except (ValueError, OverflowError) as e:
        raise TransferFailed(
            "UploadFailure", f"the address or an answer of the server makes no sense ({type(e).__name__})"
        ) from e


class _TransferProtocol(Protocol):
    def fetch_file(self, address: Address, part: PartialFile, going: TransferControl) -> None: ...
    def send_file(self, address: Address, source: Path, going: TransferControl) -> None: ...


_WIRES = {"http": "http", "https": "http", "ftp": "ftp", "ftps": "ftp", "sftp": "sftp"}


def _protocol_module(address: Address) -> _TransferProtocol:
    from importlib import import_module

    return cast(_TransferProtocol, import_module(f"agent.services.files.transfer.{_WIRES[address.scheme]}"))
