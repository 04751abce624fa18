"""A command of the program on a pseudo-terminal: what it asks a person there, and what the person types."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys

from tests.support.busy_machine import deadline, stretched


class CommandTerminal:
    """A command of the program on a terminal of its own, and what it says there."""

    def __init__(self, *words: str) -> None:
        self.argv = [sys.executable, "-m", "agent", *words]
        self.said, self._seen = "", 0

    async def __aenter__(self) -> CommandTerminal:
        self._master, slave = pty.openpty()
        english = {**os.environ, "LC_ALL": "C"}
        self.process = await asyncio.create_subprocess_exec(
            *self.argv, stdin=slave, stdout=slave, stderr=slave, env=english
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *exc: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()
        os.close(self._master)

    def _read(self) -> None:
        try:
            self.said += os.read(self._master, 65536).decode("utf-8", "replace")
        except OSError:  # the command has ended
            asyncio.get_running_loop().remove_reader(self._master)

    def write_line(self, text: str = "") -> None:
        os.write(self._master, f"{text}\n".encode())

    async def find_text(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """The next place where it says this."""
        try:
            async with deadline(timeout_s):
                while (found := re.compile(pattern).search(self.said, self._seen)) is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{pattern!r} was not said: {self.said}") from None
        self._seen = found.end()
        return found

    async def end_code(self) -> int:
        return await asyncio.wait_for(self.process.wait(), stretched(60))
