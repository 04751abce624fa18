"""Write and remove the files of the key store: each is complete and durable, or it does not exist."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.services.folder_sync import sync_folder

SECOND_NS = 1_000_000_000
"""The step of the times of files on every file system of a board."""


class KeyFiles:
    """The files in ``folder``; ``names`` are those that are there, as ``list_names`` returns them."""

    def __init__(self, folder: Path, list_names: Callable[[Path], frozenset[str]]) -> None:
        self._folder, self._list_names = folder, list_names
        self.names = list_names(folder)

    def write_file(self, name: str, content: bytes) -> None:
        """Write a file so that it is complete and durable when this returns.

        The file is written beside its place, synced and renamed; then the folder is synced. Raise ``OSError`` if the
        disk refuses.
        """
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True)
            sync_folder(self._folder.parent)
        os.chmod(self._folder, 0o700)
        self.remove_files([n for n in self.names if n.endswith(".new")])  # they belong to a write that was cut off
        beside = self._folder / f"{name}.new"
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(file, "wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            os.replace(beside, self._folder / name)
        finally:
            beside.unlink(missing_ok=True)
        sync_folder(self._folder)
        self.names = self._list_names(self._folder)

    def write_newest_file(self, name: str, content: bytes, others: Sequence[str]) -> list[str]:
        """Write a file as ``write_file`` does, and let it be newer than these others, also after the clock was set
        back. Return the others, the oldest first. Raise ``OSError`` if the disk refuses."""
        paths = [self._folder / other for other in others]
        times_ns = {path.name: path.stat().st_mtime_ns for path in paths if path.exists()}
        self.write_file(name, content)
        made = self._folder / name
        after_others_ns = max(times_ns.values(), default=0) + SECOND_NS
        if made.stat().st_mtime_ns < after_others_ns:
            os.utime(made, ns=(after_others_ns, after_others_ns))
        return sorted(times_ns, key=times_ns.__getitem__)

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files in this order. Raise ``OSError`` if the disk refuses."""
        for name in names:
            (self._folder / name).unlink(missing_ok=True)
        if names:
            sync_folder(self._folder)
            self.names = self._list_names(self._folder)
