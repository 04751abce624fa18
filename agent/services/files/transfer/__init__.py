"""Files from and to a backend's file server: FTP, FTPS, HTTP, HTTPS (OCPP 1.6 8), SFTP where its library is installed.

Everything in here blocks and runs in a thread of its own (``thread.py``); it is imported when a transfer begins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

from agent.services.files.transfer.address import Address, parse
from agent.services.files.transfer.partial_file import Part
from agent.services.files.transfer.progress import Failed, Going

__all__ = ["Failed", "Going", "fetch", "send"]


def fetch(location: str, target: Path, going: Going) -> None:
    """The file at ``location`` becomes ``target``: complete and on disk, or not there. What an earlier attempt got is
    continued where the server can do so. Raises ``Failed``."""
    with _border():
        address = parse(location)
        part = Part(target, address)
        _wire(address).fetch(address, part, going)
        part.finish()


def send(location: str, source: Path, name: str, going: Going) -> None:
    """``source`` goes to ``location``: into that folder under ``name``, or to exactly this address if its path ends
    with a file name or a query. Raises ``Failed``."""
    with _border():
        address = parse(location).with_name(name)
        _wire(address).send(address, source, going)


@contextlib.contextmanager
def _border() -> Iterator[None]:
    """What an address or a server can provoke in the libraries below is a failed transfer: a host that is no name
    (``UnicodeError``), a length that is no number, a port that is none. Their text may hold the address: not shown."""
    try:
        yield
    except OSError as e:
        raise Failed("UploadFailure", f"{type(e).__name__}: {e}") from e
    except (ValueError, OverflowError) as e:
        raise Failed(
            "UploadFailure", f"the address or an answer of the server makes no sense ({type(e).__name__})"
        ) from e


class _Wire(Protocol):
    def fetch(self, address: Address, part: Part, going: Going) -> None: ...
    def send(self, address: Address, source: Path, going: Going) -> None: ...


_WIRES = {"http": "http", "https": "http", "ftp": "ftp", "ftps": "ftp", "sftp": "sftp"}


def _wire(address: Address) -> _Wire:
    from importlib import import_module

    return cast(_Wire, import_module(f"agent.services.files.transfer.{_WIRES[address.scheme]}"))
