"""The way to the backends for the display's service screen: what is known at this moment, without a test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from agent.domain.events import ConnectionExamined, Event
from agent.domain.orders import ExamineConnection
from agent.model.fastclass import replace
from agent.station_file.settings import StationFile

if TYPE_CHECKING:
    from agent.assembly.doctor.findings import Finding

log = logging.getLogger(__name__)

NOT_SHOWN = ("devices_none", "sim_none", "registration_not_needed", "bearer_none", "budget_none", "tls_not_used")
"""Findings about what the station has not: a technician at the screen reads a few words."""


class ServiceExaminer:
    """The executor of ``ExamineConnection``. ``knowledge``: what the station knows, as the question ``doctor`` of the
    status socket is answered; ``disk_problem``: of the store."""

    orders = (ExamineConnection,)

    def __init__(
        self,
        file: StationFile,
        post: Callable[[Event], None],
        knowledge: Callable[[], dict[str, Any]],
        disk_problem: Callable[[], str],
    ) -> None:
        self._file, self._post, self._knowledge, self._disk_problem = file, post, knowledge, disk_problem

    def accept_order(self, order: ExamineConnection) -> None:
        try:
            answer = self._without_only_backend(summarize_findings(list(self._known_findings())))
        except Exception:  # a defect here shows no steps, and ends no session
            log.exception("the steps for the service screen are not known")
            answer = ConnectionExamined()
        self._post(answer)

    def _without_only_backend(self, answer: ConnectionExamined) -> ConnectionExamined:
        """Name a backend only where there are several."""
        is_only = [answer.subject] == [backend.name for backend in self._file.backends]
        return replace(answer, subject="") if is_only else answer

    def _known_findings(self) -> Iterable[Finding]:
        """Yield the findings, in the order of the doctor's rungs."""
        from agent.assembly.doctor import known_rungs
        from agent.assembly.doctor.findings import make_finding
        from agent.assembly.link_profile import data_plan

        known = self._knowledge()
        bearers = {row["name"]: row["status"] for row in known["bearers"]}
        yield from self._disk_findings()
        yield from known_rungs.device_findings(known["devices"])
        yield from known_rungs.sim_findings(bearers)
        yield from known_rungs.registration_findings(bearers)
        yield from known_rungs.bearer_findings(bearers)
        yield known_rungs.budget_finding(data_plan(self._file), known["traffic"])
        rows = {row["name"]: row for row in known["links"]}
        for backend in self._file.backends:
            if backend.url:
                yield from known_rungs.connection_findings(rows[backend.name], backend)
        if not any(backend.url for backend in self._file.backends):
            yield make_finding("backend_none")
        yield known_rungs.clock_finding(known_rungs.clock_offset_s(known), "")

    def _disk_findings(self) -> Iterable[Finding]:
        from agent.assembly.doctor.findings import make_finding
        from agent.assembly.doctor.known_rungs import disk_space_state

        folder = self._file.station.state_dir
        if error := self._disk_problem():
            yield make_finding("store_disk_problem", folder=folder, error=error)
        try:
            code, values = disk_space_state(folder)
        except OSError as e:
            log.warning("the space at %s cannot be read: %s", folder, e.strerror or e)
            return
        yield make_finding(code, folder=folder, **values)


def summarize_findings(findings: list[Finding]) -> ConnectionExamined:
    """Return each rung once, with the worst verdict of its findings, and the problem to begin with."""
    from agent.assembly.doctor.findings import RUNGS, Verdict, first_problem, worst_verdict

    by_verdict: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
    for rung in RUNGS:
        if of_rung := [f for f in findings if f.rung == rung and f.code not in NOT_SHOWN]:
            by_verdict[worst_verdict(of_rung)].append(rung)
    problem = first_problem(findings)
    return ConnectionExamined(
        tuple(by_verdict[Verdict.GOOD]),
        tuple(by_verdict[Verdict.NOT_JUDGED]),
        tuple(rung for rung in RUNGS if rung in by_verdict[Verdict.WRONG] + by_verdict[Verdict.WARNING]),
        *((problem.code, problem.rung, problem.subject) if problem is not None else ()),
    )
