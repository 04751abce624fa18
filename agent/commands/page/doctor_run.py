"""One run of the doctor for the field page: started by a technician, seen by all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.assembly.doctor.findings import Finding

log = logging.getLogger(__name__)


class DoctorRun:
    """``findings``: of the present run, or of the last one."""

    def __init__(self, station: Path) -> None:
        self._station = station
        self._task: asyncio.Task[None] | None = None
        self.findings: list[Finding] = []
        self.judged_now = ""
        self.began_utc_s = 0.0
        self.has_failed = False

    @property
    def is_running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def is_finished(self) -> bool:
        return self._task is not None and self._task.done()

    def begin_examination(self, ended: Callable[[bool], None]) -> bool:
        """Begin, unless it runs already. ``ended`` is called with whether nothing was wrong."""
        if self.is_running:
            return False
        self.findings, self.began_utc_s, self.has_failed = [], time.time(), False
        self._task = asyncio.get_running_loop().create_task(self._climb_ladder(ended))
        return True

    async def cancel_examination(self) -> None:
        """End a run, so that what it has opened is closed."""
        if self._task is not None and self.is_running:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _climb_ladder(self, ended: Callable[[bool], None]) -> None:
        from agent.assembly.doctor.findings import Verdict
        from agent.commands.doctor.examination import DoctorOptions
        from agent.commands.doctor.ladder import Ladder

        ladder = Ladder(DoctorOptions(), self.findings.append, self._show_progress)
        try:
            await ladder.climb(self._station)
        except Exception:
            log.exception("the examination has a defect, please report")
            self.has_failed = True
        finally:
            self.judged_now = ""
        ended(not self.has_failed and all(f.verdict is not Verdict.WRONG for f in self.findings))

    def _show_progress(self, what: str) -> None:
        self.judged_now = what
