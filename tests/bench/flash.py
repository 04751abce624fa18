"""What a session and an idle day of a station write to its flash memory: sectors of a loop device that has an ext4 of
its own with the state of the agent on it. The journal of the file system is in them; what the flash memory itself
writes besides is not.

Beside it stands what SQLite and ext4 cannot avoid: as many commits of one page each, with one merge, on the same file
system.

The station's time runs faster than real time, but the kernel's does not. It would write dirty pages after 30 s, and so
once for all commits of a session here: so they are written out as often as in the station's time. So is the journal of
the file system, which has the times of the changes: kernels of late put them into it in spite of ``lazytime``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.bench.figures import Goal
from tests.bench.process import Skipped

DIRTY_S = 30.0
"""The kernel writes a dirty page after so long (vm.dirty_expire_centisecs)."""
COMMIT_S = 3600
"""ext4 writes its journal after so long, if nothing demands it before (``commit``)."""
IMAGE_BYTES, SECTOR_BYTES, WRITTEN = 64 * 1024 * 1024, 512, 6
"""``WRITTEN``: the place of the sectors written in /sys/block/*/stat."""
OPTIONS = f"loop,noatime,lazytime,commit={COMMIT_S}"
WHY = (
    "some 20 commits of one to six pages each: every change of a session, its register each five minutes, every "
    "message and the removal of what is billed are on disk before the next step; the floor of as many commits misses "
    "it too"
)
G17_SESSION = Goal("G17", "flash per session of 1 h", 60.0, "KiB", why=WHY)
WHY_DAY = "a commit writes some 16 KiB with the file system of the bench, and four idle days have about four"
G17_DAY = Goal("G17", "flash per idle day", 16.0, "KiB", why=WHY_DAY)


class FlashMemory:
    """A file system of its own at ``folder``."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self._stat = Path("/sys/block") / device / "stat"

    def written_kib(self) -> float:
        """Return what was written to the device by now, after writing what is dirty."""
        self.write_dirty_pages()
        self.write_journal()
        return int(self._stat.read_text().split()[WRITTEN]) * SECTOR_BYTES / 1024

    def write_dirty_pages(self) -> None:
        """Write the content of all files, but no times of changes."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                _write_out(path)

    def write_journal(self) -> None:
        """Write the journal with the times of the changes: what ``fdatasync`` of a folder does."""
        _write_out(self.folder)

    def floor_kib(self, commits: int) -> float:
        """Return what so many durable commits write at least: each changes one page, the smallest of SQLite, and they
        are merged once.
        The file has its length before."""
        db = sqlite3.connect(self.folder / "floor.db", isolation_level=None)
        for pragma in ("page_size=512", "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            db.execute(f"PRAGMA {pragma}")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("CREATE TABLE register(number INTEGER PRIMARY KEY, wh INTEGER)")
        db.execute("INSERT INTO register VALUES(1, 0)")
        written: list[float] = []
        for _ in range(2):
            before_kib = self.written_kib()
            for _ in range(commits):
                db.execute("UPDATE register SET wh=wh+1")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            written.append(self.written_kib() - before_kib)
        db.close()
        return written[-1]

    @asynccontextmanager
    async def aged(self, speed: int, also: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
        """Write dirty pages inside as often as the kernel would in the time of a station that is so much faster.
        ``also``: is called as often."""

        async def write_often() -> None:
            journal_due_s = time.monotonic() + COMMIT_S / speed
            while True:
                await asyncio.sleep(max(DIRTY_S / speed, 0.05))
                await asyncio.to_thread(self.write_dirty_pages)
                await asyncio.to_thread(also)
                if time.monotonic() >= journal_due_s:
                    journal_due_s += COMMIT_S / speed
                    await asyncio.to_thread(self.write_journal)

        writing = asyncio.create_task(write_often())
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


def _write_out(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def flash_memory(around: Path) -> Iterator[FlashMemory]:
    """Mount a new ext4 in an image. Raises ``Skipped`` where that is not allowed."""
    absent = [name for name in ("mkfs.ext4", "mount", "findmnt") if shutil.which(name) is None]
    if os.geteuid() != 0 or absent or not os.path.exists("/dev/loop-control"):
        raise Skipped(f"a file system of its own needs root, loop devices and {', '.join(absent) or 'mkfs.ext4'}")
    image, folder = around / "flash.img", around / "flash"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    folder.mkdir()
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image)], check=True
    )
    if subprocess.run(["mount", "-o", OPTIONS, str(image), str(folder)], capture_output=True).returncode:
        raise Skipped("a file system of its own cannot be mounted here")
    try:
        found = subprocess.run(["findmnt", "-no", "SOURCE", str(folder)], capture_output=True, text=True, check=True)
        yield FlashMemory(folder, Path(found.stdout.strip()).name)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", str(folder)], check=True)
