"""Fetch files from a backend's file server, and send files to it.

The protocols are FTP, FTPS, HTTP and HTTPS (OCPP 1.6, section 8), and SFTP if its library is installed. All functions
in this package block and run in a thread of their own (``thread.py``). The package is imported when a transfer begins.
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
    """Fetch the file at ``location`` as ``target``, which is complete and on disk, or does not exist.

    The transfer continues an earlier attempt if the server can do so. Raise ``TransferFailed`` if it fails.
    """
    with _as_transfer_failure():
        address = parse_address(location)
        part = PartialFile(target, address)
        _protocol_module(address).fetch_file(address, part, going)
        part.finish_file()


def send_file(location: str, source: Path, name: str, going: TransferControl) -> None:
    """Send ``source`` to ``location``. Raise ``TransferFailed`` if it fails.

    It goes into that folder under ``name``, or to exactly this address if its path ends with a file name or a query.
    """
    with _as_transfer_failure():
        address = parse_address(location).with_name(name)
        _protocol_module(address).send_file(address, source, going)


@contextlib.contextmanager
def _as_transfer_failure() -> Iterator[None]:
    """Turn every error that an address or a server can provoke in the libraries into a failed transfer.

    Examples are a host that is no name (``UnicodeError``), a length that is no number, and a port that is none. The
    text of such an error may contain the address, so it is not shown.
    """
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
