"""The folder beside a station file that remembers what was applied: a generation per kit, the newest is undone first.

``STATION.kit/0003/`` holds the station file before and after, and the files that the kit brought. A generation is
complete before the station file names it, and it is not changed afterwards.
"""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.model.fastclass import frozen

BEFORE, AFTER, UNDONE, BEING_WRITTEN = "before.toml", "after.toml", "undone", ".partial"


@frozen
class FileOwner:
    user: int
    group: int


@frozen
class Generation:
    folder: Path
    before: bytes
    after: bytes


class GenerationFolder:
    """All generations of one station file."""

    def __init__(self, station: Path, owner: FileOwner) -> None:
        """``owner``: the agent's user, who has to read what the kit brings."""
        self._owner = owner
        self.folder = station.with_name(station.name + ".kit")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time change the station file. Raises ``OSError``."""
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700)
            give_owner(self._owner, self.folder)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def list_generations(self) -> list[Generation]:
        """Return the generations that are complete and not undone, the newest first."""
        folders = sorted(self.folder.glob("[0-9]*"), key=lambda folder: folder.name, reverse=True)
        return [
            Generation(folder, (folder / BEFORE).read_bytes(), (folder / AFTER).read_bytes())
            for folder in folders
            if folder.name.isdigit() and not (folder / UNDONE).exists()
        ]

    def applied(self, text: bytes) -> Generation | None:
        """Return the newest generation that made this text."""
        return next((g for g in self.list_generations() if g.after == text), None)

    def remove_leftovers(self, text: bytes) -> None:
        """Remove what was undone, and what a command that was killed has left: generations that the station file
        ``text`` never named."""
        for mark in self.folder.glob(f"*/{UNDONE}"):
            self._remove_folder(mark.parent)
        for folder in self.folder.glob(f"*{BEING_WRITTEN}"):
            self._remove_folder(folder)  # it was being written, or being removed
        for generation in self.list_generations():
            if generation.after == text:
                return
            if generation.before == text:
                self.remove_generation(generation)

    def remove_generation(self, generation: Generation) -> None:
        self._remove_folder(generation.folder)

    def mark_undone(self, generation: Generation) -> None:
        """Let the next command remove the generation. A running agent reads its files until it starts again."""
        write_synced(generation.folder / UNDONE, b"", 0o600)
        sync_folder(generation.folder)

    def _remove_folder(self, folder: Path) -> None:
        if folder.name.endswith(BEING_WRITTEN):
            shutil.rmtree(folder)
            return
        going = folder.with_name(folder.name + BEING_WRITTEN)
        folder.rename(going)
        shutil.rmtree(going)

    def next_name(self) -> str:
        numbers = [int(g.folder.name) for g in self.list_generations()]
        return f"{max(numbers, default=0) + 1:04}"

    def add_generation(self, name: str, before: bytes, after: bytes, files: Mapping[str, bytes]) -> Generation:
        """Write a complete generation that only the owner can read."""
        folder = self.folder / f"{name}{BEING_WRITTEN}"
        folder.mkdir(mode=0o700)
        give_owner(self._owner, folder)
        for file, content in {BEFORE: before, AFTER: after, **files}.items():
            write_synced(folder / file, content, 0o600)
            give_owner(self._owner, folder / file)
        sync_folder(folder)
        whole = folder.with_name(name)
        folder.rename(whole)
        sync_folder(self.folder)
        return Generation(whole, before, after)


def owner_of(path: Path) -> FileOwner:
    found = path.stat()
    return FileOwner(found.st_uid, found.st_gid)


def agent_owner(station: Path, store: Path) -> FileOwner:
    """Return the agent's user: the owner of the store. Before the first start it is the user whose group may read the
    station file of root (systemd/chargy-agent.tmpfiles.conf)."""
    if store.is_dir():
        return owner_of(store)
    owner = owner_of(station)
    if owner.user == 0 and owner.group != 0:
        try:
            return FileOwner(pwd.getpwnam(grp.getgrgid(owner.group).gr_name).pw_uid, owner.group)
        except KeyError:
            pass  # a group without a user of its name
    return owner


def give_owner(owner: FileOwner, path: Path) -> None:
    """Give a file to its owner, where the command runs as root."""
    if os.geteuid() == 0:
        os.chown(path, owner.user, owner.group)


def write_synced(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is on the disk when this returns."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
