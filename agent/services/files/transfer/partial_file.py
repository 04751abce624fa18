"""Keep a file that is on its way: the bytes that are here already, and the address that they come from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from agent.services.files.transfer.address import Address
from agent.services.files.transfer.progress import TransferControl, TransferFailed
from agent.services.folder_sync import sync_folder

SPARE_BYTES = 16 * 1024 * 1024
"""This much of the disk stays free for the store, whatever is fetched."""


class PartialFile:
    """The part of ``target`` that has arrived.

    ``have``: how many bytes an earlier attempt left.
    ``tag``: the server's name of the version of the file that they belong to.
    """

    def __init__(self, target: Path, address: Address) -> None:
        self._target, self._of = target, address.address_digest
        self.file = target.with_name(target.name + ".part")
        self._about = target.with_name(target.name + ".part.json")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.tag, self.have = "", 0
        known = self._read_description()
        if known.get("of") == self._of and self.file.exists():
            self.tag, self.have = str(known.get("tag", "")), self.file.stat().st_size

    def _read_description(self) -> dict[str, object]:
        try:
            known = json.loads(self._about.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def write_chunks(
        self, chunks: Iterable[bytes], going: TransferControl, whole: int | None, begin: int, tag: str
    ) -> None:
        """Write the chunks from the position ``begin`` on.

        ``whole``: length of the whole file, if it is known. Raise ``TransferFailed`` if the file does not fit or breaks
        off, and ``OSError`` if the disk refuses.
        """
        going.check_limits(whole or 0)
        free = shutil.disk_usage(self.file.parent).free
        if whole is not None and whole - begin > free - SPARE_BYTES:
            raise TransferFailed("UploadFailure", f"{whole - begin} bytes do not fit on the disk ({free} free)")
        self._about.write_text(json.dumps({"of": self._of, "tag": tag}))
        done = begin
        with self.file.open("r+b" if begin else "wb") as out:
            out.truncate(begin)
            out.seek(begin)
            for chunk in chunks:
                out.write(chunk)
                done += len(chunk)
                going.check_limits(done)
                if shutil.disk_usage(self.file.parent).free < SPARE_BYTES:  # a server need not report the length
                    raise TransferFailed("UploadFailure", f"the disk has no room after {done} bytes")
        if whole is not None and done != whole:
            raise TransferFailed("UploadFailure", f"broke off after {done} of {whole} bytes")

    def finish_file(self) -> None:
        """Make the complete file durable, and give it its name."""
        with self.file.open("rb") as f:
            os.fsync(f.fileno())
        self.file.replace(self._target)
        sync_folder(self._target.parent)
        self._about.unlink(missing_ok=True)


def forget_file(target: Path) -> None:
    """Remove the file, and the part of it that is there."""
    for name in (target.name, target.name + ".part", target.name + ".part.json"):
        target.with_name(name).unlink(missing_ok=True)
