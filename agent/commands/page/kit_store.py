"""Kits on their way to the station file: what a technician has uploaded, or chosen from the folder of kits.

Each is copied into a folder of its own that only the agent's user can read, for a kit holds secrets. The names that a
browser sends are looked up in what there is, and are never parts of a path.
"""

from __future__ import annotations

import io
import shutil
import struct
import time
import tomllib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from agent.commands.page.visit import UploadedFile

KIT_NAME = "kit.toml"
MOST_BYTES, MOST_FILES = 1_000_000, 40
MOST_KITS = 5


class KitRefused(Exception):
    """``str()``: the key of the text that says why (``kit.refused.KEY``)."""


class KitStore:
    """``folder``: where copies go; ``offered``: a folder of kits, for example of a USB stick; None: there is none."""

    def __init__(self, folder: Path, offered: Path | None) -> None:
        self.folder, self._offered = folder, offered

    def names_of_offered_kits(self) -> list[str]:
        """Return the names of the kits that can be chosen."""
        return [name for name, _ in self._kits_in_offered_folder()]

    def names_of_kit_copies(self) -> list[str]:
        """Return the names of the copies, the newest first."""
        found = [f.name for f in self.folder.glob("*") if (f / KIT_NAME).is_file()] if self.folder.is_dir() else []
        return sorted(found, reverse=True)

    def path_of_kit_copy(self, name: str) -> Path | None:
        """Return the ``kit.toml`` of a copy; None: there is none of this name."""
        return self.folder / name / KIT_NAME if name in self.names_of_kit_copies() else None

    def copy_offered_kit(self, name: str) -> str:
        """Copy a kit of the folder. Returns the name of the copy. Raises ``KitRefused``, ``OSError``."""
        kit = dict(self._kits_in_offered_folder()).get(name)
        if kit is None:
            raise KitRefused("unknown")
        if kit.name != KIT_NAME:
            return self._write_private_copy([(KIT_NAME, _read_bounded_bytes(kit))])
        base = kit.parent
        files = [f for f in sorted(base.rglob("*")) if f.is_file() and not f.is_symlink()]
        if len(files) > MOST_FILES:
            raise KitRefused("too_many")
        return self._write_private_copy(
            (str(PurePosixPath(f.relative_to(base))), _read_bounded_bytes(f)) for f in files
        )

    def store_uploaded_kit(self, file: UploadedFile) -> str:
        """Keep an uploaded ``kit.toml``, or a ZIP file with one. Returns the name of the copy. Raises ``KitRefused``,
        ``OSError``."""
        if not zipfile.is_zipfile(io.BytesIO(file.content)):
            return self._write_private_copy([(KIT_NAME, file.content)])
        try:
            with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
                return self._write_private_copy(list(_bounded_zip_entries(archive)))
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, EOFError, struct.error):
            raise KitRefused("bad_zip") from None

    def remove_kit_copy(self, name: str) -> None:
        if (path := self.path_of_kit_copy(name)) is not None:
            shutil.rmtree(path.parent, ignore_errors=True)

    def _kits_in_offered_folder(self) -> Iterator[tuple[str, Path]]:
        if self._offered is None or not self._offered.is_dir():
            return
        for entry in sorted(self._offered.iterdir()):
            if entry.is_symlink():
                continue
            if entry.is_dir() and (entry / KIT_NAME).is_file():
                yield entry.name, entry / KIT_NAME
            elif entry.suffix == ".toml" and entry.is_file():
                yield entry.name, entry

    def _write_private_copy(self, files: Iterable[tuple[str, bytes]]) -> str:
        name = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{time.monotonic_ns() % 1_000_000:06d}"
        target = self.folder / name
        target.mkdir(parents=True, mode=0o700)
        total = 0
        try:
            for path, content in files:
                total += len(content)
                if total > MOST_BYTES:
                    raise KitRefused("too_large")
                _write_private(target / path, content)
            if not (target / KIT_NAME).is_file():
                raise KitRefused("no_kit")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        others = [other for other in self.names_of_kit_copies() if other != name]  # by a clock that may be behind now
        for old in others[MOST_KITS - 1 :]:
            self.remove_kit_copy(old)
        return name


def _bounded_zip_entries(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive, without the folder that all may be in. Bounded in number and in bytes."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise KitRefused("too_many")
    if sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise KitRefused("too_large")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise KitRefused("bad_zip")
    paths = [PurePosixPath(entry.filename) for entry in entries]
    if any(path.is_absolute() or ".." in path.parts or "\\" in str(path) for path in paths):
        raise KitRefused("bad_zip")
    kits = [path for path in paths if path.name == KIT_NAME]
    base = min(kits, key=lambda path: len(path.parts)).parent if kits else PurePosixPath()
    for entry, path in zip(entries, paths, strict=True):
        if path.is_relative_to(base):
            with archive.open(entry) as file:
                yield str(path.relative_to(base)), file.read(entry.file_size + 1)


def _read_bounded_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(content)


def foreign_files_of_kit(path: Path, station: Mapping[str, Any]) -> list[str]:
    """Return in words which files a kit names that are not its own: with an absolute path, unless the station file
    names the same file at the same key. What is no TOML names none."""
    try:
        kit = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [
        f"{table}.{key}: names a file of the station: a kit that is brought to this page has all its files"
        for table in ("backend", "sim", "sticker")
        for key, value in (kit[table].items() if isinstance(kit.get(table), dict) else ())
        if isinstance(value, str) and PurePosixPath(value).is_absolute()
        if (station.get(table) or {}).get(key) != value
    ]
