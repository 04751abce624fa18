"""One firmware update on its way from the request to the boot, as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.domain.functional_block import Yielded
from agent.domain.messages import FirmwareStatus
from agent.domain.orders import Persist, Send, WakeMe
from agent.domain.requests import UpdateFirmwareRequest
from agent.domain.timers import Timer
from agent.model.fastclass import mutable
from agent.model.string_enum import StrEnum
from agent.model.types import Moment

SETTLE_S = 1.0
"""After a start sessions that resume are known by then."""


class Phase(StrEnum):
    """What the job waits for."""

    FETCH_LATER = "fetch later"
    FETCHING = "fetching"
    CHECKING = "checking"
    INSTALL_LATER = "install later"
    INSTALLING = "installing"
    BOOTING = "booting"


@mutable
class FirmwareJob:
    id: str
    link: str
    request: UpdateFirmwareRequest
    phase: Phase = Phase.FETCH_LATER
    tries: int = 0
    reported_status: str = ""
    installations: int = 0
    before: str = ""
    """The version that ran when the installation began, as the updater names it; "": unknown."""
    commit_ordered: bool = False
    """The backend has accepted the boot of what this job installed."""
    is_due: bool = False
    """The requested time has come: the installation waits for the end of sessions only. In memory: it is looked at
    again after a restart."""

    def to_record(self) -> dict[str, Any]:
        own = {stored: getattr(self, name) for name, stored in _OWN.items()}
        return own | {name: getattr(self.request, name) for name in _KEPT}

    @classmethod
    def from_record(cls, r: Any) -> FirmwareJob:
        """Raises ``KeyError``, ``TypeError``, ``ValueError``."""
        request = UpdateFirmwareRequest(**{name: r[name] for name in _KEPT if name in r})
        job = cls(str(r["id"]), str(r["link"]), request, Phase(r["phase"]), int(r["tries"]))
        job.reported_status, job.before = str(r["told"]), str(r.get("before", ""))
        job.installations, job.commit_ordered = int(r.get("installations", 0)), r.get("commit_ordered") is True
        return job

    def enter_phase(self, phase: Phase, status: str = "") -> Iterator[Yielded]:
        """Store the phase, then report the status that goes with it."""
        self.phase = phase
        reports = list(self.report_status(status)) if status else []
        yield Persist("firmware", "job", self.to_record())
        yield from reports

    def report_status(self, status: str) -> Iterator[Yielded]:
        """Report each status once: a second attempt is still downloading."""
        if status != self.reported_status:
            self.reported_status = status
            request = self.request.request_id
            yield Send(self.link, FirmwareStatus(status, request, request is not None))


def wake_at_date(timer: Timer, wanted_utc_s: float, now: Moment) -> WakeMe:
    """Return the order that wakes a job at this time, or ``SETTLE_S`` from now if it is past. A station that does not
    know the time sets no timer: the job waits for ``ClockTrusted``."""
    return WakeMe(timer, now.t_s + max(SETTLE_S, wanted_utc_s - now.utc_s) if now.utc_s is not None else None)


_OWN = {
    "id": "id", "link": "link", "phase": "phase", "tries": "tries", "reported_status": "told", "before": "before",
    "installations": "installations", "commit_ordered": "commit_ordered",
}  # fmt: skip
"""The fields of a job, and their names in the store."""
_KEPT = (
    "location", "retrieve_utc_s", "install_utc_s", "retries", "retry_interval_s", "request_id", "certificate",
    "signature",
)  # fmt: skip
