"""What a session and an idle day of a station write to its flash memory: sectors of a loop device that has an ext4 of
its own with the state of the agent on it. The journal of the file system is in them; what the flash memory itself
writes besides is not.

The station's time runs faster than real time, but the kernel's does not. It would write dirty pages after 30 s, and so
once for all commits of a session here: so they are written out as often as in the station's time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tests.bench.figures import Goal
from tests.bench.process import Skipped

DIRTY_S = 30.0
"""The kernel writes a dirty page after so long (vm.dirty_expire_centisecs)."""
IMAGE_BYTES, SECTOR_BYTES, WRITTEN = 64 * 1024 * 1024, 512, 6
"""``WRITTEN``: the place of the sectors written in /sys/block/*/stat."""
OPTIONS = "loop,noatime,lazytime"
WHY = (
    "some 30 commits of four to six pages each: every change of a session, its register each five minutes, every "
    "message and its removal from the queue are on disk before the next step"
)
G17_SESSION = Goal("G17", "flash per session of 1 h", 60.0, "KiB", why=WHY)
WHY_DAY = "a commit writes some 20 KiB with the file system of the bench, and four idle days have about four"
G17_DAY = Goal("G17", "flash per idle day", 16.0, "KiB", why=WHY_DAY)


class FlashMemory:
    """A file system of its own at ``folder``."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        self._stat = Path("/sys/block") / device / "stat"

    def written_kib(self) -> float:
        """Return what was written to the device by now, after writing what is dirty."""
        self.write_dirty_pages()
        return int(self._stat.read_text().split()[WRITTEN]) * SECTOR_BYTES / 1024

    def write_dirty_pages(self) -> None:
        """Write the content of all files, but no times of changes: those wait a day (``lazytime``)."""
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)

    @asynccontextmanager
    async def aged(self, speed: int) -> AsyncIterator[None]:
        """Write dirty pages inside as often as the kernel would in the time of a station that is so much faster."""

        async def write_often() -> None:
            while True:
                await asyncio.sleep(max(DIRTY_S / speed, 0.05))
                await asyncio.to_thread(self.write_dirty_pages)

        writing = asyncio.create_task(write_often())
        try:
            yield
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


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
