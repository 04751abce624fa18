"""Commands of the board that an updater runs, as lists of words without a shell."""

from __future__ import annotations

import asyncio
import logging
import os

from agent.ports import Broken, Unreachable

log = logging.getLogger(__name__)


def is_command(word: str) -> bool:
    """Return whether the word is a command, as ``shutil.which`` finds it; its module would bring four compressions
    along."""
    places = [word] if os.sep in word else [os.path.join(folder, word) for folder in os.get_exec_path()]
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


async def run_board_command(name: str, words: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
    """Run a command. Return its exit code, and what it printed: the first line, or what it complained of last.

    ``name``: its key in ``[updater]``. Raises ``Broken`` (it cannot be run), ``Unreachable`` (it does not end).
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except (OSError, ValueError, IndexError, TypeError) as e:
        raise Broken(f"updater: {name}: {words[:1]} cannot be run ({e}); check [updater] {name}") from e
    try:
        async with asyncio.timeout(timeout_s):
            out, err = await process.communicate()
    except TimeoutError:
        raise Unreachable(f"updater: {name} did not end within {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            await _end_command(process)
    lines = (out if process.returncode == 0 else err or out).decode("utf-8", "replace").strip().splitlines()
    assert process.returncode is not None
    return process.returncode, (lines[0] if process.returncode == 0 else lines[-1])[:200] if lines else ""


async def run_checked_command(name: str, words: tuple[str, ...], timeout_s: float) -> str:
    """Run a command that has to succeed, and return what it printed. Raises ``Broken``, ``Unreachable``."""
    code, output = await run_board_command(name, words, timeout_s)
    if code != 0:
        raise Broken(f"updater: {name} failed (exit {code}): {output}")
    return output


async def _end_command(process: asyncio.subprocess.Process) -> None:
    """End a command that still runs. One of another user, which ``sudo`` has started, is left to itself."""
    try:
        process.kill()
    except ProcessLookupError:
        pass
    except PermissionError:
        log.warning("updater: process %d of another user cannot be ended; it goes on", process.pid)
        return
    await process.wait()
