"""The folder beside a station file that remembers what was applied: a generation per kit, the newest is undone first.

``STATION.kit/0003/`` holds the station file before and after, and the files that the kit brought. A generation is
complete before the station file names it, and it is not changed afterwards.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import pwd
import shutil
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agent.commands.kit.kit_file import leaf_paths
from agent.model.fastclass import frozen
from agent.services.folder_sync import sync_folder

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
        self.folder = generation_folder(station)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time change the station file. Raises ``OSError``."""
        if not self.folder.is_dir():
            self.folder.mkdir(mode=0o700)
        handle = open_folder(self.folder)
        try:
            give_owner(self._owner, handle)  # also a folder that a killed command has left to root
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def list_generations(self) -> list[Generation]:
        """Return the generations that are complete and not undone, the newest first."""
        return [
            Generation(folder, _read_file(folder / BEFORE), _read_file(folder / AFTER))
            for folder in sorted(self._complete_folders(), key=lambda folder: folder.name, reverse=True)
            if not os.path.lexists(folder / UNDONE)
        ]

    def _complete_folders(self) -> list[Path]:
        return [folder for folder in self.folder.glob("[0-9]*") if folder.name.isdigit()]

    def applied(self, text: bytes) -> Generation | None:
        """Return the newest generation that made this text."""
        return next((g for g in self.list_generations() if g.after == text), None)

    def remove_leftovers(self, text: bytes) -> None:
        """Remove what was undone, and what a command that was killed has left: the newest generation, if the station
        file ``text`` never named it. What the station file names stays, and what an undo would let it name."""
        for folder in self.folder.glob(f"*{BEING_WRITTEN}"):
            self._remove_folder(folder)  # it was being written, or being removed
        for newest in self.list_generations()[:1]:
            if newest.before == text != newest.after:
                self.remove_generation(newest)
        texts = [text, *(generation.before for generation in self.list_generations())]
        for mark in self.folder.glob(f"*/{UNDONE}"):
            if not any(self._path_text(mark.parent).encode() in named for named in texts):
                self._remove_folder(mark.parent)

    def remove_generation(self, generation: Generation) -> None:
        self._remove_folder(generation.folder)

    def missing_files(self, text: bytes) -> list[str]:
        """Return the files of these generations that a station file names and that are not there."""
        named = (value for _, value in leaf_paths(tomllib.loads(text.decode())) if isinstance(value, str))
        return [
            value
            for value in named
            if value.startswith(f"{self.folder.name}/") and not (self.folder.parent / value).is_file()
        ]

    def mark_undone(self, generation: Generation) -> None:
        """Let the next command remove the generation. A running agent reads its files until it starts again."""
        folder = open_folder(generation.folder)
        try:
            write_synced(UNDONE, b"", 0o600, folder=folder)
            os.fsync(folder)
        finally:
            os.close(folder)

    def _remove_folder(self, folder: Path) -> None:
        if folder.name.endswith(BEING_WRITTEN):
            shutil.rmtree(folder)
            return
        going = folder.with_name(folder.name + BEING_WRITTEN)
        folder.rename(going)
        shutil.rmtree(going)

    def _path_text(self, folder: Path) -> str:
        """Return how a station file begins the name of a file in the folder."""
        return f"{self.folder.name}/{folder.name}/"

    def next_name(self) -> str:
        numbers = [int(folder.name) for folder in self._complete_folders()]
        return f"{max(numbers, default=0) + 1:04}"

    def add_generation(self, name: str, before: bytes, after: bytes, files: Mapping[str, bytes]) -> Generation:
        """Write a complete generation that only the owner can read. The folder becomes the owner's when it is full:
        until then no other user can put a link into it."""
        folder = self.folder / f"{name}{BEING_WRITTEN}"
        folder.mkdir(mode=0o700)
        handle = open_folder(folder)
        try:
            if os.fstat(handle).st_uid != os.geteuid():
                raise PermissionError(errno.EPERM, "is not the folder that was just made", str(folder))
            for file, content in {BEFORE: before, AFTER: after, **files}.items():
                write_synced(file, content, 0o600, self._owner, handle)
            give_owner(self._owner, handle)
            os.fsync(handle)
        finally:
            os.close(handle)
        whole = folder.with_name(name)
        folder.rename(whole)
        sync_folder(self.folder)
        return Generation(whole, before, after)


def generation_folder(station: Path) -> Path:
    return station.with_name(station.name + ".kit")


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


def give_owner(owner: FileOwner, handle: int) -> None:
    """Give an open file or folder to its owner, where the command runs as root."""
    if os.geteuid() == 0:
        os.fchown(handle, owner.user, owner.group)


def write_synced(
    path: str | Path, content: bytes, mode: int, owner: FileOwner | None = None, folder: int | None = None
) -> None:
    """Write a new file that is on the disk when this returns. A file or link of this name raises ``FileExistsError``.

    ``folder``: the handle of the folder that ``path`` begins at.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        if owner is not None:
            give_owner(owner, file.fileno())
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())


def _read_file(path: Path) -> bytes:
    """Read a file of a generation, which is the agent's: a link in its place could lead to a file of root."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return file.read()


def open_folder(folder: Path) -> int:
    """Open a folder that is no link, and return its handle."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
