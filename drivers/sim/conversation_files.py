"""The conversation as files: a recording as of ``--record`` (docs/recording.md), and its sequence as a picture."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from agent import __version__
from agent.model.parent_death import die_with_parent
from drivers.sim.checked_values import Impossible

Json: TypeAlias = dict[str, Any]

FORMAT = 1
"""Of a recording."""
DRAWN_WITHIN_S = 60.0


def recording_text(station_id: str, links: dict[str, str], frames: Iterable[Json]) -> str:
    """Return the frames of a trace as a recording. ``links``: the charge point id by name of the link.

    Half a character, which a far side can escape in JSON and UTF-8 has not, stays escaped.
    """
    lines = _recording_lines(station_id, links, list(frames))
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    return text.encode("utf-8", "backslashreplace").decode()


def _recording_lines(station_id: str, links: dict[str, str], frames: list[Json]) -> Iterator[Json]:
    begin_s = frames[0]["t"] if frames else 0.0
    begin = {"at": _instant_text(begin_s), "at_s": 0.0} if frames else {"at": None, "at_s": 0.0}
    program = f"chargy-agent {__version__}"
    yield {"kind": "begin", **begin, "format": FORMAT, "program": program, "station": station_id, "links": links}
    for frame in frames:
        sender = "station" if frame["dir"] == "out" else "backend"
        when = {"at": _instant_text(frame["t"]), "at_s": round(frame["t"] - begin_s, 3)}
        content = {"link": frame["link"], "sender": sender, "version": frame["version"], "frame": frame["frame"]}
        yield {"kind": "frame", **when, **content}


def _instant_text(utc_s: float) -> str:
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class DiagramDrawing:
    """Draws a recording by ``chargy-agent replay --svg``, a process of its own, one at a time."""

    def __init__(self) -> None:
        self._drawing = asyncio.Lock()

    async def draw_recording(self, text: str) -> bytes:
        """Return the picture as SVG. Raises ``Impossible`` with what the command says."""
        async with self._drawing:
            with tempfile.TemporaryDirectory(prefix="chargy-") as folder:
                recording, picture = Path(folder) / "conversation.jsonl", Path(folder) / "conversation.svg"
                recording.write_text(text, "utf-8")
                complaint = await _run_replay(recording, picture)
                if not picture.exists():
                    raise Impossible(f"the conversation cannot be drawn: {complaint}")
                return picture.read_bytes()


async def _run_replay(recording: Path, picture: Path) -> str:
    """Draw a recording. Return the last words of the command."""
    argv = [sys.executable, "-m", "agent", "replay", str(recording), "--svg", str(picture)]
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        start_new_session=True, preexec_fn=die_with_parent(os.getpid()),
    )  # fmt: skip
    try:
        async with asyncio.timeout(DRAWN_WITHIN_S):
            _, errors = await process.communicate()
    except TimeoutError:
        return f"it took more than {DRAWN_WITHIN_S:g} s"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    words = errors.decode("utf-8", "replace").strip().splitlines()
    return words[-1] if words else f"exit {process.returncode}"
