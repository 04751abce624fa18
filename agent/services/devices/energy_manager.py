"""The supervisor of an energy manager: it reports the limit, and refuses what is none."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from agent.domain.events import Event, ExternalLimitReported
from agent.model.types import EvseId
from agent.services.devices.supervisor import DeviceSupervisor, Opening

log = logging.getLogger(__name__)

SIGN_OF_LIFE_S = 2.0
"""An unchanged limit is posted again after so many real seconds: the domain learns that the energy manager lives."""
FIRST_REPORT_S = 5.0
"""How long ``probe`` waits for the first report."""
HIGHEST_LIMIT = 10_000_000.0
"""Amperes or watts: more is no limit of a station, but a value of another register."""


class EnergyManagerSupervisor(DeviceSupervisor):
    """What makes no sense is refused and logged once. The limit before it stays in force, and no sign of life is
    posted: an energy manager that reports nothing else counts as silent."""

    def __init__(self, evse: EvseId, name: str, opening: Opening, post: Callable[[Event], None]) -> None:
        super().__init__(evse, name, opening, post)
        self.limit: float | None = None
        """What was reported last."""
        self._posted_s = -math.inf
        self._problem = ""

    @classmethod
    async def describe_port(cls, port: Any) -> str:
        async with asyncio.timeout(FIRST_REPORT_S):
            report = await anext(port.limits())
        if problem := report.problem or limit_problem(report.limit):
            return f"no limit: {problem}"
        return "sets no limit" if report.limit is None else f"limit {report.limit:g}"

    def status_fields(self) -> dict[str, Any]:
        return {"limit": self.limit}

    async def operate_device(self, port: Any) -> None:
        self._posted_s = -math.inf
        async for report in port.limits():
            if problem := report.problem or limit_problem(report.limit):
                self._refuse_report(problem)
            else:
                self._accept_report(report.limit, report.is_kept)

    def _refuse_report(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("%s: refused: %s; the limit before it stays in force", self.name, problem)

    def _accept_report(self, limit: float | None, is_kept: bool) -> None:
        if self._problem:
            log.warning("%s: reports a limit again", self.name)
            self._problem = ""
        now_s = asyncio.get_running_loop().time()
        if limit != self.limit or now_s >= self._posted_s + SIGN_OF_LIFE_S:
            self.limit, self._posted_s = limit, now_s
            self._post(ExternalLimitReported(limit, is_kept))


def limit_problem(limit: float | None) -> str:
    """Return why this is no limit of a station; "": it is one, or none is set."""
    if limit is None or (math.isfinite(limit) and 0 <= limit <= HIGHEST_LIMIT):
        return ""
    return f"{limit:g} is not between 0 and {HIGHEST_LIMIT:g}"
