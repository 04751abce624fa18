"""The ladder: the rungs in their order, what each needs, and how long it may take."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.assembly.bearers import bearer_via
from agent.assembly.doctor.findings import (
    NOT_JUDGED_AFTER,
    RUNGS,
    Finding,
    is_passed,
    make_finding,
    make_general_finding,
)
from agent.assembly.files import key_store_of
from agent.commands.check import check_station_file
from agent.commands.doctor import backend_rungs, bearer_rungs, local_rungs, network_rungs, tls_rung
from agent.commands.doctor.examination import BackendExamination, DoctorOptions, Examination
from agent.commands.doctor.station_access import station_access
from agent.model.fastclass import frozen, replace
from agent.ocpp.transport.timeouts import Timeouts
from agent.ocpp.transport.transport import NoConnection, is_tls, without_user_info
from agent.ports.pki import NO_ROOTS, TrustedRoots
from agent.station_file.settings import Backend, StationFile

log = logging.getLogger(__name__)

Judge = Callable[[Any], AsyncIterator[Finding]]
Report = Callable[[Finding], None]
DEVICE_S = 300.0


@frozen
class Rung:
    """``needs``: the rung without which this one cannot be judged. ``limit_s``: the most seconds, as a whole;
    ``limit_steps``: or so many steps of the network."""

    name: str
    judge: Judge
    needs: str = ""
    limit_s: float = 0.0
    limit_steps: int = 0
    needs_station: bool = False
    """It uses what an agent uses: the devices, or the charge point id. An agent that may run and cannot be asked is not
    disturbed."""


STATION_LADDER = (
    Rung("disk", local_rungs.judge_disk, limit_s=30.0),
    Rung("flash", local_rungs.judge_flash, limit_s=10.0),
    Rung("devices", local_rungs.judge_devices, limit_s=DEVICE_S, needs_station=True),
    Rung("sim", bearer_rungs.judge_sim, limit_s=2 * DEVICE_S, needs_station=True),
    Rung("registration", bearer_rungs.judge_registration, limit_s=10.0, needs_station=True),
    Rung("bearer", bearer_rungs.judge_bearer, limit_s=10.0, needs_station=True),
    Rung("budget", local_rungs.judge_budget, limit_s=10.0),
)
"""Judged once, whatever became of the others: each looks at something else."""
BACKEND_LADDER = (
    Rung("route", network_rungs.judge_route, limit_steps=2),
    Rung("dns", network_rungs.judge_name, limit_steps=2),
    Rung("tcp", network_rungs.judge_tcp, needs="dns", limit_steps=8),
    Rung("tls", tls_rung.judge_tls, needs="tcp", limit_steps=4),
    Rung("http", backend_rungs.judge_upgrade, needs="tls", limit_steps=6, needs_station=True),
    Rung("soap", backend_rungs.judge_soap, needs="http", limit_steps=12, needs_station=True),
    Rung("boot", backend_rungs.judge_boot, needs="soap", limit_steps=4, needs_station=True),
    Rung("clock", backend_rungs.judge_clock, needs="tls", limit_steps=5),
    Rung("latency", backend_rungs.judge_latency, needs="tls", limit_steps=5),
    Rung("mtu", backend_rungs.judge_large_packets, needs="tls", limit_steps=8),
)
"""Judged for each backend. The route is judged by itself: a connection shows whether the kernel had another one."""


class Ladder:
    """Climbs the ladder of one station. ``report`` gets each finding at once, ``show_progress`` what is judged now."""

    def __init__(self, options: DoctorOptions, report: Report, show_progress: Callable[[str], None]) -> None:
        self._options, self._report, self._show_progress = options, report, show_progress
        self.findings: list[Finding] = []
        self.took_s: dict[str, float] = {}
        self.is_beside_agent = False

    async def climb(self, path: Path) -> StationFile | None:
        """Judge all rungs. Returns the station file, or None if it cannot be read."""
        self._show_progress("station_file")
        file, problems = await asyncio.to_thread(check_station_file, path)
        if file is not None:  # what a driver misses on this machine is a finding of the device
            problems = [p for p in problems if p not in local_rungs.problems_of_devices(file)]
        self._add(list(local_rungs.judge_station_file(path, problems)))
        if file is None:
            for name in RUNGS[1:]:
                self._add([make_general_finding(NOT_JUDGED_AFTER, name, needs="station_file")])
            return None
        async with contextlib.AsyncExitStack() as resources:
            exam = Examination(file, self._options, resources, show_progress=self._show_progress)
            self._add(await resources.enter_async_context(station_access(exam)))
            self.is_beside_agent = exam.agent is not None
            for rung in STATION_LADDER:
                if rung.needs_station and exam.agent is None and not exam.holds_station:
                    self._add([make_general_finding(NOT_JUDGED_AFTER, rung.name, needs="agent")])
                else:
                    self._add(await self._judge(rung, exam, ""))
            await self._judge_backends(exam)
        return file

    def _add(self, findings: list[Finding]) -> None:
        for finding in findings:
            self.findings.append(finding)
            self._report(finding)

    async def _judge(self, rung: Rung, exam: Any, subject: str) -> list[Finding]:
        """Judge one rung within its time. A defect of the doctor is a finding of this rung, and no end of all."""
        self._show_progress(f"{rung.name} {subject}".strip())
        limit_s = rung.limit_s + rung.limit_steps * self._options.timeout_s
        began_s, findings = time.monotonic(), []
        try:
            async with asyncio.timeout(limit_s):
                async for finding in rung.judge(exam):
                    findings.append(finding)  # noqa: PERF401  what was found before the time was over counts
        except TimeoutError:
            findings.append(make_general_finding("time_over", rung.name, subject, limit=f"{limit_s:g}"))
        except Exception as e:  # the other rungs still say what they find
            log.debug("%s", rung.name, exc_info=True)
            findings.append(make_general_finding("examination_failed", rung.name, subject, error=type(e).__name__))
        key = f"{rung.name} {subject}".strip()
        self.took_s[key] = time.monotonic() - began_s
        return findings

    # --- backends ----------------------------------------------------------------------------------------------------

    async def _judge_backends(self, exam: Examination) -> None:
        backends = [b for b in exam.file.backends if b.url]
        if not backends:
            self._add([make_finding("backend_none")])
        bearer = [f for f in self.findings if f.rung == "bearer"]
        is_carried = is_passed(bearer) or not exam.file.bearers
        for backend in backends:
            try:
                of_backend = self._examine_backend(exam, backend)
            except ValueError:  # an address that is no URL, which the rung of the file has reported
                self._leave_out(backend)
            else:
                await self._judge_backend(of_backend, blocked_by="" if is_carried else "bearer")

    def _leave_out(self, backend: Backend) -> None:
        for rung in BACKEND_LADDER:
            self._add([make_general_finding(NOT_JUDGED_AFTER, rung.name, backend.name, needs="station_file")])

    async def _judge_backend(self, of_backend: BackendExamination, blocked_by: str) -> None:
        exam, name = of_backend.of, of_backend.name
        passed: dict[str, str] = {}
        """By rung: the rung that it failed at, "" for none."""
        for rung in BACKEND_LADDER:
            failed_at = blocked_by or passed.get(rung.needs, "")
            if not failed_at and rung.needs_station and exam.agent is None and exam.stopped is None:
                failed_at = "agent"
            if failed_at:
                findings = [make_general_finding(NOT_JUDGED_AFTER, rung.name, name, needs=failed_at)]
            else:
                findings = await self._judge(rung, of_backend, name)
            passed[rung.name] = failed_at or ("" if is_passed(findings) else rung.name)
            self._add(findings)

    def _examine_backend(self, exam: Examination, backend: Backend) -> BackendExamination:
        """Return the examination of a backend with the address that its link would use now. Raises ``ValueError``."""
        step_s = self._options.timeout_s
        via = bearer_via(exam.file, exam.bearer, backend.name) or backend.via
        target = replace(backend, via=via)
        of_backend = BackendExamination(exam, backend, target, roots=_installed_roots(exam.file))
        row = of_backend.link_row
        if exam.stopped is not None:
            timeouts = Timeouts(step_s, step_s, step_s)
            of_backend.trial = exam.stopped.make_trial(backend, exam.bearer, exam.interface, timeouts)
            with contextlib.suppress(NoConnection):  # the rung of the upgrade repeats it, and says why
                of_backend.target = of_backend.trial.connector.next_backend()
        elif row is not None and row["url"] != without_user_info(backend.connection_url):
            of_backend.target = replace(backend, url=row["url"], via="")
        target = of_backend.target
        url = urlsplit(target.connection_url)
        if not url.hostname:
            raise ValueError("no host")
        of_backend.server_name = url.hostname or ""
        place = urlsplit(f"//{target.via}") if target.via else url
        of_backend.host = place.hostname or ""
        of_backend.port = place.port or (443 if is_tls(target.connection_url) else 80)
        return of_backend


def _installed_roots(file: StationFile) -> TrustedRoots:
    """Return the roots that were installed over the air, as far as this user may see them."""
    try:
        return key_store_of(file).trusted_roots().all_together()
    except OSError:
        return NO_ROOTS
