"""``chargy-agent doctor`` for the simulated station: a child process whose findings are shown as they come."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from agent.model.parent_death import die_with_parent
from drivers.sim.checked_values import Impossible

Json: TypeAlias = dict[str, Any]

LANGUAGES = ("en", "fr", "de")
LONGEST_LINE = 1 << 20
ENDS_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05
SILENT_AT_MOST_S = 60.0
"""How long a run waits for an agent that starts or ends. After that the agent is taken for one that hangs."""


class DoctorRun:
    """The latest run of the doctor, or the present one. ``station``: the station file of the agent. ``version`` grows
    with each change, of which ``changed`` is called.

    ``is_agent_silent``: whether there is a process of the agent that cannot be asked, because it starts or ends. A run
    waits for it: the doctor would find no agent and take the store, which a starting agent needs.
    """

    def __init__(
        self, station: Path, changed: Callable[[], None], is_agent_silent: Callable[[], bool] = lambda: False
    ) -> None:
        self._station, self._changed, self._is_agent_silent = station, changed, is_agent_silent
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._picture: Json = _empty_picture("", is_running=False)
        self.version = 0

    def event_picture(self) -> Json:
        return self._picture

    @property
    def is_running(self) -> bool:
        return bool(self._picture["running"])

    def start_examination(self, language: str) -> None:
        """Start the doctor. Raises ``Impossible`` while it works."""
        if self.is_running:
            raise Impossible("the doctor is still at work: wait for its result")
        self._picture = _empty_picture(language, is_running=True)
        self._note_visible_change()
        self._task = asyncio.create_task(self._run_doctor(language))

    def end_run_early(self, why: str) -> None:
        """End a run at once. While no agent runs the doctor holds the store, which an agent needs to start."""
        if self.is_running:
            self._picture = {**self._picture, "error": why}
            if self._process is not None and self._process.returncode is None:
                self._process.kill()

    async def end_process(self) -> None:
        """End a run, and wait until its process is gone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run_doctor(self, language: str) -> None:
        await self._wait_for_silent_agent()
        try:
            complaint = await self._follow_process(language)
        except (OSError, ValueError, KeyError) as e:  # no process, or a line that is none of the doctor's
            complaint = f"{type(e).__name__}: {e}"
        error = self._picture["error"] or ("" if self._picture["verdict"] else f"the doctor has ended: {complaint}")
        self._picture = {**self._picture, "running": False, "judging": None, "error": error}
        self._note_visible_change()

    async def _wait_for_silent_agent(self) -> None:
        """Wait as ``status_client`` does: no event says both, whether there is a process and whether it is heard."""
        end_s = time.monotonic() + SILENT_AT_MOST_S
        while self._is_agent_silent() and not self._picture["error"] and time.monotonic() < end_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)

    async def _follow_process(self, language: str) -> str:
        """Take the lines of one process. Return its last words, otherwise its exit code."""
        argv = [sys.executable, "-m", "agent", "doctor", str(self._station), "--json-lines", "--language", language]
        process = self._process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True, limit=LONGEST_LINE, preexec_fn=die_with_parent(os.getpid()),
        )  # fmt: skip
        try:
            if self._picture["error"]:  # given up before it began
                process.kill()
            assert process.stdout is not None
            assert process.stderr is not None
            complaints = asyncio.ensure_future(process.stderr.read())
            async for line in process.stdout:
                self._take_output_line(json.loads(line))
            words = (await complaints).decode("utf-8", "replace").strip().splitlines()
            code = await process.wait()
        finally:
            await _end_child_process(process)
        return words[-1] if words else f"exit {code}"

    def _take_output_line(self, entry: Json) -> None:
        """Take one line of the doctor (``LinesOutput`` of its command)."""
        picture = self._picture
        if "rungs" in entry:
            picture = {**picture, "rungs": [{**row, "findings": []} for row in entry["rungs"]]}
        elif "judging" in entry:
            picture = {**picture, "judging": entry["judging"]}
        elif "finding" in entry:
            finding = dict(entry["finding"])
            rung = finding.pop("rung")
            rows = [
                {**row, "findings": [*row["findings"], finding]} if row["rung"] == rung else row
                for row in picture["rungs"]
            ]
            picture = {**picture, "rungs": rows}
        elif "page" in entry:
            page = entry["page"]
            picture = {**picture, **{key: page[key] for key in ("verdict", "summary", "begin_at", "at", "rungs")}}
        self._picture = picture
        self._note_visible_change()

    def _note_visible_change(self) -> None:
        self.version += 1
        self._changed()


def _empty_picture(language: str, is_running: bool) -> Json:
    return {
        "running": is_running, "language": language or None, "judging": None, "rungs": [], "verdict": None,
        "summary": None, "begin_at": None, "at": None, "error": "",
    }  # fmt: skip


async def _end_child_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
